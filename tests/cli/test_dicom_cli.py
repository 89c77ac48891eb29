"""DICOM on the command line: phases and times in JSON, questions and their answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dicom_files import STUDY, write_beside, write_exam, write_series, write_two_breasts

from napari_breastseg import formats
from napari_breastseg.cli import main
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec, build

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: Any, tmp_path: Path) -> Run:
    """Run `predict` with a model of pre and post1: exit code, stdout, stderr."""
    spec = ModelSpec(inputs=("pre", "post1"), features=(4, 8), patch_size=(32, 32))
    model, output = tmp_path / "model", tmp_path / "masks"
    checkpoint.save(model, build(spec).state_dict(), checkpoint.ModelInfo(name="two", spec=spec))

    def call(*words: Any) -> tuple[int, str, str]:
        fixed = ["predict", *words, "--model", model, "--output", output, "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["napari-breastseg", *map(str, fixed)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfd.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def test_json_lists_phases_times_series_and_what_was_left_out(run: Run, tmp_path: Path) -> None:
    folder = write_exam(tmp_path / "P3")
    write_series(folder, 20, 8000, ScanningSequence="SE", EchoTime=90)
    code, out, _ = run(folder, "--json")
    assert code == 0
    (row,) = json.loads(out)["cases"]
    assert row["case_id"] == "P3"
    assert row["phases"] == ["pre", "post1"]
    assert row["times_s"] == [-750.5, 0.0]
    assert row["series"] == ["9", "7"]
    assert [(f["series"], f["role"], f["time_s"]) for f in row["found"]] == [
        ("9", "pre", -750.5),
        ("7", "post1", 0.0),
        ("5", "post2", 149.5),
        ("20", None, None),
    ]
    assert row["found"][3]["why"].startswith("a spin echo (T2 weighted)")
    mask = formats.read_label_map(tmp_path / "masks" / "P3.nii.gz")
    assert mask.grid.matches(formats.open_exam(folder).grid)


def test_a_question_is_asked_and_answered_with_phases(run: Run, tmp_path: Path) -> None:
    for number in (2, 3):
        write_series(tmp_path / "P4", number, 1000 * number, AcquisitionTime="100000")
    code, _, err = run(tmp_path / "P4")
    assert code == 2
    assert "some acquired at the same time: series 2, series 3" in err
    assert "--phases pre=2,post1=3" in err
    code, out, _ = run(tmp_path / "P4", "--phases", "pre=3,post1=2", "--json")
    assert code == 0
    assert json.loads(out)["cases"][0]["series"] == ["3", "2"]


def test_one_bad_exam_stops_no_other(run: Run, tmp_path: Path) -> None:
    write_exam(tmp_path / "many" / "P1", StudyInstanceUID=f"{STUDY}.1")
    mosaic = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}
    write_series(tmp_path / "many" / "P2", 1, 1000, StudyInstanceUID=f"{STUDY}.2", **mosaic)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "a.dcm").write_bytes(bytes(128) + b"DICM")
    code, out, err = run(tmp_path / "many", damaged, "--json")
    assert code == 1
    rows = json.loads(out)["cases"]
    assert [(r["case_id"], r["status"]) for r in rows] == [
        ("P1", "done"),
        ("P2", "failed"),
        (None, "failed"),
    ]
    assert rows[2]["input"] == "EXAM 2"
    assert "EXAM 2 of 2:" in err


def test_what_is_left_out_for_damage_is_said(run: Run, tmp_path: Path) -> None:
    folder = write_exam(tmp_path / "P5")
    *_, last = write_series(folder, 6, 4000, AcquisitionTime="102000", ContrastBolusAgent="Gd")
    last.write_bytes(last.read_bytes()[:150])
    code, _, err = run(folder, "--json")
    assert code == 0
    assert "P5: 1 DICOM file is cut short or damaged and left out" in err


def test_ultrasound_and_a_report_beside_the_mr_are_a_note_not_a_failure(
    run: Run, tmp_path: Path
) -> None:
    folder = write_exam(tmp_path / "P7")
    write_beside(folder / "us", "ultrasound", 12, StudyInstanceUID=f"{STUDY}.8")
    write_beside(folder, "report", StudyInstanceUID=f"{STUDY}.9")
    code, out, err = run(folder, "--json")
    assert code == 0
    assert "P7: left out: 12 ultrasound images, 1 report" in err
    assert "failed" not in err
    (row,) = json.loads(out)["cases"]
    assert (row["case_id"], row["status"]) == ("P7", "done")
    assert row["notes"] == ["left out: 12 ultrasound images, 1 report"]
    code, _, err = run(folder / "us")
    assert code == 2
    assert "Found     12 ultrasound images, and no MR image" in err


def test_both_breasts_of_a_series_of_two_stacks_are_segmented(run: Run, tmp_path: Path) -> None:
    for number, time in ((2, "100000"), (3, "101000")):
        write_two_breasts(tmp_path / "P8", number, 1000 * number, AcquisitionTime=time)
    code, out, err = run(tmp_path / "P8", "--json")
    assert code == 0
    assert "P8_right: opened as two exams, P8_right and P8_left" in err
    for row, shape in zip(json.loads(out)["cases"], ((4, 6, 5), (5, 6, 5)), strict=True):
        assert formats.read_label_map(Path(row["mask"])).grid.shape == shape
        assert row["notes"][0].startswith("opened as two exams")
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        "P8_left.nii.gz",
        "P8_right.nii.gz",
    ]


def test_two_exams_of_one_name_are_told_without_their_folders(run: Run, tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_exam(tmp_path / place / "P6")
    code, _, err = run(tmp_path / "a" / "P6", tmp_path / "b" / "P6")
    assert code == 2
    assert "'P6' twice: from a DICOM folder and from a DICOM folder" in err
