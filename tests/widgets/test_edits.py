"""Which slices an edit touched, and what is known of each slice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_breastseg.widgets.state.edits import EditWatch, SliceStates, slices_of


@pytest.fixture
def watched() -> SimpleNamespace:
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros((6, 20, 20), np.uint8))
    told: list[bool] = []
    watch = EditWatch(viewer, layer, told.append)
    watch.pop_edited()
    told.clear()
    return SimpleNamespace(viewer=viewer, layer=layer, watch=watch, told=told)


def edit(layer: Labels, *slices: int) -> None:
    z = np.array(slices)
    with layer.block_history():
        layer.data_setitem((z, np.full_like(z, 3), np.full_like(z, 4)), 1)


def test_an_edit_is_told_with_its_slices(watched: Any) -> None:
    edit(watched.layer, 2, 5)
    assert watched.told[-1] is False
    assert watched.watch.pop_edited() == (2, 5)
    assert watched.watch.pop_edited() == ()
    watched.viewer.dims.set_current_step(0, 4)
    watched.layer.brush_size = 3
    with watched.layer.block_history():
        watched.layer.paint((4, 10, 10), 1)
        watched.layer.paint((4, 10, 12), 1)
    assert watched.watch.pop_edited() == (4,)


def test_scrolling_is_no_edit(watched: Any) -> None:
    for step in (0, 3, 5, 5):
        watched.viewer.dims.set_current_step(0, step)
    assert watched.told == []
    assert watched.watch.pop_edited() == ()


def test_undo_and_redo_could_be_any_slice(watched: Any) -> None:
    edit(watched.layer, 1)
    watched.watch.pop_edited()
    watched.told.clear()
    watched.layer.undo()
    assert watched.told == [False]
    assert watched.watch.pop_edited() is None
    watched.viewer.dims.set_current_step(0, 5)
    watched.layer.redo()
    assert watched.watch.pop_edited() is None


def test_a_stroke_under_way_could_be_any_slice(watched: Any) -> None:
    watched.layer._begin_stroke()  # as napari's brush does while the button is down
    watched.layer.paint((3, 10, 10), 1)
    assert watched.told == [True]
    assert watched.watch.pop_edited() is None
    watched.layer.paint((3, 10, 14), 1)
    watched.layer._commit_stroke()
    assert watched.told == [True, True, False]
    assert watched.watch.pop_edited() == (3,)
    watched.watch.stop()
    edit(watched.layer, 1)
    assert watched.told == [True, True, False]


def test_an_undo_step_of_unknown_make_could_be_any_slice() -> None:
    assert slices_of([(None, 0, 1)], 3) is None
    assert slices_of([((slice(None), slice(None), slice(None)), 0, 1)], 3) is None
    assert slices_of([("anything", 0, 1)], 2) == {0}


def test_only_the_slices_named_are_looked_at() -> None:
    labels = np.zeros((4, 5, 5), np.uint8)
    saved = labels.copy()
    states = SliceStates()
    states.update(labels, saved)
    assert not states.has_tumor.any()
    assert not states.is_unsaved.any()
    labels[1, 2, 2], labels[3, 2, 2] = 1, 2
    states.update(labels, saved, (1,))
    assert states.has_tumor.tolist() == [False, True, False, False]
    assert states.is_unsaved.tolist() == [False, True, False, False]
    states.update(labels, saved)
    assert states.has_tumor.tolist() == [False, True, False, False]  # 2 is `ignore`
    assert states.is_unsaved.tolist() == [False, True, False, True]
    states.update(labels, None)
    assert not states.is_unsaved.any()
    states.update(labels, saved[:, :4])
    assert states.is_unsaved.all()
