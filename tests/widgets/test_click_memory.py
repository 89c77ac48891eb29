"""What clicks said is remembered for as long as the mask is what came of it."""

from __future__ import annotations

import numpy as np

from napari_breastseg.clicks.prompts import Prompts
from napari_breastseg.widgets.state.click_memory import ClickMemory

SHAPE = (9, 40, 40)


def mask(*slices: int) -> np.ndarray:
    made = np.zeros(SHAPE, np.uint8)
    for z in slices:
        made[z, 10:20, 10:20] = 1
    return made


def at(y: float, x: float) -> Prompts:
    return Prompts(inside=((y, x),))


def test_clicks_on_one_lesion_add_up_until_the_mask_is_another() -> None:
    memory = ClickMemory((3.0, 1.0, 1.0))
    said = memory.with_prompts({4: at(15, 15)}, mask())
    memory.note(said, mask(4, 5))
    said = memory.with_prompts({5: Prompts(outside=((12.0, 18.0),))}, mask(4, 5))
    assert set(said) == {4, 5}
    memory.note(said, mask(4, 5))
    assert len(memory.with_prompts({4: at(12, 12)}, mask(4, 5))[4].inside) == 2
    # Undone, or painted since: what was said of that slice no longer holds.
    assert memory.with_prompts({4: at(12, 12)}, mask(5))[4] == at(12, 12)


def test_a_click_far_away_means_another_lesion() -> None:
    memory = ClickMemory((3.0, 1.0, 1.0))
    memory.note(memory.with_prompts({1: at(15, 15)}, mask()), mask(1))
    assert set(memory.with_prompts({2: at(15, 18)}, mask(1))) == {1, 2}
    assert set(memory.with_prompts({8: at(39, 39)}, mask(1))) == {8}


def test_what_a_drag_says_of_several_slices_adds_up_in_each() -> None:
    memory = ClickMemory((3.0, 1.0, 1.0))
    memory.note(memory.with_prompts({4: at(15, 15)}, mask()), mask(3, 4, 5))
    said = memory.with_prompts({z: at(14, 14) for z in (3, 4, 5)}, mask(3, 4, 5))
    assert [len(said[z].inside) for z in (3, 4, 5)] == [1, 2, 1]


def test_slices_of_no_known_mask_were_corrected_by_hand() -> None:
    memory = ClickMemory((3.0, 1.0, 1.0))
    assert memory.corrected(mask(3)) == {3}
    memory.know(mask(2, 3))
    assert memory.corrected(mask(3)) == frozenset()
    painted = mask(2, 3)
    painted[2, 30, 30] = 1
    assert memory.corrected(painted) == {2}
    memory.note({}, painted, kept=[2])  # a click beside it
    assert memory.corrected(painted) == {2}
    memory.note({}, painted)
    assert memory.corrected(painted) == frozenset()
    # What is marked as not reviewed is no correction.
    not_reviewed = mask(3)
    not_reviewed[6] = 2
    assert memory.corrected(not_reviewed) == frozenset()
