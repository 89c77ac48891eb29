"""One Dice for all rooms."""

from __future__ import annotations

import numpy as np

from napari_breastseg.core.overlap import dice


def test_voxels_that_do_not_count_change_no_dice() -> None:
    a = np.array([True, True, False, True])
    b = np.array([True, False, False, False])
    assert dice(a, b) == 0.5
    assert dice(a, b, np.array([True, True, True, False])) == 2 / 3
    assert dice(a, b, np.array([False, False, True, False])) == 1.0
