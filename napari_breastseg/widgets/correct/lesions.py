"""The lesions of the current mask: measure, go from one to the next, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.volume import Exam, LabelMap
from ...lesions import Change, Lesion, LesionReport
from ...lesions.report import change_words, require_ending
from ..canvas.layers import tumor_layer, volume_of
from ..canvas.lesion_frame import frame_lesion, go_to_lesion, remove_frame
from ..parts.fields import Fold, button, heading, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.case_rules import require_own_labels
from ..state.edits import EditWatch
from ..state.measuring import (
    Measured,
    MeasureSettings,
    measuring,
    measuring_weaker,
    why_no_measure,
)
from ..state.session import Draft, Session
from ..state.sources import Source, exam_of
from .export_form import ExportForm
from .finding_list import FindingList
from .kinetic_chart import KineticChart
from .report_form import ReportForm

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["LesionSection"]

_DRAFT_SETTLES_MS = 300


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

        self._listed: Draft | None = None
        """The draft whose findings were listed last."""

        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_DRAFT_SETTLES_MS)
        self._soon.timeout.connect(self._list_findings)

        self.runner = JobRunner(self)
        self.measure_button = button(
            "Measure lesions", self.measure, "Size, side and curve of each lesion", "Shift-T"
        )
        self.export_button = button(
            "Export report…",
            self.export,
            "Measure the mask as it is now and write CSV, JSON or a one-page PDF",
            "Ctrl-Shift-W",
        )
        self.exports = ExportForm(session, self.runner, self._exam_and_mask, self._why_no_measure)
        self.form = ReportForm()
        more = QWidget()
        inside = QVBoxLayout(more)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.form.native)
        inside.addWidget(self.exports.native)
        self.more = Fold("Report and DICOM SEG", more)
        self.list = FindingList(viewer, session, self.runner)
        self.table = self.list.table
        self.list.chosen.connect(self._go_to)
        self.list.weaker_wanted.connect(self._measure_weaker)
        self.plot = KineticChart()
        self.line = note()
        self.outdated = note("The mask has changed since it was measured. Measure again.")
        self.outdated.hide()
        row = QHBoxLayout()
        row.addWidget(self.measure_button, 1)
        row.addWidget(self.export_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (heading("Findings and lesions"), self.outdated, self.list, self.plot):
            column.addWidget(widget)
        column.addLayout(row)
        column.addWidget(JobBar(self.runner, "Ctrl-Shift-X"))
        session.source_changed.connect(self._on_source)
        self.runner.started.connect(lambda _: self.reset_choices())
        self.runner.ended.connect(lambda _: self.reset_choices())
        session.drafts.changed.connect(self._on_draft)
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
        elif not self.list.rows:
            show_info("The mask contains no lesion.")
        else:
            self.table.select_next()

    def export(self) -> None:
        """Ask for a file, measure the mask as it is now and write the report."""
        with errors_shown():
            if why_not := self._why_no_measure():
                raise InputError("Expected a mask to report on", why_not, "Then export")
            if (path := self.exports.ask_report(self)) is not None:
                require_ending(path)
                self._measure(path)

    def put_down(self) -> None:
        """Follow no mask and no draft any longer."""
        self._soon.stop()
        self._follow(None)

    def reset_choices(self, event: object = None) -> None:
        """Bring the buttons up to date with the viewer."""
        set_ready(self.measure_button, self._why_no_measure())
        set_ready(self.export_button, self._why_no_measure())
        self.exports.reset_choices()
        self.list.reset_choices()

    def _measure(self, output: Path | None) -> None:
        if why_not := self._why_no_measure():
            raise InputError("Expected a mask to measure", why_not, "Then measure")
        session, source = self._session, self._session.source
        assert source is not None  # `_why_no_measure` said so
        exam, label_map = self._exam_and_mask()
        previous = self.report if source.is_same_exam(self._source) else None
        workspace = None if session.record is None else session.workspace
        settings = replace(self._settings(), prior=self.form.prior_report, output=output)
        findings = None if session.drafts.is_hidden else session.choices.findings
        self._follow(tumor_layer(self._viewer, source.case_id))
        self.runner.start(
            "Measuring lesions",
            lambda: measuring(
                exam,
                label_map,
                settings,
                findings=findings,
                previous=previous,
                workspace=workspace,
            ),
            on_result=lambda measured: self._on_measured(source, label_map, measured, output),
        )

    def _measure_weaker(self) -> None:
        """Measure what the model held back, and list it."""
        session, findings = self._session, self._session.choices.findings
        assert findings is not None  # the list asks only where there are some
        source, settings = self._session.source, self._settings()
        assert source is not None
        exam = exam_of(self._viewer, source, self._session.roles)

        def show(report: LesionReport) -> None:
            if session.choices.findings is findings:
                self.list.show_weaker(findings, report)

        self.runner.start(
            "Measuring weaker findings",
            lambda: measuring_weaker(exam, findings, settings),
            on_result=show,
        )

    def _settings(self) -> MeasureSettings:
        breasts = None if self._session.draft is None else self._session.draft.breasts
        return MeasureSettings(float(self.form.pe_threshold.value), breasts=breasts)

    def _on_draft(self) -> None:
        self._soon.start()

    def _list_findings(self) -> None:
        """Measure a new draft of a whole exam without being asked."""
        draft, is_hidden = self._session.draft, self._session.drafts.is_hidden
        if draft is None or draft.findings is None or draft is self._listed or is_hidden:
            return
        if self.runner.is_running:
            self._soon.start()
        elif not self._why_no_measure():
            self._listed = draft
            self.measure()

    def _exam_and_mask(self) -> tuple[Exam, LabelMap]:
        source = self._session.source
        assert source is not None  # nothing is measured or exported without
        exam = exam_of(self._viewer, source, self._session.roles)
        labels = volume_of(tumor_layer(self._viewer, source.case_id))
        require_own_labels(labels, self._session.saved)
        return exam, LabelMap(labels.astype(np.uint8), exam.grid)  # a copy: painting may go on

    def _on_measured(
        self, source: Source, label_map: LabelMap, measured: Measured, output: Path | None
    ) -> None:
        if output is not None:
            show_info(f"Wrote {output.name}")
        if source.is_same_exam(self._session.source):
            self._source = source
            self._show(measured, label_map)
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
        if not is_under_way:
            self.list.follow_mask()
            self.outdated.setVisible(self.list.is_outdated)

    def _show(self, measured: Measured | None, label_map: LabelMap | None = None) -> None:
        report = None if measured is None else measured.report
        self.report, self.changes = report, () if measured is None else measured.changes
        self.list.show_report(report, None if label_map is None else label_map.data)
        self.outdated.setVisible(self.list.is_outdated)
        self.plot.show_lesions([row.lesion for row in self.list.rows], None)
        notes = [] if report is None else [*report.notes, *report.total.kinetics.notes]
        notes = [*(f"Since the prior visit: {change_words(one)}" for one in self.changes), *notes]
        self.line.setText("<br>".join(dict.fromkeys(notes)))
        self.line.setVisible(bool(notes))
        if report is None:
            remove_frame(self._viewer)
        self.reset_choices()

    def _go_to(self, lesion: Lesion) -> None:
        self.plot.show_lesions([row.lesion for row in self.list.rows], lesion.id)
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None:
            go_to_lesion(self._viewer, layer, lesion)
            frame_lesion(self._viewer, layer, lesion)

    def _why_no_measure(self) -> str:
        return why_no_measure(
            is_busy=self.runner.is_running,
            has_exam=self._session.source is not None,
            has_mask=tumor_layer(self._viewer, self._session.case_id) is not None,
        )
