"""How long a training will take, said before it begins. Imports torch when called; no Qt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..dataset import Dataset
from ..model.checkpoint import Checkpoint
from ..model.unet import ModelSpec, build, place
from ..predict.devices import choose_device
from .clicks import BATCH as CLICK_BATCH
from .clicks import can_tune_clicks, click_steps
from .config import TrainConfig
from .planning import plan_config_for, plan_spec
from .preparing import drawn_count, require_trainable
from .splitting import split_by_patient

__all__ = ["Expected", "expected"]

PHANTOM_SLICE = 1.2
"""Time in which a slice of a synthetic exam is drawn, in patches that are learned from."""

BESIDE_THE_NETWORK = 1.25
"""What a step takes besides the network: patches are varied, weights and state are kept."""

CLICK_PATCH = 0.7
"""Time in which the click network learns from a square, in patches of the starter's size."""


@dataclass(frozen=True)
class Expected:
    """What a training will learn from, and how long it will take on this machine."""

    cases: int
    patients: int
    steps: int
    seconds: float

    def describe(self) -> str:
        """All of it in a few words.

        Examples
        --------
        >>> Expected(6, 3, 37, 96.0).describe()
        '6 cases of 3 patients, 37 steps, about 2 min'
        """
        cases = f"{self.cases} case{'' if self.cases == 1 else 's'}"
        patients = f"{self.patients} patient{'' if self.patients == 1 else 's'}"
        return f"{cases} of {patients}, {self.steps} steps, {_about(self.seconds)}"


def expected(
    datasets: Sequence[Dataset],
    *,
    base: Checkpoint | None,
    fold: int | None = 0,
    steps: int | None = None,
    device: str = "auto",
    base_share: float | None = None,
) -> Expected:
    """What `train_dataset` with these arguments will take; one patch is learned from to see.

    Raises
    ------
    InputError
        As `train_dataset` does of datasets that cannot be trained on.
    """
    learned, held_out = split_by_patient(datasets, fold)
    spec = plan_spec(datasets) if base is None else base.spec
    require_trainable(spec)
    config = plan_config_for(
        base, cases=len(learned), steps=steps, device=device, base_share=base_share
    )
    learning_s, looking_s = _patch_seconds(spec, config)
    grids = {(d.id, r.case_id): r.grid.shape for d in datasets for r in d.cases()}
    pixels = sum(prod(grids[case.dataset.id, case.case_id]) for case in held_out)
    passes = 1 + -(-config.steps // config.validate_every)
    drawn_slices = drawn_count(spec, config)
    tunes_clicks = base is not None and can_tune_clicks(base, learned, held_out)
    further = click_steps(config.steps) if tunes_clicks else 0
    seconds = (
        config.steps * config.batch_size * learning_s * BESIDE_THE_NETWORK
        + passes * pixels / prod(spec.patch_size) * looking_s
        + drawn_slices * PHANTOM_SLICE * learning_s
        + further * CLICK_BATCH * CLICK_PATCH * learning_s
    )
    patients = len({case.patient_id for case in learned})
    return Expected(len(learned), patients, config.steps, seconds)


def _patch_seconds(spec: ModelSpec, config: TrainConfig) -> tuple[float, float]:
    """Seconds in which a patch is learned from, and looked at: the better of two tries."""
    import torch

    device = choose_device(config.device)
    network = build(spec)
    layout = place(network, device, spec.dims)
    patch = torch.rand((1, spec.in_channels, *spec.patch_size))
    patch = patch.to(device, memory_format=layout)
    learning, looking = [], []
    for _ in range(2):
        started = time.perf_counter()
        float(network(patch).square().mean().detach())
        looking.append(time.perf_counter() - started)
        started = time.perf_counter()
        loss = network(patch).square().mean()
        loss.backward()
        float(loss.detach())
        learning.append(time.perf_counter() - started)
    return min(learning), min(looking)


def _about(seconds: float) -> str:
    if seconds < 50:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    return f"about {max(1, round(seconds / 60)):.0f} min"
