"""Segment tumor: one magicgui form, alone in any viewer and as a step of the dock, and a call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import click
from magicgui.widgets import create_widget
from napari.layers import Labels
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

from napari_breastseg.core.errors import InputError
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets import SegmentTumor, segment_tumor, show_segment
from napari_breastseg.widgets.parts.forms import Model, register_types
from napari_breastseg.widgets.state.settings import recall
from napari_breastseg.widgets.state.sources import Source

WAIT_MS = 30_000


@pytest.fixture
def alone(make_napari_viewer: Any, slice_case: Any, tiny_model: Path) -> Iterator[SimpleNamespace]:
    """A viewer without the dock: an image layer of another reader, and the form from the menu."""
    viewer = make_napari_viewer(show=True)
    picture = slice_case.exam().phases["post1"].data[0]
    viewer.add_image(np.repeat(picture[None], 3, axis=0), name="from elsewhere", scale=(3, 1, 1))
    show_segment(viewer)
    (form,) = viewer.window.dock_widgets.values()
    form.model.value = tiny_model
    form.device.value = "cpu"
    space = SimpleNamespace(viewer=viewer, form=form, mask=slice_case.mask)
    del viewer, form
    QApplication.processEvents()
    yield space
    space.form.runner.abandon()
    assert QThreadPool.globalInstance().waitForDone(WAIT_MS)
    space.__dict__.clear()


def test_the_menu_opens_the_form_alone_and_draft_makes_the_mask(
    alone: SimpleNamespace, qtbot: Any
) -> None:
    form = alone.form
    assert isinstance(form, SegmentTumor)
    assert form.exam.value.title == "from elsewhere (image layer)"
    assert form.exam.native.isVisible()
    click(form.run_button.native)
    qtbot.waitUntil(lambda: not form.runner.is_running, timeout=WAIT_MS)
    qtbot.wait(20)
    layer = alone.viewer.layers["from_elsewhere tumor"]
    assert isinstance(layer, Labels)
    assert layer.data[1][alone.mask].mean() > 0.5
    assert form.result.text().startswith("Draft: ")


def test_a_slice_alone_is_drafted_and_can_be_canceled(alone: SimpleNamespace, qtbot: Any) -> None:
    form = alone.form
    alone.viewer.dims.set_current_step(0, 2)
    click(form.part_buttons["slice"].native)
    form.runner.cancel()
    qtbot.waitUntil(lambda: not form.runner.is_running, timeout=WAIT_MS)
    qtbot.wait(20)
    assert form.result.text() == "Canceled; the mask is unchanged."
    assert len(alone.viewer.layers) == 1
    click(form.part_buttons["slice"].native)
    qtbot.waitUntil(lambda: len(alone.viewer.layers) == 2, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not form.runner.is_running, timeout=WAIT_MS)
    marked = alone.viewer.layers["from_elsewhere tumor"].data.any(axis=(1, 2))
    assert marked.tolist() == [False, False, True]


def test_without_an_exam_the_form_says_why_it_waits(
    make_napari_viewer: Any, tiny_model: Path
) -> None:
    viewer = make_napari_viewer()
    form = SegmentTumor(viewer)
    assert not form.run_button.native.isEnabled()
    assert form.run_button.native.toolTip() == "Open an exam first"
    viewer.add_image(np.zeros((3, 8, 8)), name="new")
    form.reset_choices()
    assert form.run_button.native.toolTip() == "Choose the layer of phase pre"
    form.model.value = tiny_model  # needs one phase
    assert form.run_button.native.isEnabled()
    form.native.deleteLater()


def test_a_dragged_box_is_drafted_when_the_mouse_lets_go(
    window: SimpleNamespace, stroke: Any, idle: Any, slice_case: Any, tiny_model: Path
) -> None:
    viewer, form = window.viewer, window.dock.segment_panel
    picture = slice_case.exam().phases["post1"].data[0]
    viewer.add_image(np.repeat(picture[None], 5, axis=0), name="stack")
    form.model.value, form.device.value, form.beside.value = tiny_model, "cpu", 1
    viewer.dims.set_current_step(0, 2)
    window.dock.show_tab("Segment")
    click(form.part_buttons["box"].native)
    ys, xs = np.nonzero(slice_case.mask)
    box = viewer.layers["stack box"]
    stroke(box, (2, ys.min() - 3, xs.min() - 3), (2, ys.max() + 3, xs.max() + 3))
    window.qtbot.waitUntil(lambda: "stack tumor" in viewer.layers, timeout=WAIT_MS)
    idle(form.runner)
    marked = viewer.layers["stack tumor"].data.any(axis=(1, 2))
    assert marked.tolist() == [False, True, True, True, False]


def test_a_script_calls_what_the_form_is_made_of(
    make_napari_viewer: Any, slice_case: Any, tiny_model: Path
) -> None:
    viewer = make_napari_viewer()
    picture = slice_case.exam().phases["post1"].data[0]
    image = viewer.add_image(np.repeat(picture[None], 3, axis=0), name="stack")
    viewer.dims.set_current_step(0, 1)
    layer = segment_tumor(viewer, image, part="slice", model=tiny_model, device="cpu")
    assert layer == viewer.layers["stack tumor"]
    assert layer.data.any(axis=(1, 2)).tolist() == [False, True, False]
    viewer.add_image(np.zeros((3, 8, 8)), name="other")
    viewer.layers.selection.clear()
    with pytest.raises(InputError, match="Expected one exam to segment; found 2 in the viewer"):
        segment_tumor(viewer, model=tiny_model)
    form = SegmentTumor(viewer)
    for name in inspect.signature(segment_tumor).parameters:
        assert name in ("viewer", "part") or hasattr(form, name), name
    assert set(form.part_buttons) == {"whole", "slice", "box"}  # and Draft: the breasts
    form.native.deleteLater()


def test_any_function_may_ask_for_an_exam_a_model_or_a_dataset(
    make_napari_viewer: Any, tiny_model: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 8, 8)), name="stack")
    register_types()
    exam = create_widget(annotation=Source)
    assert exam.value.case_id == "stack"
    model = create_widget(annotation=Model)
    model.value = tiny_model
    assert model.value == tiny_model
    dataset = create_widget(annotation=Dataset)
    assert dataset.value is None
    made = Dataset.create(tmp_path / "set")
    dataset.value = made
    assert dataset.value.folder == made.folder
    dataset.value = tmp_path / "nowhere"
    assert dataset.value is None


def test_settings_are_kept_between_starts_and_the_threshold_is_not(
    make_napari_viewer: Any,
) -> None:
    viewer = make_napari_viewer()
    first = SegmentTumor(viewer)
    first.device.value, first.mirror.value, first.beside.value = "cpu", True, 3
    first.threshold.value = 0.8
    assert recall("draft.device") == '"cpu"'
    again = SegmentTumor(viewer)
    assert (again.device.value, again.mirror.value, again.beside.value) == ("cpu", True, 3)
    assert again.threshold.value == 0.5  # one exam's threshold says nothing about the next
    for form in (first, again):
        form.native.deleteLater()
