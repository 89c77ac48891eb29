"""The state of a run: one file, replaced atomically, from which a killed run goes on.

Imports torch when it saves or restores; no Qt.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.atomic import write_bytes, write_text
from ..core.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["HISTORY_FILE", "STATE_FILE", "RunState"]

STATE_FILE = "training_state.safetensors"
HISTORY_FILE = "history.csv"
HISTORY_COLUMNS = ("step", "loss", "learning_rate", "val_dice", "parts", "seconds")


class RunState:
    """The state of a run: what one file holds and --resume reads."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.step = 0
        self.seconds = 0.0
        self.best_dice: float | None = None
        self.last_dice: float | None = None
        self.best_step = 0
        self.parts = 1
        self.best_weights: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []

    @property
    def dice_before(self) -> float | None:
        """Validation Dice of the model that is fine-tuned; None where it was not validated."""
        first = self.history[0] if self.history else {}
        return first.get("val_dice") if first.get("step") == 0 else None

    def keep_if_best(self, dice: float | None, network: torch.nn.Module) -> None:
        """Keep a copy of the weights if no validation Dice before was higher."""
        self.last_dice = dice
        if dice is None or self.best_dice is None or dice >= self.best_dice:
            self.best_dice, self.best_step = dice, self.step
            self.best_weights = {
                k: v.detach().cpu().clone() for k, v in network.state_dict().items()
            }

    def note(self, metrics: Mapping[str, float]) -> None:
        """Add a row to the history."""
        about = {"parts": self.parts, "seconds": round(self.seconds, 2)}
        self.history.append({"step": self.step, **metrics, **about})

    def save(
        self,
        output: Path,
        network: torch.nn.Module,
        averaged: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Write the state and history.csv."""
        from safetensors.torch import save

        tensors: dict[str, torch.Tensor] = {}
        for prefix, values in (
            ("network", network.state_dict()),
            ("averaged", averaged.state_dict()),
            ("best", self.best_weights),
        ):
            tensors |= {f"{prefix}.{key}": value for key, value in values.items()}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        plain = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "best_dice": self.best_dice,
            "last_dice": self.last_dice,
            "best_step": self.best_step,
            "parts": self.parts,
            "history": self.history,
        }
        stored = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        # safetensors' own writer reports a full disk with an error of its own class.
        write_bytes(output / STATE_FILE, save(stored, metadata={"run": json.dumps(plain)}))
        table = io.StringIO()
        writer = csv.DictWriter(table, HISTORY_COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(output / HISTORY_FILE, table.getvalue())

    def restore(
        self,
        path: Path,
        network: torch.nn.Module,
        averaged: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Read the state back into the networks and the optimizer.

        Raises
        ------
        InputError
            If the run that wrote it had other data, settings or another base model.
        """
        from safetensors import safe_open

        with safe_open(path, framework="pt") as stored:
            plain = json.loads(stored.metadata()["run"])
            tensors = {key: stored.get_tensor(key) for key in list(stored.keys())}
        if plain.pop("fingerprint") != self.fingerprint:
            raise InputError(
                "Expected the same data, model and settings to resume the training in "
                f"{path.parent}",
                "found other ones than those it was started with",
                "Repeat the first command with --resume added, or choose a new --output",
            )
        for key, value in plain.items():
            setattr(self, key, value)
        groups: dict[str, dict[str, torch.Tensor]] = {"network": {}, "averaged": {}, "best": {}}
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            prefix, _, rest = key.partition(".")
            if prefix == "optimizer":
                index, slot = rest.split(".")
                slots.setdefault(int(index), {})[slot] = tensor
            else:
                groups[prefix][rest] = tensor
        network.load_state_dict(groups["network"])
        averaged.load_state_dict(groups["averaged"])
        self.best_weights = groups["best"]
        state = optimizer.state_dict()
        optimizer.load_state_dict({"state": slots, "param_groups": state["param_groups"]})
