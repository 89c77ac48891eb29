"""A hospital with locked patients, and models set by hand, for tests of what judges models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo, TrainingRecord
from napari_breastseg.model.unet import ModelSpec, build

GRID = Grid((1, 32, 32))


def make_hospital(folder: Path) -> Dataset:
    """31 patients P00 to P30: P09, P14, P19, P24 and P29 are locked, with two visits each.

    The first four of the others have an accepted case, the rest have nothing accepted.
    """
    made = Dataset.create(folder)
    for n in range(31):
        is_locked = n in (9, 14, 19, 24, 29)
        for visit in ("v1", "v2") if is_locked else ("v1",):
            add_case(made, n, visit, is_accepted=is_locked or n < 4)
    return made


def add_case(dataset: Dataset, n: int, visit: str, *, is_accepted: bool = True) -> str:
    """A bright square of patient n on noise; the case's id."""
    patient, rng = f"P{n:02d}", np.random.default_rng(n)
    mask = np.zeros(GRID.shape, np.uint8)
    mask[0, 8 : 20 + n % 4, 10:22] = 1
    image = rng.normal(100, 5, GRID.shape) + 100.0 * mask
    case_id = f"{patient}_{visit}"
    exam = Exam(case_id, {"post1": Volume(image.astype(np.float32), GRID)})
    dataset.add(exam, patient_id=patient, visit=visit)
    if is_accepted:
        dataset.accept(
            case_id, LabelMap(mask, GRID), reviewed_slices=None, annotator="a", seconds=1
        )
    return case_id


def bright_model(name: str, level: float, **training: list[str]) -> Checkpoint:
    """A network that calls tumor what is brighter than a level from 0 to 1."""
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32), inputs=("post1",))
    network = build(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        # One path through the finest level: the input, halved and passed on.
        for block in (network.stem[1].conv_0, network.stem[1].conv_1):
            block.conv.weight[0, 0, 1, 1] = 1
            block.adn.N.weight[:] = 1
        for block in (network.ups[0].convs.conv_0, network.ups[0].convs.conv_1):
            block.conv.weight[0, 0, 1, 1] = 1
            block.adn.N.weight[:] = 1
        network.head[0].conv.weight[1, 0] = 20
        network.head[0].conv.bias[1] = -20 * level
    info = ModelInfo(name=name, spec=spec, training=TrainingRecord(**training))
    return Checkpoint(info, network.eval())
