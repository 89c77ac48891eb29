"""Open: from a file or folder to an exam in the viewer. Reads in a thread, shows in the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, Container, LineEdit
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QVBoxLayout, QWidget

from ... import formats
from ...core.errors import InputError
from ...core.progress import Job, Progress, relay
from ...core.volume import Exam
from ...formats import CaseFiles, DicomExam, PhasesDoubted
from ...imaging.intensity import grey_window
from ..canvas.layers import show_exam
from ..canvas.picture_chips import PictureChips
from ..parts.fields import Fold, PathField, button, heading, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown
from ..state.opening import (
    READING,
    case_titles,
    grid_words,
    keep_recent_exam,
    phase_names,
    spacing_of,
)
from ..state.session import Session
from ..state.sources import Source, exam_of, fingerprint
from .case_import import CaseImport
from .drop_area import DropArea, RecentExams
from .enhancement import DceSection
from .first_phase import FirstPhase, with_window
from .series_table import SeriesTable

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["OpenPanel"]


class OpenPanel(QWidget):
    """Choose a file or folder, pick a case, see its phases."""

    opened = Signal(object)
    """The `Exam` now in the viewer."""

    moved_on = Signal()
    """The one exam that was dropped or clicked is open: nothing is left to do here."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.leave: Callable[[Callable[[], object]], object] = lambda then: then()
        """Calls its argument once the current exam may be replaced; the dock sets it."""

        self.close_case: Callable[[], object] = lambda: None
        """Saves the work on the current case and gives it back; the dock sets it."""

        self._moves_on = False
        self._cases: list[CaseFiles] = []
        self._case: CaseFiles | None = None
        self.runner = JobRunner(self)
        self.first = FirstPhase(viewer, self.runner)
        self.drop = DropArea()
        self.drop.chosen.connect(self.open_dropped)
        self.recent = RecentExams()
        self.recent.chosen.connect(self.open_dropped)
        self.path = PathField("file or folder", files=True)
        self.path.valueChanged.connect(lambda _: self.open())
        self.options = Container(
            widgets=[
                LineEdit(
                    name="phases",
                    label="Phases",
                    tooltip="Phases in the order of the files or channels, such as pre, post1, "
                    "post2.\nNeeded for color images whose red, green and blue are phases.\n"
                    "For DICOM, use the table of series.",
                ),
                LineEdit(
                    name="pixel_mm",
                    label="Pixel size",
                    tooltip="Pixel size in mm of images that do not state it, such as PNG",
                ),
                CheckBox(
                    name="is_stack",
                    text="One volume: the slices in the folder belong together",
                ),
            ]
        )
        for field, hint in (("phases", "from the file names"), ("pixel_mm", "as the file says")):
            self.options[field].native.setPlaceholderText(hint)
            self.options[field].native.returnPressed.connect(self.open)
        self.open_button = button("Open", self.open, "Read the exam and show it", "Shift-O")
        self.cases = QListWidget()
        self.cases.setMaximumHeight(150)
        self.cases.itemActivated.connect(lambda _: self._open_case(self.cases.currentRow()))
        self.cases.itemClicked.connect(lambda _: self._open_case(self.cases.currentRow()))
        self.cases_heading = heading("Cases")
        self.next_button = button("Next case", self.open_next, "Open the next case", "Ctrl-Shift-N")
        self.series = SeriesTable()
        self.series.chosen.connect(self._read_as_chosen)
        self.series_fold = Fold("Series", self.series)
        self.grid_line = note()
        self.bar = JobBar(self.runner, "Ctrl-Shift-X")
        self.dce = DceSection(viewer, session)
        self.dce.aligned.connect(self.opened)

        self.chips = PictureChips(viewer, session, self.dce.why_no_maps)
        self.chips.map_wanted.connect(self.dce.show_map)
        self.importing = CaseImport(session, self.runner)
        self._lay_out()
        session.source_changed.connect(self._show_phases)
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(lambda _: self._refresh())
        self._show_cases([])
        self._show_phases(None)

    def _lay_out(self) -> None:
        more = QWidget()
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        for widget in (self.path, self.options.native, self.open_button, self.importing):
            inner.addWidget(widget)
        self.more = Fold("Path, options, import", more)
        cases_row = QHBoxLayout()
        cases_row.addWidget(self.cases_heading, 1)
        cases_row.addWidget(self.next_button)
        line = QHBoxLayout()
        line.addWidget(self.grid_line, 1)
        line.addWidget(self.dce.badge)
        column = QVBoxLayout(self)
        for widget in (self.drop, self.recent, self.more, self.bar):
            column.addWidget(widget)
        column.addLayout(cases_row)
        column.addWidget(self.cases)
        column.addWidget(self.chips)
        column.addLayout(line)
        column.addWidget(self.dce)
        column.addWidget(self.series_fold)
        column.addStretch(1)

    def open(self) -> None:
        """Find the cases at the path; a single one is opened at once."""
        path = self.path.value()
        self._moves_on = False
        with errors_shown():
            if path is None:
                raise InputError(
                    "Expected a file or folder",
                    "the field is empty",
                    "Choose one, or paste its path",
                )
            phases = phase_names(self.options["phases"].value)
            spacing_mm = spacing_of(self.options["pixel_mm"].value)
            is_stack = self.options["is_stack"].value
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
        self._moves_on = True

    def open_many(self, paths: Sequence[Path]) -> None:
        """Open several files or folders that were dropped at once, as File > Open does."""
        with errors_shown():
            self._viewer.open([str(path) for path in paths], plugin="napari-breastseg")

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
        self.grid_line.setText(grid_words(exam))
        self.dce.setVisible(exam is not None)

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
        self._show_series(None)
        self._refresh()

    def _open_case(self, row: int) -> None:
        if 0 <= row < len(self._cases):
            case = self._cases[row]
            self._case = case
            self._show_series(case.dicom)
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
            self._show_series(exam)
            self.leave(lambda: self._read(chosen))

    def _read(self, case: CaseFiles) -> None:
        self.runner.start(
            f"Reading {case.case_id}",
            lambda: _reading_case(case),
            on_result=self._on_read,
            on_progress=self.first.show,
        )

    def _on_read(self, read: _Read | DicomExam) -> None:
        if isinstance(read, DicomExam):
            self.first.take_down()
            self._ask(read)
            return
        case, exam, limits, mark, patient = read
        self.close_case()
        source = self._session.source
        leaving = None if source is None or source.is_foreign else source.case_id
        self._session.keep_dicom(exam.case_id, case.dicom, patient)
        self.first.hand_over(exam)
        show_exam(self._viewer, exam, instead_of=leaving, limits=limits, mark=mark)
        if (path := self.path.value()) is not None:
            keep_recent_exam(exam.case_id, path.absolute())
            self.recent.reset_choices()
        self.opened.emit(exam)
        if self._moves_on and len(self._cases) == 1:
            self.moved_on.emit()
        self._refresh()

    def _ask(self, exam: DicomExam) -> None:
        """Ask in the table which series is which phase: the pixels contradict the headers."""
        case = self._case
        if case is not None:
            asked = formats.dicom_case(exam, case.spacing_mm)
            self._cases = [asked if one is case else one for one in self._cases]
            self._case = asked
            self._show_series(exam)
        self._refresh()

    def _show_series(self, exam: DicomExam | None) -> None:
        """Show the table of series, opened where it asks something."""
        self.series.setValue(exam)
        self.series_fold.setVisible(exam is not None)
        self.series_fold.set_open(exam is not None and exam.decision.question is not None)

    def _refresh(self) -> None:
        busy = READING if self.runner.is_running else ""
        set_ready(self.open_button, busy)
        self.series.set_busy(bool(busy))
        is_last = self.cases.currentRow() + 1 >= len(self._cases)
        set_ready(self.next_button, busy or ("This is the last case" if is_last else ""))


_Read = tuple[CaseFiles, Exam, tuple[float, float], str, str]
"""A case and its exam, with the intensity window and fingerprint to show it, and who it is of."""


def _reading_case(case: CaseFiles) -> Job[_Read | DicomExam]:
    # napari's first thumbnail loads it; here, in a thread, it holds no window.
    import scipy.ndimage  # noqa: F401

    try:
        exam = yield from relay(formats.reading_exam(case), with_window)
    except PhasesDoubted as doubt:
        return doubt.exam
    yield Progress("Preparing the image", 0, 0)
    limits = grey_window(exam)
    yield Progress("Preparing the image", 0, 0)
    patient = ""
    if case.dicom is not None:
        with suppress(InputError):  # no key can be kept: the reader says who it is
            patient = case.dicom.patient_pseudonym
    return case, exam, limits, fingerprint(exam), patient
