"""The slice on the screen is segmented first, marked as preliminary; imports come before."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import click

from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.widgets.canvas.layers import show_exam, tumor_layer
from napari_breastseg.widgets.segment import warm_up
from napari_breastseg.widgets.segment.first_look import FirstLook


@pytest.fixture
def form(window: SimpleNamespace, slice_case: Any, tiny_model: Path) -> SimpleNamespace:
    """The Draft step with an exam of seven slices, the fifth in sight."""
    picture = slice_case.exam().phases["post1"].data[0]
    data = np.repeat(picture[None], 7, axis=0)
    grid = Grid(data.shape, np.diag([3.0, 1.0, 1.0, 1.0]))
    show_exam(window.viewer, Exam("P1", {"post1": Volume(data, grid)}))
    panel = window.dock.segment_panel
    panel.model.value, panel.device.value = tiny_model, "cpu"
    window.dock.show_tab("Segment")
    window.viewer.dims.set_current_step(0, 4)
    return SimpleNamespace(panel=panel)


@pytest.fixture
def looks(window: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What stood on the canvas each time that slices had been seen."""
    seen: list[dict[str, Any]] = []
    show = FirstLook.show

    def look(self: FirstLook, source: Any, progress: Any, threshold: float) -> None:
        show(self, source, progress, threshold)
        viewer = window.viewer
        layer = viewer.layers["P1 first look"]
        seen.append(
            {
                "slices": progress.slices,
                "marked": set(np.flatnonzero(layer.data.any(axis=(1, 2))).tolist()),
                "active": viewer.layers.selection.active.name,
                "has_mask": tumor_layer(viewer, "P1") is not None,
            }
        )

    monkeypatch.setattr(FirstLook, "show", look)
    return seen


def test_the_slice_in_sight_is_marked_first_and_the_draft_takes_its_place(
    window: SimpleNamespace, form: SimpleNamespace, looks: list[dict[str, Any]], idle: Any
) -> None:
    click(form.panel.part_buttons["whole"].native)
    window.qtbot.waitUntil(lambda: bool(looks))
    assert form.panel.result.text().startswith("Preliminary: ")
    idle(form.panel.runner)
    assert looks[0] == {"slices": (4,), "marked": {4}, "active": "P1 post1", "has_mask": False}
    assert looks[-1]["marked"] == set(range(7))
    names = [layer.name for layer in window.viewer.layers]
    assert names == ["P1 post1", "P1 tumor"]
    assert form.panel.result.text().startswith("Draft: ")


def test_a_draft_to_stay_hidden_is_not_shown_on_its_way(
    window: SimpleNamespace, form: SimpleNamespace, looks: list[dict[str, Any]], idle: Any
) -> None:
    form.panel.hides_drafts.value = True
    click(form.panel.part_buttons["whole"].native)
    idle(form.panel.runner)
    assert looks == []
    assert not tumor_layer(window.viewer, "P1").data.any()


def test_a_canceled_draft_leaves_nothing_on_the_canvas(
    window: SimpleNamespace, form: SimpleNamespace, looks: list[dict[str, Any]], idle: Any
) -> None:
    click(form.panel.part_buttons["whole"].native)
    window.qtbot.waitUntil(lambda: bool(looks))
    form.panel.runner.cancel()
    idle(form.panel.runner)
    assert [layer.name for layer in window.viewer.layers] == ["P1 post1"]
    assert form.panel.result.text() == "Canceled; the mask is unchanged."


def test_opening_an_exam_starts_the_imports(
    window: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_heavy_library.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(warm_up, "WANTED", ["a_heavy_library"])
    monkeypatch.setattr(warm_up, "_started", [])
    window.qtbot.wait(20)
    assert "a_heavy_library" not in sys.modules
    data = np.arange(2 * 8 * 8, dtype=np.int16).reshape(2, 8, 8)
    show_exam(window.viewer, Exam("P1", {"post1": Volume(data, Grid(data.shape))}))
    window.qtbot.waitUntil(lambda: "a_heavy_library" in sys.modules)
    del sys.modules["a_heavy_library"]
