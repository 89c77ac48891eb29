"""nnU-Net v2 and MONAI take the dataset folder as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset, import_csv

# nnU-Net's own check, its worker processes replaced by threads: each would import torch anew.
# It needs neither environment variables nor a folder name of its scheme.
VERIFY = """
import multiprocessing.dummy, multiprocessing.pool, sys
from nnunetv2.experiment_planning import verify_dataset_integrity as module
module.multiprocessing.get_context = lambda method: multiprocessing.dummy
for folder in sys.argv[1:]:
    module.verify_dataset_integrity(folder, num_processes=1)
    print("VERIFIED", folder)
"""


@pytest.fixture(scope="module")
def slices(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The clinic slices, imported."""
    folder = tmp_path_factory.mktemp("slices") / "my breast slices"
    drain(import_csv(test_data / "clinic_slices" / "cases.csv", folder))
    return Dataset.open(folder)


@pytest.fixture
def volumes(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """Eleven oblique, anisotropic two-channel cases from a CSV file; one partly reviewed."""
    exam, truth = sphere_exam
    lines = ["case_id,patient_id,image_0000,image_0001,mask"]
    for role in ("pre", "post1"):
        formats.write_volume(tmp_path / f"{role}.nii.gz", exam.phases[role])
    formats.write_label_map(tmp_path / "truth.nii", truth)
    for number in range(1, 12):
        lines.append(f"P{number:02d},q{number},pre.nii.gz,post1.nii.gz,truth.nii")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    drain(import_csv(tmp_path / "cases.csv", tmp_path / "volumes"))
    dataset = Dataset.open(tmp_path / "volumes")
    dataset.accept("P02", truth, reviewed_slices=range(4, 9), annotator="a", seconds=1)
    dataset.reopen("P03")
    return dataset


def test_nnunet_finds_the_folders_and_exports_sound(
    slices: Dataset, volumes: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("nnunetv2")
    exported = drain(volumes.export(tmp_path / "Dataset501_Breast"))
    folders = [str(slices.folder), str(volumes.folder), str(exported)]
    run = subprocess.run([sys.executable, "-c", VERIFY, *folders], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("VERIFIED") == 3
    assert "mismatch" not in run.stdout


# MONAI warns of an optional DICOM decoder whenever it lists its readers.
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader.*:UserWarning")
def test_monai_loads_both_channels_of_every_listed_case(volumes: Dataset, sphere_exam) -> None:
    pytest.importorskip("torch")
    from monai.data import load_decathlon_datalist
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

    path = volumes.folder / "datalist.json"
    lists = {
        key: load_decathlon_datalist(path, True, key) for key in ("training", "validation", "test")
    }
    names = {key: [Path(item["label"]).name[:3] for item in items] for key, items in lists.items()}
    assert names["test"] == ["P10"]
    assert set(names["training"]) & set(names["validation"]) == set()
    assert sorted(names["training"] + names["validation"]) == [
        f"P{n:02d}" for n in (1, 2, 4, 5, 6, 7, 8, 9, 11)
    ]
    load = Compose([LoadImaged(["image", "label"]), EnsureChannelFirstd(["image", "label"])])
    item = load(lists["training"][0])
    assert item["image"].shape == (2, 40, 48, 12)
    assert item["label"].shape == (1, 40, 48, 12)
    post = sphere_exam[0].phases["post1"].data
    np.testing.assert_array_equal(np.asarray(item["image"][1]), post.T)


def test_monai_loads_the_slices(slices: Dataset) -> None:
    pytest.importorskip("torch")
    from monai.data import load_decathlon_datalist

    path = slices.folder / "datalist.json"
    training = load_decathlon_datalist(path, True, "training")
    validation = load_decathlon_datalist(path, True, "validation")
    assert len(training) + len(validation) == 21
    assert all(Path(file).exists() for item in training for file in [*item["image"], item["label"]])


def test_the_dataset_loads_no_torch() -> None:
    program = "import sys, napari_breastseg.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
