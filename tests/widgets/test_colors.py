"""Marks are told apart by readers with each of the three kinds of color blindness."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_breastseg.widgets.parts import colors as _colors

# Machado, Oliveira and Fernandes, IEEE TVCG 15, 1291-1298 (2009), severity 1, for linear RGB.
SEEN_AS = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
CLEARLY_APART = 15.0


def lab(color: str, kind: str) -> np.ndarray:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(SEEN_AS[kind]) @ linear, 0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(encoded)


@pytest.mark.parametrize("kind", SEEN_AS)
def test_marks_are_told_apart(kind: str) -> None:
    marks = (_colors.TUMOR, _colors.ADDED, _colors.REMOVED, _colors.FRAME)
    for one, other in combinations(marks, 2):
        assert deltaE_ciede2000(lab(one, kind), lab(other, kind)) > CLEARLY_APART, (one, other)
