"""Models of other makers, turned into checkpoint folders: MONAI bundles and nnU-Net v2 models.

What comes out is weights.safetensors and model.json as for our own models. Nothing that comes in is
executed: weights are read without unpickling code, configurations without evaluating expressions.
Imports torch when weights are read; no Qt.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, Field, ValidationError

from ..core.errors import InputError
from ..core.reading import read_bounded, read_json
from . import checkpoint as checkpoints
from .checkpoint import ModelInfo
from .descriptions import (
    Configuration,
    Inferer,
    Metadata,
    Network,
    NnUNetDataset,
    Plans,
    described,
    unsupported,
)
from .foreign_monai import TRANSFORMS, NetworkName
from .unet import ModelSpec

if TYPE_CHECKING:
    import torch

__all__ = ["import_model"]


class _Arguments(BaseModel):
    configuration: str = Field(max_length=200)


class _Trained(BaseModel):
    """What nnU-Net keeps beside the weights."""

    init_args: _Arguments
    inference_allowed_mirroring_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] | None = None


READERS = ("SimpleITKIO", "NibabelIO", "NaturalImage2DIO")
"""nnU-Net's readers that keep the order of voxels in the file, as this package does."""

WITHOUT_EFFECT = ("LoadImaged", "EnsureChannelFirstd", "EnsureTyped", "CastToTyped", "ToTensord")
"""Transforms of a bundle that only read and arrange what comes arranged here."""

_MOST_VALUES, _LONGEST_PLACE, _MOST_BYTES = 20_000, 500, 1 << 26

_PHASE = re.compile(r"pre|post\d+|sub\d+")
_REFERENCE = re.compile(r"\$?@([\w#:]+)")


def import_model(source: Path, made: Path, *, phases: Sequence[str] | None = None) -> Path:
    """Checkpoint folder of a model, whatever made it.

    Parameters
    ----------
    source : Path
        A checkpoint folder, a MONAI bundle, or the folder of a trained nnU-Net v2 configuration.
    made : Path
        Where the checkpoint folder is written if `source` is none itself.
    phases : sequence of str, optional
        Phases of the model's input channels, where its own names for them do not tell.

    Returns
    -------
    Path
        `source` if it is a checkpoint folder, else `made`.

    Raises
    ------
    InputError
        If it is none of these, or cannot be imported without running its code.
    StorageError
        If `made` cannot be written.
    """
    source = Path(source)
    if checkpoints.is_checkpoint(source):
        return source
    if (source / "configs" / "metadata.json").is_file():
        info, weights = _bundle(source, phases)
    elif (source / "plans.json").is_file() and (source / "dataset.json").is_file():
        info, weights = _nnunet(source, phases)
    else:
        raise InputError(
            "Expected a checkpoint folder, a MONAI bundle (configs/metadata.json) or a trained "
            "nnU-Net v2 configuration (plans.json, dataset.json, fold_0)",
            f"found {source}, which is " + ("none of them" if source.is_dir() else "not a folder"),
            "Give the folder itself, such as "
            "nnUNet_results/Dataset001_X/nnUNetTrainer__nnUNetPlans__3d_fullres",
        )
    checkpoints.save(made, weights, info)
    checkpoints.load(made)  # weights that do not fit are found here, not when first used
    return made


def _bundle(folder: Path, phases: Sequence[str] | None) -> tuple[ModelInfo, Mapping[str, Any]]:
    metadata = described(Metadata, _read_json(folder / "configs" / "metadata.json"), "metadata")
    config = _bundle_config(folder)
    network = _literal(config, _wanted(config, "network_def", "the network"), "network_def")
    head = described(Network, network, "network_def")
    name = head.target.rpartition(".")[2]
    if name not in get_args(NetworkName):
        raise InputError(
            f"Expected a bundle with one of the networks {', '.join(get_args(NetworkName))}",
            f"found {name} in {folder.name}",
            "Export the model with one of these, or run it with MONAI",
        )
    inputs = metadata.network_data_format.inputs.image.channel_def
    outputs = metadata.network_data_format.outputs.pred.channel_def
    dims = head.spatial_dims
    window = _inferer(config, dims)
    foreign = {
        "source": "monai",
        "name": name,
        "arguments": {key: value for key, value in network.items() if not key.startswith("_")},
        "preprocessing": _preprocessing(config, dims),
        "tumor_channel": _tumor(outputs, folder.name) if len(outputs) > 1 else 0,
        "output": "softmax" if len(outputs) > 1 else "sigmoid",
        **window,
    }
    if _sets_sigmoid(config):
        foreign["output"] = "sigmoid"
    roi = window.get("roi_size")
    spec = _spec(foreign, dims, _phases(inputs, phases, folder.name), roi)
    files = [folder / "models" / f"model.{ending}" for ending in ("safetensors", "pt", "pth")]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise InputError(
            "Expected the bundle's weights in models/model.pt or models/model.safetensors",
            f"found neither in {folder.name}",
            "Download the whole bundle; a TorchScript file (model.ts) is code and is not run",
        )
    licence = metadata.license or metadata.copyright or "not stated"
    info = ModelInfo(name=metadata.name or folder.name, spec=spec, licence=licence)
    return info, _state_dict(_read_weights(found), found)


def _nnunet(folder: Path, phases: Sequence[str] | None) -> tuple[ModelInfo, Mapping[str, Any]]:
    plans, dataset = (_read_json(folder / name) for name in ("plans.json", "dataset.json"))
    planned = described(Plans, plans, "plans.json")
    told = described(NnUNetDataset, dataset, "dataset.json")
    reader = planned.image_reader_writer
    if reader not in READERS:
        raise InputError(
            f"Expected an nnU-Net model whose images were read by {', '.join(READERS)}",
            f"found {reader} in {folder.name}, which reorients images before training",
            "Train with one of these readers, or predict with nnUNetv2_predict",
        )
    files = sorted(folder.glob("fold_*/checkpoint_final.pth"))
    files = files or sorted(folder.glob("fold_*/checkpoint_best.pth"))
    if not files:
        raise InputError(
            "Expected the weights of a fold, such as fold_0/checkpoint_final.pth",
            f"found none in {folder}",
            "Give the folder of a finished nnU-Net training",
        )
    weights: dict[str, torch.Tensor] = {}
    stored: dict[str, Any] = {}
    for number, file in enumerate(files):
        stored = _read_weights(file)
        if not isinstance(stored.get("network_weights"), dict) or "init_args" not in stored:
            raise InputError(
                "Expected a checkpoint of nnU-Net v2",
                f"found {', '.join(map(str, list(stored)[:5])) or 'nothing'} in {file}",
                "Give the folder of an nnU-Net v2 training",
            )
        weights |= {f"{number}.{key}": value for key, value in stored["network_weights"].items()}
    trained = described(_Trained, stored, "the checkpoint")
    configuration = trained.init_args.configuration
    plan = planned.configurations.get(configuration, Configuration())
    if plan.previous_stage is not None:
        raise unsupported(configuration, "a cascade needs the model of its first stage")
    labels: dict[int, str] = {}
    for name, value in told.labels.items():
        if not isinstance(value, int):
            raise unsupported("labels", "regions of several labels are not supported")
        if name != "ignore":
            labels[value] = name
    tumor = _tumor(labels, folder.name)
    axes = trained.inference_allowed_mirroring_axes
    foreign = {
        "source": "nnunet",
        "plans": plans,
        "dataset": dataset,
        "configuration": configuration,
        "folds": len(files),
        "mirror_axes": None if axes is None else list(axes),
        "tumor_label": tumor,
    }
    patch = planned.patch_size(configuration)
    spec = _spec(foreign, len(patch), _phases(told.channel_names, phases, folder.name), patch)
    return ModelInfo(name=told.name or folder.name, spec=spec), weights


def _spec(
    foreign: Mapping[str, Any], dims: int, phases: tuple[str, ...], patch: Sequence[int] | None
) -> ModelSpec:
    try:
        return ModelSpec.model_validate(
            {
                "dims": dims,
                "inputs": phases,
                "patch_size": tuple(patch or (160,) * dims),
                "foreign": foreign,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise unsupported(".".join(map(str, first["loc"])), first["msg"]) from error


def _phases(names: Mapping[int, str], phases: Sequence[str] | None, model: str) -> tuple[str, ...]:
    """Phases of the input channels: those given, else the channels' names where they are some."""
    own = tuple(names[index] for index in sorted(names))
    chosen = tuple(phases or own)
    if len(chosen) == len(own) and all(_PHASE.fullmatch(name) for name in chosen):
        return chosen
    raise InputError(
        f"Expected the phases of the {len(own)} input channels of {model}",
        f"found {', '.join(chosen) or 'none'}",
        "Name them in order, as in --phases pre,post1",
    )


def _tumor(names: Mapping[int, str], model: str) -> int:
    """Number of the one foreground label, or of the one that is called tumor."""
    foreground = {n: name for n, name in names.items() if n != 0}
    called = [n for n, name in foreground.items() if re.search("tumou?r|lesion", name.lower())]
    found = list(foreground) if len(foreground) == 1 else called
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"Expected one label of {model} to be the tumor",
        f"found the labels {', '.join(foreground.values()) or 'none'}",
        "Call exactly one label tumor or lesion in the model's description",
    )


def _bundle_config(folder: Path) -> dict[str, Any]:
    for stem in ("inference", "evaluate", "train"):
        for ending in ("json", "yaml", "yml"):
            path = folder / "configs" / f"{stem}.{ending}"
            if path.is_file():
                return _read_json(path) if ending == "json" else _read_yaml(path)
    raise InputError(
        "Expected the bundle's configs/inference.json",
        f"found no configuration in {folder.name}",
        "Download the whole bundle",
    )


def _wanted(config: Mapping[str, Any], key: str, what: str) -> Any:
    if key in config:
        return config[key]
    raise InputError(
        f"Expected '{key}' in the bundle's configuration, which describes {what}",
        f"found {', '.join(map(str, config))}",
        f"Name it '{key}', as MONAI's bundle specification does",
    )


def _literal(
    config: Mapping[str, Any], value: Any, place: str, depth: int = 0, left: list[int] | None = None
) -> Any:
    """A part of a configuration with its references followed; expressions are refused.

    References to references, and YAML's aliases, can stand for more values than a memory holds:
    `left` counts down how many more are allowed.
    """
    left = [_MOST_VALUES] if left is None else left
    left[0] -= 1
    if left[0] < 0 or len(place) > _LONGEST_PLACE:
        raise unsupported(place[:80], f"it stands for more than {_MOST_VALUES} values")
    if isinstance(value, dict):
        return {k: _literal(config, v, f"{place}#{k}", depth, left) for k, v in value.items()}
    if isinstance(value, list):
        return [_literal(config, v, f"{place}#{i}", depth, left) for i, v in enumerate(value)]
    if not isinstance(value, str) or value[:1] not in ("@", "$", "%"):
        return value
    reference = _REFERENCE.fullmatch(value)
    if reference is None or depth > 8:
        raise unsupported(place, f"'{value}' is an expression, which is not evaluated")
    found: Any = config
    for step in re.split("#|::", reference[1]):
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise unsupported(place, f"'{value}' refers to nothing") from error
    return _literal(config, found, place, depth + 1, left)


def _preprocessing(config: Mapping[str, Any], dims: int) -> list[tuple[str, dict[str, Any]]]:
    chain = _literal_list(config, _wanted(config, "preprocessing", "its preprocessing"))
    steps = []
    for step in chain:
        name = str(step.get("_target_", "")).rpartition(".")[2]
        if name in WITHOUT_EFFECT or step.get("_disabled_") is True:
            continue
        is_known = name in TRANSFORMS and (dims == 3 or not name.startswith(("Orient", "Spacing")))
        if not is_known:
            raise InputError(
                f"Expected preprocessing by {', '.join(TRANSFORMS)} (the first two in 3D only)",
                f"found {name or 'a step without a class'}",
                "Export the model with these, or run it with MONAI",
            )
        how = {k: v for k, v in step.items() if k != "keys" and not str(k).startswith("_")}
        how = _literal(config, how, f"preprocessing {name}")
        for key in ("mode", "padding_mode", "align_corners", "dtype"):
            # One for each key; the image comes first.
            if isinstance(how.get(key), list) and how[key]:
                how[key] = how[key][0]
        steps.append((name, how))
    return steps


def _literal_list(config: Mapping[str, Any], chain: Any, depth: int = 0) -> list[dict[str, Any]]:
    """The steps of a Compose, whose own arguments may hold expressions we never need."""
    if depth > 8:
        raise unsupported("preprocessing", "it refers to itself")
    if isinstance(chain, str) and (reference := _REFERENCE.fullmatch(chain)):
        return _literal_list(config, config.get(reference[1]), depth + 1)
    if isinstance(chain, dict) and str(chain.get("_target_", "")).endswith("Compose"):
        return _literal_list(config, chain.get("transforms"), depth + 1)
    if isinstance(chain, list) and all(isinstance(step, dict) for step in chain):
        return chain
    raise unsupported("preprocessing", "it is not a list of transforms")


def _inferer(config: Mapping[str, Any], dims: int) -> dict[str, Any]:
    inferer = described(Inferer, config.get("inferer") or {}, "inferer")
    name = inferer.target.rpartition(".")[2]
    if name == "SimpleInferer":
        return {}
    if name != "SlidingWindowInferer":
        raise unsupported("inferer", f"{name} is not supported")
    wanted = inferer.model_dump(include={"roi_size", "overlap"}, exclude_unset=True)
    window = dict(_literal(config, wanted, "inferer"))
    if isinstance(window.get("roi_size"), int):  # one number for all axes
        window["roi_size"] = [window["roi_size"]] * dims
    if not isinstance(window.get("roi_size") or [], list):
        raise unsupported("inferer.roi_size", "it is no list of numbers")
    return window


def _sets_sigmoid(config: Mapping[str, Any]) -> bool:
    chain = config.get("postprocessing", {})
    steps = chain.get("transforms", []) if isinstance(chain, dict) else []
    steps = steps if isinstance(steps, list) else []
    return any(isinstance(step, dict) and step.get("sigmoid") is True for step in steps)


def _state_dict(stored: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """The weights in what was stored, wherever the training kept them."""
    import torch

    for key in ("state_dict", "model_state_dict", "model", "network", "net"):
        if isinstance(stored.get(key), dict):
            stored = stored[key]
            break
    weights = {
        str(key).removeprefix("module."): value
        for key, value in stored.items()
        if isinstance(value, torch.Tensor)
    }
    if not weights:
        raise InputError(
            "Expected a state dict of tensors",
            f"found {', '.join(map(str, list(stored)[:5])) or 'nothing'} in {path}",
            "Save network.state_dict()",
        )
    return weights


def _read_weights(path: Path) -> dict[str, Any]:
    """Content of a file of weights; one that only code could restore is refused."""
    import pickle

    import numpy as np
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    # nnU-Net keeps figures of its training as numpy scalars; making one runs nothing else.
    scalar: Any = np.float64(0).__reduce__()[0]
    harmless: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        (codecs.encode, "_codecs.encode"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
    ]
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(harmless):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        reason = re.sub(r"\s+", " ", str(error)).partition("Please file")[0].strip()
        named = re.search(r"GLOBAL ([\w.]+)", reason)
        raise InputError(
            "Expected weights that can be read without running code",
            f"found that {path} "
            + (f"would run {named[1]}" if named else f"could not be read ({reason[:160]})"),
            "Ask its maker for a plain state dict or safetensors file, or copy it again",
        ) from error
    return stored if isinstance(stored, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path, _MOST_BYTES)
    except ValueError as error:
        raise InputError(
            f"Expected valid JSON in {path}", f"found an error ({error})", "Copy the model again"
        ) from error
    return value if isinstance(value, dict) else {}


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(read_bounded(path, _MOST_BYTES))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(
            f"Expected valid YAML in {path}",
            f"found an error ({(str(error).splitlines() or ['it cannot be read'])[0]})",
            "Copy the model again",
        ) from error
    return value if isinstance(value, dict) else {}
