"""Files of every kind that the package reads, damaged; and what must come of reading them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fault_actions import GRID, exam, mask
from hypothesis import strategies as st

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.dataset import Dataset

MOST_SECONDS, MOST_BYTES = 10.0, 2_000_000_000

Change = tuple[str, float, int, float]
"""How, where from 0 to 1, a number, and in which part of the file from its start."""

EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"9999", b"-1e9")
IN_BYTES = ("set", "flip", "cut", "double", "end")
IN_VALUES = ("value", "drop", "key", "other")
# Most of what decides is in the first bytes.
PARTS = (1.0, 0.1, 0.02)
DEEP = "a value that is nested 5,000 deep"
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 2**70, -(2**31), float("inf"), float("nan"), "", "NaN", "x" * 300),
    *("a\0b", "../../x", "~nosuchuser/a.png", "/etc/hostname", "@a", "$import os", "1,2", '"'),
    *([], {}, [[[]]], ["post1"] * 50, {"x": 1}, {"0": ["a"]}, DEEP),
)


def _change(how: tuple[str, ...]) -> st.SearchStrategy[Change]:
    where, number = st.floats(0, 1, exclude_max=True), st.integers(0, 255)
    return st.tuples(st.sampled_from(how), where, number, st.sampled_from(PARTS))


def changes_of(kind: Kind) -> st.SearchStrategy[list[Change]]:
    """Changes to a file of a kind, for hypothesis."""
    return st.lists(_change(kind.ways), min_size=1, max_size=6)


def chance_changes(kind: Kind, number: int) -> list[Change]:
    """The changes with a number: the same ones whenever it is asked for."""
    chance = random.Random(f"{kind.name}/{number}")
    return [
        (chance.choice(kind.ways), chance.random(), chance.randrange(256), chance.choice(PARTS))
        for _ in range(chance.randint(1, 6))
    ]


def damaged(content: bytes, changes: list[Change], kind: Kind) -> bytes:
    """Content with values changed, where it holds some, and then bytes."""
    of_values = [one for one in changes if one[0] in IN_VALUES]
    if of_values and kind.form == "json":
        content = _in_json(content, of_values)
    elif of_values:
        content = _in_table(content, of_values)
    return in_bytes(content, [one for one in changes if one[0] in IN_BYTES])


def in_bytes(content: bytes, changes: list[Change]) -> bytes:
    """Content with bytes set to extremes, flipped, cut out, doubled or cut off."""
    made = bytearray(content)
    for how, where, value, part in changes:
        at = int(where * part * len(made))
        if how == "set":
            made[at : at + 4] = EXTREMES[value % len(EXTREMES)]
        elif how == "flip" and at < len(made):
            made[at] ^= value
        elif how == "cut":
            del made[at : at + value]
        elif how == "double":
            made[at:at] = made[at : at + value]
        elif how == "end":
            del made[max(at, 1) :]
    return bytes(made)


def _in_json(content: bytes, changes: list[Change]) -> bytes:
    """A line of JSON, or the first of several, with values put in, left out or called otherwise."""
    first, _, rest = content.partition(b"\n{")
    value = {"all": json.loads(first)}
    for how, where, number, _ in changes:
        places = list(_places(value))
        holder, key = places[int(where * len(places))]
        odd = json.loads(json.dumps(ODD[number % len(ODD)]))
        if how == "value":
            holder[key] = odd
        elif how == "other":
            other, at = places[number % len(places)]
            holder[key] = json.loads(json.dumps(other[at]))
        elif how == "drop" and holder is not value:
            del holder[key]
        elif how == "key" and isinstance(holder, dict) and holder is not value:
            holder[str(odd)] = holder.pop(key)
    text = json.dumps(value["all"]).replace(json.dumps(DEEP), "[" * 5000 + "]" * 5000)
    return text.encode() + (b"\n{" + rest if rest else b"\n")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _in_table(content: bytes, changes: list[Change]) -> bytes:
    """A table with cells or whole rows put in, left out or moved."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    for how, where, number, _ in changes:
        row = rows[int(where * len(rows))]
        at = number % len(row)
        odd = ODD[number % len(ODD)]
        if how == "value":
            row[at] = "x" * 200_000 if odd == DEEP else str(odd)
        elif how == "drop" and len(row) > 1:
            del row[at]
        elif how == "key":
            row.insert(at, str(odd))
        elif how == "other":
            row[at] = rows[number % len(rows)][0]
    return "\n".join(",".join(row) for row in rows).encode() + b"\n"


# ---- what is read


@dataclass(frozen=True)
class Kind:
    """A kind of file: a whole one, and how it is read."""

    name: str
    make: Callable[[Path], Path]
    """Makes, in an empty folder, a whole file and what lies around it; the file's path."""
    read: Callable[[Path], None]
    """Reads it; raises InputError, or AssertionError of what is not plausible."""
    form: str = ""
    """"json" or "table", where values are changed, too."""

    @property
    def ways(self) -> tuple[str, ...]:
        """In which ways it is damaged."""
        return IN_BYTES + (IN_VALUES * 2 if self.form else ())


def require_plausible(one: Exam) -> None:
    """What every exam that comes through has to be."""
    for volume in one.phases.values():
        assert volume.data.shape == one.grid.shape
        assert np.isfinite(volume.data).all()
        assert abs(float(volume.data.max())) <= 1e12
        assert volume.data.min() < volume.data.max()
    if one.grid.spacing_mm is not None:
        assert all(0.0005 < mm < 1000 for mm in one.grid.voxel_size)
    assert one.case_id.isprintable()


def require_said(error: InputError) -> None:
    """A refusal has its three parts."""
    assert error.expected.startswith("Expected"), error.expected
    assert error.found
    assert error.fix


def _open(path: Path) -> None:
    require_plausible(formats.open_exam(path))


def _volume(name: str) -> Kind:
    def make(folder: Path) -> Path:
        volume = exam("P1").phases["post1"]
        if name.endswith("png"):
            volume = Volume(volume.data[:1].astype(np.uint8), Grid((1, 8, 9)))
        formats.write_volume(folder / name, volume)
        return folder / name

    return Kind(name, make, _open)


def _jpeg(folder: Path) -> Path:
    from PIL import Image

    Image.fromarray(exam("P1").phases["post1"].data[0].astype(np.uint8)).save(folder / "P1.jpg")
    return folder / "P1.jpg"


def _dicom(folder: Path) -> Path:
    from dicom_files import write_series

    (one,) = write_series(folder / "series", 1, 100, count=1)
    return one.rename(folder / "P1.dcm")


def _enhanced(folder: Path) -> Path:
    from dicom_files import write_enhanced

    write_enhanced(folder / "P1_enhanced.dcm", 2)
    return folder / "P1_enhanced.dcm"


def _seg(folder: Path) -> Path:
    from dicom_files import NEEDED, found, some_mask, write_exam

    one = found(write_exam(folder / "exam", **NEEDED))
    formats.write_seg(folder / "tumor.dcm", some_mask(one), one)
    return folder / "tumor.dcm"


def _read_seg(path: Path) -> None:
    grid = formats.open_exam(path.parent / "exam").grid
    label_map = formats.read_label_map(path, grid=grid)
    assert label_map.data.shape == grid.shape
    assert label_map.data.max() <= 2


def _mask(folder: Path) -> Path:
    formats.write_label_map(folder / "mask.nii.gz", mask())
    return folder / "mask.nii.gz"


def _read_mask(path: Path) -> None:
    label_map = formats.read_label_map(path, grid=GRID)
    assert label_map.data.max() <= 2


def _dataset(name: str) -> Kind:
    """A file of a dataset folder."""

    def make(folder: Path) -> Path:
        dataset = Dataset.create(folder / "D")
        for case_id in ("K1", "K2"):
            dataset.add(exam(case_id), case_id=case_id, patient_id=f"patient-{case_id}")
        dataset.save_draft("K1", mask(2), model="m")
        for x in (3, 4):
            dataset.accept("K1", mask(x), reviewed_slices=None, annotator="AB", seconds=1.0)
        return folder / "D" / name

    def read(path: Path) -> None:
        dataset = Dataset.open(path.parents[len(Path(name).parts) - 1])
        dataset.cases()
        dataset.check()
        dataset.status()
        if name != "cases/K1.json":
            assert dataset.case("K1").is_accepted

    return Kind(name, make, read, "json")


def _table(folder: Path) -> Path:
    rows = ["case_id,patient_id,image,mask,spacing_mm"]
    for name in ("K1", "K2"):
        formats.write_volume(folder / f"{name}.nii.gz", exam(name).phases["post1"])
        formats.write_label_map(folder / f"{name}_mask.nii.gz", mask())
        rows.append(f"{name},patient-{name},{name}.nii.gz,{name}_mask.nii.gz,3 0.7 0.7")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


def _import(path: Path) -> None:
    target = path.parent / "D"
    shutil.rmtree(target, ignore_errors=True)
    dataset = Dataset.create(target)
    result = drain(dataset.import_csv(path))
    assert len(dataset.cases()) == len(result.imported)
    assert all(failure.message.startswith("Row") for failure in result.failures)
    assert all(one.case_id.isprintable() for one in dataset.cases())


def _patients(folder: Path) -> Path:
    model = folder / "raw"
    told = {"channel_names": {"0": "post1"}, "labels": {"background": 0, "tumor": 1}}
    for number in (1, 2):
        name = f"K{number}"
        image = model / "imagesTr" / f"{name}_0000.nii.gz"
        formats.write_volume(image, exam(name).phases["post1"])
        formats.write_label_map(model / "labelsTr" / f"{name}.nii.gz", mask())
    described = told | {"numTraining": 2, "file_ending": ".nii.gz"}
    (model / "dataset.json").write_text(json.dumps(described))
    (model / "patients.csv").write_text("case_id,patient_id\nK1,A\nK2,B\n")
    return model / "patients.csv"


def _read_folder(path: Path) -> None:
    from napari_breastseg.dataset.nnunet_folder import read_nnunet_folder

    table = read_nnunet_folder(path.parent)
    assert len(table.rows) == 2
    assert all(row.patient_id for row in table.rows)


def _of_folder(name: str, form: str) -> Kind:
    def make(folder: Path) -> Path:
        return _patients(folder).parent / name

    return Kind(f"raw folder {name}", make, _read_folder, form)


def _report(folder: Path) -> Path:
    from fault_actions import _report as write

    write(folder / "report.json", 5)
    return folder / "report.json"


def _read_report(path: Path) -> None:
    from napari_breastseg.lesions.change import compare_visits
    from napari_breastseg.lesions.report import read_report

    report = read_report(path)
    report.rows()
    compare_visits(report.lesions, report.lesions)


def _registry(name: str) -> Kind:
    """A file of a registry of two models, the second of them promoted."""
    from napari_breastseg.registry.models import Registry

    def make(folder: Path) -> Path:
        from fault_models import _checkpoint

        registry = Registry(folder)
        for seed, model in enumerate(("a", "b")):
            registry.register(_checkpoint(folder / "made" / model, seed), model)
        registry.promote("b", force=True)
        return registry.folder / name

    def read(path: Path) -> None:
        folder = path.parents[len(Path(name).parts) - 1]
        registry = Registry(folder.parent)
        registry.log()
        registry.judgment("a")
        # Whatever is beside a model keeps no other one from being written about.
        with registry._files.writing():
            pass
        assert "a" in [entry.name for entry in registry.list()]
        registry.promoted()
        registry.rollback()

    return Kind(f"registry {name}", make, read, "json")


def _model(folder: Path) -> Path:
    from fault_models import _checkpoint

    return _checkpoint(folder / "model", 1) / "model.json"


def _load(path: Path) -> None:
    from napari_breastseg.model import checkpoint

    checkpoint.load(path.parent)


def _bundle(folder: Path) -> None:
    import torch
    from monai.networks.nets import BasicUNet

    net = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": [4, 4, 8, 8, 8, 4]}
    wide = {"_target_": "SlidingWindowInferer", "roi_size": [64, 64], "overlap": 0.25}
    steps = [{"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}]
    channels = {"image": {"channel_def": {"0": "post1"}}}
    labels = {"pred": {"channel_def": {"0": "background", "1": "tumor"}}}
    metadata = {
        "name": "made",
        "license": "MIT",
        "network_data_format": {"inputs": channels, "outputs": labels},
    }
    config = {
        "width": [64, 64],
        "network_def": {"_target_": "BasicUNet", **net},
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "inferer": wide | {"roi_size": "@width"},
    }
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    torch.save(BasicUNet(**net).state_dict(), folder / "models" / "model.pt")


def _of_bundle(name: str) -> Kind:
    def make(folder: Path) -> Path:
        _bundle(folder / "bundle")
        configs = folder / "bundle" / "configs"
        if name.endswith("yaml"):  # JSON is YAML, too; this is as people write it
            import yaml

            config = json.loads((configs / "inference.json").read_text())
            (configs / "inference.json").unlink()
            (configs / name).write_text(yaml.safe_dump(config))
        return configs / name

    return Kind(f"bundle {name}", make, _import_model, "" if name.endswith("yaml") else "json")


def _import_model(path: Path) -> None:
    from napari_breastseg.model.importing import import_model

    folder = path.parent.parent if path.parent.name == "configs" else path.parent
    made = folder.parent / "made"
    shutil.rmtree(made, ignore_errors=True)
    import_model(folder, made)


def _of_nnunet(name: str) -> Kind:
    def make(folder: Path) -> Path:
        import torch
        from dynamic_network_architectures.architectures.unet import PlainConvUNet
        from torch import nn

        shape = {"n_stages": 2, "features_per_stage": [4, 8], "kernel_sizes": [[3, 3], [3, 3]]}
        shape |= {"strides": [[1, 1], [2, 2]], "n_conv_per_stage": [1, 1]}
        shape |= {"n_conv_per_stage_decoder": [1], "conv_bias": True}
        options = {"norm_op_kwargs": {"affine": True}, "nonlin_kwargs": {"inplace": True}}
        named = {"conv_op": "torch.nn.modules.conv.Conv2d", "nonlin": "torch.nn.LeakyReLU"}
        named |= {"norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d"}
        plan = {
            "image_reader_writer": "SimpleITKIO",
            "patch_size": [32, 32],
            "spacing": [1.0, 1.0],
            "batch_size": 2,
            "preprocessor_name": "DefaultPreprocessor",
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "architecture": {
                "network_class_name": f"{PlainConvUNet.__module__}.PlainConvUNet",
                "arch_kwargs": {**shape, **options, **named, "dropout_op": None},
                "_kw_requires_import": [*named, "dropout_op"],
            },
        }
        plans = {
            "dataset_name": "Dataset001_Breast",
            "image_reader_writer": "SimpleITKIO",
            "plans_name": "nnUNetPlans",
            "label_manager": "LabelManager",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": {"2d": plan, "2d_wide": {"inherits_from": "2d"}},
        }
        told = {"channel_names": {"0": "post1"}, "labels": {"background": 0, "tumor": 1}}
        layers = {"conv_op": nn.Conv2d, "norm_op": nn.InstanceNorm2d, "nonlin": nn.LeakyReLU}
        network = PlainConvUNet(
            1, num_classes=2, deep_supervision=True, **shape, **options, **layers
        )
        model = folder / "nnunet"
        (model / "fold_0").mkdir(parents=True)
        (model / "plans.json").write_text(json.dumps(plans))
        (model / "dataset.json").write_text(json.dumps(told | {"file_ending": ".nii.gz"}))
        arguments = {"configuration": "2d_wide"}
        weights = {"network_weights": network.state_dict(), "init_args": arguments}
        torch.save(weights, model / "fold_0" / "checkpoint_final.pth")
        return model / name

    return Kind(f"nnU-Net {name}", make, _import_model, "json")


KINDS = {
    kind.name: kind
    for kind in (
        *(_volume(f"P1.{ending}") for ending in ("nii", "nii.gz", "nrrd", "tif", "png")),
        Kind("P1.jpg", _jpeg, _open),
        Kind("P1.dcm", _dicom, _open),
        Kind("P1_enhanced.dcm", _enhanced, _open),
        Kind("mask.nii.gz", _mask, _read_mask),
        Kind("DICOM SEG", _seg, _read_seg),
        _dataset("dataset.json"),
        _dataset("cases/K1.json"),
        Kind("cases.csv", _table, _import, "table"),
        _of_folder("patients.csv", "table"),
        _of_folder("dataset.json", "json"),
        Kind("report.json", _report, _read_report, "json"),
        Kind("model.json", _model, _load, "json"),
        *(_registry(name) for name in ("log.jsonl", "promoted", "a/registered.json")),
        *(_of_bundle(name) for name in ("metadata.json", "inference.json", "inference.yaml")),
        *(_of_nnunet(name) for name in ("plans.json", "dataset.json")),
    )
}
