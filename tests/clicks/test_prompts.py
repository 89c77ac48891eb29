"""Where the square lies, what is seen in it, and how it comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breastseg.clicks.prompts import SIDE, Prompts, Square, drawn, look_at, put_back

SQUARES = (
    Square((40.0, 50.0), (48.0, 48.0)),
    Square((41.3, 47.8), (60.0, 44.0), turn=0.4, flips=(True, False)),
    Square((3.0, 100.0), (70.0, 70.0), turn=-0.2, flips=(False, True)),
)


@pytest.mark.parametrize("square", SQUARES)
def test_places_go_to_the_square_and_back(square: Square) -> None:
    places = [(30.0, 41.0), (44.5, 60.25)]
    np.testing.assert_allclose(square.to_slice(square.to_square(places)), places, atol=1e-9)
    middle = square.to_square([square.center])
    np.testing.assert_allclose(middle, [[(SIDE - 1) / 2] * 2])


@pytest.mark.parametrize("square", SQUARES[:2])
@pytest.mark.parametrize("finer", [1, 2])
def test_what_lies_at_a_place_is_seen_at_its_pixel(square: Square, finer: int) -> None:
    y, x = np.indices((90 * finer, 110 * finer))
    place = (38.0, 55.0)
    far = np.hypot((y + 0.5) / finer - 0.5 - place[0], (x + 0.5) / finer - 0.5 - place[1])
    image = torch.from_numpy(np.exp(-(far**2) / 18))[None]
    seen = look_at(image, square, (90, 110))[0].numpy()
    brightest = np.array(np.unravel_index(seen.argmax(), seen.shape))
    assert np.abs(brightest - square.to_square([place])[0]).max() < 1.0


@pytest.mark.parametrize("square", SQUARES[:2])
def test_an_answer_comes_back_to_where_it_was_seen(square: Square) -> None:
    y, x = np.indices((90, 110))
    disk = np.hypot(y - 42, x - 49) < 9
    seen = look_at(torch.from_numpy(disk[None].astype(np.float32)), square, (90, 110))[0]
    back = put_back(seen, square, (90, 110)).numpy() > 0.5
    assert (back ^ disk).sum() < 0.06 * disk.sum()


def test_beyond_the_slice_there_is_nothing_and_outside_the_square_no_answer() -> None:
    square = Square((0.0, 0.0), (20.0, 20.0))
    seen = look_at(torch.ones(1, 50, 50), square, (50, 50))[0]
    assert seen[-1, -1] == 1
    assert seen[0, 0] == 0
    back = put_back(torch.ones(SIDE, SIDE), square, (50, 50))
    assert back[5, 5] == 1
    assert back[20, 20] == 0


def test_prompts_are_drawn_where_they_were_said() -> None:
    square = Square((40.0, 50.0), (48.0, 48.0))
    prompts = Prompts(box=(30.0, 40.0, 49.0, 59.0)).with_click((36.0, 44.0), True)
    prompts = prompts.with_click((50.0, 70.0), False)
    inside, outside, mask, neighbor, box, enhancing = drawn(square, prompts).numpy()
    assert not enhancing.any()
    assert drawn(square, replace(prompts, only_enhancing=True))[5].all()
    for spot, place in ((inside, (36.0, 44.0)), (outside, (50.0, 70.0))):
        found = np.unravel_index(spot.argmax(), spot.shape)
        assert np.abs(found - square.to_square([place])[0]).max() <= 0.5
        assert 0.9 < spot.max() <= 1
    assert not mask.any()
    assert not neighbor.any()
    assert box.sum() == pytest.approx((19 * SIDE / 48 + 1) ** 2, rel=0.06)
    assert prompts.extent == (30.0, 40.0, 49.0, 59.0)
    assert Prompts(outside=((1.0, 2.0),)).extent is None
