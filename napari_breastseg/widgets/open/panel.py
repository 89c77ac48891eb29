"""Open: from a file or folder to an exam in the viewer. Reads in a thread, shows in the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QVBoxLayout,
    QWidget,
)

from ... import formats
from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.volume import Exam
from ...formats import CaseFiles, DicomExam, PhasesDoubted
from ...imaging.intensity import grey_window
from ..canvas.layers import show_exam
from ..parts.fields import Fold, PathField, button, form, heading, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown
from ..state.opening import READING, case_titles, phase_names, spacing_of
from ..state.session import Session
from ..state.sources import Source, exam_of, fingerprint
from .enhancement import DceSection
from .phase_table import PhaseTable
from .series_table import SeriesTable

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["OpenPanel"]


class OpenPanel(QWidget):
    """Choose a file or folder, pick a case, see its phases."""

    opened = Signal(object)
    """The `Exam` now in the viewer."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.leave: Callable[[Callable[[], object]], object] = lambda then: then()
        """Calls its argument once the current exam may be replaced; the dock sets it."""

        self.close_case: Callable[[], object] = lambda: None
        """Saves the work on the current case and gives it back; the dock sets it."""

        self._cases: list[CaseFiles] = []
        self._case: CaseFiles | None = None
        self.runner = JobRunner(self)
        self.path = PathField("file or folder", files=True)
        self.path.valueChanged.connect(lambda _: self.open())
        self.phases = QLineEdit()
        self.phases.setPlaceholderText("from the file names")
        self.phases.setToolTip(
            "Phases in the order of the files or channels, such as pre, post1, post2.\n"
            "Needed for color images whose red, green and blue are phases.\n"
            "For DICOM, use the table of series below."
        )
        self.phases.returnPressed.connect(self.open)
        self.pixel_mm = QLineEdit()
        self.pixel_mm.setPlaceholderText("unknown: measured in pixels")
        self.pixel_mm.setToolTip("Pixel size in mm of images that do not state it, such as PNG")
        self.pixel_mm.returnPressed.connect(self.open)
        self.is_stack = QCheckBox("One volume: the slices in the folder belong together")
        self.open_button = button("Open", self.open, "Read the exam and show it", "Shift-O")
        self.cases = QListWidget()
        self.cases.setMaximumHeight(150)
        self.cases.itemActivated.connect(lambda _: self._open_case(self.cases.currentRow()))
        self.cases.itemClicked.connect(lambda _: self._open_case(self.cases.currentRow()))
        self.cases_heading = heading("Cases")
        self.next_button = button("Next case", self.open_next, "Open the next case", "Ctrl-Shift-N")
        self.series = SeriesTable()
        self.series.chosen.connect(self._read_as_chosen)
        self.phases_heading = heading("Phases")
        self.table = PhaseTable()
        self.empty = note(
            "DICOM, NIfTI, PNG, JPEG or TIFF, or a folder of them. You can also drop them onto the "
            "window. To try it out: File > Open Sample > Synthetic breast DCE exam."
        )
        self.bar = JobBar(self.runner, "Ctrl-Shift-X")
        self.dce = DceSection(viewer, session)
        self.dce.aligned.connect(self.opened)

        more = QWidget()
        fields = form(("Phases", self.phases), ("Pixel size", self.pixel_mm))
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addLayout(fields)
        inner.addWidget(self.is_stack)
        self.more = Fold("More", more)
        column = QVBoxLayout(self)
        column.addWidget(heading("Exam"))
        column.addWidget(self.path)
        column.addWidget(self.more)
        column.addWidget(self.open_button)
        column.addWidget(self.bar)
        column.addWidget(self.empty)
        cases_row = QHBoxLayout()
        cases_row.addWidget(self.cases_heading, 1)
        cases_row.addWidget(self.next_button)
        column.addLayout(cases_row)
        column.addWidget(self.cases)
        column.addWidget(self.series)
        column.addWidget(self.phases_heading)
        column.addWidget(self.table)
        column.addWidget(self.dce)
        column.addStretch(1)
        session.source_changed.connect(self._show_phases)
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(lambda _: self._refresh())
        self._show_cases([])
        self._show_phases(None)

    def open(self) -> None:
        """Find the cases at the path; a single one is opened at once."""
        path = self.path.value()
        with errors_shown():
            if path is None:
                raise InputError(
                    "Expected a file or folder",
                    "the field is empty",
                    "Choose one, or paste its path",
                )
            phases = phase_names(self.phases.text())
            spacing_mm = spacing_of(self.pixel_mm.text())
            is_stack = self.is_stack.isChecked()
            self.runner.start(
                "Looking for exams",
                lambda: formats.finding_cases(
                    path, stack=is_stack, phases=phases, spacing_mm=spacing_mm
                ),
                on_result=self._on_cases,
            )

    def open_dropped(self, path: Path) -> None:
        """Open what was dropped on the window; a folder whose files all come is opened once."""
        if self.runner.is_running and path == self.path.value():
            return
        self.path.setValue(path)
        self.open()

    def open_next(self) -> None:
        """Open the case after the current one."""
        row = self.cases.currentRow() + 1
        if row < len(self._cases):
            self.cases.setCurrentRow(row)
            self._open_case(row)

    def _show_phases(self, source: Source | None) -> None:
        """List the phases of the current exam."""
        exam = None
        if source is not None:
            with errors_shown():
                exam = exam_of(self._viewer, source)
        self.table.setValue(exam)
        self.phases_heading.setVisible(exam is not None)
        self.empty.setVisible(exam is None)

    def _on_cases(self, cases: list[CaseFiles]) -> None:
        self._show_cases(cases)
        if len(cases) == 1:
            self._open_case(0)

    def _show_cases(self, cases: list[CaseFiles]) -> None:
        self._cases = cases
        self.cases.clear()
        for case, title in zip(cases, case_titles(cases), strict=True):
            self.cases.addItem(title)
            self.cases.item(self.cases.count() - 1).setToolTip(case.place)
        has_several = len(cases) > 1
        self.cases.setVisible(has_several)
        self.next_button.setVisible(has_several)
        self.cases_heading.setVisible(has_several)
        self.cases_heading.setText(f"{len(cases)} cases: click one to open it")
        self.series.setValue(None)
        self._refresh()

    def _open_case(self, row: int) -> None:
        if 0 <= row < len(self._cases):
            case = self._cases[row]
            self._case = case
            self.series.setValue(case.dicom)
            # Which series is which phase is asked in the table before anything is read.
            if case.dicom is None or case.dicom.decision.question is None:
                self.leave(lambda: self._read(case))
            elif not any(stack.grid for stack in case.dicom.stacks):
                with errors_shown():
                    raise case.dicom.decision.question

    def _read_as_chosen(self, roles: dict[str, str]) -> None:
        case = self._case
        if case is None or case.dicom is None:
            return
        with errors_shown():
            exam = case.dicom.with_roles(roles)
            chosen = formats.dicom_case(exam, case.spacing_mm)
            self._cases = [chosen if one is case else one for one in self._cases]
            self._case = chosen
            self.series.setValue(exam)
            self.leave(lambda: self._read(chosen))

    def _read(self, case: CaseFiles) -> None:
        self.runner.start(
            f"Reading {case.case_id}", lambda: _reading_case(case), on_result=self._on_read
        )

    def _on_read(self, read: _Read | DicomExam) -> None:
        if isinstance(read, DicomExam):
            self._ask(read)
            return
        case, exam, limits, mark = read
        self.close_case()
        source = self._session.source
        leaving = None if source is None or source.is_foreign else source.case_id
        show_exam(self._viewer, exam, instead_of=leaving, limits=limits, mark=mark)
        self._session.keep_dicom(exam.case_id, case.dicom)
        self.opened.emit(exam)
        self._refresh()

    def _ask(self, exam: DicomExam) -> None:
        """Ask in the table which series is which phase: the pixels contradict the headers."""
        case = self._case
        if case is not None:
            asked = formats.dicom_case(exam, case.spacing_mm)
            self._cases = [asked if one is case else one for one in self._cases]
            self._case = asked
            self.series.setValue(exam)
        self._refresh()

    def _refresh(self) -> None:
        busy = READING if self.runner.is_running else ""
        set_ready(self.open_button, busy)
        self.series.set_busy(bool(busy))
        is_last = self.cases.currentRow() + 1 >= len(self._cases)
        set_ready(self.next_button, busy or ("This is the last case" if is_last else ""))


_Read = tuple[CaseFiles, Exam, tuple[float, float], str]
"""A case and its exam, with the intensity window and fingerprint to show it."""


def _reading_case(case: CaseFiles) -> Job[_Read | DicomExam]:
    # napari's first thumbnail loads it; here, in a thread, it holds no window.
    import scipy.ndimage  # noqa: F401

    try:
        exam = yield from formats.reading_exam(case)
    except PhasesDoubted as doubt:
        return doubt.exam
    yield Progress("Preparing the image", 0, 0)
    limits = grey_window(exam)
    yield Progress("Preparing the image", 0, 0)
    return case, exam, limits, fingerprint(exam)
