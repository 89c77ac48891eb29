"""The lesions of the current mask: measure, go from one to the next, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.volume import Exam, LabelMap
from ...lesions import PE_THRESHOLD_PERCENT, Change, Lesion, LesionReport
from ...lesions.report import change_words, require_ending
from ...lesions.seg import exporting_seg
from ..canvas.layers import tumor_layer, volume_of
from ..canvas.lesion_frame import frame_lesion, go_to_lesion, remove_frame
from ..parts.fields import Fold, PathField, button, form, heading, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.edits import EditWatch
from ..state.measuring import (
    Measured,
    MeasureSettings,
    measuring,
    origin_of_mask,
    seg_text,
    why_no_measure,
    why_no_seg,
)
from ..state.session import Session
from ..state.sources import Source, exam_of
from .kinetic_chart import KineticChart
from .lesion_table import LesionTable

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["LesionSection"]


class LesionSection(QWidget):
    """Measure, look at one lesion after another, export."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._source: Source | None = None
        self._goes_to_first = False
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
            "Measure the mask as it is now and write CSV, JSON or a one-page PDF",
            "Shift-W",
        )
        self.seg_button = button(
            "Export DICOM SEG…",
            self.export_seg,
            "Write the mask for the archive. The file identifies the patient, as the exam does",
            "Ctrl-Shift-D",
        )
        self.pe_threshold = QSpinBox()
        self.pe_threshold.setRange(10, 300)
        self.pe_threshold.setValue(round(PE_THRESHOLD_PERCENT))
        self.pe_threshold.setSuffix(" %")
        self.pe_threshold.setToolTip(
            "Early enhancement above which a voxel counts as functional tumor"
        )
        self.prior = PathField("Report (.json) of the prior visit", files=True, folders=False)
        more = QWidget()
        more.setLayout(form(("FTV from", self.pe_threshold), ("Prior visit", self.prior)))
        self.more = Fold("More", more)
        self.table = LesionTable()
        self.table.chosen.connect(self._go_to)
        self.plot = KineticChart()
        self.line = note()
        self.outdated = note("The mask has changed since it was measured. Measure again.")
        self.outdated.hide()
        row = QHBoxLayout()
        row.addWidget(self.measure_button)
        row.addWidget(self.export_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Lesions"))
        column.addLayout(row)
        for widget in (
            self.seg_button,
            self.more,
            JobBar(self.runner, "Shift-X"),
            self.outdated,
            self.table,
            self.plot,
            self.line,
        ):
            column.addWidget(widget)
        session.source_changed.connect(self._on_source)
        self.runner.started.connect(lambda _: self.reset_choices())
        self.runner.ended.connect(lambda _: self.reset_choices())
        self._show(None)

    def measure(self) -> None:
        """Measure the mask in a thread and list its lesions."""
        with errors_shown():
            self._measure(None)

    def go_to_next(self) -> None:
        """Go to the next lesion, measuring them first where that was not done yet."""
        if self.report is None:
            self._goes_to_first = not self._why_no_measure()
            self.measure()
        elif not self.report.lesions:
            show_info("The mask contains no lesion.")
        else:
            self.table.select_next()

    def export(self) -> None:
        """Ask for a file, measure the mask as it is now and write the report."""
        with errors_shown():
            if why_not := self._why_no_measure():
                raise InputError("Expected a mask to report on", why_not, "Then export")
            if (path := self._ask_path()) is not None:
                require_ending(path)
                self._measure(path)

    def export_seg(self) -> None:
        """Ask for a file and write the mask as it is now as a DICOM SEG of its exam."""
        with errors_shown():
            if why_not := self._why_no_seg():
                raise InputError("Expected a mask of a DICOM exam", why_not, "Then export")
            if (path := self._ask_seg_path()) is None:
                return
            exam, label_map = self._exam_and_mask()
            dicom, draft = self._session.dicom(exam.case_id), self._session.draft
            assert dicom is not None  # `_why_no_seg` said so
            origin = origin_of_mask(None if draft is None else draft.model)
            self.runner.start(
                "Writing the DICOM SEG",
                lambda: exporting_seg(path, dicom, label_map, exam=exam, **origin),
                on_result=lambda written: show_info(seg_text(path, written)),
            )

    def put_down(self) -> None:
        """Follow no mask any longer."""
        self._follow(None)

    def reset_choices(self, event: object = None) -> None:
        """Bring the buttons up to date with the viewer."""
        set_ready(self.measure_button, self._why_no_measure())
        set_ready(self.export_button, self._why_no_measure())
        set_ready(self.seg_button, self._why_no_seg())

    def _measure(self, output: Path | None) -> None:
        if why_not := self._why_no_measure():
            raise InputError("Expected a mask to measure", why_not, "Then measure")
        session, source = self._session, self._session.source
        assert source is not None  # `_why_no_measure` said so
        exam, label_map = self._exam_and_mask()
        previous = self.report if source.is_same_exam(self._source) else None
        workspace = None if session.record is None else session.workspace
        settings = MeasureSettings(float(self.pe_threshold.value()), self.prior.value(), output)
        self._follow(tumor_layer(self._viewer, source.case_id))
        edits = self._edits
        self.runner.start(
            "Measuring lesions",
            lambda: measuring(exam, label_map, settings, previous=previous, workspace=workspace),
            on_result=lambda measured: self._on_measured(source, edits, measured, output),
        )

    def _exam_and_mask(self) -> tuple[Exam, LabelMap]:
        source = self._session.source
        assert source is not None  # nothing is measured or exported without
        exam = exam_of(self._viewer, source, self._session.roles)
        layer = tumor_layer(self._viewer, source.case_id)
        # A copy: the reader may go on painting.
        return exam, LabelMap(volume_of(layer).astype(np.uint8), exam.grid)

    def _on_measured(
        self, source: Source, edits: int, measured: Measured, output: Path | None
    ) -> None:
        if output is not None:
            show_info(f"Wrote {output.name}")
        if source.is_same_exam(self._session.source):
            self._source, self._measured_at = source, edits
            self._show(measured)
            if self._goes_to_first:
                self._goes_to_first = False
                self.go_to_next()

    def _on_source(self, source: Source | None) -> None:
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

    def _show(self, measured: Measured | None) -> None:
        report = None if measured is None else measured.report
        self.report, self.changes = report, () if measured is None else measured.changes
        self.table.show_report(report)
        self.outdated.setVisible(report is not None and self._edits != self._measured_at)
        self.plot.show_lesions([] if report is None else report.lesions, None)
        notes = [] if report is None else [*report.notes, *report.total.kinetics.notes]
        notes = [*(f"Since the prior visit: {change_words(one)}" for one in self.changes), *notes]
        self.line.setText("<br>".join(dict.fromkeys(notes)))
        self.line.setVisible(bool(notes))
        if report is None:
            remove_frame(self._viewer)
        self.reset_choices()

    def _go_to(self, lesion: Lesion) -> None:
        assert self.report is not None  # the table shows it
        self.plot.show_lesions(self.report.lesions, lesion.id)
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None:
            go_to_lesion(self._viewer, layer, lesion)
            frame_lesion(self._viewer, layer, lesion)

    def _ask_path(self) -> Path | None:
        return self._ask_where(
            "Export the lesion report",
            f"{self._session.case_id}_lesions.pdf",
            "One page (*.pdf);;Table (*.csv);;Everything (*.json)",
        )

    def _ask_seg_path(self) -> Path | None:
        return self._ask_where(
            "Export the mask as a DICOM SEG, which identifies the patient",
            f"{self._session.case_id}_tumor.dcm",
            "DICOM SEG (*.dcm)",
        )

    def _ask_where(self, title: str, name: str, kinds: str) -> Path | None:
        text, _ = QFileDialog.getSaveFileName(self, title, name, kinds)
        return Path(text) if text else None

    def _why_no_measure(self) -> str:
        return why_no_measure(
            is_busy=self.runner.is_running,
            has_exam=self._session.source is not None,
            has_mask=tumor_layer(self._viewer, self._session.case_id) is not None,
        )

    def _why_no_seg(self) -> str:
        is_dicom = self._session.dicom(self._session.case_id) is not None
        return why_no_seg(self._why_no_measure(), is_dicom=is_dicom)
