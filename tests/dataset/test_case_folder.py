"""Folders with images and segmentations, as MAMA-MIA has them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.cli import main
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset, import_csv


@pytest.fixture
def folder(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Path:
    """Two cases of three and two phases, masks of experts and of a machine, letter case mixed."""
    exam, truth = sphere_exam
    root = tmp_path / "mama"
    for name, phases in (("DUKE_001", 3), ("ISPY1_1002", 2)):
        for number in range(phases):
            volume = exam.phases["post1" if number else "pre"]
            file = f"{name.lower()}_{number:04d}.nii.gz"
            formats.write_volume(root / "Images" / name / file, volume)
        formats.write_label_map(root / "segmentations" / "expert" / f"{name}.nii.gz", truth)
        empty = LabelMap(np.zeros_like(truth.data), truth.grid)
        formats.write_label_map(root / "segmentations" / "automatic" / f"{name}.nii.gz", empty)
    return root


def test_the_cases_are_found_whole_and_masks_are_none(folder: Path) -> None:
    cases = formats.find_cases(folder)
    assert [(case.case_id, case.roles) for case in cases] == [
        ("duke_001", ("pre", "post1", "post2")),
        ("ispy1_1002", ("pre", "post1")),
    ]


def test_a_folder_is_imported_with_the_phases_all_share(
    folder: Path, tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    target = tmp_path / "Dataset501_T"
    result = drain(import_csv(folder, target))
    assert result.imported == ("duke_001", "ispy1_1002")
    assert not result.failures
    dataset = Dataset.open(target)
    assert [case.patient_id for case in dataset.cases()] == ["DUKE_001", "ISPY1_1002"]
    assert {case.channels for case in dataset.cases()} == {("pre", "post1")}
    assert np.array_equal(dataset.label_map("duke_001").tumor, sphere_exam[1].tumor)
    again = drain(dataset.import_csv(folder))
    assert again.skipped == result.imported


def test_a_case_without_a_mask_enters_as_new(folder: Path, tmp_path: Path) -> None:
    for kind in ("expert", "automatic"):
        (folder / "segmentations" / kind / "DUKE_001.nii.gz").unlink()
    drain(import_csv(folder, tmp_path / "D"))
    accepted = {c.case_id: c.is_accepted for c in Dataset.open(tmp_path / "D").cases()}
    assert accepted == {"duke_001": False, "ispy1_1002": True}


def test_the_command_line_takes_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    words = ["napari-breastseg", "dataset", "import", str(folder), str(tmp_path / "D"), "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert json.loads(capfd.readouterr().out)["imported"] == ["duke_001", "ispy1_1002"]


def test_other_folders_and_questions_are_refused(
    folder: Path, tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    (tmp_path / "other" / "images").mkdir(parents=True)
    with pytest.raises(InputError, match=r"images and segmentations in other.*no segmentations"):
        drain(import_csv(tmp_path / "other", tmp_path / "D"))
    (folder / "segmentations" / "expert").rename(folder / "segmentations" / "reader")
    with pytest.raises(InputError, match=r"one mask of case duke_001.*found 2.*CSV"):
        drain(import_csv(folder, tmp_path / "D"))
    formats.write_volume(folder / "Images" / "X" / "x.nii.gz", sphere_exam[0].phases["pre"])
    with pytest.raises(InputError, match=r"in Images with .* all of them have; found no phase"):
        drain(import_csv(folder, tmp_path / "D"))
    assert not (tmp_path / "D").exists()
