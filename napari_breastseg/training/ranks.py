"""One training shared by several processes, started by torchrun.

Every process makes its share of each step's patches. Batch norm, loss and gradient are those of the
whole batch, so that the weights are the ones a single process would get, within rounding. Imports
torch when several processes run; no Qt.

torch's DistributedDataParallel would take the place of `average_gradients` only: it computes the
loss of a share, in which a small lesion has no Dice, leaves norms on the CPU to each process, and
the arguments by which it leaves buffers alone differ between the releases of torch that we allow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["ALONE", "Ranks", "joined", "rank_of_environment"]

LONGEST_WAIT = timedelta(hours=2)
"""How long a process waits for the others, such as for one that validates on larger exams."""


@dataclass(frozen=True)
class Ranks:
    """One process among those of a run."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier()

    def require_shares(self, batch_size: int) -> None:
        """Raise unless every process gets as many patches of a batch."""
        if batch_size % self.count:
            raise InputError(
                f"Expected a number of processes that divides the {batch_size} patches of a step",
                f"found {self.count}, started by torchrun",
                "Start 2, or another number that divides them",
            )

    def whole(self, share: torch.Tensor) -> torch.Tensor:
        """The shares of all processes, joined along the first axis; gradients flow back."""
        return share if self.count == 1 else _functions().Whole.apply(share)

    def every(self, values: list[Any]) -> list[Any]:
        """Values of a list that the processes hold in turns: rank 0 the first, rank 1 the next."""
        if self.count == 1:
            return values
        import torch.distributed as dist

        held: list[list[Any]] = [[] for _ in range(self.count)]
        dist.all_gather_object(held, values)
        longest = max(len(part) for part in held)
        return [part[i] for i in range(longest) for part in held if i < len(part)]

    def with_shared_norms(self, network: nn.Module) -> nn.Module:
        """The network with batch norms over the whole batch; its state dict has the same keys."""
        if self.count == 1:
            return network
        from torch import nn

        for name, child in network.named_children():
            if isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d):
                shared = _functions().SharedBatchNorm(
                    child.num_features, child.eps, child.momentum, dtype=child.weight.dtype
                )
                shared.load_state_dict(child.state_dict())
                setattr(network, name, shared.train(child.training))
            else:
                self.with_shared_norms(child)
        return network

    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over the processes."""
        if self.count == 1:
            return
        import torch
        import torch.distributed as dist

        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat: torch.Tensor = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat / self.count, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.reshape(gradient.shape))


ALONE = Ranks()


def rank_of_environment() -> int:
    """Rank that torchrun gave this process; 0 without torchrun."""
    return int(os.environ.get("RANK", "0")) if "TORCHELASTIC_RUN_ID" in os.environ else 0


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Processes that torchrun started, seen from this one; alone without torchrun.

    Parameters
    ----------
    device : torch.device
        With "cuda" every process of a machine takes the card of its local rank.

    Raises
    ------
    InputError
        If a machine has fewer cards than processes.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    backend = "gloo"
    if device.type == "cuda":
        local, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= cards:
            raise InputError(
                "Expected a GPU for every process of this machine",
                f"found {cards} GPUs for process {local + 1}",
                f"Start torchrun with --nproc-per-node {cards}, or train with --device cpu",
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def _functions() -> Any:
    # Its classes derive from torch's, which is not to be loaded before a training starts.
    from . import shared_layers

    return shared_layers
