"""Open: from a file or folder to an exam in the viewer. Reads in a thread, shows in the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QListWidget,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ... import formats
from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.volume import Exam
from ...formats import CaseFiles
from ...imaging.intensity import grey_window
from ..canvas.layers import show_exam
from ..parts.fields import Fold, PathField, button, form, heading, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown
from ..state.session import Session
from ..state.sources import fingerprint
from .enhancement import DceSection
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
        """Calls its argument once the exam at work may be replaced; the dock sets it."""

        self.close_case: Callable[[], object] = lambda: None
        """Keeps the work on the case that is held and gives it back; the dock sets it."""

        self._cases: list[CaseFiles] = []
        self._case: CaseFiles | None = None
        self.runner = JobRunner(self)
        self.path = PathField("file or folder", files=True)
        self.path.valueChanged.connect(lambda _: self.open())
        self.phases = QLineEdit()
        self.phases.setPlaceholderText("from the file names")
        self.phases.setToolTip(
            "Roles in the order of the files or channels, such as pre, post1, post2.\n"
            "Expected for color pictures whose red, green and blue are phases.\n"
            "For DICOM the table of series below serves better."
        )
        self.phases.returnPressed.connect(self.open)
        self.pixel_mm = QLineEdit()
        self.pixel_mm.setPlaceholderText("unknown: measured in pixels")
        self.pixel_mm.setToolTip("Pixel size in mm of pictures that carry none, such as PNG.")
        self.pixel_mm.returnPressed.connect(self.open)
        self.is_stack = QCheckBox("One volume: the folder's slices belong together")
        self.open_button = button("Open", self.open, "Read the exam and show it", "Shift-O")
        self.cases = QListWidget()
        self.cases.setMaximumHeight(150)
        self.cases.itemActivated.connect(lambda _: self._open_case(self.cases.currentRow()))
        self.cases.itemClicked.connect(lambda _: self._open_case(self.cases.currentRow()))
        self.cases_heading = heading("Cases")
        self.next_button = button("Next case", self.open_next, "Open the next case", "Shift-N")
        self.series = SeriesTable()
        self.series.chosen.connect(self._read_as_chosen)
        self.phases_heading = heading("Phases")
        self.table = _phase_table()
        self.empty = note(
            "DICOM, NIfTI, PNG, JPEG or TIFF, or a folder of them. Dropping them onto the window "
            "works too. To try: File > Open Sample > Synthetic breast DCE exam."
        )
        self.bar = JobBar(self.runner, "Shift-X")
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
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(lambda _: self._refresh())
        self._show_cases([])
        self.show_phases(None)

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
            names = [name.strip() for name in self.phases.text().split(",") if name.strip()]
            spacing = _spacing(self.pixel_mm.text())
            is_stack = self.is_stack.isChecked()
            self.runner.start(
                "Looking for exams",
                lambda: formats.finding_cases(
                    path, stack=is_stack, phases=names or None, spacing_mm=spacing
                ),
                on_result=self._take_cases,
            )

    def open_dropped(self, path: Path) -> None:
        """Open what was dropped on the window; a folder whose files all come is opened once."""
        if self.runner.is_running and path == self.path.value():
            return
        self.path.setValue(path)
        self.open()

    def open_next(self) -> None:
        """Open the case after the one at work."""
        row = self.cases.currentRow() + 1
        if row < len(self._cases):
            self.cases.setCurrentRow(row)
            self._open_case(row)

    def show_phases(self, exam: Exam | None) -> None:
        """List the phases of the exam at work."""
        self.table.setRowCount(0 if exam is None else len(exam.phases))
        for row, (role, volume) in enumerate(() if exam is None else exam.phases.items()):
            sizes = volume.grid.shape
            spacing = volume.grid.spacing_mm
            words = "unknown" if spacing is None else " x ".join(f"{mm:.3g}" for mm in spacing)
            for place, text in enumerate((role, " x ".join(map(str, sizes)), words)):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{volume.grid.describe()}, {volume.data.dtype}")
                self.table.setItem(row, place, item)
        rows = self.table.rowCount()
        height = self.table.horizontalHeader().height() + rows * self.table.rowHeight(0) + 4
        self.table.setFixedHeight(max(height, 1))
        self.table.setVisible(rows > 0)
        self.phases_heading.setVisible(rows > 0)
        self.empty.setVisible(rows == 0)

    def _take_cases(self, cases: list[CaseFiles]) -> None:
        self._show_cases(cases)
        if len(cases) == 1:
            self._open_case(0)

    def _show_cases(self, cases: list[CaseFiles]) -> None:
        self._cases = cases
        self.cases.clear()
        ids = [case.case_id for case in cases]
        for case in cases:
            is_twice = ids.count(case.case_id) > 1
            folder = f" ({case.path.parent.name})" if is_twice and case.dicom is None else ""
            self.cases.addItem(case.case_id + folder)
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
            f"Reading {case.case_id}", lambda: _reading_case(case), on_result=self._take_exam
        )

    def _take_exam(self, read: _Read) -> None:
        case, exam, limits, mark = read
        self.close_case()
        source = self._session.source
        leaving = None if source is None or source.is_foreign else source.case_id
        show_exam(self._viewer, exam, instead_of=leaving, limits=limits, mark=mark)
        self._session.keep_dicom(exam.case_id, case.dicom)
        self.opened.emit(exam)
        self._refresh()

    def _refresh(self) -> None:
        busy = "Reading; wait or cancel" if self.runner.is_running else ""
        set_ready(self.open_button, busy)
        self.series.set_busy(bool(busy))
        is_last = self.cases.currentRow() + 1 >= len(self._cases)
        set_ready(self.next_button, busy or ("This is the last case" if is_last else ""))


_Read = tuple[CaseFiles, Exam, tuple[float, float], str]
"""A case and its exam, with the grey window and fingerprint to show it."""


def _reading_case(case: CaseFiles) -> Job[_Read]:
    # napari's first thumbnail loads it; here, in a thread, it holds no window.
    import scipy.ndimage  # noqa: F401

    exam = yield from formats.reading_exam(case)
    yield Progress("Preparing the picture", 0, 0)
    limits = grey_window(exam)
    yield Progress("Preparing the picture", 0, 0)
    return case, exam, limits, fingerprint(exam)


def _spacing(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text.strip().removesuffix("mm"))
    except ValueError:
        raise InputError(
            "Expected the pixel size in mm as one number",
            f"found '{text.strip()}'",
            "Type 0.7, say",
        ) from None


def _phase_table() -> QTableWidget:
    table = QTableWidget(0, 3)
    table.setHorizontalHeaderLabels(["Phase", "Voxels (z, y, x)", "Spacing, mm"])
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return table
