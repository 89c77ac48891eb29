"""A model on disk: a folder with weights.safetensors and model.json.

Loading never unpickles. model.json is written last and names the hash of the weights, so that a
folder whose save was interrupted is refused, not half believed. Imports torch only when a network
is loaded or saved; no Qt.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.atomic import write_bytes, write_text
from ..core.errors import InputError
from ..core.reading import open_regular, read_bounded
from ..core.version import software_versions
from .mixing import mixed
from .site import Site
from .unet import ModelSpec, build, folded

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "CARD_FILE",
    "CLICKS",
    "MODEL_FILE",
    "OWN_CLICKS",
    "STARTER",
    "WEIGHTS_FILE",
    "Checkpoint",
    "ModelInfo",
    "TrainingRecord",
    "clicks_of",
    "copy",
    "is_checkpoint",
    "load",
    "read_info",
    "save",
]

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
CARD_FILE = "MODEL_CARD.md"
"""What a model is for, what it was trained on and how well it does, for people to read."""

_MOST_TEXT, _MOST_BYTES = 1 << 26, 1 << 34
"""Bytes of a description, and of weights: twenty networks of the largest size."""

_GENERAL = "general."
"""What the names of the general network's weights begin with, where a checkpoint has two."""

STARTER = Path(__file__).resolve().parents[1] / "weights" / "starter"
"""The checkpoint that comes with the package."""

CLICKS = STARTER.with_name("clicks")
"""The click network that comes with the package."""

OWN_CLICKS = "clicks"
"""Folder in a checkpoint with the click network that was fine-tuned along with it, if any was."""


class TrainingRecord(BaseModel):
    """What a model was trained on and how."""

    model_config = ConfigDict(extra="allow")

    datasets: list[str] = []
    """Names of the dataset folders."""

    dataset_cases: dict[str, list[str]] = {}
    """Cases learned from or validated on, by the id of their dataset; empty in older records."""

    fold: int | None = None
    """Fold held out for validation; None when every case was trained on."""

    training_cases: list[str] = []
    """Cases whose voxels changed the weights."""

    inherited_cases: list[str] = []
    """Cases that the models it was made from had learned from."""

    validation_cases: list[str] = []
    """Cases that chose the best step."""

    patients: list[str] = []
    """Pseudonyms of the training patients."""

    inherited_patients: list[str] = []
    """Patients that the models it was made from had learned from."""

    steps: int = 0
    """Optimizer steps."""

    seed: int | None = None
    """Seed of the run."""

    @property
    def is_validated_on_its_own(self) -> bool:
        """Whether nobody was held out, so that validation says nothing about other patients."""
        return bool(self.validation_cases) and self.validation_cases == self.training_cases

    def read_of(self, dataset_id: str, name: str) -> set[str]:
        """Cases of a dataset that the last training read.

        Records made before datasets had ids know them by their names only.
        """
        if self.dataset_cases:
            return set(self.dataset_cases.get(dataset_id, ()))
        return {*self.training_cases, *self.validation_cases} if name in self.datasets else set()

    @property
    def known_cases(self) -> set[str]:
        """Cases that changed these weights or those they were made from."""
        return {*self.training_cases, *self.inherited_cases}

    @property
    def known_patients(self) -> set[str]:
        """Patients that changed these weights or those they were made from."""
        return {*self.patients, *self.inherited_patients}

    def learned_from(self, cases: Iterable[tuple[str, str]]) -> set[str]:
        """Ids of the cases whose patient this model, or one it was made from, learned from.

        Parameters
        ----------
        cases : iterable of (case_id, patient_id)
            All cases of a dataset: a patient is known by one of them.

        Examples
        --------
        >>> record = TrainingRecord(training_cases=["A_v1"], inherited_patients=["P2"])
        >>> sorted(record.learned_from([("A_v1", "P1"), ("A_v2", "P1"), ("B", "P2"), ("C", "P3")]))
        ['A_v1', 'A_v2', 'B']
        """
        cases = list(cases)
        # Records made before patients were inherited know them by their cases only.
        # Elsewhere another patient's case may have the same name.
        own = set() if self.patients else {*self.training_cases}
        older = {*self.inherited_cases} - {*self.training_cases}
        by_name = own | (set() if self.inherited_patients else older)
        by_case = {patient for case, patient in cases if case in by_name}
        known = self.known_patients | by_case
        return {case for case, patient in cases if patient in known}


class ModelInfo(BaseModel):
    """Content of model.json."""

    model_config = ConfigDict(extra="allow")

    format_version: int = 1
    name: str
    """Name shown to people; the registry's name may differ."""

    spec: ModelSpec
    """Architecture, phase recipe, spacing, normalization, labels."""

    training: TrainingRecord = Field(default_factory=TrainingRecord)
    metrics: dict[str, float | None] = {}
    """Figures of the validation that chose this step."""

    finding_score: dict[str, Any] | None = None
    """Weights that order what it finds in a whole exam, see `lesions.finding_score`."""

    site: Site | None = None
    """What the exams it was fine-tuned on look like; the weights then hold the general model, too.
    None where they hold one model only."""

    parent: str | None = None
    """Name and weights hash of the model it was fine-tuned from."""

    licence: str = "not stated"
    """Licence of the weights."""

    software: dict[str, str] = {}
    """Versions of the packages that made it."""

    weights_sha256: str = ""
    """SHA-256 of weights.safetensors."""

    @property
    def identity(self) -> str:
        """Name and short weights hash, enough to tell two models apart in a record."""
        return f"{self.name}@{self.weights_sha256[:12]}"

    def for_display(self) -> dict[str, Any]:
        """The content as plain values, without a site's hundreds of features."""
        return self.model_dump(
            mode="json", exclude={"site": {"scale": True, "exams": {"__all__": {"mean"}}}}
        )


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network with its description, ready to predict or to train on.

    One that was fine-tuned holds two networks, the site's and the general one, and mixes them exam
    by exam: `at` gives the mixture with a certain share as a checkpoint with one network.
    """

    info: ModelInfo
    network: nn.Module
    """The network; of two, the site's."""

    card: str = ""
    """Its model card, Markdown; empty where it has none."""

    general: nn.Module | None = None
    """The network that it was fine-tuned from, for exams unlike the site's; None without one."""

    clicks: Path = CLICKS
    """Checkpoint folder of the click network that goes with it."""

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.info.spec

    @cached_property
    def fast_network(self) -> nn.Module:
        """The network with its batch norms folded, made once: to predict with, not to train."""
        return folded(self.network)

    def at(self, site_share: float) -> Checkpoint:
        """Checkpoint with the one network that has this share of the site's, 0 to 1.

        Made once for each share; the checkpoint itself where it holds one network only.
        """
        if self.general is None:
            return self
        if site_share not in self._mixtures:
            network = mixed(self.network, self.general, 1.0 - site_share)
            info = self.info.model_copy(update={"site": None})
            self._mixtures[site_share] = Checkpoint(info, network, self.card)
        return self._mixtures[site_share]

    @cached_property
    def _mixtures(self) -> dict[float, Checkpoint]:
        return {}


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint: both files are there."""
    return (folder / MODEL_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()


def clicks_of(folder: Path) -> Path:
    """Checkpoint folder of the click network that goes with a model: its own, or the package's."""
    own = Path(folder) / OWN_CLICKS
    return own if is_checkpoint(own) else CLICKS


def save(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    info: ModelInfo,
    *,
    half: bool = False,
    general: Mapping[str, torch.Tensor] | None = None,
    card: Callable[[ModelInfo], str] | None = None,
) -> ModelInfo:
    """Write a checkpoint folder and give the info as written, hash included.

    Parameters
    ----------
    folder : Path
        Made when missing.
    weights : mapping of str to Tensor
    info : ModelInfo
        ``weights_sha256`` and ``software`` are filled in.
    half : bool
        Store floating weights as float16, half the size; they are loaded as float32.
    general : mapping of str to Tensor, optional
        State dict of the general network kept beside, for an info with `site`.
    card : callable, optional
        Text of the model card for the info as written.

    Raises
    ------
    StorageError
        If the folder cannot be written; a checkpoint already there stays whole or is refused
        by its hash, never silently mixed.
    """
    import torch
    from safetensors.torch import save as as_bytes

    stored = {
        name: (value.half() if half and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for name, value in (
            *weights.items(),
            *((f"{_GENERAL}{name}", value) for name, value in (general or {}).items()),
        )
    }
    for name, value in stored.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(
                "Expected finite weights to save a model",
                f"found NaN or infinite numbers in '{name}'",
                "Go back to the last good checkpoint and train with a smaller learning rate",
            )
    data = as_bytes(stored)  # its own writer reports a full disk with another error
    write_bytes(folder / WEIGHTS_FILE, data)
    digest = hashlib.sha256(data).hexdigest()
    written = info.model_copy(update={"weights_sha256": digest, "software": software_versions()})
    if card is not None:  # before model.json, which makes it a model
        write_text(folder / CARD_FILE, card(written))
    write_text(folder / MODEL_FILE, written.model_dump_json(indent=2) + "\n")
    return written


def read_info(folder: Path) -> ModelInfo:
    """Description of a checkpoint, without loading its weights.

    Raises
    ------
    InputError
        If the folder is not a checkpoint or model.json is not valid.
    """
    folder = Path(folder)
    if not is_checkpoint(folder):
        raise InputError(
            f"Expected a checkpoint folder with {WEIGHTS_FILE} and {MODEL_FILE}",
            f"found {folder}, which is not one",
            "Give the folder that train wrote, or a name that 'models list' shows",
        )
    try:
        return _parse_info(read_bounded(folder / MODEL_FILE, _MOST_TEXT)).model_copy()
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a valid {MODEL_FILE} in {folder}",
            f"found {_first_problem(error)}",
            "Copy the checkpoint again, or train the model again",
        ) from error


# The window asks for the same few descriptions at every change of layers.
@lru_cache(maxsize=32)
def _parse_info(text: bytes) -> ModelInfo:
    return ModelInfo.model_validate_json(text)


def load(folder: Path) -> Checkpoint:
    """Checkpoint of a folder, on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        If the folder is not a checkpoint, its weights are not those model.json names, or they do
        not fit the network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as load_bytes

    folder = Path(folder)
    info = read_info(folder)
    data = read_bounded(folder / WEIGHTS_FILE, _MOST_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    if info.weights_sha256 and digest != info.weights_sha256:
        raise InputError(
            f"Expected the weights with SHA-256 {info.weights_sha256[:12]}... that "
            f"{folder / MODEL_FILE} names",
            f"found {digest[:12]}... in {WEIGHTS_FILE}",
            "Copy the whole checkpoint folder again; one of its files is from another model "
            "or was cut off",
        )
    try:
        weights = {
            name: value.float() if value.is_floating_point() else value
            for name, value in load_bytes(data).items()
        }
        general = None
        if info.site is not None:
            general = _network(
                info.spec,
                {
                    name.removeprefix(_GENERAL): weights.pop(name)
                    for name in list(weights)
                    if name.startswith(_GENERAL)
                },
            )
        network = _network(info.spec, weights)
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"Expected weights that fit the network of {folder / MODEL_FILE}",
            f"found other ones ({str(error).splitlines()[0]})",
            "Copy the whole checkpoint folder again, or train the model again",
        ) from error
    card = folder / CARD_FILE
    is_own = card.is_file() and not card.is_symlink()
    text = read_bounded(card, _MOST_TEXT).decode("utf-8", "replace") if is_own else ""
    return Checkpoint(info, network, text, general, clicks_of(folder))


def _network(spec: ModelSpec, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """A network with these weights, in evaluation mode."""
    import torch

    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise InputError(
                f"Expected finite weights in {WEIGHTS_FILE}",
                f"found NaN or infinite numbers in '{name}'",
                "Use another checkpoint: this one can mark nothing",
            )
    network = build(spec)
    network.load_state_dict(weights)
    return network.eval()


def copy(folder: Path, target: Path) -> str:
    """Copy a checkpoint through to the disk, and its click network; SHA-256 of the weights.

    Parameters
    ----------
    folder, target : Path
        The checkpoint, and a folder that holds none.

    Raises
    ------
    InputError
        If the weights are cut off, or are not those that model.json names.
    """
    digest = _copy_file(folder / WEIGHTS_FILE, target / WEIGHTS_FILE)
    _copy_file(folder / MODEL_FILE, target / MODEL_FILE)
    if (folder / CARD_FILE).is_symlink():
        raise InputError(
            f"Expected {CARD_FILE} to be a file of the checkpoint's own",
            "found a link to another file",
            "Put the card itself into the folder, or take the link away",
        )
    if (folder / CARD_FILE).is_file():
        _copy_file(folder / CARD_FILE, target / CARD_FILE)
    if is_checkpoint(folder / OWN_CLICKS):
        (target / OWN_CLICKS).mkdir()
        copy(folder / OWN_CLICKS, target / OWN_CLICKS)
    _require_whole_weights(target / WEIGHTS_FILE, digest, read_info(target).weights_sha256)
    return digest


def _copy_file(source: Path, target: Path) -> str:
    """Copy a file through to the disk and give its SHA-256."""
    digest = hashlib.sha256()
    with open_regular(source) as reader, target.open("xb") as writer:
        while block := reader.read(1 << 20):
            digest.update(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _require_whole_weights(path: Path, digest: str, expected: str) -> None:
    from safetensors import SafetensorError, safe_open

    problem = ""
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        problem = f"a file that could not be read ({error})"
    if expected and digest != expected:
        problem = f"SHA-256 {digest[:12]}... and not {expected[:12]}..."
    if problem:
        raise InputError(
            f"Expected the complete weights of the model, as {MODEL_FILE} names them",
            f"found {problem}",
            "Copy the whole checkpoint folder again; one of its files is from another model or "
            "was cut off",
        )


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        return f"{where}: {first['msg']}"
    return str(error)
