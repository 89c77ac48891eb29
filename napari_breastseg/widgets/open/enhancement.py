"""Enhancement of the current exam: its maps as layers, motion between phases, alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.volume import Exam
from ...imaging import dce
from ..canvas.maps import Maps, compute_maps, map_layer, show_map
from ..parts import colors as _colors
from ..parts.fields import button, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown
from ..state.opening import aligned_words, why_not_align, why_not_map
from ..state.session import Session
from ..state.sources import Source, exam_of, fingerprint, layer_of, note_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["DceSection"]


_BADGE = "QLabel {{ border: 1px solid {0}; border-radius: 7px; padding: 1px 6px; color: {0}; }}"


class DceSection(QWidget):
    """Two buttons and a line: maps, alignment, how far the phases moved."""

    aligned = Signal(object)
    """The `Exam` whose phases the layers now hold."""

    shown = Signal(object)
    """The layer of a map is to be the picture on the screen."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.runner = JobRunner(self)
        self.maps_button = button(
            "All maps",
            self.show_maps,
            "Show subtraction, percent enhancement, SER and projection as layers, and measure the "
            "motion between phases",
            "Ctrl-Shift-V",
        )
        self.align_button = button(
            "Align phases",
            self.align,
            "Align each phase rigidly to the first post-contrast phase. To go back, open the exam "
            "again",
            "Ctrl-Shift-I",
        )
        self.line = note()
        self.badge = QLabel()
        """Whether the phases moved, once that was measured."""

        self.badge.hide()
        row = QHBoxLayout()
        row.addWidget(self.maps_button)
        row.addWidget(self.align_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(JobBar(self.runner, "Ctrl-Shift-X"))
        column.addWidget(self.line)
        session.source_changed.connect(self._on_source)
        session.record_changed.connect(self._refresh)
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(lambda _: self._refresh())
        self._refresh()

    def show_maps(self) -> None:
        """Compute what the maps need in a thread, then show them as layers."""
        with errors_shown():
            source, exam = self._required(self.why_no_maps())
            self.runner.start(
                "Computing maps",
                lambda: compute_maps(exam),
                on_result=lambda maps: self._show(source, exam, maps),
            )

    def show_map(self, name: str) -> None:
        """Show one map, computed first in a thread where it is not there yet."""
        source = self._session.source
        with errors_shown():
            if source is not None and (layer := map_layer(self._viewer, source, name)) is not None:
                self.shown.emit(layer)
                return
            source, exam = self._required(self.why_no_maps())

            def on_maps(maps: Maps) -> None:
                self._show(source, exam, maps)
                if (layer := map_layer(self._viewer, source, name)) is not None:
                    self.shown.emit(layer)

            self.runner.start("Computing maps", lambda: compute_maps(exam), on_result=on_maps)

    def align(self) -> None:
        """Align the phases in a thread, then show them in their layers."""
        with errors_shown():
            source, exam = self._required(self._why_no_alignment())
            has_maps = any(note_of(layer).get("map") for layer in self._viewer.layers)
            self.runner.start(
                "Aligning the phases",
                lambda: _align(exam, has_maps),
                on_result=lambda found: self._show_aligned(source, exam, *found),
            )

    def _required(self, why_not: str) -> tuple[Source, Exam]:
        source = self._session.source
        if why_not or source is None:
            raise InputError("Expected an exam with phases", "not everything is ready", why_not)
        return source, exam_of(self._viewer, source, self._session.roles)

    def _show(self, source: Source, exam: Exam, maps: Maps) -> None:
        if not source.is_same_exam(self._session.source):
            return
        viewer = self._viewer
        for name, (data, limits) in maps.layers.items():
            was_visible = name == "sub1"
            if (before := map_layer(viewer, source, name)) is not None:
                was_visible = before.visible
                viewer.layers.remove(before.name)
            show_map(viewer, source, exam.grid, name, data, limits, was_visible)
        self._say(maps.shifts)

    def _show_aligned(
        self, source: Source, before: Exam, exam: Exam, mark: str, maps: Maps
    ) -> None:
        if not source.is_same_exam(self._session.source) or self._why_no_alignment():
            return
        draft = self._session.draft
        for role, key in source.layers.items():
            layer = layer_of(self._viewer, key)
            if exam.phases[role] is not before.phases[role] and layer is not None:
                layer.data = exam.phases[role].data
        for layer in self._viewer.layers:
            known = note_of(layer)
            if (known.get("case_id"), known.get("fingerprint")) == (
                source.case_id,
                source.fingerprint,
            ):
                layer.metadata = {**layer.metadata, "breastseg": {**known, "fingerprint": mark}}
        self.aligned.emit(exam)
        now = self._session.source
        if now is None:
            return
        if draft is not None:
            self._session.drafts.keep(draft)
        self._show(now, exam, maps)
        words = aligned_words(before, exam)
        self.line.setText(f"{words}<br>{self.line.text()}")

    def _say(self, shifts: tuple[dce.Shift, ...]) -> None:
        lines = [
            f"<b>{shift.describe()}</b>" if shift.is_large else shift.describe() for shift in shifts
        ]
        self.line.setText("<br>".join(lines))
        large = [shift for shift in shifts if shift.is_large]
        self.badge.setText("Motion: align" if large else "No motion" if shifts else "")
        self.badge.setStyleSheet(_BADGE.format(_colors.WORSE if large else _colors.CHART))
        self.badge.setToolTip("\n".join(shift.describe() for shift in shifts))
        self.badge.setVisible(bool(shifts))

    def _on_source(self, source: Source | None) -> None:
        self.line.setText("")
        self.badge.hide()
        self._refresh()

    def why_no_maps(self) -> str:
        """Why there can be no maps now; empty when there can."""
        source = self._session.source
        roles = None if source is None else self._session.roles or source.layers
        return why_not_map(roles, is_running=self.runner.is_running)

    def _why_no_alignment(self) -> str:
        return self.why_no_maps() or why_not_align(
            self._session.source, is_corrected=self._session.record is not None
        )

    def _refresh(self, event: object = None) -> None:
        set_ready(self.maps_button, self.why_no_maps())
        set_ready(self.align_button, self._why_no_alignment())


def _align(exam: Exam, has_maps: bool) -> Job[tuple[Exam, str, Maps]]:
    aligned = yield from dce.align_phases(exam)
    yield Progress("Measuring motion", 0, 0)
    mark = fingerprint(aligned)
    if has_maps:
        return aligned, mark, (yield from compute_maps(aligned))
    return aligned, mark, Maps({}, (yield from dce.estimate_shifts(aligned)))
