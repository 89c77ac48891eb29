"""Segment tumor: one magicgui form, a step of the dock and a widget of its own in any viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.signature import magic_signature
from magicgui.widgets import CheckBox, ComboBox, Container
from qtpy.QtCore import QTimer

from ...core.errors import InputError
from ...core.progress import Job
from ...core.region import Region
from ...model.checkpoint import Checkpoint
from ...predict.prediction import Prediction
from ..canvas.view import add_box, current_slice, has_box
from ..parts.fields import Fold, set_ready
from ..parts.forms import keep_between_starts, place, push, register_types, row_of
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown
from ..state.drafting import Part, why_not_segment
from ..state.session import Session
from ..state.settings import recall, remember
from ..state.sources import Source, exam_of, sources
from .call import predicting, region_of, segment_tumor
from .draft_view import DraftView
from .phase_layers import PhaseLayers
from .warm_up import warm_up

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["SegmentTumor"]

_OPTIONS = {
    "viewer": {"widget_type": "EmptyWidget", "visible": False},
    "part": {"visible": False},  # each part has its button
    "exam": {"visible": False},  # the form asks for one: None is the call's
    "threshold": {
        "label": "Threshold",
        "widget_type": "FloatSlider",
        "min": 0.01,
        "max": 1.0,
        "step": 0.01,
        "tooltip": "Probability from which a voxel counts as tumor. A higher threshold marks less."
        "\nThe last draft follows at once, as one undo step. If the mask was edited since,\n"
        "you are asked first.",
    },
    "model": {"label": "Model"},
    "beside": {
        "label": "Box, ± slices",
        "max": 500,
        "tooltip": "How many slices a box reaches on each side of the one it is drawn on",
    },
    "device": {"label": "Device", "tooltip": "auto uses the graphics card if there is one"},
    "mirror": {
        "text": "Average with the mirrored image",
        "tooltip": "Takes twice as long and is slightly more reliable",
    },
}


class SegmentTumor(Container):
    """The call `segment_tumor` as a form, with progress and Cancel; it makes "<case> tumor".

    Parameters
    ----------
    napari_viewer : napari.Viewer
    session : Session, optional
        The dock's, which knows the current exam. Without one, the form asks for the exam.
    """

    def __init__(self, napari_viewer: Viewer, session: Session | None = None) -> None:
        register_types()
        fields = magic_signature(segment_tumor, gui_options=_OPTIONS).widgets()
        exam = ComboBox(
            name="exam",
            label="Exam",
            choices=lambda _: [(one.title, one) for one in sources(napari_viewer)],
        )
        is_alone = session is None
        session = Session() if session is None else session
        run_button = push("Draft", self.run, "Draft the tumor in the breasts", "Ctrl-Shift-S")
        part_buttons = {
            "whole": push(
                "Whole",
                lambda: self.run("whole"),
                "Segment the whole exam, axilla and chest wall included",
            ),
            "slice": push(
                "Slice", lambda: self.run("slice"), "Segment the slice on the screen only"
            ),
            "box": push(
                "Box",
                self.draw_box,
                "Drag a rectangle on the image; it is segmented, with some slices on each side",
            ),
        }
        correct_button = push(
            "Correct it", self.correct, "Enter the exam into the dataset and take the brush"
        )
        hides_drafts = CheckBox(
            text="Hide the draft until I ask for it",
            tooltip="Read the exam first: the draft is made, saved and compared with your mask, "
            "but shown\nonly when you press 'Show the draft' in the Correct step (F9).",
            name="hides_drafts",
        )
        folded = Container(
            widgets=[fields[name] for name in ("model", "beside", "device", "mirror")]
            + [hides_drafts],
            name="settings",
        )
        folded.margins = (12, 0, 0, 0)
        parts_row = row_of(*part_buttons.values(), name="parts")
        # Two fields with their names; magicgui would name rows and folds as well.
        named = [Container(widgets=[field]) for field in (exam, fields["threshold"])]
        for one in named:
            one.margins = (0, 0, 0, 0)
        super().__init__(
            widgets=[named[0], run_button, parts_row, correct_button, named[1], folded],
            labels=False,
        )
        self.exam, self.threshold = exam, fields["threshold"]
        self._viewer = napari_viewer
        self._session = session
        self._is_alone = is_alone
        self._waits_for_box = False
        self.on_correct: Callable[[], object] | None = None
        """Goes on to correct the draft; the dock sets it."""

        self._loaded: dict[tuple[Path, str], Checkpoint] = {}
        self._drafted: Source | None = None
        self.run_button, self.part_buttons = run_button, part_buttons
        self.correct_button = correct_button
        self.model, self.beside = fields["model"], fields["beside"]
        self.device, self.mirror = fields["device"], fields["mirror"]
        self.hides_drafts = hides_drafts
        self.runner = JobRunner(self.native)
        self.phases = PhaseLayers(napari_viewer, session)
        self.view = DraftView(napari_viewer, session, self.native, self.runner, self.threshold)
        self.result = self.view.line
        self.fold = Fold("Model", folded.native)
        self._lay_out()
        keep_between_starts("draft", (self.beside, self.device, self.mirror))
        hides_drafts.changed.connect(self._on_hiding_chosen)
        hides_drafts.value = recall("hides_drafts") == "yes"
        self.exam.changed.connect(self._on_exam_chosen)
        self.model.changed.connect(self._on_model_chosen)
        session.model_changed.connect(self._show_model)
        self.phases.changed.connect(self._refresh)
        session.source_changed.connect(self._on_source)
        session.drafts.changed.connect(self._refresh)
        session.record_changed.connect(lambda _: self._refresh())
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(self._on_ended)
        self._on_model_chosen(self.model.value)

    def _lay_out(self) -> None:
        self.run_button.native.setMinimumHeight(2 * self.run_button.native.sizeHint().height())
        font = self.run_button.native.font()
        font.setBold(True)
        self.run_button.native.setFont(font)
        bar = JobBar(self.runner, "Ctrl-Shift-X")
        parts = self.run_button, self["parts"], bar, self[4], self.view.line, self.correct_button
        place(self, self[0], self.phases, *parts, self.fold)
        self.exam.visible = self._is_alone

    def reset_choices(self, *_: Any) -> None:
        """Bring pickers and buttons up to date with the viewer and the registry."""
        super().reset_choices()
        if "_session" not in vars(self):  # still being made
            return
        if self._is_alone:
            self._on_exam_chosen(self.exam.value)
        self.phases.reset_choices()
        self._refresh()

    def run(self, part: Part = "breasts") -> None:
        """Segment a part of the current exam; the result comes as a layer."""
        with errors_shown():
            try:
                source, folder, exam = self._ready()
                region = region_of(self._viewer, source, exam, part, self.beside.value)
            except InputError as error:
                self.view.say(self._session.source, str(error))  # napari shows its first line only
                raise
            settings = self._settings()
            settings["breasts_only"] = None if part == "breasts" else False
            seen = current_slice(self._viewer, source)
            if region is None and seen is not None and seen[0] == 0:
                settings["first"] = seen[1]
            self._drafted = source
            self.view.say(source, "")
            self.runner.start(
                "Segmenting",
                lambda: self._segment(folder, exam, region, settings),
                on_result=lambda prediction: self.view.show_prediction(source, prediction, region),
                on_progress=lambda progress: self.view.show_seen(source, progress),
            )

    def correct(self) -> None:
        """Go on to correct the draft."""
        if self.on_correct is not None:
            self.on_correct()

    def draw_box(self) -> None:
        """Put the rectangle tool in hand; the rectangle that is drawn with it is segmented."""
        source = self._session.source
        if source is None:
            return
        layer = add_box(self._viewer, source)
        if not self._waits_for_box:
            self._waits_for_box = True
            layer.events.data.connect(self._on_box)
        self.view.say(source, "Drag a rectangle around the lesion: it is segmented at once.")

    def _on_box(self, event: Any) -> None:
        """Segment the rectangle once, when the mouse lets go of it."""
        source = self._session.source
        if str(getattr(event.action, "value", event.action)) != "added" or source is None:
            return
        self._waits_for_box = False
        event.source.events.data.disconnect(self._on_box)
        if has_box(self._viewer, source):
            QTimer.singleShot(0, lambda: self.run("box"))

    def predict_in(self, region: Region) -> Callable[[], Job[Prediction]]:
        """What predicts a region of the current exam with this form's settings, for a worker.

        Raises
        ------
        InputError
            If there is no exam or no model that can segment it.
        """
        _, folder, exam = self._ready()
        settings = self._settings()
        return lambda: self._segment(folder, exam, region, settings)

    def _ready(self) -> tuple[Source, Path, Any]:
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
        """What this form says of how to predict, as `predict` takes it."""
        return {
            "device": self.device.value,
            "threshold": self.threshold.value,
            "mirror": self.mirror.value,
        }

    def _segment(
        self, folder: Path, exam: Any, region: Region | None, settings: dict[str, Any]
    ) -> Job[Prediction]:
        """In the worker's thread: load the model unless it is the last one used, and predict."""
        return (yield from predicting(folder, exam, region, self._loaded, **settings))

    def _on_hiding_chosen(self, is_hiding: bool) -> None:
        self._session.drafts.hides = is_hiding
        remember("hides_drafts", "yes" if is_hiding else "no")

    def _on_exam_chosen(self, source: Source | None) -> None:
        if self._is_alone:
            self._session.source = source

    def _on_source(self, source: Source | None) -> None:
        self._waits_for_box = False
        if source is not None:
            warm_up()
        self.phases.reset_choices()
        self._refresh()

    def _on_model_chosen(self, folder: Path | None) -> None:
        self._session.model = folder
        self.phases.reset_choices()
        self._refresh()

    def _show_model(self, folder: Path | None) -> None:
        self.model.value = folder

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
        for one in (self.run_button, *self.part_buttons.values()):
            set_ready(one, self._why_not())
        session = self._session
        self.correct_button.native.setVisible(
            self.on_correct is not None and session.draft is not None and session.record is None
        )
        self.fold.set_title(f"Model: {self.model.title}")

    def _on_ended(self, outcome: str) -> None:
        self.view.look.take_down()
        if outcome != "done":
            is_canceled = outcome == "canceled"
            self.view.say(self._drafted, "Canceled; the mask is unchanged." * is_canceled)
        self._refresh()
