"""The Correct step: hold a case, correct its mask with brush and tools, accept it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...dataset import CaseRecord
from ..canvas.difference import ADDED_COLOR, REMOVED_COLOR, Difference
from ..canvas.view import current_slice
from ..parts.fields import GivenField, button, note, set_ready
from ..parts.jobs import JobRunner, errors_shown
from ..state.case_rules import BUSY, NO_READER, why_no_start
from ..state.casework import LoadedCase
from ..state.session import Session
from ..state.settings import recall, remember
from ..state.writing import MaskWriter
from .accept_box import AcceptBox
from .accepting import Accepting
from .autosave import Autosave
from .dataset_box import DatasetBox
from .exam_learning import ExamLearning
from .hidden_draft import HiddenDraft
from .lesions import LesionSection
from .opening import CaseOpening
from .tools import ToolSection
from .unfinished_work import UnfinishedWork

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["CorrectPanel"]

_EDITS_GATHERED_MS = 60


class CorrectPanel(QWidget):
    """From a draft to an accepted case.

    Its fields for patient, reader and dataset stand in the dock's header, its accept box at the
    dock's foot.
    """

    field_wanted = Signal()
    """Something that the header asks for is missing."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.runner = JobRunner(self)
        writer = MaskWriter()
        self.autosave = Autosave(viewer, session, writer, self)
        self.accepting = Accepting(session, writer, self.autosave, self.runner, self)
        self.opening = CaseOpening(viewer, session, self.runner, self.autosave, self)
        self.unfinished = UnfinishedWork(
            viewer, session, is_opening=lambda: self.runner.is_running, parent=self
        )
        self._difference = Difference(viewer, session)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_EDITS_GATHERED_MS)

        self.dataset_box = DatasetBox(session, self.runner, self.autosave)
        self.patient = GivenField()
        self._proposed = ""
        self.patient.setPlaceholderText("pseudonym, such as P017")
        self.patient.setToolTip("Never a name. All exams of one patient need the same id.")
        self.annotator = QLineEdit(recall("annotator"))
        self.annotator.setPlaceholderText("your initials")
        self.start_button = button(
            "Start correcting",
            self.start,
            "Lock the case for you and take the brush",
            "Ctrl-Shift-B",
        )
        self.start_line = note()
        self.difference = QCheckBox("Show changes to the draft")
        self.difference.setProperty(
            "help", "Color what was added and what was removed since the draft (Shift-D)"
        )
        self.difference.toggled.connect(self._difference.show)
        self.legend = note(
            f"<span style='color:{ADDED_COLOR}'>■</span> added since &nbsp; "
            f"<span style='color:{REMOVED_COLOR}'>■</span> removed since"
        )
        self.hidden_draft = HiddenDraft(viewer, session, lambda: self.difference.setChecked(True))
        self.tools = ToolSection(viewer, session)
        self.learning = ExamLearning(
            viewer,
            session,
            is_rest_reviewed=lambda: self.accept_box.rest.isChecked(),
            is_tool_running=lambda: self.tools.runner.is_running,
        )
        self.accept_box = AcceptBox(
            viewer,
            session,
            self.runner,
            self.autosave,
            self.accepting,
            required_reader=self._required_reader,
            unfinished=lambda: self.tools.unfinished,
            follow=lambda: self.learning.watch.follow(is_whole=True),
            redrafts=self.learning.accepting,
        )
        self.lesions = LesionSection(viewer, session)
        # The fields that keys and other steps use:
        self.folder, self.open_dataset = self.dataset_box.folder, self.dataset_box.open_dataset
        self.rest = self.accept_box.rest
        self._lay_out()
        self._connect()
        self._on_record(None)

    def _lay_out(self) -> None:
        self.tools.whole_mask.addWidget(self.accept_box.clear_button, 1)
        column = QVBoxLayout(self)
        column.setSpacing(4)
        for widget in (
            self.start_button,
            self.start_line,
            self.hidden_draft,
            self.lesions,
            self.tools,
            self.difference,
            self.legend,
            self.learning,
            self.lesions.more,
            self.lesions.line,
        ):
            column.addWidget(widget)
        column.addStretch(1)

    def _connect(self) -> None:
        session, dims = self._session, self._viewer.dims
        # An edit may come as several events: gather them, then follow.
        self._soon.timeout.connect(self._follow_edits)
        self.tools.edited.connect(lambda _: self._soon.start())
        self.learning.redrafted.connect(self.tools.clicks.know)
        self.autosave.edited.connect(self._soon.start)
        self.dataset_box.case_chosen.connect(self.go_to_case)
        self.dataset_box.close_asked.connect(self.opening.close)
        self.opening.held.connect(self._on_held)
        self.accept_box.cleared.connect(self._follow_edits)
        self.accept_box.accepted.connect(lambda _: self._reload_cases())
        self.accept_box.accepted.connect(self.learning.accepted)
        self.accept_box.rest.toggled.connect(lambda _: self.learning.refresh())
        self.learning.redrafted.connect(self._follow_edits)
        for field in (self.patient, self.annotator):
            field.textChanged.connect(lambda _: self._refresh())
        dims.events.current_step.connect(self._on_step)
        dims.events.ndisplay.connect(self._on_step)
        session.source_changed.connect(self._propose_patient)
        dims.events.order.connect(self._on_step)
        session.source_changed.connect(self.reset_choices)
        session.dataset_changed.connect(self._on_dataset)
        session.record_changed.connect(self._on_record)
        session.drafts.changed.connect(self._refresh)
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(lambda _: self._refresh())

    # What one does here

    def start(self) -> None:
        """Hold the current exam as a case of the dataset, or take the brush again."""
        with errors_shown():
            if why_not := self._why_no_start():
                self.field_wanted.emit()
                if why_not == NO_READER:
                    self.annotator.setFocus()
                raise InputError("Expected an exam and a dataset to correct", why_not, "Then start")
            source, dataset = self._session.source, self._session.dataset
            assert source is not None  # `_why_no_start` said so
            if dataset is None:
                self._required_reader()  # asked before a folder is made
                self.dataset_box.open_for(self.start)
                return
            if self._session.record is not None:
                self.opening.ready_brush()
                self._refresh()
                return
            self.opening.start(
                dataset,
                source,
                patient_id=self.patient.text().strip(),
                reader=self._required_reader(),
            )

    def go_to_case(self, case_id: str, loaded: LoadedCase | None = None) -> None:
        """Open a case of the dataset, at once where it was read ahead, and hold it."""
        dataset = self._session.dataset
        with errors_shown():
            reader = self._required_reader()
            if dataset is not None:
                self.opening.open(dataset, case_id, reader=reader, loaded=loaded)

    def accept(self) -> None:
        """Write the mask as it is now into the dataset."""
        self.accept_box.accept()

    # Showing

    def reset_choices(self, event: object = None) -> None:
        """Bring buttons up to date with the viewer."""
        self.lesions.reset_choices()
        self.tools.reset_choices()
        self._refresh()

    def _on_held(self) -> None:
        self.learning.begin()
        self._refresh()
        self._follow_edits()
        self._reload_cases()

    def _reload_cases(self) -> None:
        self.dataset_box.reload()
        self._refresh()

    def _on_record(self, record: CaseRecord | None) -> None:
        if record is not None:
            self.patient.setText(record.patient_id)
        else:
            self.difference.setChecked(False)
            self._propose_patient()
        self._refresh()

    def _on_dataset(self, dataset: object) -> None:
        if self.patient.text() in ("", self._proposed):  # nobody typed there
            self._propose_patient()
        self._refresh()

    def _propose_patient(self, source: object = None) -> None:
        """Fill in who an exam is of, as the dataset knows its patient."""
        session = self._session
        if session.record is None:
            known = self.dataset_box.patient_of(session.case_id)
            self._proposed = known or session.proposed_patient
            self.patient.setText(self._proposed)

    def _follow_edits(self) -> None:
        self.autosave.follow_edits()
        self._on_step()
        self.accept_box.show_reviewed()
        self.accept_box.show_saved()

    def _on_step(self, event: object = None) -> None:
        if self._session.is_at_work:
            seen = current_slice(self._viewer, self._session.source)
            if seen is not None:
                self._session.mark_reviewed([seen[1]], axis=seen[0])
            elif self._session.record is not None and self._session.record.grid.shape[0] == 1:
                self._session.mark_reviewed([0])
        if self.difference.isChecked():
            self._difference.refresh()

    def _refresh(self) -> None:
        why_not = self._why_no_start()
        is_held, is_busy = self._session.record is not None, self.runner.is_running
        self.dataset_box.set_busy(BUSY if is_busy else "")
        set_ready(self.start_button, "" if why_not == NO_READER else why_not)
        self.start_line.setText(why_not)
        self.start_line.setVisible(bool(why_not) and not is_busy)
        self.start_button.setText("Take the brush" if is_held else "Start correcting")
        self.patient.setReadOnly(is_held)
        set_ready(self.difference, self._difference.why_not)
        self.legend.setVisible(self.difference.isChecked())
        self.accept_box.refresh()

    def _why_no_start(self) -> str:
        session = self._session
        return why_no_start(
            is_busy=self.runner.is_running,
            has_exam=session.source is not None,
            is_known=session.record is not None or self.dataset_box.has_case(session.case_id),
            patient_id=str(self.patient.text()),
            reader=str(self.annotator.text()),
        )

    def _required_reader(self) -> str:
        reader = str(self.annotator.text()).strip()
        if not reader:
            raise InputError(
                "Expected the reader's initials", "the field Reader is empty", "Type your initials"
            )
        remember("annotator", reader)
        return reader
