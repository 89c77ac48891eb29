"""A click answered on its slice and through the exam, by a network whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bright_network import INPUTS, Bright, bright_network

from napari_breastseg.clicks.asking import outlined, segment_at
from napari_breastseg.clicks.lesion import ClickReader
from napari_breastseg.clicks.prompts import Click, Prompts
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.overlap import dice
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import Checkpoint

GRID = Grid((15, 120, 150), np.diag([3.0, 0.8, 0.8, 1.0]))


@pytest.fixture
def model() -> Checkpoint:
    return bright_network()


def ball(z: float, y: float, x: float, radius_mm: float) -> np.ndarray:
    places = np.indices(GRID.shape) * np.array([3.0, 0.8, 0.8]).reshape(3, 1, 1, 1)
    center = (np.array([z, y, x]) * (3.0, 0.8, 0.8)).reshape(3, 1, 1, 1)
    return np.sqrt(((places - center) ** 2).sum(0)) < radius_mm


LESION, OTHER = ball(7, 60, 50, 12.0), ball(6, 50, 120, 9.0)


@pytest.fixture
def exam() -> Exam:
    rng = np.random.default_rng(0)
    pre = rng.normal(100, 3, GRID.shape).astype(np.float32)
    post = pre + 8 + 200 * (LESION | OTHER)
    return Exam("P1", {"pre": Volume(pre, GRID), "post1": Volume(post, GRID)})


NOTHING = np.zeros(GRID.shape, bool)


def test_one_click_outlines_the_lesion_through_its_slices_and_no_other(
    model: Checkpoint, exam: Exam
) -> None:
    outline = drain(outlined(model, exam, [Click((7, 60, 50))]))
    assert dice(outline.mask, LESION) > 0.95
    assert not (outline.mask & OTHER).any()
    # One slice beyond each end was asked, no more.
    assert set(outline.probabilities) == set(range(3, 12))


def test_a_click_on_a_dead_core_takes_it_in_and_one_on_the_rim_leaves_it_out(
    model: Checkpoint, exam: Exam
) -> None:
    core = ball(7, 60, 50, 7.0)
    post = exam.phases["post1"].data - 200 * core
    rim = Exam("P1", {**exam.phases, "post1": Volume(post, GRID)})
    whole = drain(outlined(model, rim, [Click((7, 60, 50))])).mask
    assert dice(whole, LESION) > 0.93
    alone = drain(outlined(model, rim, [Click((7, 60, 62))])).mask
    assert dice(alone, LESION & ~core) > 0.9
    assert not alone[7, 60, 50]


def test_a_vessel_that_goes_on_from_the_lesion_is_not_followed(
    model: Checkpoint, exam: Exam
) -> None:
    vessel = np.zeros(GRID.shape, bool)
    vessel[:, 58:62, 48:52] = True
    post = exam.phases["post1"].data + 200 * (vessel & ~LESION)
    lesion = Exam("P1", {**exam.phases, "post1": Volume(post, GRID)})
    mask = drain(outlined(model, lesion, [Click((7, 60, 50))])).mask
    assert dice(mask, LESION) > 0.93
    assert np.flatnonzero(mask.any((1, 2))).tolist() == list(range(4, 11))


def test_what_else_is_marked_stays(model: Checkpoint, exam: Exam) -> None:
    outline = drain(outlined(model, exam, [Click((7, 60, 50))], OTHER))
    assert (outline.mask & ~LESION & ~ball(7, 60, 50, 14) == OTHER).all()
    assert dice(outline.mask, LESION | OTHER) > 0.95


def test_not_this_takes_a_lesion_away_in_all_its_slices(model: Checkpoint, exam: Exam) -> None:
    marked = LESION | OTHER
    outline = drain(outlined(model, exam, [Click((6, 50, 120), is_lesion=False)], marked))
    assert (outline.mask & OTHER).sum() < 0.2 * OTHER.sum()
    assert (outline.mask & LESION).sum() == LESION.sum()


def test_not_this_adds_nothing_whatever_the_network_makes_of_it(exam: Exam) -> None:
    class Deaf(Bright):
        def forward(self, x: Any) -> Any:
            heard = x.clone()
            heard[:, len(INPUTS) + 1] = 0  # clicks beside the lesion
            return super().forward(heard)

    known = bright_network()
    reader = ClickReader(Checkpoint(known.info, Deaf()), exam)
    beside = Prompts(outside=((75.0, 65.0),))
    assert not reader.answer(7, beside, NOTHING[7]).mask.any()
    part = LESION[7] & ball(7, 60, 50, 6.0)[7]
    assert not (reader.answer(7, beside, part).mask & ~part).any()


def test_slices_the_reader_corrected_stay_as_they_are(model: Checkpoint, exam: Exam) -> None:
    mask = NOTHING.copy()
    mask[9, 55:65, 45:55] = True
    reader = ClickReader(model, exam)
    said = {7: Prompts(((60.0, 50.0),))}
    outline = drain(reader.outline(said, [7], mask, kept=[9]))
    assert (outline.mask[9] == mask[9]).all()
    assert dice(outline.mask[10], LESION[10]) > 0.9
    assert 9 not in outline.probabilities


def test_a_drag_across_slices_asks_each_with_what_was_said_there(
    model: Checkpoint, exam: Exam
) -> None:
    # A dead core: said to be lesion in three slices, a click in one alone would leave it out there.
    core = ball(7, 60, 50, 7.0)
    post = exam.phases["post1"].data - 200 * core
    rim = Exam("P1", {**exam.phases, "post1": Volume(post, GRID)})
    reader = ClickReader(model, rim)
    said = {z: Prompts(inside=((60.0, 50.0),)) for z in (2, 5, 6, 7, 8)}
    outline = drain(reader.outline(said, [2, 5, 6, 7, 8], NOTHING))
    assert not outline.is_empty
    assert not outline.mask[2].any()  # beyond the lesion
    assert dice(outline.mask, LESION) > 0.93
    beside = {z: Prompts(outside=((50.0, 120.0),)) for z in (5, 6, 7)}
    mask = drain(reader.outline(beside, list(beside), LESION | OTHER)).mask
    assert not (mask & OTHER).sum() > 0.2 * OTHER.sum()
    assert (mask & LESION).sum() == LESION.sum()


def test_a_click_on_nothing_says_so_and_marks_nothing(model: Checkpoint, exam: Exam) -> None:
    with pytest.raises(InputError, match="slice 3, row 21, column 21"):
        drain(outlined(model, exam, [Click((2, 20, 20))]))
    reader = ClickReader(model, exam)
    outline = drain(reader.outline({2: Prompts(((20.0, 20.0),))}, [2], LESION))
    assert outline.is_empty
    assert (outline.mask == LESION).all()


@pytest.mark.parametrize("voxel", [(15, 60, 50), (7, -1, 50), (7, 60, 150)])
def test_clicks_outside_the_exam_are_refused(
    model: Checkpoint, exam: Exam, voxel: tuple[int, int, int]
) -> None:
    with pytest.raises(InputError, match="clicks within 15 x 120 x 150"):
        drain(outlined(model, exam, [Click(voxel)]))
    with pytest.raises(InputError, match="Expected a click"):
        drain(outlined(model, exam, []))


def test_a_box_is_a_prompt_too(model: Checkpoint, exam: Exam) -> None:
    reader = ClickReader(model, exam)
    answer = reader.answer(7, Prompts(box=(42.0, 32.0, 78.0, 68.0)))
    assert dice(answer.mask, LESION[7]) > 0.95
    assert not answer.is_empty
    assert reader.answer(7, Prompts(box=(2.0, 2.0, 12.0, 12.0))).is_empty


def test_a_slice_of_unknown_pixel_size_is_answered(model: Checkpoint, exam: Exam) -> None:
    grid = Grid((1, 120, 150))
    phases = {role: Volume(one.data[7:8], grid) for role, one in exam.phases.items()}
    mask = drain(outlined(model, Exam("S", phases), [Click((0, 60, 50))])).mask
    assert dice(mask[0], LESION[7]) > 0.95


def test_scripts_ask_with_voxels(
    model: Checkpoint, exam: Exam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "load", lambda folder: model)
    steps: list[str] = []
    mask = segment_at(exam, [(7, 60, 50)], on_progress=lambda step: steps.append(step.stage))
    assert dice(mask.tumor, LESION) > 0.95
    assert steps[0] == "Outlining the lesion"
    other = LabelMap(OTHER.astype(np.uint8), GRID)
    mended = segment_at(exam, [(7, 60, 50)], not_lesion=[(6, 50, 120)], mask=other)
    assert dice(mended.tumor, LESION) > 0.9
    elsewhere = LabelMap(np.zeros((1, 5, 5), np.uint8), Grid((1, 5, 5)))
    with pytest.raises(InputError):
        segment_at(exam, [(7, 60, 50)], mask=elsewhere)
