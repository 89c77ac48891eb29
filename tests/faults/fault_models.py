"""Training, registry and DICOM SEG under a failing file layer; needs torch and highdicom."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fault_actions import Action, State, one_file

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset

SMALL = Grid((1, 32, 32))


# ---- the registry


def _checkpoint(folder: Path, seed: int) -> Path:
    import torch

    from napari_breastseg.model import checkpoint
    from napari_breastseg.model.checkpoint import ModelInfo
    from napari_breastseg.model.unet import ModelSpec, build

    torch.manual_seed(seed)
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32))
    checkpoint.save(folder, build(spec).state_dict(), ModelInfo(name=folder.name, spec=spec))
    return folder


def _registry(root: Path) -> Any:
    from napari_breastseg.registry.models import Registry

    return Registry(root / "home")


def _judgment(root: Path, name: str) -> Any:
    from napari_breastseg.model.checkpoint import read_info
    from napari_breastseg.registry.judgment import Judgment

    registry = _registry(root)
    return Judgment(
        verdict="better",
        candidate=read_info(registry.folder / name).identity,
        reference=read_info(registry.promoted()).identity,
        datasets=("D",),
        data_sha256="d" * 64,
        n_patients=6,
        n_cases=9,
        figures=(),
    )


def _prepare_registry(root: Path) -> None:
    """Models a, b and c, of which a and then b were promoted."""
    for seed, name in enumerate(("a", "b", "c", "d")):
        folder = _checkpoint(root / "made" / name, seed)
        if name != "d":
            _registry(root).register(folder, name)
    _registry(root).promote("a", force=True)
    _registry(root).promote("b", force=True)
    (root / "lines").write_text(str(len(_registry(root).log())))


def _registry_state(root: Path) -> State:
    registry = _registry(root)
    promoted = registry.promoted()
    pointer = registry._files.pointer()
    return {
        "models": tuple(sorted(entry.name for entry in registry.list())),
        "default": (promoted and promoted.name, tuple(pointer.get("earlier", ()))),
    }


def _registry_check(root: Path) -> list[str]:
    """Every model is whole, and after the next change the log tells of every one."""
    registry = _registry(root)
    problems = [f"{entry.name}: {entry.problem}" for entry in registry.list() if entry.problem]
    with registry._files.writing():
        pass
    log = registry.log()
    if len(log) < int((root / "lines").read_text()):
        problems.append("lines of the log are gone")
    told = {event["name"] for event in log if event["action"] == "register"}
    if untold := {entry.name for entry in registry.list()} - told:
        problems.append(f"the log does not tell of {untold}")
    if (event := registry._files.pointer().get("event")) not in log:
        problems.append(f"the log does not tell of {event}")
    problems += [f"{path.name} is left" for path in registry.folder.glob(".tmp-*")]
    return problems


def _promote(root: Path) -> None:
    _registry(root).promote("c", judgment=_judgment(root, "c"))


REGISTRY_ACTIONS = [
    Action(name, _prepare_registry, act, _registry_state, _registry_check)
    for name, act in (
        ("register", lambda root: _registry(root).register(root / "made" / "d", "d")),
        ("promote", _promote),
        ("rollback", lambda root: _registry(root).rollback()),
    )
]


# ---- training


def _square(number: int) -> tuple[Exam, LabelMap]:
    data = np.zeros(SMALL.shape, np.uint8)
    data[0, 8:20, 10 : 18 + number] = 1
    noise = np.random.default_rng(number).normal(100, 5, SMALL.shape)
    image = Volume((noise + 100.0 * data).astype(np.float32), SMALL)
    return Exam(f"K{number}", {"post1": image}), LabelMap(data, SMALL)


def _prepare_training(root: Path) -> None:
    dataset = Dataset.create(root / "D")
    for number in range(3):
        one, drawn = _square(number)
        dataset.add(one, patient_id=f"patient-{number}")
        dataset.accept(one.case_id, drawn, reviewed_slices=None, annotator="AB", seconds=1.0)


def _train(root: Path, resume: bool = False) -> None:
    from napari_breastseg.model.unet import ModelSpec
    from napari_breastseg.training import DatasetCase, TrainConfig, train

    dataset = Dataset.open(root / "D")
    cases = [DatasetCase(dataset, r.case_id, r.patient_id) for r in dataset.cases()]
    config = TrainConfig(
        steps=3, batch_size=1, save_every=1, validate_every=2, device="cpu", seed=7
    )
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32))
    drain(
        train(
            cases[:2],
            root / "out",
            spec=spec,
            config=config,
            validation=cases[2:],
            name="made",
            resume=resume,
        )
    )


def _trained(root: Path) -> State:
    """The weights of a finished training; a model that cannot be loaded counts for nothing."""
    from napari_breastseg.model import checkpoint
    from napari_breastseg.model.checkpoint import CARD_FILE, is_checkpoint

    out = root / "out"
    if not (is_checkpoint(out) and (out / CARD_FILE).is_file()):
        return {"the model": ""}
    checkpoint.load(out)
    checkpoint.load(out / "last")
    parts = [out / "weights.safetensors", out / "last" / "weights.safetensors"]
    return {"the model": [hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in parts]}


def _training_check(root: Path) -> list[str]:
    """Its cases are as they were; whatever looks like a model can be loaded."""
    from napari_breastseg.model import checkpoint
    from napari_breastseg.model.checkpoint import is_checkpoint

    for folder in (root / "out", root / "out" / "last"):
        if is_checkpoint(folder):
            checkpoint.load(folder)
    return [finding.message for finding in Dataset.open(root / "D").check()]


TRAINING_ACTIONS = [
    Action(
        "train",
        _prepare_training,
        _train,
        _trained,
        _training_check,
        lambda root: _train(root, resume=True),
    )
]


# ---- the DICOM SEG


def _seg(path: Path, x: int) -> None:
    from dicom_files import NEEDED, found, grid_of, write_exam

    from napari_breastseg import formats

    series = path.parent / "series"
    if not series.exists():
        write_exam(series, **NEEDED)
    opened = found(series)
    grid = grid_of(opened)
    data = np.zeros(grid.shape, np.uint8)
    data[1, 2, x - 2] = 1
    formats.write_seg(path, LabelMap(data, grid), opened)


def _seg_state(root: Path) -> State:
    from napari_breastseg import formats

    grid = formats.open_exam(root / "series").grid
    label_map = formats.read_label_map(root / "tumor.dcm", grid=grid)
    return {"tumor.dcm": np.argwhere(label_map.data).tolist()}


SEG_ACTIONS = [replace(one_file("tumor.dcm", _seg), name="export seg", state=_seg_state)]

MODEL_ACTIONS = REGISTRY_ACTIONS + TRAINING_ACTIONS + SEG_ACTIONS
