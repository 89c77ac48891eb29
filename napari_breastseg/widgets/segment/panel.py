"""Segment: a model drafts the tumor in the current exam, its breasts, a slice or a box."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.region import Region
from ...core.volume import Exam
from ...model.checkpoint import Checkpoint
from ...predict.prediction import Prediction
from ..canvas.view import add_box
from ..parts.device_picker import DevicePicker
from ..parts.fields import Fold, button, form, heading, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown
from ..parts.model_picker import ModelPicker
from ..state.drafting import why_not_segment
from ..state.session import Session
from ..state.settings import recall, remember
from ..state.sources import Source, exam_of
from .draft_view import DraftView
from .phase_layers import PhaseLayers
from .region_choice import RegionChoice

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["SegmentPanel"]


class SegmentPanel(QWidget):
    """Model, region, threshold, Segment; the result is the layer "<case> tumor"."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._loaded: tuple[Path, str, Checkpoint] | None = None
        self._source: Source | None = None  # what is segmented
        self.runner = JobRunner(self)
        self.model = ModelPicker()
        self.model.valueChanged.connect(self._on_model_chosen)
        session.model_changed.connect(self.model.setValue)
        self.phases = PhaseLayers(viewer, session)
        self.phases.changed.connect(self._refresh)
        self.region = RegionChoice(self._draw_box)
        self.view = DraftView(viewer, session, self, self.runner)
        self.threshold, self.result = self.view.threshold, self.view.line
        self.hides_drafts = QCheckBox("Hide the draft until I ask for it")
        self.hides_drafts.setToolTip(
            "Read the exam first: the draft is made, saved and compared with your mask, but shown\n"
            "only when you press 'Show the draft' in the Correct tab (F9)."
        )
        self.hides_drafts.toggled.connect(self._on_hiding_chosen)
        self.hides_drafts.setChecked(recall("hides_drafts") == "yes")
        self.device = DevicePicker()
        self.mirror = QCheckBox("Average with the mirrored image")
        self.mirror.setToolTip("Takes twice as long and is slightly more reliable")
        self.run_button = button(
            "Segment", self.run, "Draft the tumor with the model", "Ctrl-Shift-S"
        )
        self._lay_out()
        session.source_changed.connect(self.reset_choices)
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(self._on_ended)
        self._on_model_chosen(self.model.value())

    def _lay_out(self) -> None:
        more = QWidget()
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addLayout(form(("Device", self.device)))
        inner.addWidget(self.mirror)
        column = QVBoxLayout(self)
        column.addWidget(heading("Model"))
        column.addWidget(self.model)
        column.addWidget(self.phases)
        column.addWidget(heading("Region"))
        column.addWidget(self.region)
        column.addLayout(form(("Threshold", self.threshold)))
        column.addWidget(self.hides_drafts)
        column.addWidget(Fold("More", more))
        column.addWidget(self.run_button)
        column.addWidget(JobBar(self.runner, "Ctrl-Shift-X"))
        column.addWidget(self.result)
        column.addStretch(1)

    def reset_choices(self, event: object = None) -> None:
        """Bring pickers and buttons up to date with the viewer and the registry."""
        self.phases.reset_choices()
        self._refresh()

    def run(self) -> None:
        """Segment the current exam; the result comes as a layer."""
        with errors_shown():
            try:
                source, folder, exam = self._ready()
            except InputError as error:
                self.view.say(self._session.source, str(error))  # napari shows its first line only
                raise
            region, settings = self.region.value(self._viewer, source, exam), self._settings()
            settings["breasts_only"] = None if self.region.breasts.isChecked() else False
            self._source = source
            self.view.say(source, "")
            self.runner.start(
                "Segmenting",
                lambda: self._segment(folder, exam, region, settings),
                on_result=lambda prediction: self.view.show_prediction(source, prediction, region),
            )

    def predict_in(self, region: Region) -> Callable[[], Job[Prediction]]:
        """What predicts a region of the current exam with this tab's settings, for a worker.

        Raises
        ------
        InputError
            If there is no exam or no model that can segment it.
        """
        _, folder, exam = self._ready()
        settings = self._settings()
        return lambda: self._segment(folder, exam, region, settings)

    def _ready(self) -> tuple[Source, Path, Exam]:
        """The current exam and the model; refused, with the reason, while something is missing."""
        source, folder = self._session.source, self._session.model
        why_not = self._why_not()
        if why_not or source is None or folder is None:
            raise InputError(
                "Expected an exam and a model that can segment it",
                "not everything is ready",
                why_not,
            )
        return source, folder, exam_of(self._viewer, source, self.phases.value())

    def _settings(self) -> dict[str, Any]:
        """What this tab says of how to predict, as `predict` takes it."""
        return {
            "device": self.device.value(),
            "threshold": self.threshold.value(),
            "mirror": self.mirror.isChecked(),
        }

    def _segment(
        self, folder: Path, exam: Exam, region: Region | None, settings: dict[str, Any]
    ) -> Job[Prediction]:
        """In the worker's thread: load the model unless it is the last one used, and predict."""
        yield Progress("Loading the model", 0, 0)
        from ...model import checkpoint
        from ...predict import prediction

        digest = checkpoint.read_info(folder).weights_sha256
        if self._loaded is None or self._loaded[:2] != (folder, digest):
            self._loaded = (folder, digest, checkpoint.load(folder))
        return (yield from prediction.predict(self._loaded[2], exam, region=region, **settings))

    def _draw_box(self) -> None:
        if self._session.source is not None:
            add_box(self._viewer, self._session.source)

    def _on_hiding_chosen(self, is_hiding: bool) -> None:
        self._session.drafts.hides = is_hiding
        remember("hides_drafts", "yes" if is_hiding else "no")

    def _on_model_chosen(self, folder: Path | None) -> None:
        self._session.model = folder
        self.reset_choices()

    def _why_not(self) -> str:
        """Why nothing can be segmented now; empty when it can."""
        return why_not_segment(
            is_running=self.runner.is_running,
            has_exam=self._session.source is not None,
            has_model=self._session.model is not None,
            problem=self.model.problem,
            layers=self.phases.chosen,
        )

    def _refresh(self) -> None:
        set_ready(self.run_button, self._why_not())
        self.region.set_ready("" if self._session.source is not None else "Open an exam first")

    def _on_ended(self, outcome: str) -> None:
        if outcome == "canceled":
            self.view.say(self._source, "Canceled; the mask is unchanged.")
        self._refresh()
