"""Batches made ahead, while the network learns from the one before. Imports no Qt."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model.unet import ModelSpec
from .augmentation import Augmentation
from .config import TrainConfig
from .patches import MixedSource, PatchSource, make_batch
from .ranks import ALONE, Ranks

if TYPE_CHECKING:
    import torch

__all__ = ["BatchMaker", "batches_from"]


@dataclass(frozen=True)
class BatchMaker:
    """The batch of any step, decided by the seed and the step alone."""

    source: PatchSource | MixedSource
    augmentation: Augmentation
    spec: ModelSpec
    config: TrainConfig

    ranks: Ranks = ALONE
    """Processes that share the batch; this one makes its own part only."""

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and labels of one step, counted from 0."""
        return make_batch(
            self.source,
            self.augmentation,
            self.spec,
            samples=range(self.ranks.rank, self.config.batch_size, self.ranks.count),
            seed=self.config.seed,
            step=step,
            phase_dropout=self.config.phase_dropout,
        )


def batches_from(
    maker: BatchMaker, start: int, stop: int, loaders: int
) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
    """Batches of steps `start` to `stop`, in order; closing it ends what makes them.

    Parameters
    ----------
    loaders : int
        1 makes the next batch in a thread, on the core the network leaves free; more are
        processes, for a GPU.
    """
    if loaders > 1:
        from torch.utils.data import DataLoader

        yield from DataLoader(
            maker,  # type: ignore[arg-type]
            batch_size=None,
            sampler=range(start, stop),
            num_workers=loaders,
            prefetch_factor=4,
        )
        return
    ahead = ThreadPoolExecutor(1)
    try:
        coming = ahead.submit(maker.__getitem__, start)
        for step in range(start, stop):
            batch = coming.result()
            if step + 1 < stop:
                coming = ahead.submit(maker.__getitem__, step + 1)
            yield batch
    finally:
        ahead.shutdown(cancel_futures=True)
