"""When a correction tool is ready, and what interpolating again takes for edited; no window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Grid, LabelMap
from napari_breastseg.widgets.state.interpolating import Interpolation
from napari_breastseg.widgets.state.tool_rules import ToolSituation, unfinished, why_no_tool

GRID = Grid((10, 24, 20), np.diag([3.0, 1.0, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("name", "situation", "why_not"),
    [
        ("smooth", {}, ""),
        ("smooth", {"is_busy": True}, "Busy; wait or cancel"),
        ("smooth", {"has_exam": False}, "Open an exam first"),
        ("smooth", {"has_mask": False}, "No mask to correct: segment first, or start correcting"),
        ("revert", {}, "No draft to go back to"),
        ("revert", {"has_draft": True}, ""),
        ("revert", {"has_draft": True, "is_draft_hidden": True}, "The draft is hidden"),
        ("predict_box", {"has_draft": True, "is_draft_hidden": True}, "The draft is hidden"),
        ("predict_box", {"is_draft_hidden": True}, ""),  # there is none to hide
        ("smooth", {"has_draft": True, "is_draft_hidden": True}, ""),
    ],
)
def test_a_tool_is_ready_or_says_why_not(
    name: str, situation: dict[str, Any], why_not: str
) -> None:
    said = why_no_tool(name, ToolSituation(**situation))
    assert bool(said) == bool(why_not)
    assert said.startswith(why_not)


def test_accept_waits_for_a_running_tool() -> None:
    assert unfinished(ToolSituation()) == ""
    assert unfinished(ToolSituation(is_busy=True)) == "A tool is running; wait or cancel"


def drawn(*slices: int) -> Any:
    labels = np.zeros(GRID.shape, np.uint8)
    for z in slices:
        labels[z, 8:14, 6 + z : 10 + z] = 1
    return labels


def test_slices_filled_in_before_are_no_edits_until_they_are_corrected() -> None:
    interpolation, labels = Interpolation(), drawn(1, 7)
    edit, gaps = interpolation.edit(LabelMap(labels, GRID), None, axis=0, index=4)
    assert tuple(gaps) == ((1, 7),)
    labels = edit.applied(labels)
    assert labels.any(axis=(1, 2)).tolist() == [False, *[True] * 7, False, False]
    interpolation.note_filled(labels, gaps, axis=0)
    again, gaps = interpolation.edit(LabelMap(labels, GRID), None, axis=0, index=None)
    assert (again.count, tuple(gaps)) == (0, ((1, 7),))
    labels[4, 2:5, 2:5] = 1  # a correction: the gaps end there
    _, gaps = interpolation.edit(LabelMap(labels, GRID), None, axis=0, index=None)
    assert tuple(gaps) == ((1, 4), (4, 7))
    interpolation.forget()
    with pytest.raises(InputError, match="only slices 2, 3, 4, 5, 6, 7, 8 were edited"):
        interpolation.edit(LabelMap(labels, GRID), None, axis=0, index=None)


def test_slices_as_drafted_are_no_edits() -> None:
    labels, drafted = drawn(1, 4, 7), drawn(4)
    _, gaps = Interpolation().edit(LabelMap(labels, GRID), drafted, axis=0, index=3)
    assert tuple(gaps) == ((1, 7),)


@pytest.mark.parametrize(
    ("slices", "index", "message"),
    [
        ((), None, "no slice was edited. Correct a slice further on, then interpolate.$"),
        ((3,), 3, "only slice 4 was edited. .* then interpolate from a slice between"),
    ],
)
def test_without_a_gap_it_is_said_which_slices_are_edited(
    slices: tuple[int, ...], index: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Interpolation().edit(LabelMap(drawn(*slices), GRID), None, axis=0, index=index)
