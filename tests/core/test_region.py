"""Parts of an exam: what they cover, and that they stay inside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.region import checked, grown, resampled, smallest, whole
from napari_breastseg.core.volume import Exam, Grid, Volume

SHAPE = (4, 20, 30)
GRID = Grid(SHAPE, np.diag([3.0, 1.0, 0.5, 1.0]))
EXAM = Exam("P", {"post1": Volume(np.zeros(SHAPE, np.float32), GRID)})


def test_no_region_is_the_whole_and_open_ends_are_filled_in():
    assert checked(None, EXAM) == whole(EXAM) == (slice(0, 4), slice(0, 20), slice(0, 30))
    assert checked((slice(1, None), slice(None), slice(-5, None)), EXAM)[2] == slice(25, 30)


@pytest.mark.parametrize("bad", [slice(4, 9), slice(2, 2), slice(0, 4, 2)])
def test_what_is_outside_empty_or_has_gaps_is_refused(bad):
    with pytest.raises(InputError, match="Expected a region inside exam P"):
        checked((bad, slice(None), slice(None)), EXAM)


def test_the_smallest_holds_what_is_near_in_the_box_and_nothing_else():
    near = np.zeros(SHAPE, bool)
    near[1:3, 5:9, 10:12] = near[3, 19, 29] = True
    box = (slice(0, 3), slice(2, 20), slice(0, 30))
    assert smallest(near, box) == (slice(1, 3), slice(5, 9), slice(10, 12))
    assert smallest(near & False, box) == box


def test_it_grows_by_millimeters_and_stays_inside():
    region = (slice(1, 2), slice(8, 9), slice(28, 29))
    assert grown(region, EXAM, 3.0) == (slice(0, 3), slice(5, 12), slice(22, 30))


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_resampled_covers_the_same_part_of_the_field(have, other, data):
    start = data.draw(st.integers(0, have - 1))
    stop = data.draw(st.integers(start + 1, have))
    (part, *_) = resampled((slice(start, stop),) * 3, (have,) * 3, (other,) * 3)
    assert 0 <= part.start < part.stop <= other
    # Every working voxel whose center lies in the part is covered
    centers = (np.arange(other) + 0.5) * have / other
    inside = np.flatnonzero((centers > start) & (centers < stop))
    assert all(part.start <= n < part.stop for n in inside)
