"""Review: go through a dataset's cases; accept, flag, reopen, undo, compare readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...core.progress import Job, Progress
from ...dataset import CaseRecord, Dataset, Effort, FlagReason, WorklistRow
from ..correct.panel import CorrectPanel
from ..parts.fields import Fold, button, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, show_info
from ..state.decisions import why_not_flag, why_not_reopen, why_not_undo
from ..state.session import Session
from ..state.worklist import decided_on, unfinished_words
from .decisions import CaseDecisions
from .draft_all import DraftAll
from .effort_chart import EffortChart
from .listing import WorklistView
from .readers import ReadersSection
from .renaming import RenameBox
from .walk import CaseWalk

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ReviewPanel"]


class ReviewPanel(QWidget):
    """The worklist and what is done with its cases.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    correct : CorrectPanel
        Opens, saves and accepts the current case; knows who reads.
    """

    def __init__(self, viewer: Viewer, session: Session, correct: CorrectPanel) -> None:
        super().__init__()
        self._session = session
        self._correct = correct
        self._is_stale = self._tells_unfinished = False
        self._accepting = ""
        self.chores = JobRunner(self)
        self.worklist = WorklistView()
        self.model = self.worklist.model
        self.walk = CaseWalk(
            session,
            self.worklist,
            open_case=correct.go_to_case,
            is_opening=lambda: correct.runner.is_running,
            reader=self._reader,
            parent=self,
        )
        self.decisions = CaseDecisions(
            viewer, session, reader=self._reader, save_work=correct.autosave.save, parent=self
        )
        self.runner = self.decisions.runner
        self.draft_all = DraftAll(session, self.runner, self.refresh)
        self.renaming = RenameBox(session, self.runner, self._chosen_rows, self.refresh)
        self.effort = EffortChart()
        self.readers = ReadersSection(session, self._chosen, self.refresh)
        self._lay_out()
        self._connect()
        self._refresh_buttons()

    def _lay_out(self) -> None:
        self.previous_button = button(
            "Previous", lambda: self.walk.go(-1), "Open the case before the current one", "PageUp"
        )
        self.next_button = button(
            "Next", lambda: self.walk.go(1), "Open the case after the current one", "PageDown"
        )
        self.accept_button = self._correct.accept_box.accept_button
        self.advance = QCheckBox("then next")
        self.advance.setToolTip("After accepting or flagging a case, open the next one")
        self.flag_button = button("Flag", self.flag, "Set the selected cases aside", "Ctrl-Shift-F")
        self.reason = QComboBox()
        self.reason.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.reason.setToolTip("Why: a fixed list, because free text could name a patient")
        for reason in FlagReason:
            self.reason.addItem(reason.value.replace("_", " "), reason)
        self.undo_button = button(
            "Undo accept",
            self.undo_accept,
            "Undo the last acceptance of the selected cases; the mask stays in the history",
            "Ctrl-Shift-U",
        )
        self.reopen_button = button(
            "Reopen", self.reopen, "Reopen the selected accepted or flagged cases", "Ctrl-Shift-E"
        )
        self.last_button = button(
            "Open the last dataset",
            lambda: self._correct.dataset_box.open_dataset(),
            "List the cases of the dataset that was open last; the header names another",
        )
        column = QVBoxLayout(self)
        column.addWidget(self.last_button)
        column.addWidget(self.worklist, 1)
        self.worklist.line_row.addWidget(self.draft_all.button)
        # One row, however narrow the dock is: what stands above it is the list.
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self.flag_button)
        row.addWidget(self.reason, 1)
        row.addWidget(self.undo_button)
        row.addWidget(self.reopen_button)
        row.addWidget(self.renaming.open_button)
        column.addLayout(row)
        column.addWidget(self.renaming)
        column.addWidget(JobBar(self.runner, "Ctrl-Shift-X"))
        column.addWidget(Fold("Second readers", self.readers))
        column.addWidget(Fold("Correction effort by model", self.effort))

    def _connect(self) -> None:
        worklist, session = self.worklist, self._session
        worklist.open_asked.connect(self.walk.open)
        worklist.grid.accept_asked.connect(self.decisions.accept_picture)
        worklist.grid.flag_asked.connect(self._flag_picture)
        worklist.changed.connect(self._refresh_buttons)
        self.decisions.changed.connect(self._on_changed)
        self._correct.accepting.begun.connect(self._on_accepting)
        session.dataset_changed.connect(self._on_dataset)
        session.record_changed.connect(self._on_record)
        session.drafts.changed.connect(self._forget_pictures)
        self._correct.annotator.editingFinished.connect(self.refresh)
        for runner in (self.runner, self.chores, self._correct.runner):
            runner.started.connect(lambda _: self._refresh_buttons())
            runner.ended.connect(lambda _: self._refresh_buttons())

    # What is listed

    def refresh(self) -> None:
        """Read the worklist again; what comes in meanwhile is read after that."""
        self._forget_pictures()
        dataset, reader = self._session.dataset, self._reader()
        if self.chores.is_running:
            self._is_stale = True
            return
        if dataset is None:
            self._show_rows(([], []))
            return
        self._is_stale = False
        self.chores.start(
            "Reading the worklist",
            lambda: _listing(dataset, reader),
            on_result=self._show_rows,
        )

    def _show_rows(self, found: tuple[list[WorklistRow], list[Effort]]) -> None:
        rows, costs = found
        self.model.set_rows(rows)
        self.effort.set_rows(costs)
        self.worklist.show_count()
        if self._tells_unfinished and (words := unfinished_words(rows)):
            show_info(words)
        self._tells_unfinished = False
        if self._is_stale:
            self.refresh()
        else:
            self.walk.on_listed()
        self._refresh_buttons()

    def reset_choices(self, event: object = None) -> None:
        """Bring the buttons up to date with the viewer."""
        self._refresh_buttons()

    def _forget_pictures(self) -> None:
        """Keep no thumbnail that shows what this reader may not see, or not yet."""
        hides = self._session.drafts.hides
        self.worklist.thumbnails.set_dataset(self._session.dataset, self._reader(), hides)

    def event(self, event: QEvent) -> bool:
        """Read the worklist again when the window is turned to: others work in the folder too."""
        if event.type() == QEvent.Type.WindowActivate and self._session.dataset is not None:
            self.refresh()
        return bool(super().event(event))

    # Walking

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk by the page keys, which the scroll area around this panel would take."""
        steps = {Qt.Key.Key_PageDown: 1, Qt.Key.Key_PageUp: -1}
        if event.modifiers() == Qt.KeyboardModifier.NoModifier and event.key() in steps:
            self.walk.go(steps[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)

    def _on_dataset(self, dataset: Dataset | None) -> None:
        self.walk.forget()
        self._tells_unfinished = dataset is not None
        self.refresh()

    def _on_record(self, record: CaseRecord | None) -> None:
        if record is None:
            self._refresh_buttons()
            return
        self.walk.on_opened(record)
        was_accepted = record.is_accepted and self._accepting == record.case_id
        if was_accepted and self.advance.isChecked():
            self.walk.go_on_from(record.case_id)
        self._accepting = ""
        self.refresh()

    # Deciding

    def accept(self) -> None:
        """Accept the current case."""
        self._correct.accept()

    def _on_accepting(self, case_id: str) -> None:
        self._accepting = case_id

    def flag(self) -> None:
        """Set the selected cases aside, or the current one."""
        self.decisions.flag(self._chosen(), self.reason.currentData())

    def reopen(self) -> None:
        """Reopen the selected accepted or flagged cases."""
        self.decisions.reopen(self._chosen())

    def undo_accept(self) -> None:
        """Undo the last acceptance of the selected cases."""
        self.decisions.undo_accept(self._chosen())

    def _flag_picture(self, row: WorklistRow) -> None:
        self.decisions.flag([row.case_id], self.reason.currentData())

    def _on_changed(self, records: Sequence[CaseRecord], flagged_current: str) -> None:
        if flagged_current and self.advance.isChecked():
            self.walk.go_on_from(flagged_current)
        if self.worklist.pictures.isChecked() and len(records) == 1:
            row = self.worklist.grid.currentIndex().row()
            if self.model.place(records[0].case_id) == row:
                self.worklist.grid.go_to_next()
        self.refresh()

    # Inside

    def _reader(self) -> str:
        return str(self._correct.annotator.text()).strip()

    def _chosen(self) -> list[str]:
        """Case ids that a decision is about: selected by the reader, else the one on the canvas."""
        shown = self.model.row_of(self._session.case_id)
        return decided_on(
            self.worklist.chosen,
            is_selected_by_hand=self.worklist.is_selected_by_hand,
            on_canvas=None if shown is None else shown.case_id,
        )

    def _chosen_rows(self) -> list[WorklistRow]:
        found = map(self.model.row_of, self._chosen())
        return [row for row in found if row is not None]

    def _refresh_buttons(self, *_: object) -> None:
        busy = "Busy; wait a moment" if self.runner.is_running else ""
        rows = self._chosen_rows()
        last = self._correct.dataset_box.folder.value()
        can_open = self._session.dataset is None and last is not None and last.is_dir()
        self.last_button.setVisible(can_open)
        set_ready(self.next_button, self.walk.why_not(1))
        set_ready(self.previous_button, self.walk.why_not(-1))
        set_ready(self.flag_button, busy or why_not_flag(rows))
        set_ready(self.undo_button, busy or why_not_undo(rows))
        set_ready(self.reopen_button, busy or why_not_reopen(rows))
        self.draft_all.refresh()
        self.renaming.refresh(busy)
        self.readers.set_busy(busy or why_not_flag(rows))


def _listing(dataset: Dataset, reader: str) -> Job[tuple[list[WorklistRow], list[Effort]]]:
    yield Progress("Reading the worklist", 0, 0)
    rows = dataset.worklist(reader)
    dataset.notes()  # looks for masks that another program changed; the window shows what is known
    yield Progress("Reading the worklist", 0, 0)
    return rows, dataset.efforts()
