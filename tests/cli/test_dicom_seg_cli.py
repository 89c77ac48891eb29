"""`export-seg`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from dicom_files import NEEDED, exam, some_mask, write_series, write_two_breasts

from napari_breastseg import formats
from napari_breastseg.core.volume import LabelMap
from napari_breastseg.formats import DicomExam

__all__ = ["exam"]  # the fixture


def test_export_seg_on_the_command_line(exam: DicomExam, tmp_path: Path, run: Any) -> None:
    mask, out = tmp_path / "m.nii.gz", tmp_path / "o.dcm"
    formats.write_label_map(mask, some_mask(exam))
    code, said, told = run("export-seg", exam.root, mask, "--output", out)
    assert code == 0
    assert "2 frames on post1 of P1" in said
    assert "The side was left out" in told
    code, said, _ = run("export-seg", exam.root, mask, "--output", out, "--side", "left", "--json")
    assert code == 0
    assert json.loads(said) == {
        "case_id": "P1",
        "output": str(out),
        "role": "post1",
        "frames": 2,
        "voxels": 6,
        "side": "left",
    }
    code, said, _ = run(
        *("export-seg", exam.root, mask, "--output", out, "--phase", "pre"),
        *("--type", "mass", "--made-with", "ward=3", "--side", "none", "--json"),
    )
    assert code == 0
    assert json.loads(said)["role"] == "pre"
    assert pydicom.dcmread(out).SegmentSequence[0].SegmentAlgorithmName == "ward"


def test_export_seg_errors_have_three_parts_and_exit_with_2(
    exam: DicomExam, tmp_path: Path, run: Any
) -> None:
    mask, out = tmp_path / "m.nii.gz", tmp_path / "o.dcm"
    formats.write_label_map(mask, some_mask(exam))
    source = exam.phases["post1"].frames[0].file
    before = source.read_bytes()
    for words, match in (
        ((mask, mask, "--output", out), "one DICOM exam"),
        ((exam.root, mask, "--output", source), "other than the inputs"),
        ((exam.root, mask, "--output", out, "--made-with", "x"), "name and the version"),
        ((exam.root, tmp_path / "no.nii.gz", "--output", out), "no.nii.gz"),
    ):
        code, _, told = run("export-seg", *words)
        assert code == 2
        assert match in told
        assert told.index("Expected") < told.index("Found") < told.index("Fix  ")
    assert source.read_bytes() == before
    assert not out.exists()
    write_series(tmp_path / "Q", 3, 1000, **NEEDED, AcquisitionTime="1000")
    write_series(tmp_path / "Q", 4, 2000, **NEEDED, AcquisitionTime="1000")
    code, _, told = run("export-seg", tmp_path / "Q", mask, "--output", out)
    assert code == 2
    assert "--phases" in told
    code, _, _ = run(
        "export-seg", tmp_path / "Q", mask, "--output", out, "--phases", "pre=3,post1=4"
    )
    assert code == 0


def test_one_of_several_exams_can_be_named(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "P9"
    write_two_breasts(folder, 2, 1000, **NEEDED)
    exam = formats.open_exam(folder, case_id="P9_left")
    drawn = np.zeros(exam.grid.shape, np.uint8)
    drawn[1, 2:4, 1:3] = 1
    mask = tmp_path / "mask.nii.gz"
    formats.write_label_map(mask, LabelMap(drawn, exam.grid))
    added = (
        "dataset",
        "add",
        tmp_path / "Dataset501_T",
        folder,
        "--patient-id",
        "P",
        "--mask",
        mask,
    )
    for words in (
        ("report", folder, "--mask", mask),
        ("export-seg", folder, mask, "--output", tmp_path / "seg.dcm", "--side", "left"),
        added,
    ):
        code, _, err = run(*words)
        assert code == 2
        assert "--case" in err
        code, _, err = run(*words, "--case", "P9_left")
        assert code == 0, err
