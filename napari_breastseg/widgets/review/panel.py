"""Go through a dataset's cases: worklist, next and previous, accept, flag, take back, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.volume import LabelMap
from ...dataset import (
    CaseRecord,
    Dataset,
    Effort,
    FlagReason,
    Status,
    WorklistRow,
    effort,
)
from ..canvas.layers import edit_labels, tumor_layer
from ..correct.panel import CorrectPanel
from ..parts.fields import Fold, button, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown, show, show_info
from ..state.session import Session
from .effort_chart import EffortChart
from .prefetch import Prefetch
from .readers import ReadersSection
from .thumbnails import Thumbnail
from .worklist_view import WorklistView

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ReviewPanel"]

_LET_NAPARI_DRAW_MS = 150
"""Reading ahead begins when the case just opened is on the screen."""


class ReviewPanel(QWidget):
    """The worklist and what is done with its cases.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    correct : CorrectPanel
        Opens, keeps and accepts the case at work; knows who reads.
    """

    def __init__(self, viewer: Viewer, session: Session, correct: CorrectPanel) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._correct = correct
        self._is_stale = False
        self._at = -1
        self._advances = ""
        self.runner = JobRunner(self)
        self.chores = JobRunner(self)
        self.prefetch = Prefetch(self)
        self.worklist = WorklistView()
        self.model = self.worklist.model

        self.worklist.open_asked.connect(self._open_row)
        self.worklist.grid.accept_asked.connect(self._accept_shown)
        self.worklist.grid.flag_asked.connect(lambda row: self.flag([row.case_id]))
        self.worklist.changed.connect(self._refresh_buttons)
        self.previous_button = button("Previous", self.open_previous, "Case before", "PageUp")
        self.next_button = button("Next", self.open_next, "Case after this one", "PageDown")
        self.accept_button = button(
            "Accept", self.accept, "Accept the case at work as it is", "Shift-Enter"
        )
        self.advance = QCheckBox("then next")
        self.advance.setToolTip("Open the next case when this one is accepted or flagged")
        self.reason = QComboBox()
        self.reason.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.reason.setToolTip("Why: a fixed list, because free text could name a patient")
        for reason in FlagReason:
            self.reason.addItem(reason.value.replace("_", " "), reason)
        self.flag_button = button("Flag", self.flag, "Set the cases aside", "Ctrl-Shift-F")
        self.undo_button = button(
            "Undo accept",
            self.undo_accept,
            "Take the last acceptance back; the mask stays in the history",
            "Ctrl-Shift-U",
        )
        self.reopen_button = button(
            "Reopen", self.reopen, "Take up accepted or flagged cases again", "Ctrl-Shift-E"
        )
        self.effort = EffortChart()
        self.readers = ReadersSection(session, self._chosen, self.refresh)

        self._lay_out()
        session.dataset_changed.connect(self._take_dataset)
        session.record_changed.connect(self._take_record)
        session.draft_changed.connect(self._forget_pictures)
        correct.annotator.editingFinished.connect(self.refresh)
        for runner in (self.runner, self.chores, correct.runner):
            runner.started.connect(lambda _: self._refresh_buttons())
            runner.ended.connect(lambda _: self._refresh_buttons())
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_LET_NAPARI_DRAW_MS)
        self._soon.timeout.connect(self._read_ahead)
        self._refresh_buttons()

    def _lay_out(self) -> None:
        walk = QHBoxLayout()
        walk.addWidget(self.previous_button)
        walk.addWidget(self.next_button)
        decide = QHBoxLayout()
        decide.addWidget(self.accept_button, 1)
        decide.addWidget(self.advance)
        flag = QHBoxLayout()
        flag.addWidget(self.flag_button)
        flag.addWidget(self.reason, 1)
        back = QHBoxLayout()
        back.addWidget(self.undo_button)
        back.addWidget(self.reopen_button)
        column = QVBoxLayout(self)
        column.addWidget(self.worklist, 1)
        for row in (walk, decide, flag, back):
            column.addLayout(row)
        column.addWidget(JobBar(self.runner, "Shift-X"))
        column.addWidget(Fold("Second readers", self.readers))
        column.addWidget(Fold("Effort: is the loop paying?", self.effort))

    # What is listed

    def refresh(self) -> None:
        """Read the worklist again; what comes in meanwhile is read after that."""
        self._forget_pictures()
        dataset, annotator = self._session.dataset, self._annotator
        if self.chores.is_running:
            self._is_stale = True
            return
        if dataset is None:
            self._take_rows(([], []))
            return
        self._is_stale = False
        self.chores.start(
            "Reading the worklist",
            lambda: _listing(dataset, annotator),
            on_result=self._take_rows,
        )

    def reset_choices(self, event: object = None) -> None:
        """Bring the buttons up to date with the viewer."""
        self._refresh_buttons()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk by the page keys, which the scroll area around this panel would take."""
        if event.key() == Qt.Key.Key_PageDown:
            self.open_next()
        elif event.key() == Qt.Key.Key_PageUp:
            self.open_previous()
        else:
            super().keyPressEvent(event)

    def toggle_pictures(self) -> None:
        """Show small pictures instead of the table, or the table again."""
        self.worklist.pictures.setChecked(not self.worklist.pictures.isChecked())

    def _forget_pictures(self) -> None:
        """Keep no picture that shows what this reader may not see, or not yet."""
        hides = self._session.hides_drafts
        self.worklist.thumbnails.set_dataset(self._session.dataset, self._annotator, hides)

    def _take_rows(self, found: tuple[list[WorklistRow], list[Effort]]) -> None:
        rows, costs = found
        self.model.set_rows(rows)
        self.effort.set_rows(costs)
        self.worklist.show_count()
        if self._is_stale:
            self.refresh()
        elif self._advances:
            leaving, self._advances = self._advances, ""
            if self._session.case_id == leaving:
                self.open_next()
        self._refresh_buttons()

    # Walking

    def open_next(self) -> None:
        """Open the case after the one at work."""
        self._walk(1)

    def open_previous(self) -> None:
        """Open the case before the one at work."""
        self._walk(-1)

    def _walk(self, step: int) -> None:
        row = self._neighbor(step)
        if row is None:
            word = "last" if step > 0 else "first"
            show_info(f"This is the {word} case of the list.")
        elif not self._correct.runner.is_running:
            self._open_row(row)

    def _neighbor(self, step: int) -> WorklistRow | None:
        rows = self.model.rows
        place = self.model.place(self.model.at_work)
        if place is None:
            # The case has left the list, and the one after it stands in its place.
            place = self._at if step > 0 else self._at - 1
            if self._at < 0:
                place = 0 if step > 0 else -1
        else:
            place += step
        return rows[place] if 0 <= place < len(rows) else None

    def _open_row(self, row: WorklistRow) -> None:
        loaded = self.prefetch.take(row.case_id)
        self._advances = ""
        self._correct.go_to_case(row.case_id, loaded)

    def _take_dataset(self, dataset: Dataset | None) -> None:
        self.prefetch.forget()
        self._at = -1
        self.model.set_at_work(None)
        self.refresh()

    def _take_record(self, record: CaseRecord | None) -> None:
        if record is None:
            self._refresh_buttons()
            return
        self.model.set_at_work(record.case_id)
        place = self.model.place(record.case_id)
        if place is not None:
            self._at = place
            self.worklist.select([place])
        if self.advance.isChecked() and record.is_accepted and self._accepting == record.case_id:
            self._advances = record.case_id
        self._accepting = ""
        self.refresh()
        self._soon.start()

    def _read_ahead(self) -> None:
        dataset, following = self._session.dataset, self._neighbor(1)
        if dataset is not None and following is not None and self._session.record is not None:
            self.prefetch.want(dataset, following.case_id, self._annotator)

    # Deciding

    _accepting = ""

    def accept(self) -> None:
        """Accept the case at work."""
        self._accepting = self._session.case_id or ""
        self._correct.accept()

    def flag(self, case_ids: Sequence[str] | None = None) -> None:
        """Set the selected cases aside, or the one at work."""
        reason = self.reason.currentData()
        self._change("Flagging", lambda dataset, case_id: dataset.flag(case_id, reason), case_ids)

    def reopen(self) -> None:
        """Take up accepted or flagged cases again."""
        self._change("Reopening", lambda dataset, case_id: dataset.reopen(case_id))

    def undo_accept(self) -> None:
        """Take the last acceptance of the selected cases back."""
        own = None if self._session.record is None else self._session.record.case_id
        kept: list[LabelMap] = []

        def undo(dataset: Dataset, case_id: str) -> CaseRecord:
            record = dataset.undo_accept(case_id)
            if case_id == own and (before := dataset.kept_map(case_id)) is not None:
                kept.append(before)
            return record

        self._change("Undoing", undo, then=lambda: self._show_kept(own, kept))

    def _show_kept(self, case_id: str | None, kept: Sequence[LabelMap]) -> None:
        """Bring the mask that an undone acceptance goes back to into sight, as one undo step."""
        record = self._session.record
        if record is None or record.case_id != case_id:  # another case was opened meanwhile
            return
        layer = tumor_layer(self._viewer, self._session.case_id)
        if kept and layer is not None and not self._session.is_second_read:
            edit_labels(layer, kept[0].data)
            self._session.saved = kept[0].data

    def _accept_shown(self, row: WorklistRow, made: Thumbnail | None, seconds: float) -> None:
        """Accept a single slice as its picture shows it."""
        with errors_shown():
            annotator = self._annotator
            if why_not := self._why_not_shown(row, made):
                raise InputError(
                    f"Expected a slice with a mask to accept case {row.case_id} here",
                    why_not,
                    "Open the case instead (Enter)",
                )
            assert made is not None  # `_why_not_shown` said so
            mask = made.mask
            assert mask is not None
            self._change(
                "Accepting",
                lambda dataset, case_id: dataset.accept(
                    case_id,
                    mask,
                    reviewed_slices=None,
                    annotator=annotator,
                    seconds=seconds,
                    strokes=0,
                ),
                [row.case_id],
            )

    def _why_not_shown(self, row: WorklistRow, made: Thumbnail | None) -> str:
        if not self._annotator:
            return "nobody said who reads: the field Annotator in Correct is empty"
        if row.is_blinded:
            return "it is to be read without sight of the first outline"
        if row.n_slices > 1:
            return f"it is a volume of {row.n_slices} slices"
        if made is None or made.changed_s != row.changed_s:
            return "its picture is not drawn yet"
        if made.mask is None:
            return "it has no mask"
        is_open = self._session.record is not None and self._session.case_id == row.case_id
        return "it is open for correction" if is_open else ""

    def _change(
        self,
        title: str,
        work: Callable[[Dataset, str], CaseRecord],
        case_ids: Sequence[str] | None = None,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Do something to cases, in a thread; one that refuses stops no other."""
        dataset = self._session.dataset
        chosen = self._chosen() if case_ids is None else list(case_ids)
        if dataset is None or not chosen:
            show_info("Choose a case of the worklist first.")
            return
        if self._is_of_second_read(dataset, chosen):
            show_info("A case chosen is yours for a second read: the first reader decides on it.")
            return
        self._correct.keeper.keep(
            lambda: self.runner.start(
                title,
                lambda: _changing(title, dataset, chosen, work),
                on_result=lambda changed: self._take_changed(changed, then),
            )
        )

    def _is_of_second_read(self, dataset: Dataset, case_ids: Sequence[str]) -> bool:
        """Whether one of the cases is read, or to be read, by this annotator as second reader."""
        at_work = self._session.case_id if self._session.is_second_read else None
        reader = self._annotator
        return any(
            case_id == at_work or dataset.reads.is_second_reader(dataset.case(case_id), reader)
            for case_id in case_ids
        )

    def _take_changed(
        self, changed: tuple[list[CaseRecord], list[InputError]], then: Callable[[], object]
    ) -> None:
        records, errors = changed
        for error in errors:
            show(error)
        then()
        for record in records:
            self._follow_case_at_work(record)
        if records and self.worklist.pictures.isChecked() and len(records) == 1:
            row = self.worklist.grid.currentIndex().row()
            if self.model.place(records[0].case_id) == row:
                self.worklist.grid.go_on()
        self.refresh()

    def _follow_case_at_work(self, record: CaseRecord) -> None:
        own = self._session.record
        if own is None or own.case_id != record.case_id or self._session.is_second_read:
            return
        if record.status is not Status.FLAGGED:
            self._session.update_record(record)
            return
        if self.advance.isChecked():
            self._advances = record.case_id
        self._session.leave_case()
        # Its work has been kept; a mask of a case that is held no longer would be asked about.
        if (layer := tumor_layer(self._viewer, record.case_id)) is not None:
            self._viewer.layers.remove(layer.name)

    # Inside

    @property
    def _annotator(self) -> str:
        return str(self._correct.annotator.text()).strip()

    def _chosen(self) -> list[str]:
        """Case ids selected in the list, else the one at work."""
        if found := self.worklist.chosen:
            return found
        return [self._session.record.case_id] if self._session.record is not None else []

    def _refresh_buttons(self, *_: object) -> None:
        busy = "Busy; wait a moment" if self.runner.is_running else ""
        opening = "Busy; wait a moment" if self._correct.runner.is_running else ""
        has_rows = "" if self.model.rows else "No case in the list"
        for one, step, end in (
            (self.next_button, 1, "This is the last case of the list"),
            (self.previous_button, -1, "This is the first case of the list"),
        ):
            set_ready(one, opening or has_rows or ("" if self._neighbor(step) else end))
        set_ready(self.accept_button, "" if self._session.record else "Open a case first")
        chosen = self._chosen_rows()
        nothing = busy or ("" if chosen else "Choose a case first")
        blinded = (
            "It is for a second read: read it, or leave it"
            if any(row.is_blinded for row in chosen)
            else ""
        )
        statuses = {row.status for row in chosen}
        set_ready(self.flag_button, nothing or blinded)
        is_any = statuses & {Status.ACCEPTED}
        set_ready(self.undo_button, nothing or blinded or ("" if is_any else "Not accepted"))
        is_any = statuses & {Status.ACCEPTED, Status.FLAGGED}
        set_ready(
            self.reopen_button,
            nothing or blinded or ("" if is_any else "Neither accepted nor flagged"),
        )
        self.readers.set_busy(nothing or blinded)

    def _chosen_rows(self) -> list[WorklistRow]:
        places = (self.model.place(case_id) for case_id in self._chosen())
        return [self.model.rows[place] for place in places if place is not None]


def _listing(dataset: Dataset, annotator: str) -> Job[tuple[list[WorklistRow], list[Effort]]]:
    yield Progress("Reading the worklist", 0, 0)
    rows = dataset.worklist(annotator)
    yield Progress("Reading the worklist", 0, 0)
    return rows, effort(dataset.cases())


def _changing(
    title: str,
    dataset: Dataset,
    case_ids: Sequence[str],
    work: Callable[[Dataset, str], CaseRecord],
) -> Job[tuple[list[CaseRecord], list[InputError]]]:
    records: list[CaseRecord] = []
    errors: list[InputError] = []
    for index, case_id in enumerate(case_ids):
        yield Progress(title, index, len(case_ids))
        try:
            records.append(work(dataset, case_id))
        except InputError as error:
            errors.append(error)
    return records, errors
