"""Random patches for training: where they are cut, and the batches made of them.

Every patch depends only on its own seed, so a run that was interrupted goes on with the patches it
would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.volume import IGNORE, TUMOR
from ..imaging.preprocessing import is_available
from ..model.monai_switch import metadata_tracked
from .cases import CORRECTED, TrainingCase

if TYPE_CHECKING:
    import torch

    from ..model.unet import ModelSpec

__all__ = [
    "MixedSource",
    "PatchSource",
    "Variation",
    "make_batch",
]


class Variation(Protocol):
    """What varies a patch, as `Augmentation` does: the same seed, the same patch."""

    def __call__(
        self, phases: NDArray[np.float32], labels: NDArray[np.uint8], seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Varied phases (P, ...) and labels (...) of one patch."""


class PatchSource:
    """Cuts patches out of cases, as many of every patient, lesions favored.

    Parameters
    ----------
    cases : sequence of TrainingCase
        At least one with a voxel that is not `ignore`.
    patch_size : tuple of int
        (Z, Y, X) cut from the working grid; beyond the borders phases are 0, labels `ignore`.
    lesion_fraction : float
        Share of patches placed on a tumor voxel, 0 to 1, where the case has any.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        patch_size: tuple[int, int, int],
        lesion_fraction: float,
    ) -> None:
        self.patch_size = patch_size
        self.lesion_fraction = lesion_fraction
        self._cases_of: dict[str, list[tuple[TrainingCase, list[int], list[int]]]] = {}
        for case in cases:
            per_slice = case.labels.reshape(case.labels.shape[0], -1)
            scored = [int(z) for z in np.flatnonzero((per_slice != IGNORE).any(1))]
            lesion = [int(z) for z in np.flatnonzero((per_slice == TUMOR).any(1))]
            if scored:
                self._cases_of.setdefault(case.patient_id, []).append((case, scored, lesion))
        self._patients = sorted(self._cases_of)

    def draw(
        self, rng: np.random.Generator, sample: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], tuple[str, ...]]:
        """One random patch: phases (P, *patch_size), labels (*patch_size), roles of the phases.

        Labels carry the bit `CORRECTED`.
        """
        of_patient = self._cases_of[self._patients[rng.integers(len(self._patients))]]
        case, scored, lesion = of_patient[rng.integers(len(of_patient))]
        on_lesion = bool(lesion) and rng.random() < self.lesion_fraction
        z = int(rng.choice(lesion if on_lesion else scored))
        wanted = case.labels[z] == TUMOR if on_lesion else case.labels[z] != IGNORE
        flat = np.flatnonzero(wanted)
        y, x = (int(v) for v in np.unravel_index(rng.choice(flat), wanted.shape))
        depth, height, width = self.patch_size
        # The chosen voxel may lie anywhere in the patch's inner two thirds: tumors are not
        # always in the middle.
        start = (
            z - depth // 2,
            y - int(rng.integers(height // 6, height - height // 6)),
            x - int(rng.integers(width // 6, width - width // 6)),
        )
        start = _within(start, self.patch_size, case.labels.shape)
        phases = _cut(case.phases, start, self.patch_size, 0.0).astype(np.float32)
        labels = _cut(case.labels, start, self.patch_size, IGNORE)
        if case.corrected is not None:
            labels |= CORRECTED * _cut(case.corrected, start, self.patch_size, 0)
        return phases, labels, case.roles


@dataclass(frozen=True)
class MixedSource:
    """Patches of two sources: each step's first ones from one's own cases, the rest replayed."""

    own: PatchSource
    replayed: PatchSource

    own_patches: int
    """Patches of each step from `own`."""

    def draw(
        self, rng: np.random.Generator, sample: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], tuple[str, ...]]:
        """The patch of this number in its step, as `PatchSource.draw` gives it."""
        source = self.own if sample < self.own_patches else self.replayed
        return source.draw(rng, sample)


def make_batch(
    source: PatchSource | MixedSource,
    augmentation: Variation,
    spec: ModelSpec,
    *,
    samples: Sequence[int],
    seed: int,
    step: int,
    phase_dropout: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch of one training step; each patch is decided by (seed, step, its number) alone.

    Parameters
    ----------
    samples : sequence of int
        Numbers of the step's patches that are wanted, such as ``range(batch_size)``.

    Returns
    -------
    inputs : Tensor, shape (len(samples), in_channels, [Z,] Y, X)
    labels : Tensor of int64, shape (len(samples), [Z,] Y, X)
        With the bit `CORRECTED`.
    """
    with metadata_tracked(False):  # patches need none, and it costs as much as varying them
        return _make_batch(
            source,
            augmentation,
            spec,
            samples=samples,
            seed=seed,
            step=step,
            phase_dropout=phase_dropout,
        )


def _make_batch(
    source: PatchSource | MixedSource,
    augmentation: Variation,
    spec: ModelSpec,
    *,
    samples: Sequence[int],
    seed: int,
    step: int,
    phase_dropout: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    from ..imaging.preprocessing import stack_inputs

    inputs, targets = [], []
    for sample in samples:
        rng = np.random.default_rng((seed, step, sample))
        phases, labels, roles = source.draw(rng, sample)
        patch_seed = int(rng.integers(2**31))
        if spec.dims == 2:
            # Neighboring slices move together: they are channels for the transforms, too.
            count, slices = phases.shape[:2]
            flat = phases.transpose(1, 0, 2, 3).reshape(slices * count, *phases.shape[2:])
            image, label = augmentation(flat, labels[slices // 2], patch_seed)
            by_slice = image.reshape(slices, count, *image.shape[1:]).permute(1, 0, 2, 3)
            channels = stack_inputs(by_slice, roles, spec.inputs)
            if spec.missing == "zero":
                channels = _leave_out(channels, spec, phase_dropout, rng)
            inputs.append(channels.permute(1, 0, 2, 3).reshape(-1, *image.shape[1:]))
        else:
            image, label = augmentation(phases, labels, patch_seed)
            channels = stack_inputs(image, roles, spec.inputs)
            if spec.missing == "zero":
                channels = _leave_out(channels, spec, phase_dropout, rng)
            inputs.append(channels)
        targets.append(label)
    return torch.stack(inputs), torch.stack(targets)


_FEWER_PHASES = (("pre", "post1"), ("post1",), ("sub1",))
_FEWER_SHARES = (0.3, 0.55, 0.15)
"""What exams with fewer phases have, and how often patches with phases left out look like them."""


def _leave_out(
    channels: torch.Tensor, spec: ModelSpec, share: float, rng: np.random.Generator
) -> torch.Tensor:
    """Inputs as of an exam with fewer phases, down to one post-contrast phase or a subtraction."""
    import torch

    if rng.random() >= share:
        return channels
    roles = _FEWER_PHASES[int(rng.choice(len(_FEWER_PHASES), p=_FEWER_SHARES))]
    mask = torch.tensor([is_available(name, roles) for name in spec.inputs])
    if not channels[mask].any():  # the case itself has nothing else
        return channels
    return channels * mask.reshape(-1, *[1] * (channels.ndim - 1))


def _within(
    start: Sequence[int], size: Sequence[int], shape: Sequence[int]
) -> tuple[int, int, int]:
    # A patch stays inside a larger image, and a smaller image whole inside the patch, both at
    # random places; along Z the chosen slice stays central.
    y, x = (
        min(max(s, min(0, n - p)), max(0, n - p))
        for s, p, n in zip(start[1:], size[1:], shape[1:], strict=True)
    )
    return start[0], y, x


def _cut(
    array: NDArray[Any], start: Sequence[int], size: Sequence[int], fill: float
) -> NDArray[Any]:
    shape = array.shape[-3:]
    out = np.full((*array.shape[:-3], *size), fill, array.dtype)
    source: tuple[Any, ...] = tuple(
        slice(max(0, s), min(n, s + p)) for s, p, n in zip(start, size, shape, strict=True)
    )
    target: tuple[Any, ...] = tuple(
        slice(part.start - s, part.stop - s) for part, s in zip(source, start, strict=True)
    )
    out[(..., *target)] = array[(..., *source)]
    return out
