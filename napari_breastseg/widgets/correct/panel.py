"""Correct and save: brush, comparison with the draft, slices looked at, Accept into the dataset."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...core.errors import InputError
from ...core.volume import Grid, LabelMap
from ...dataset import CaseRecord, Dataset, SecondRead
from ..canvas.difference import ADDED_COLOR, REMOVED_COLOR, Difference
from ..canvas.layers import (
    edit_labels,
    remove_hidden,
    show_exam,
    show_labels,
    tumor_layer,
    volume_of,
)
from ..canvas.view import current_slice, go_to_tumor, ready_brush
from ..parts import fields as _fields
from ..parts.fields import (
    PathField,
    button,
    counted,
    draw_now,
    form,
    heading,
    note,
    set_ready,
)
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, as_job, errors_shown, show_info
from ..state.casework import HeldCase, Loaded, accept, accepted_words, begin, reopen
from ..state.session import Session
from ..state.settings import recall, remember
from ..state.sources import Source, exam_of, sources
from .autosave import KEPT_WITHIN_S, Keeper
from .hidden_draft import HiddenDraft
from .lesions import LesionSection
from .tools import ToolSection

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["CorrectPanel"]

_REST = "The rest of this exam is reviewed"
_LIKE_A_NAME = re.compile(r"\s|\d{4}-\d{2}-\d{2}")
_START_FIRST = "Press 'Start correcting' first"


class CorrectPanel(QWidget):
    """From a draft to an accepted case."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._pending = ExitStack()
        self.runner = JobRunner(self)
        self.keeper = Keeper(viewer, session, self, self.runner)
        self._difference = Difference(viewer, session)

        self.folder = PathField("New, empty or dataset folder")
        self.folder.setValue(Path(last) if (last := recall("dataset")) else None)
        self.folder.valueChanged.connect(lambda _: self.open_dataset())
        self.open_button = button("Open or create", self.open_dataset, "Open this dataset folder")
        self.dataset_line = note("No dataset open. Accepted cases are kept in one.")
        self.case = QComboBox()
        self.case.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open_case_button = button("Open case", self.open_case, "Correct a case of the dataset")
        self.patient = QLineEdit()
        self.patient.setPlaceholderText("pseudonym, such as P017")
        self.patient.setToolTip("Never a name. All exams of one patient need the same id.")
        self.annotator = QLineEdit(recall("annotator"))
        self.annotator.setPlaceholderText("your initials")
        self.start_button = button(
            "Start correcting", self.start, "Hold the case and take the brush", "Shift-B"
        )
        self.start_line = note()
        self.difference = QCheckBox("Show changes to the draft")
        self.difference.setProperty("help", "Color what you added and what you took away (Shift-D)")
        self.difference.toggled.connect(self._difference.show)
        self.legend = note(
            f"<span style='color:{ADDED_COLOR}'>■</span> added by you &nbsp; "
            f"<span style='color:{REMOVED_COLOR}'>■</span> taken away"
        )
        self.hidden_draft = HiddenDraft(viewer, session, lambda: self.difference.setChecked(True))
        self.reviewed_line = note()
        self.rest = QCheckBox(_REST)
        self.rest.setProperty(
            "help",
            "Without this, slices you did not look at are left out of training (Shift-R)",
        )
        self.rest.toggled.connect(lambda _: self._show_reviewed())
        self.clear_button = button(
            "No tumor in this exam",
            self.mark_clear,
            "Empty the mask and count all as reviewed",
            "Shift-C",
        )
        self.accept_button = button(
            "Accept", self.accept, "Write the mask into the dataset", "Shift-Enter"
        )
        self.accept_button.setStyleSheet("QPushButton { font-weight: bold; }")
        self.bar = JobBar(self.runner)
        self.saved_line = note()
        self.lesions = LesionSection(viewer, session)
        self.tools = ToolSection(viewer, session)
        self.tools.edited.connect(self._on_edit)

        case_row = QHBoxLayout()
        case_row.addWidget(self.case, 1)
        case_row.addWidget(self.open_case_button)
        column = QVBoxLayout(self)
        column.addWidget(heading("Dataset folder"))
        column.addWidget(self.folder)
        column.addWidget(self.open_button)
        column.addWidget(self.dataset_line)
        column.addLayout(case_row)
        column.addWidget(heading("This case"))
        column.addLayout(form(("Patient id", self.patient), ("Annotator", self.annotator)))
        column.addWidget(self.start_button)
        column.addWidget(self.start_line)
        column.addWidget(self.hidden_draft)
        column.addWidget(self.difference)
        column.addWidget(self.legend)
        column.addWidget(self.reviewed_line)
        column.addWidget(self.rest)
        column.addWidget(self.clear_button)
        column.addWidget(self.accept_button)
        column.addWidget(self.bar)
        column.addWidget(self.saved_line)
        column.addWidget(self.tools)
        column.addWidget(self.lesions)
        column.addStretch(1)

        self.keeper.changed.connect(self._show_saved)
        self.keeper.edited.connect(self._on_edit)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(60)
        self._soon.timeout.connect(self._follow_edit)
        for field in (self.patient, self.annotator):
            field.textChanged.connect(lambda _: self._refresh())
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.dims.events.ndisplay.connect(self._on_step)
        session.source_changed.connect(self.reset_choices)
        session.dataset_changed.connect(self._show_dataset)
        session.record_changed.connect(self._take_record)
        session.reviewed_changed.connect(self._show_reviewed)
        session.draft_changed.connect(self._refresh)
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(self._on_ended)
        self._show_dataset(None)
        self._take_record(None)

    # The dataset

    def open_dataset(self) -> None:
        """Open the dataset folder typed in, or make one where there is nothing yet."""
        with errors_shown():
            folder = self.folder.value()
            if folder is None:
                raise InputError(
                    "Expected a dataset folder", "the field is empty", "Choose or type one"
                )
            self.keeper.keep(lambda: self._open_dataset(folder))

    def _open_dataset(self, folder: Path) -> None:
        self.runner.start(
            "Opening the dataset",
            lambda: as_job("Opening the dataset", lambda: Dataset.open_or_create(folder)),
            on_result=self._take_dataset,
        )

    def _take_dataset(self, dataset: Dataset) -> None:
        remember("dataset", str(dataset.folder))
        self.keeper.close_case()  # what was painted while the folder was read
        self._session.dataset = dataset

    def _show_dataset(self, dataset: Dataset | None) -> None:
        chosen = self.case.currentData()
        self.case.clear()
        if dataset is not None:
            self.folder.setValue(dataset.folder)
            records = dataset.cases()
            accepted = sum(record.is_accepted for record in records)
            channels = ", ".join(dataset.channels) or "phases of the first case"
            self.dataset_line.setText(
                f"{dataset.name}: {channels}; {counted(len(records), 'case')}, {accepted} accepted"
            )
            for record in records:
                status = record.status.value.replace("_", " ")
                self.case.addItem(f"{record.case_id} ({status})", record.case_id)
            self.case.setCurrentIndex(max(0, self.case.findData(chosen)))
        has_cases = self.case.count() > 0
        self.case.setVisible(has_cases)
        self.open_case_button.setVisible(has_cases)
        self._refresh()

    def open_case(self) -> None:
        """Open the chosen case of the dataset and go on with it."""
        if (case_id := self.case.currentData()) is not None:
            self.go_to_case(case_id)

    def go_to_case(self, case_id: str, loaded: Loaded | None = None) -> None:
        """Open a case of the dataset, at once where it was read ahead, and go on with it."""
        dataset = self._session.dataset
        with errors_shown():
            annotator = self._required_annotator()
            if dataset is not None:
                self.keeper.leave(lambda: self._reopen(dataset, case_id, annotator, loaded))

    def _reopen(
        self, dataset: Dataset, case_id: str, annotator: str, loaded: Loaded | None
    ) -> None:
        own = self._session.record
        if own is not None and own.case_id == case_id:
            self.keeper.close_case()  # its lock is needed to open it again
        self.runner.start(
            f"Opening {case_id}",
            lambda: as_job(
                f"Opening {case_id}",
                lambda: reopen(dataset, case_id, annotator=annotator, loaded=loaded),
            ),
            on_result=self._take_case,
        )

    def _take_case(self, begun: HeldCase) -> None:
        self.keeper.close_case()  # what was painted while this one was read is kept
        source = self._session.source
        leaving = None if source is None or source.is_foreign else source.case_id
        with ExitStack() as lock:  # given back should anything below fail
            lock.push(begun.lock)
            show_exam(
                self._viewer,
                begun.exam,
                instead_of=leaving,
                limits=begun.limits,
                mark=begun.mark,
                keeps_masks=True,
                draw=lambda: draw_now(self),  # the picture comes first, then the mask
            )
            case_id = begun.record.case_id
            source = next(s for s in sources(self._viewer) if s.case_id == case_id)
            self._session.source = source
            self._pending = lock.pop_all()
        self.runner.start(
            f"Opening {begun.record.case_id}",
            lambda: as_job("Preparing the mask", lambda: self._start_from(begun)),
            on_result=lambda labels: self._take_mask(begun, source, labels),
        )

    def _on_ended(self, outcome: str) -> None:
        if outcome != "done":
            self._pending.close()  # the case was being opened, and will not be
        self._refresh()

    def _take_mask(self, begun: HeldCase, source: Source, labels: LabelMap) -> None:
        remove_hidden(self._viewer)
        if source.is_same_exam(self._session.source):
            show_labels(self._viewer, source, labels)
        self._take_begun(begun, source)

    # One case

    @property
    def tumor_slices(self) -> tuple[int, ...]:
        """Slices along z that hold tumor, as of the last look at an edit."""
        return tuple(np.flatnonzero(self.keeper.states.has_tumor).tolist())

    def start(self) -> None:
        """Enter the exam into the dataset unless it is there, hold it, and take the brush."""
        with errors_shown():
            if why_not := self._why_no_start():
                raise InputError("Expected an exam and a dataset to correct", why_not, "Then start")
            source, dataset = self._session.source, self._session.dataset
            assert source is not None  # `_why_no_start` said so
            assert dataset is not None
            if self._session.record is not None:
                self._take_brush()
                return
            exam = exam_of(self._viewer, source, self._session.roles)
            patient_id, annotator = self.patient.text().strip(), self._required_annotator()
            draft = self._session.draft
            self.runner.start(
                "Preparing the case",
                lambda: as_job(
                    "Preparing the case",
                    lambda: begin(
                        dataset, exam, patient_id=patient_id, annotator=annotator, draft=draft
                    ),
                ),
                on_result=lambda begun: self._take_begun(begun, source),
            )

    def _take_begun(self, begun: HeldCase, source: Source) -> None:
        if not source.is_same_exam(self._session.source):  # another one was opened meanwhile
            begun.lock.close()
            return
        if isinstance(begun.workspace, SecondRead) and begun.draft is None:
            self._session.forget_drafts()
        layer = tumor_layer(self._viewer, source.case_id)
        on_disk = self._start_from(begun)
        if layer is not None and isinstance(begun.workspace, SecondRead):
            # Neither a mask seen before nor what undo would bring back is this reader's own.
            self._viewer.layers.remove(layer.name)
            layer = None
        if layer is None:
            layer = show_labels(self._viewer, source, on_disk)
        lock = begun.lock.pop_all()
        self._session.enter_case(begun.record, lock, on_disk.data, begun.workspace)
        if begun.draft is not None:
            self._session.keep_draft(begun.draft)
        if (kept := begun.record.kept_mask) is not None:
            reviewed = kept.reviewed_slices
            self._session.mark_reviewed(
                range(on_disk.data.shape[0]) if reviewed is None else reviewed
            )
        is_wanted = True
        if begun.recovered is not None and not np.array_equal(
            begun.recovered.data, volume_of(layer)
        ):
            is_wanted = _fields.ask(
                self,
                "Unfinished work found",
                f"There is work on case {begun.record.case_id} that was never accepted.\n"
                "Go on with it? (Ctrl+Z brings the mask back as it is now.)",
                "Go on with it",
                "Leave it",
            )
            if is_wanted:
                edit_labels(layer, begun.recovered.data)
        kept_work = begun.recovered if is_wanted else None  # what nobody wants now stays there
        self.keeper.note_kept((kept_work or on_disk).data)
        if self._session.is_second_read:
            show_info(f"Second read of {begun.record.case_id}: the first outline stays hidden.")
        self._take_brush()
        go_to_tumor(self._viewer, source, volume_of(layer))
        self._follow_edit()
        self._reload_cases()

    def _start_from(self, begun: HeldCase) -> LabelMap:
        """What correcting goes on from: accepted mask or draft; nothing, for a hidden draft."""
        is_hidden = False
        if self._session.is_draft_hidden and begun.draft is not None:
            is_hidden = begun.record.kept_mask is None
        return _empty(begun.exam.grid) if begun.on_disk is None or is_hidden else begun.on_disk

    def _take_brush(self) -> None:
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None:
            ready_brush(self._viewer, layer)
            self.keeper.watch(layer)
        self._refresh()

    def mark_clear(self) -> None:
        """Empty the mask, as one undo step, and count the whole exam as reviewed."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None and self._session.record is not None:
            edit_labels(layer, np.zeros(volume_of(layer).shape, layer.data.dtype))
            self.rest.setChecked(True)
            self._follow_edit()

    def accept(self) -> None:
        """Write the mask as it is now into the dataset."""
        with errors_shown():
            if why_not := self._why_no_accept():
                raise InputError("Expected a case to accept", why_not, "Then accept")
            dataset, record = self._session.workspace, self._session.record
            layer = tumor_layer(self._viewer, self._session.case_id)
            assert dataset is not None  # `_why_no_accept` said so
            assert record is not None
            assert layer is not None
            self._session.effort.touch()
            labels = volume_of(layer).copy()
            label_map = LabelMap(labels, record.grid.grid)
            reviewed = None if self.rest.isChecked() else self._session.reviewed
            annotator, draft = self._required_annotator(), self._session.draft
            self.keeper.accept(
                dataset,
                record,
                labels,
                lambda seconds, strokes: accept(
                    dataset,
                    record.case_id,
                    label_map,
                    reviewed_slices=reviewed,
                    annotator=annotator,
                    seconds=seconds,
                    strokes=strokes,
                    draft=draft,
                ),
                on_result=lambda accepted: self._take_accepted(accepted, labels),
            )

    def _take_accepted(self, record: CaseRecord, labels: Any) -> None:
        if self._session.record is not None and self._session.record.case_id == record.case_id:
            self._session.saved = labels
            self.keeper.note_kept(labels)
            if (kept := record.kept_mask) is not None and kept.reviewed_slices is None:
                self._session.mark_reviewed(range(len(labels)))
            self._session.update_record(record)
        self._reload_cases()
        show_info(accepted_words(record, labels))

    # Showing

    def reset_choices(self, event: object = None) -> None:
        """Bring buttons up to date with the viewer."""
        self.lesions.reset_choices()
        self.tools.reset_choices()
        self._refresh()

    def _reload_cases(self) -> None:
        self._show_dataset(self._session.dataset)
        record = self._session.record
        if record is not None:
            self.case.setCurrentIndex(max(0, self.case.findData(record.case_id)))

    def _take_record(self, record: CaseRecord | None) -> None:
        if record is not None:
            self.patient.setText(record.patient_id)
        else:
            self.rest.setChecked(False)
            self.difference.setChecked(False)
            self.patient.clear()
        self._refresh()
        self._show_saved()

    def _on_edit(self, event: object = None) -> None:
        # An edit may come as several events: gather, then look.
        self._soon.start()

    def _follow_edit(self) -> None:
        self.keeper.look()
        self._on_step()
        self._show_reviewed()
        self._show_saved()

    def _on_step(self, event: object = None) -> None:
        if self._session.record is not None:
            seen = current_slice(self._viewer, self._session.source)
            if seen is not None:
                self._session.mark_reviewed([seen[1]], axis=seen[0])
            elif self._session.record.grid.shape[0] == 1:
                self._session.mark_reviewed([0])
        if self.difference.isChecked():
            self._difference.refresh()

    def _show_reviewed(self) -> None:
        record = self._session.record
        self.reviewed_line.setVisible(record is not None)
        if record is None:
            return
        depth, seen = record.grid.shape[0], self._session.reviewed
        text = f"Looked at {len(seen)} of {depth} slices"
        unseen = len(set(self.tumor_slices).difference(seen))
        text += f"; {unseen} with tumor not yet." if unseen else "."
        axis = self._axis()
        if axis != 0 and len(seen) < depth:
            size, along = record.grid.shape[axis], len(self._session.reviewed_along(axis))
            text = f"Looked at {along} of {size} slices in this direction."
        self.reviewed_line.setText(text)
        set_ready(self.accept_button, self._why_no_accept())

    def _show_saved(self) -> None:
        layer = tumor_layer(self._viewer, self._session.case_id)
        record = self._session.record
        text = ""
        if layer is not None and record is None:
            text = "Not kept on the disk yet: start correcting, and every edit is."
        if layer is not None and record is not None:
            if not self.keeper.states.is_unsaved.any():
                text = "Accepted as it is." if record.is_accepted else "As drafted."
            elif not self.keeper.is_behind:
                text = "Changes kept, not accepted yet."
            else:
                text = f"Changed; kept within {KEPT_WITHIN_S} s, until you accept."
        self.saved_line.setText(text)

    def _required_annotator(self) -> str:
        annotator = str(self.annotator.text()).strip()
        if not annotator:
            raise InputError(
                "Expected to know who corrects",
                "the field Annotator is empty",
                "Type your initials",
            )
        remember("annotator", annotator)
        return annotator

    def _why_no_start(self) -> str:
        if self.runner.is_running:
            return "Busy; wait a moment"
        if self._session.source is None:
            return "Open an exam first"
        if self._session.dataset is None:
            return "Open or create a dataset folder first"
        is_new = self._session.record is None and not self._is_known()
        if is_new and not self.patient.text().strip():
            return "Type the patient's id (a pseudonym)"
        if is_new and _LIKE_A_NAME.search(self.patient.text().strip()):
            return "An id with spaces or a date may tell who it is: take one such as P017"
        if not self.annotator.text().strip():
            return "Type who corrects (Annotator)"
        return ""

    def _axis(self) -> int:
        """Array axis one looks along."""
        seen = current_slice(self._viewer, self._session.source)
        return 0 if seen is None else seen[0]

    def _is_known(self) -> bool:
        return bool(self.case.findData(self._session.case_id) >= 0)

    def _why_no_accept(self) -> str:
        if self.runner.is_running:
            return "Busy; wait a moment"
        if self._session.record is None:
            return _START_FIRST
        if tumor_layer(self._viewer, self._session.case_id) is None:
            return "The mask's layer is gone; open the case again"
        if why_not := self.tools.why_not_done:
            return why_not
        if not self.rest.isChecked() and not self._session.reviewed:
            if self._axis() != 0:
                return f"Look at every slice in this direction, or tick '{_REST}'"
            return "Look at a slice first"
        return ""

    def _refresh(self) -> None:
        busy = "Busy; wait a moment" if self.runner.is_running else ""
        is_held = self._session.record is not None
        set_ready(self.open_button, busy)
        set_ready(self.open_case_button, busy)
        why_no_start = self._why_no_start()
        set_ready(self.start_button, why_no_start)
        self.start_line.setText(why_no_start)
        self.start_line.setVisible(bool(why_no_start) and not self.runner.is_running)
        self.start_button.setText("Take the brush" if is_held else "Start correcting")
        self.patient.setReadOnly(is_held)
        set_ready(self.accept_button, self._why_no_accept())
        set_ready(self.clear_button, busy or ("" if is_held else _START_FIRST))
        set_ready(self.rest, "" if is_held else _START_FIRST)
        set_ready(self.difference, self._difference.why_not)
        self.legend.setVisible(self.difference.isChecked())
        self._show_saved()


def _empty(grid: Grid) -> LabelMap:
    return LabelMap(np.zeros(grid.shape, np.uint8), grid)
