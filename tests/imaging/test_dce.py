"""Maps of dynamic phases, how far phases lie apart, and bringing them together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.imaging import dce
from napari_breastseg.phantom import breast_phantom


@pytest.fixture(scope="module")
def still_exam():
    """A patient who does not move, with a lesion."""
    return breast_phantom(3, shape=(24, 112, 112), spacing_mm=(3.0, 2.8, 2.8), motion_mm=0).exam


def moved(exam, role, shift, degrees=0.0):
    data = exam.phases[role].data.astype(np.float32)
    if degrees:
        data = ndimage.rotate(data, degrees, axes=(1, 2), reshape=False, order=1, mode="nearest")
    data = ndimage.shift(data, shift, order=1, mode="nearest")
    return Exam(exam.case_id, {**exam.phases, role: Volume(data, exam.grid)}, exam.times_s)


def test_subtraction_of_unsigned_phases_may_be_negative():
    pre, post = np.array([[200]], np.uint8), np.array([[50]], np.uint8)
    assert dce.subtraction(pre, post).item() == -150


def test_maps_are_what_their_formulas_say(still_exam):
    maps = dce.enhancement_maps(still_exam)
    assert list(maps) == ["sub1", "sub2", "sub3", "PE1", "PE2", "PE3", "SER"]
    pre, post1, post3 = (
        still_exam.phases[role].data.astype(np.float64) for role in ("pre", "post1", "post3")
    )
    assert np.array_equal(np.asarray(maps["sub1"]), post1 - pre)
    floor = dce.tissue_floor(still_exam)
    tissue = pre > floor
    assert 0.2 < tissue.mean() < 0.9
    enhancement = np.asarray(maps["PE1"])
    percent = 100 * (post1 - pre)[tissue] / pre[tissue]
    np.testing.assert_allclose(enhancement[tissue], percent, rtol=1e-4)
    assert not enhancement[~tissue].any()
    ratio = np.asarray(maps["SER"])
    bright = tissue & (post1 - pre > 0.5 * pre) & (post3 - pre > 0.5 * pre)
    early, late = (post1 - pre)[bright], (post3 - pre)[bright]
    np.testing.assert_allclose(ratio[bright], np.minimum(early / late, 5), rtol=1e-4)
    assert (ratio.min(), ratio.max()) == (0, 5)


def test_a_map_is_computed_where_it_is_read():
    read = []

    def compute(part):
        read.append(part)
        return np.arange(4 * 5 * 6).reshape(4, 5, 6)[part].astype(np.float32)

    lazy = dce.LazyMap((4, 5, 6), compute)
    assert (lazy.shape, lazy.ndim, lazy.size, len(lazy)) == ((4, 5, 6), 3, 120, 4)
    assert read == []
    assert lazy[2].shape == (5, 6)
    assert read == [(slice(2, 3), slice(0, 5), slice(0, 6))]
    with pytest.raises(IndexError, match="index 4 is out of range for size 4"):
        lazy[4]


index = st.one_of(
    st.integers(-3, 2),
    st.builds(slice, st.none() | st.integers(-4, 4), st.none() | st.integers(-4, 4)),
    st.builds(slice, st.none(), st.none(), st.sampled_from([2, -1])),
    st.just(np.array([0, 2])),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(index, max_size=3), st.booleans())
def test_indexing_a_map_is_indexing_its_array(parts, with_ellipsis):
    whole = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    lazy = dce.LazyMap((3, 3, 3), lambda part: whole[part])
    if sum(isinstance(p, np.ndarray) for p in parts) > 1:
        parts = [p for p in parts if not isinstance(p, np.ndarray)]
    at = (..., *parts) if with_ellipsis and len(parts) < 3 else tuple(parts)
    if any(isinstance(p, np.ndarray) for p in parts) and any(isinstance(p, int) for p in parts):
        return  # numpy moves axes about here, and no viewer asks for it
    assert np.array_equal(lazy[at], whole[at])


def test_a_projection_is_the_same_for_a_map_and_its_array(still_exam):
    lazy = dce.enhancement_maps(still_exam)["sub1"]
    whole = np.asarray(lazy)
    assert np.array_equal(dce.projection(lazy), whole.max(axis=0, keepdims=True))
    assert np.array_equal(dce.projection(lazy, axis=2), whole.max(axis=2, keepdims=True))


def test_maps_need_a_phase_before_and_one_after_contrast(still_exam):
    for roles in (("pre",), ("post1", "post2")):
        exam = Exam("P001", {role: still_exam.phases[role] for role in roles})
        with pytest.raises(InputError, match="Expected a pre-contrast and a post-contrast phase"):
            dce.enhancement_maps(exam)
    one = Exam("P001", {role: still_exam.phases[role] for role in ("pre", "post1")})
    assert list(dce.enhancement_maps(one)) == ["sub1", "PE1"]


@pytest.mark.parametrize("true", [(0.0, 0.0, 0.0), (0.4, 1.3, -0.7), (-0.3, -2.5, 3.2)])
def test_a_shift_is_found_to_a_fifth_of_a_voxel_in_spite_of_contrast(still_exam, true):
    shifts = drain(dce.estimate_shifts(moved(still_exam, "pre", true)))
    assert [(s.role, s.fixed) for s in shifts] == [
        ("pre", "post1"), ("post2", "post1"), ("post3", "post1"),
    ]  # fmt: skip
    assert shifts[0].voxels == pytest.approx(true, abs=0.2)
    assert shifts[0].mm == pytest.approx(np.multiply(true, (3.0, 2.8, 2.8)), abs=0.6)
    assert max(map(abs, shifts[1].voxels)) <= 0.1


def test_above_one_voxel_there_is_a_warning():
    small = dce.Shift("pre", "post1", (0.2, -0.9, 0.0), None)
    large = dce.Shift("pre", "post1", (0.2, -1.2, 0.0), None)
    assert small.describe() == "pre lies 0.9 voxels from post1"
    assert large.describe().startswith("pre lies 1.2 voxels from post1: align the phases")
    assert (small.is_large, large.is_large) == (False, True)


def test_a_single_phase_has_no_shift(still_exam):
    exam = Exam("P001", {"post1": still_exam.phases["post1"]})
    assert drain(dce.estimate_shifts(exam)) == ()
    assert drain(dce.align_phases(exam)).phases["post1"] is exam.phases["post1"]


def test_a_slice_of_unknown_spacing_has_shifts_in_voxels(still_exam):
    grid = Grid((1, 112, 112))
    phases = {r: Volume(v.data[10:11], grid) for r, v in still_exam.phases.items()}
    exam = moved(Exam("P001", phases), "pre", (0, 2.0, -1.0))
    first = drain(dce.estimate_shifts(exam))[0]
    assert first.voxels == pytest.approx((0, 2.0, -1.0), abs=0.3)
    assert first.mm is None
    aligned = drain(dce.align_phases(exam))
    assert max(map(abs, drain(dce.estimate_shifts(aligned))[0].voxels)) < 0.3
    again = drain(dce.align_phases(exam))
    assert np.array_equal(aligned.phases["pre"].data, again.phases["pre"].data)


def test_aligned_phases_lie_where_they_would_without_movement(still_exam):
    phases = {role: still_exam.phases[role] for role in ("pre", "post1", "post3")}
    exam = Exam("P001", phases, still_exam.times_s)
    exam = moved(moved(exam, "pre", (0.4, -2.5, 3.2)), "post3", (0.0, 1.0, 1.0), degrees=2)
    seen = []
    job = dce.align_phases(exam)
    try:
        while True:
            seen.append(next(job))
    except StopIteration as stop:
        aligned = stop.value
    assert aligned.phases["post1"] is exam.phases["post1"]
    assert aligned.times_s == exam.times_s
    inside = (slice(3, -3), slice(10, -10), slice(10, -10))
    for role in ("pre", "post3"):
        still = still_exam.phases[role].data[inside].astype(np.float64)
        before, after = (
            np.sqrt(np.mean((one.phases[role].data[inside] - still) ** 2))
            for one in (exam, aligned)
        )
        assert after < 0.45 * before
        assert aligned.phases[role].data.dtype == exam.phases[role].data.dtype
    assert all(max(map(abs, s.voxels)) < 0.25 for s in drain(dce.estimate_shifts(aligned)))
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total


def test_only_what_moved_is_resampled_and_whole_numbers_stay_whole(still_exam):
    whole_numbers = {
        role: Volume(np.rint(volume.data).astype(np.int16), volume.grid)
        for role, volume in still_exam.phases.items()
    }
    off = moved(Exam("P001", whole_numbers), "pre", (0.0, 0.1, -0.1))
    off = moved(off, "post2", (0.4, -2.5, 3.2))
    off = moved(off, "post3", (0.0, 0.0, 0.0), degrees=2)  # its center stays where it is
    exam = Exam(
        "P001",
        {role: Volume(np.rint(v.data).astype(np.int16), v.grid) for role, v in off.phases.items()},
    )
    aligned = drain(dce.align_phases(exam))
    kept = [role for role in exam.phases if aligned.phases[role] is exam.phases[role]]
    assert kept == ["pre", "post1"]
    assert {volume.data.dtype for volume in aligned.phases.values()} == {np.dtype(np.int16)}
    still = still_exam.phases["post2"].data
    inside = (slice(3, -3), slice(10, -10), slice(10, -10))
    apart = [
        np.abs(one.phases["post2"].data[inside] - still[inside]).mean() for one in (exam, aligned)
    ]
    assert apart[1] < 0.5 * apart[0]


def test_aligning_stops_when_it_is_closed(still_exam):
    job = dce.align_phases(still_exam)
    assert next(job).stage == "Aligning pre"
    job.close()
    with pytest.raises(StopIteration):
        next(job)
