"""The lesions of the mask at work: a table that leads to each, its curve, the report's export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.volume import Exam, LabelMap
from ...dataset import Dataset
from ...formats import WrittenSeg
from ...lesions import (
    PE_THRESHOLD_PERCENT,
    Change,
    Lesion,
    LesionReport,
    compare_visits,
)
from ...lesions.report import (
    change_words,
    lesion_report,
    lesion_words,
    read_report,
    require_ending,
    write_report,
)
from ...lesions.seg import exporting_seg
from ..canvas.layers import placement, tumor_layer, volume_of
from ..parts import colors as _colors
from ..parts.fields import Fold, PathField, button, form, heading, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.edits import EditWatch
from ..state.session import Session
from ..state.sources import Source, exam_of, note_of
from .kinetic_chart import KineticChart

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["LesionSection"]

_COLUMNS = ("lesion", "side", "size", "diameter", "type")
_FRAME_COLOR = _colors.FRAME


class LesionSection(QWidget):
    """Measure, look at one lesion after another, export."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._source: Source | None = None
        self._goes_there = False
        self.report: LesionReport | None = None
        """Of the mask as it was when last measured; lesions keep their ids from it."""

        self.changes: tuple[Change, ...] = ()
        """Since the prior visit, where its report was given."""

        self._watch: EditWatch | None = None
        """Of the layer that was measured last."""

        self._edits = self._measured_at = 0
        """How often it was edited, now and when what is shown was measured."""

        self.runner = JobRunner(self)
        self.measure_button = button(
            "Measure lesions", self.measure, "Size, side and curve of each lesion", "Shift-T"
        )
        self.export_button = button(
            "Export report…",
            self.export,
            "Measure the mask as it is now and write CSV, JSON or one page of PDF",
            "Shift-W",
        )
        self.seg_button = button(
            "Export DICOM SEG…",
            self.export_seg,
            "Write the mask for the archive; this file carries the patient, as the exam does",
            "Ctrl-Shift-D",
        )
        self.pe_threshold = QSpinBox()
        self.pe_threshold.setRange(10, 300)
        self.pe_threshold.setValue(round(PE_THRESHOLD_PERCENT))
        self.pe_threshold.setSuffix(" %")
        self.pe_threshold.setToolTip("Early enhancement from which a voxel is functional tumor")
        self.prior = PathField("Report (.json) of the prior visit", files=True, folders=False)
        more = QWidget()
        more.setLayout(form(("FTV from", self.pe_threshold), ("Prior visit", self.prior)))
        self.more = Fold("More", more)
        self.table = _lesion_table()
        self.table.itemSelectionChanged.connect(self._go_to_selected)
        self.plot = KineticChart()
        self.line = note()
        self.outdated = note("The mask has changed since. Measure again for figures of it.")
        self.outdated.hide()
        row = QHBoxLayout()
        row.addWidget(self.measure_button)
        row.addWidget(self.export_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Lesions"))
        column.addLayout(row)
        column.addWidget(self.seg_button)
        column.addWidget(self.more)
        column.addWidget(JobBar(self.runner, "Shift-X"))
        column.addWidget(self.outdated)
        column.addWidget(self.table)
        column.addWidget(self.plot)
        column.addWidget(self.line)
        session.source_changed.connect(self._take_source)
        self.runner.started.connect(lambda _: self.reset_choices())
        self.runner.ended.connect(lambda _: self.reset_choices())
        self._show(None)

    def measure(self) -> None:
        """Measure the mask in a thread and list its lesions."""
        self._start(None)

    def go_to_next(self) -> None:
        """Go to the next lesion, measuring them first where that was not done yet."""
        if self.report is None:
            self._goes_there = not self._why_not()
            self.measure()
        elif not self.report.lesions:
            show_info("The mask holds no lesion.")
        else:
            self.table.selectRow((self.table.currentRow() + 1) % len(self.report.lesions))

    def export(self) -> None:
        """Ask for a file, measure the mask as it is now and write the report."""
        if self._why_not():
            with errors_shown():
                raise InputError("Expected a mask to report on", self._why_not(), "Then export")
            return
        path = self._ask_path()
        if path is not None:
            with errors_shown():
                require_ending(path)
                self._start(path)

    def export_seg(self) -> None:
        """Ask for a file and write the mask as it is now as a DICOM SEG of its exam."""
        with errors_shown():
            if why_not := self._why_no_seg():
                raise InputError("Expected a mask of a DICOM exam", why_not, "Then export")
            source = self._session.source
            assert source is not None  # `_why_no_seg` said so
            dicom = self._session.dicom(source.case_id)
            assert dicom is not None
            path = self._ask_seg_path()
            if path is None:
                return
            exam = exam_of(self._viewer, source, self._session.roles)
            layer = tumor_layer(self._viewer, source.case_id)
            label_map = LabelMap(volume_of(layer).astype(np.uint8), exam.grid)
            draft = self._session.draft
            self.runner.start(
                "Writing the DICOM SEG",
                lambda: exporting_seg(
                    path,
                    dicom,
                    label_map,
                    exam=exam,
                    **_made_with(None if draft is None else draft.model),
                ),
                on_result=lambda written: show_info(_seg_words(path, written)),
            )

    def put_down(self) -> None:
        """Follow no mask any longer."""
        self._follow(None)

    def reset_choices(self, event: object = None) -> None:
        """Bring the buttons up to date with the viewer."""
        set_ready(self.measure_button, self._why_not())
        set_ready(self.export_button, self._why_not())
        set_ready(self.seg_button, self._why_no_seg())

    def _start(self, path: Path | None) -> None:
        with errors_shown():
            if why_not := self._why_not():
                raise InputError("Expected a mask to measure", why_not, "Then measure")
            source = self._session.source
            assert source is not None  # `_why_not` said so
            exam = exam_of(self._viewer, source, self._session.roles)
            layer = tumor_layer(self._viewer, source.case_id)
            # A copy: the reader may go on painting.
            label_map = LabelMap(volume_of(layer).astype(np.uint8), exam.grid)
            previous = self.report if source.is_same_exam(self._source) else None
            workspace = None if self._session.record is None else self._session.workspace
            # A second reader's lesions are no business of the case's record.
            dataset = workspace if isinstance(workspace, Dataset) else None
            self._follow(layer)
            edits = self._edits
            prior, percent = self.prior.value(), float(self.pe_threshold.value())
            self.runner.start(
                "Measuring lesions",
                lambda: _measure(exam, label_map, previous, prior, percent, path, dataset),
                on_result=lambda measured: self._take(source, edits, *measured, path),
            )

    def _take(
        self,
        source: Source,
        edits: int,
        report: LesionReport,
        changes: tuple[Change, ...],
        path: Path | None,
    ) -> None:
        if path is not None:
            show_info(f"Wrote {path.name}")
        if source.is_same_exam(self._session.source):
            self._source, self._measured_at = source, edits
            self._show(report, changes)
            if self._goes_there:
                self._goes_there = False
                self.go_to_next()

    def _take_source(self, source: Source | None) -> None:
        if source is None or not source.is_same_exam(self._source):
            self._source = None
            self._follow(None)
            self._show(None)
        self.reset_choices()

    def _follow(self, layer: Labels | None) -> None:
        """Count the layer's edits from here on."""
        if self._watch is not None:
            if self._watch.layer is layer:
                return
            self._watch.stop()
        self._watch = None if layer is None else EditWatch(self._viewer, layer, self._on_edit)

    def _on_edit(self, is_under_way: bool) -> None:
        self._edits += 1
        if self._edits == self._measured_at + 1:  # strokes are many, and one word is enough
            self.outdated.setVisible(self.report is not None)

    def _show(self, report: LesionReport | None, changes: tuple[Change, ...] = ()) -> None:
        self.report, self.changes = report, changes
        rows = [] if report is None else [*report.lesions, report.total]
        self.table.blockSignals(True)
        self.table.clearSelection()
        self.table.setRowCount(len(rows))
        for row, lesion in enumerate(rows):
            words = lesion_words(lesion)
            for column, name in enumerate(_COLUMNS):
                item = QTableWidgetItem(_short(name, words[name]))
                item.setToolTip(_tooltip(lesion, words))
                if lesion is rows[-1]:
                    item.setFlags(Qt.ItemFlag.ItemIsEnabled)
                self.table.setItem(row, column, item)
        self.table.blockSignals(False)
        shown = min(len(rows), 8)
        height = self.table.horizontalHeader().height() + shown * self.table.rowHeight(0) + 4
        self.table.setFixedHeight(max(height, 1))
        self.table.setVisible(report is not None)
        self.outdated.setVisible(report is not None and self._edits != self._measured_at)
        self.plot.show_lesions([] if report is None else report.lesions, None)
        notes = [] if report is None else [*report.notes, *report.total.kinetics.notes]
        notes = [*(f"Since the prior visit: {change_words(one)}" for one in changes), *notes]
        self.line.setText("<br>".join(dict.fromkeys(notes)))
        self.line.setVisible(bool(notes))
        if report is None:
            self._mark(None)
        self.reset_choices()

    def _go_to_selected(self) -> None:
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        if self.report is None or not rows or rows[0] >= len(self.report.lesions):
            return
        lesion = self.report.lesions[rows[0]]
        self.plot.show_lesions(self.report.lesions, lesion.id)
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is None or lesion.center_voxel is None or lesion.diameter_z is None:
            return
        center = np.array([lesion.diameter_z, *lesion.center_voxel[1:]])[-layer.ndim :]
        world = np.asarray(layer.data_to_world(center))
        dims = self._viewer.dims
        for axis, value in enumerate(world, start=dims.ndim - layer.ndim):
            dims.set_point(axis, float(value))
        displayed = [axis - (dims.ndim - layer.ndim) for axis in dims.displayed]
        place = [float(world[axis]) for axis in displayed]
        self._viewer.scene.camera.center = (*(0.0,) * (3 - len(place)), *place)
        self._mark(lesion)

    def _mark(self, lesion: Lesion | None) -> None:
        """Frame a lesion and draw its longest diameter, in a layer of their own."""
        viewer = self._viewer
        for layer in list(viewer.layers):
            if note_of(layer).get("role") == "lesion":
                viewer.layers.remove(layer.name)
        mask = tumor_layer(viewer, self._session.case_id)
        if lesion is None or mask is None or lesion.box is None or lesion.diameter_ends is None:
            return
        active = viewer.layers.selection.active
        (z0, z1), (y0, y1), (x0, x1) = lesion.box
        corners = [(y0 - 2, x0 - 2), (y0 - 2, x1 + 1), (y1 + 1, x1 + 1), (y1 + 1, x0 - 2)]
        frames = [np.array([(z, *c) for c in corners], float) for z in range(z0, z1)]
        line = np.array([(lesion.diameter_z, *end) for end in lesion.diameter_ends], float)
        shapes = [shape[:, -mask.ndim :] for shape in (*frames, line)]
        viewer.add_shapes(
            shapes,
            shape_type=["rectangle"] * len(frames) + ["line"],
            name=f"{self._session.case_id} lesion",
            edge_color=_FRAME_COLOR,
            edge_width=0.7,
            face_color="transparent",
            metadata={"breastseg": {**note_of(mask), "role": "lesion"}},
            **placement(mask),
        )
        viewer.layers.selection.active = active

    def _ask_path(self) -> Path | None:
        text, _ = QFileDialog.getSaveFileName(
            self,
            "Export the lesion report",
            f"{self._session.case_id}_lesions.pdf",
            "One page (*.pdf);;Table (*.csv);;Everything (*.json)",
        )
        return Path(text) if text else None

    def _ask_seg_path(self) -> Path | None:
        text, _ = QFileDialog.getSaveFileName(
            self,
            "Export the mask as a DICOM SEG, which carries the patient",
            f"{self._session.case_id}_tumor.dcm",
            "DICOM SEG (*.dcm)",
        )
        return Path(text) if text else None

    def _why_no_seg(self) -> str:
        if why_not := self._why_not():
            return why_not
        if self._session.dicom(self._session.case_id) is None:
            return "The exam was not opened from DICOM here; a SEG names the images it lies on"
        return ""

    def _why_not(self) -> str:
        if self.runner.is_running:
            return "Busy; wait or cancel"
        if self._session.source is None:
            return "Open an exam first"
        if tumor_layer(self._viewer, self._session.case_id) is None:
            return "Segment the exam or start correcting first: there is no mask yet"
        return ""


def _measure(
    exam: Exam,
    label_map: LabelMap,
    previous: LesionReport | None,
    prior: Path | None,
    pe_threshold_percent: float,
    path: Path | None,
    dataset: Dataset | None,
) -> Job[tuple[LesionReport, tuple[Change, ...]]]:
    """Lesions and their change; of a case of a dataset their ids come from its record and stay."""
    before = None if prior is None else read_report(prior)
    if previous is None and dataset is not None:
        previous = dataset.lesions(exam.case_id)
    report = yield from lesion_report(
        exam, label_map, previous=previous, pe_threshold_percent=pe_threshold_percent
    )
    if dataset is not None:
        dataset.note_lesions(exam.case_id, report.lesions)
    changes: tuple[Change, ...] = ()
    if before is not None:
        changes = compare_visits((*before.lesions, before.total), (*report.lesions, report.total))
    if path is not None:
        yield Progress("Writing the report", 0, 0)
        write_report(path, report, exam=exam, changes=changes)
    return report, changes


def _short(column: str, words: str) -> str:
    """Words that fit in a narrow dock: R, 18.2 mm, III; the tooltip has all of them."""
    if column == "side":
        return words[:1].upper()
    if column == "diameter":
        longest, _, across = words.partition(" x ")
        return f"{longest} {across.split()[-1]}" if across else longest
    return words.split(" ")[0] if column == "type" else words


def _tooltip(lesion: Lesion, words: dict[str, str]) -> str:
    lines = [f"{name}: {text}" for name, text in words.items() if text]
    if lesion.sphericity is not None:
        lines.append(f"sphericity: {lesion.sphericity:.2f}")
    if lesion.kinetics.ser is not None:
        lines.append(f"SER: {lesion.kinetics.ser:.2f}")
    shares = lesion.kinetics.type_shares
    if shares:
        lines.append(", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()))
    return "\n".join(lines)


def _lesion_table() -> QTableWidget:
    table = QTableWidget(0, len(_COLUMNS))
    table.setHorizontalHeaderLabels(["Lesion", "Side", "Size", "Longest", "Type"])
    table.setStyleSheet("QTableWidget, QHeaderView { font-size: 11px; }")  # five columns fit
    table.verticalHeader().setVisible(False)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setStretchLastSection(True)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    return table


def _made_with(model: str | None) -> dict[str, Any]:
    """How a mask came about, for `exporting_seg`: by hand, or from a draft of a model."""
    if model is None:
        return {"algorithm": "manual"}
    name, _, version = model.partition("@")
    return {"made_with": (name, version or "unknown")}


def _seg_words(path: Path, written: WrittenSeg) -> str:
    side = "side not known" if written.side is None else f"{written.side} breast"
    return f"Wrote {path.name}: {written.frames} frames on {written.role}, {side}"
