"""Segment: a model drafts the tumor in all of the exam at work, its breasts, a slice or a box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QRadioButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.region import Region
from ...core.volume import TUMOR, Exam, LabelMap
from ...model.checkpoint import Checkpoint, read_info
from ...predict.prediction import Prediction
from ...predict.thresholding import ProbabilitySteps
from ..canvas.layers import show_labels, tumor_layer, volume_of
from ..canvas.view import add_box, box_region, go_to_tumor, slice_region
from ..parts import fields as _fields
from ..parts.fields import Fold, button, form, heading, note, set_ready
from ..parts.job_bar import JobBar, time_words
from ..parts.jobs import JobRunner, errors_shown
from ..parts.model_picker import ModelPicker
from ..state.session import Draft, Session, is_same
from ..state.settings import recall, remember
from ..state.sources import Source, exam_of, is_open

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["SegmentPanel"]

DEVICES = ("auto", "cpu", "cuda", "mps")

_HIDDEN = "A draft was made. It is hidden until you ask for it (F9)."


@dataclass(frozen=True, eq=False)
class _Shown:
    """A prediction as it was put into the viewer: what another threshold starts from."""

    source: Source
    draft: Draft
    region: Region | None
    labels: NDArray[np.uint8]
    threshold: float
    took: str
    is_undo_step: bool = False
    """Whether the last undo step of the mask is another threshold of this prediction."""


class SegmentPanel(QWidget):
    """Model, region, threshold, Run; the result is the layer "<case> tumor"."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._loaded: tuple[Path, str, Checkpoint] | None = None
        self._shown: _Shown | None = None
        self.runner = JobRunner(self)
        self.model = ModelPicker()
        self.model.valueChanged.connect(self._take_model)
        session.model_changed.connect(self.model.setValue)
        self._roles: dict[str, QComboBox] = {}
        self._role_form = QFormLayout()
        self._role_form.setContentsMargins(0, 0, 0, 0)
        self.role_rows = QWidget()
        self.role_rows.setLayout(self._role_form)

        self.whole = QRadioButton("Whole")
        self.breasts = QRadioButton("Breasts")
        self.slice = QRadioButton("Slice")
        self.box = QRadioButton("Box")
        self.regions = QButtonGroup(self)
        choices = (self.whole, self.breasts, self.slice, self.box)
        for choice in choices:
            self.regions.addButton(choice)
        self.whole.setChecked(True)
        self.whole.setToolTip("Segment the whole exam")
        self.breasts.setToolTip(
            "The whole exam, but nothing is marked away from the breasts, such as the heart.\n"
            "Needs both breasts in the field of view"
        )
        self.slice.setToolTip("Segment the slice in sight only")
        self.box.setToolTip("Segment inside a rectangle, through some slices")
        self.draw_box = button("Draw box", self._draw_box, "Drag a rectangle on the image")
        self.beside = QSpinBox()
        self.beside.setRange(0, 500)
        self.beside.setValue(5)
        self.beside.setPrefix("± ")
        self.beside.setSuffix(" slices")
        self.beside.setToolTip("How many slices on both sides of the rectangle")
        self.box_row = QWidget()
        box_row = QHBoxLayout(self.box_row)
        box_row.setContentsMargins(0, 0, 0, 0)
        box_row.addWidget(self.draw_box)
        box_row.addWidget(self.beside, 1)
        self.regions.buttonToggled.connect(lambda *_: self._show_box_row())

        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.01, 1.0)
        self.threshold.setSingleStep(0.01)
        self.threshold.setPageStep(0.05)
        self.threshold.setDecimals(2)
        self.threshold.setValue(0.5)
        self.threshold.setToolTip(
            "Probability from which a voxel is tumor. Higher marks less.\n"
            "The last result follows at once, as one undo step. A mask that was edited since is\n"
            "changed only after a question."
        )
        self._threshold_timer = _single_shot(self, 60, self._apply_threshold)
        self._asking_timer = _single_shot(self, 600, self._ask_about_threshold)
        self.threshold.valueChanged.connect(lambda _: self._threshold_timer.start())
        self.hides_drafts = QCheckBox("Hide the draft until I ask for it")
        self.hides_drafts.setToolTip(
            "Read the exam first: the draft is made, kept and compared with your mask, and shown\n"
            "when you press 'Show the draft' in the Correct tab (F9)."
        )
        self.hides_drafts.toggled.connect(self._take_hiding)
        self.hides_drafts.setChecked(recall("hides_drafts") == "yes")
        self.device = QComboBox()
        self.device.addItems(DEVICES)
        self.device.setToolTip("auto takes the graphics card when there is one")
        self.mirror = QCheckBox("Average with the mirrored image")
        self.mirror.setToolTip("Takes twice as long; slightly surer")
        self.run_button = button("Segment", self.run, "Draft the tumor with the model", "Shift-S")
        self.bar = JobBar(self.runner, "Shift-X")
        self.result = note()

        region_row = QHBoxLayout()
        region_row.setContentsMargins(0, 0, 0, 0)
        for choice in choices:
            region_row.addWidget(choice)
        region_row.addStretch(1)
        more = QWidget()
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addLayout(form(("Device", self.device)))
        inner.addWidget(self.mirror)
        column = QVBoxLayout(self)
        column.addWidget(heading("Model"))
        column.addWidget(self.model)
        column.addWidget(self.role_rows)
        column.addWidget(heading("Region"))
        column.addLayout(region_row)
        column.addWidget(self.box_row)
        column.addLayout(form(("Threshold", self.threshold)))
        column.addWidget(self.hides_drafts)
        column.addWidget(Fold("More", more))
        column.addWidget(self.run_button)
        column.addWidget(self.bar)
        column.addWidget(self.result)
        column.addStretch(1)
        self._show_box_row()
        session.source_changed.connect(self.reset_choices)
        session.draft_changed.connect(self._take_draft)
        self.runner.started.connect(lambda _: self._refresh())
        self.runner.ended.connect(self._on_ended)
        self._take_model(self.model.value())
        self.reset_choices()

    def reset_choices(self, event: object = None) -> None:
        """Bring pickers and buttons up to date with the viewer and the registry."""
        self._fill_roles()
        self._refresh()

    def run(self) -> None:
        """Segment the exam at work; the result comes as a layer."""
        with errors_shown():
            if why_not := self._why_not():
                raise InputError(
                    "Expected an exam and a model to segment", why_not, "Then run again"
                )
            source, folder = self._session.source, self._session.model
            assert source is not None  # `_why_not` said so
            assert folder is not None
            exam = exam_of(self._viewer, source, self._chosen_roles())
            region, how = self._region(source, exam), self._settings()
            how["breasts_only"] = self.breasts.isChecked()
            self.result.setText("")
            self.runner.start(
                "Segmenting",
                lambda: self._segment(folder, exam, region, how),
                on_result=lambda prediction: self._take(source, prediction, region),
            )

    def predict_in(self, region: Region) -> Callable[[], Job[Prediction]]:
        """What predicts a region of the exam at work with this tab's settings, for a worker."""
        if why_not := self._why_not():
            raise InputError("Expected a model to predict with", why_not, "Then try again")
        source, folder = self._session.source, self._session.model
        assert source is not None  # `_why_not` said so
        assert folder is not None
        exam = exam_of(self._viewer, source, self._chosen_roles())
        how = self._settings()
        return lambda: self._segment(folder, exam, region, how)

    def _settings(self) -> dict[str, Any]:
        """What this tab says of how to predict, as `predict` takes it."""
        return {
            "device": self.device.currentText(),
            "threshold": self.threshold.value(),
            "mirror": self.mirror.isChecked(),
        }

    def _segment(
        self, folder: Path, exam: Exam, region: Region | None, how: dict[str, Any]
    ) -> Job[Prediction]:
        """In the worker's thread: load the model unless it is the last one used, and predict."""
        yield Progress("Loading the model", 0, 0)
        from ...model import checkpoint
        from ...predict import prediction

        digest = checkpoint.read_info(folder).weights_sha256
        if self._loaded is None or self._loaded[:2] != (folder, digest):
            self._loaded = (folder, digest, checkpoint.load(folder))
        return (yield from prediction.predict(self._loaded[2], exam, region=region, **how))

    def _take(self, source: Source, prediction: Prediction, region: Region | None) -> None:
        if not is_open(self._viewer, source):
            raise InputError(
                f"Expected exam {source.case_id} in the viewer to show its result",
                "it was closed in the meantime",
                "Open it and segment it again",
            )
        if self._would_lose_work(source, region) and not _fields.ask(
            self,
            "The mask was edited",
            "The mask in sight holds work that is not accepted. Put the new draft in its place? "
            "(Ctrl+Z brings your mask back.)",
            "Replace it",
            "Keep my mask",
        ):
            return
        probability = ProbabilitySteps.of(prediction.probability, prediction.least_share)
        draft = Draft(source.case_id, prediction.label_map, prediction.model, probability)
        took = f"{time_words(prediction.seconds)} on {prediction.device}"
        self._show(source, draft, region, prediction.threshold, took)
        if not self._session.is_draft_hidden and self._shown is not None:
            go_to_tumor(self._viewer, source, self._shown.labels)

    def _would_lose_work(self, source: Source, region: Region | None) -> bool:
        """Whether the mask there is neither a draft as it came nor as it is on the disk."""
        layer = tumor_layer(self._viewer, source.case_id)
        if layer is None or self._session.is_draft_hidden:
            return False
        part, draft, saved = region or ..., self._session.draft, self._session.saved
        labels = volume_of(layer)[part]
        if saved is not None and is_same(labels, saved[part]):
            return False
        if draft is not None and draft.case_id == source.case_id:
            return not is_same(labels, draft.label_map.data[part])
        return bool((labels == TUMOR).any())

    def _show(
        self, source: Source, draft: Draft, region: Region | None, threshold: float, took: str
    ) -> None:
        self._session.keep_draft(draft, region, source=source)
        if self._session.is_draft_hidden:
            # Its size would tell the reader what the draft says.
            labels = draft.label_map.data
            self._shown = _Shown(source, draft, region, labels, threshold, took)
            self.result.setText(_HIDDEN)
            if tumor_layer(self._viewer, source.case_id) is None:
                grid = draft.label_map.grid
                show_labels(self._viewer, source, LabelMap(np.zeros(grid.shape, np.uint8), grid))
            self._refresh()
            return
        labels = self._with_region(source, draft.label_map.data, region)
        show_labels(self._viewer, source, LabelMap(labels, draft.label_map.grid))
        self._shown = _Shown(source, draft, region, labels, threshold, took)
        self.result.setText(_result_words(draft.label_map, threshold, took))
        self._refresh()

    def _with_region(
        self, source: Source, predicted: NDArray[np.uint8], region: Region | None
    ) -> NDArray[np.uint8]:
        """The whole mask: the prediction inside the region, what was there before outside."""
        layer = tumor_layer(self._viewer, source.case_id)
        if region is None or layer is None or volume_of(layer).shape != predicted.shape:
            return predicted.copy()
        merged: NDArray[np.uint8] = volume_of(layer).astype(np.uint8)
        merged[region] = predicted[region]
        return merged

    def _apply_threshold(self) -> None:
        """Cut the last probability at the new threshold; an edited mask is asked about first."""
        shown, layer = self._shown, self._shown_layer()
        if shown is None or layer is None or self.threshold.value() == shown.threshold:
            return
        if is_same(volume_of(layer), shown.labels):
            self._cut_again(shown, layer)
        else:
            self._asking_timer.start()

    def _ask_about_threshold(self) -> None:
        shown, layer = self._shown, self._shown_layer()
        if shown is None or layer is None or self.threshold.value() == shown.threshold:
            return
        if self.threshold.isSliderDown():
            self._asking_timer.start()
        elif _fields.ask(
            self,
            "The mask was edited",
            "The mask was edited since it was segmented. Put the draft at the new threshold in "
            "its place? (Ctrl+Z brings your mask back.)",
            "Replace it",
            "Keep my mask",
        ):
            self._cut_again(replace(shown, is_undo_step=False), layer)
        else:
            self.threshold.setValue(shown.threshold)

    def _shown_layer(self) -> Labels | None:
        """The mask's layer of the last prediction, while that may be cut again."""
        shown = self._shown
        is_busy = self.runner.is_running or self._session.is_draft_hidden
        if shown is None or is_busy or not is_open(self._viewer, shown.source):
            return None
        return tumor_layer(self._viewer, shown.source.case_id)

    def _cut_again(self, shown: _Shown, layer: Labels) -> None:
        probability, threshold = shown.draft.probability, self.threshold.value()
        if probability is None:
            return
        if shown.is_undo_step:  # however far the slider moves it is one step
            layer.undo()
            self._session.settle(0, 1)
        before = volume_of(layer).copy()
        label_map = probability.at_threshold(threshold)
        draft = replace(shown.draft, label_map=label_map)
        self._show(shown.source, draft, shown.region, threshold, shown.took)
        if self._shown is not None:
            is_step = not is_same(before, self._shown.labels)
            self._shown = replace(self._shown, is_undo_step=is_step)

    def _take_draft(self) -> None:
        """Say what the draft is, once it is hidden no longer."""
        shown = self._shown
        was_hidden = self.result.text() == _HIDDEN
        if shown is not None and was_hidden and not self._session.is_draft_hidden:
            words = _result_words(shown.draft.label_map, shown.threshold, shown.took)
            self.result.setText(words)

    def _take_hiding(self, is_hiding: bool) -> None:
        self._session.hides_drafts = is_hiding
        remember("hides_drafts", "yes" if is_hiding else "no")

    def _region(self, source: Source, exam: Exam) -> Region | None:
        if self.slice.isChecked():
            return slice_region(self._viewer, source, exam)
        if self.box.isChecked():
            return box_region(self._viewer, source, exam, self.beside.value())
        return None

    def _draw_box(self) -> None:
        if self._session.source is not None:
            add_box(self._viewer, self._session.source)

    def _show_box_row(self) -> None:
        self.box_row.setVisible(self.box.isChecked())

    def _take_model(self, folder: Path | None) -> None:
        self._session.model = folder
        self.reset_choices()

    # Roles of layers that other readers made

    def _needed_phases(self) -> tuple[str, ...]:
        folder = self._session.model
        if folder is None:
            return ()
        try:
            return read_info(folder).spec.phases
        except InputError:
            return ()

    def _fill_roles(self) -> None:
        """One row per phase the model needs, while the source is a foreign 2D or 3D layer."""
        source = self._session.source
        phases = self._needed_phases()
        is_asked = source is not None and source.is_foreign and len(phases) > 1
        if is_asked and source is not None:
            name = source.layers["post1"]
            is_asked = name in self._viewer.layers and self._viewer.layers[name].ndim < 4
        self.role_rows.setVisible(bool(is_asked))
        if not is_asked or source is None:
            self._roles = {}
            return
        kept = self._session.roles or {}
        while self._role_form.rowCount():
            self._role_form.removeRow(0)
        self._roles = {}
        shape = self._viewer.layers[source.layers["post1"]].data.shape
        names = [
            layer.name
            for layer in self._viewer.layers
            if layer.__class__.__name__ == "Image" and layer.data.shape == shape and not layer.rgb
        ]
        for phase in phases:
            combo = QComboBox()
            combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            combo.addItem("choose its layer", None)
            for name in names:
                combo.addItem(name, name)
            wanted = kept.get(phase)
            if wanted is None and phase == phases[-1]:
                wanted = source.layers["post1"]
            combo.setCurrentIndex(max(0, combo.findData(wanted)))
            combo.currentIndexChanged.connect(self._take_roles)
            self._role_form.addRow(phase, combo)
            self._roles[phase] = combo

    def _take_roles(self, event: object = None) -> None:
        """Keep the choice in the session: the same layers make the exam that is corrected."""
        chosen = {role: combo.currentData() for role, combo in self._roles.items()}
        self._session.choose_roles({role: name for role, name in chosen.items() if name})
        self._refresh()

    def _chosen_roles(self) -> dict[str, str] | None:
        source = self._session.source
        if source is None or not source.is_foreign:
            return None
        phases = self._needed_phases()
        if len(phases) == 1:
            return {phases[0]: source.layers["post1"]}
        if not self._roles:
            return None
        return {role: combo.currentData() for role, combo in self._roles.items()}

    def _why_not(self) -> str:
        """Why nothing can be segmented now; empty when it can."""
        if self.runner.is_running:
            return "Segmenting; wait or cancel"
        if self._session.source is None:
            return "Open an exam first"
        if self._session.model is None:
            return "Choose a model first, or train one under 'Train & models'"
        if self.model.problem:
            return self.model.problem
        unnamed = [role for role, combo in self._roles.items() if combo.currentData() is None]
        if unnamed:
            return f"Choose the layer of phase {' and '.join(unnamed)}"
        return ""

    def _refresh(self) -> None:
        set_ready(self.run_button, self._why_not())
        source = self._session.source
        set_ready(self.draw_box, "" if source is not None else "Open an exam first")

    def _on_ended(self, outcome: str) -> None:
        if outcome == "canceled":
            self.result.setText("Canceled; the mask is as it was.")
        self._refresh()


def _single_shot(parent: QWidget, after_ms: int, act: Callable[[], object]) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(after_ms)
    timer.timeout.connect(act)
    return timer


def _result_words(label_map: LabelMap, threshold: float, took: str) -> str:
    voxels = int(np.count_nonzero(label_map.tumor))
    if not voxels:
        return f"No tumor found at threshold {threshold:g} ({took})."
    voxel_ml = label_map.grid.voxel_ml
    size = f"{voxels:,} px" if voxel_ml is None else f"{voxels * voxel_ml:.2f} mL"
    return f"Draft: {size} at threshold {threshold:g} ({took}). Correct it in the next tab."
