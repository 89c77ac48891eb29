"""Side, quadrant, clock position and depth of a lesion, on phantoms whose nipples are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_breastseg.imaging.breast_region import find_breasts
from napari_breastseg.lesions.location import Location, clock_position, locate
from napari_breastseg.phantom import breast_phantom


@pytest.fixture(scope="module")
def breasts():
    phantom = breast_phantom(
        7, shape=(30, 128, 128), spacing_mm=(5.0, 2.7, 2.7), phases=("post1",), lesions=0
    )
    return find_breasts(phantom.exam)


@pytest.mark.parametrize(
    ("side", "right_mm", "up_mm", "quadrant", "clock"),
    [
        ("right", 30, 18, "upper outer", 10),
        ("left", -30, 18, "upper outer", 2),
        ("right", -25, 15, "upper inner", 2),
        ("left", 25, -15, "lower inner", 8),
        ("right", 15, -26, "lower outer", 7),
        ("left", -3, 28, "upper outer", 12),
        ("left", 5, -5, "central", None),
    ],
)
def test_the_place_is_told_as_the_examiner_sees_it(breasts, side, right_mm, up_mm, quadrant, clock):
    way = np.array([right_mm, -45.0, up_mm])
    found = locate(breasts, tuple(np.array(breasts.nipples_mm[side]) + way))
    assert (found.side, found.quadrant, found.clock) == (side, quadrant, clock)
    assert found.nipple_mm == pytest.approx(np.linalg.norm(way))
    assert 5 < found.skin_mm < 46
    assert found.wall_mm > 0


def test_the_hours_run_as_on_a_clock_seen_from_the_front():
    hours = []
    for degrees in range(0, 360, 30):
        a = np.radians(degrees)
        hours.append(clock_position(np.array([-np.sin(a), -10.0, np.cos(a)])))
    assert hours == [12, *range(1, 12)]


def test_outside_the_breasts_there_is_no_quadrant(breasts):
    nipple = np.array(breasts.nipples_mm["left"])
    deep = locate(breasts, tuple(nipple + np.array((10, -190, 0))))
    assert deep.side == "left"
    assert (deep.quadrant, deep.clock) == (None, None)
    assert deep.wall_mm < 0


def test_a_region_in_doubt_tells_no_place(breasts):
    doubted = dataclasses.replace(breasts, doubts=("the breasts seem to be of very unlike size",))
    assert locate(doubted, breasts.nipples_mm["left"]) == Location()
    one = dataclasses.replace(breasts, nipples_mm={"right": breasts.nipples_mm["right"]})
    assert locate(one, breasts.nipples_mm["left"]) == Location()
