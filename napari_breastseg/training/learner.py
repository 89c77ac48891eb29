"""The network while it learns: weights, their running average, and one step after another.

Imports torch when made; no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.progress import Job, Progress
from ..model import checkpoint
from ..model.checkpoint import Checkpoint, ModelInfo
from ..model.mixing import mixed
from ..model.unet import ModelSpec, build, place
from ..predict.devices import is_out_of_memory
from .config import TrainConfig, learning_rate
from .ranks import Ranks
from .state import RunState
from .steps import (
    average_into,
    gradient,
    keep_norm_statistics,
    more_parts,
    rate_groups,
)

if TYPE_CHECKING:
    import torch

__all__ = ["LARGEST_GRADIENT", "Learner"]

LARGEST_GRADIENT = 1.0
"""Norm to which a longer gradient is shortened: one odd batch must not throw the weights away."""


class Learner:
    """A network on its device, with all that changes from step to step.

    Parameters
    ----------
    spec : ModelSpec
    config : TrainConfig
    base : Checkpoint or None
        Model that is fine-tuned; None starts from the weights that the seed decides.
    device : torch.device
    ranks : Ranks
        Processes that share each step.
    """

    def __init__(
        self,
        spec: ModelSpec,
        config: TrainConfig,
        base: Checkpoint | None,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        import torch

        self.config, self.device, self.ranks, self._base = config, device, ranks, base
        torch.manual_seed(config.seed)
        self.network = ranks.with_shared_norms(build(spec))
        if base is not None:
            self.network.load_state_dict(base.network.state_dict())
        self.averaged = build(spec)
        self.averaged.load_state_dict(self.network.state_dict())
        self._layout = place(self.network.train(), device, spec.dims)
        place(self.averaged, device, spec.dims)
        if base is not None and config.norm_statistics == "base":
            keep_norm_statistics(self.network)
        self.optimizer = torch.optim.AdamW(
            rate_groups(self.network, config.encoder_rate), weight_decay=config.weight_decay
        )

    @property
    def is_fine_tuning(self) -> bool:
        """Whether the network started from a trained one."""
        return self._base is not None

    @property
    def general(self) -> torch.nn.Module | None:
        """The model that is kept beside the trained one, where the configuration says so."""
        if self._base is None or not self.config.keeps_base:
            return None
        return self._base.general or self._base.network

    def kept(self) -> torch.nn.Module:
        """The model as it would be saved now; of two, the site's."""
        if self._base is None:
            return self.averaged
        return mixed(self.averaged, self._base.network, self.config.base_share)

    def used(self, shares: Sequence[float]) -> list[torch.nn.Module]:
        """The models as they would be used now, where the site's has these shares."""
        kept, general = self.kept(), self.general
        if general is None:
            return [kept] * len(shares)
        made = {share: mixed(kept, general, 1.0 - share) for share in {*shares}}
        return [made[share] for share in shares]

    @property
    def general_weights(self) -> dict[str, torch.Tensor] | None:
        """Weights of the model that is kept beside the trained one; None without one."""
        return None if self.general is None else self.general.state_dict()

    def save_last(self, output: Path, info: ModelInfo) -> None:
        """Write the model as it is now as ``last/`` of a run's folder."""
        weights = self.kept().state_dict()
        checkpoint.save(output / "last", weights, info, general=self.general_weights)

    def set_rate(self, step: int) -> float:
        """Give the optimizer the learning rate of a step, counted from 0, and return it."""
        rate = learning_rate(step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["relative_rate"]
        return rate

    def look_at(
        self, batch: tuple[torch.Tensor, torch.Tensor], run: RunState
    ) -> Job[tuple[float, float]]:
        """Loss of a batch and norm of its gradient, which is left in the network, shortened.

        A batch that does not fit into memory is learned from in more parts; `run.parts` keeps how
        many, and the `Progress` that comes says so.
        """
        import torch

        while True:
            dropout_seed = hash((self.config.seed, run.step, self.ranks.rank)) % 2**31
            torch.manual_seed(dropout_seed)
            self.optimizer.zero_grad(set_to_none=True)
            try:
                loss = gradient(
                    self.network,
                    batch,
                    self.config,
                    self.device,
                    self._layout,
                    run.parts,
                    self.ranks,
                )
                break
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.ranks.count > 1:
                    raise
            # Only after the handler is the failed step's memory free to be given back.
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            run.parts = more_parts(run.parts, self.config.batch_size, self.device)
            message = (
                f"The {self.device.type} device ran out of memory; from step {run.step + 1} on "
                f"the {self.config.batch_size} patches of a step are processed in {run.parts} parts"
            )
            yield Progress("Training", run.step, self.config.steps, message=message)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        return loss, float(norm)

    def step(self, done: int) -> None:
        """Change the weights, and the running average after them.

        Parameters
        ----------
        done : int
            Steps made, this one included.
        """
        self.optimizer.step()
        average_into(self.averaged, self.network, self.config.averaging, done)
