"""The lesion report from the command line and as files: CSV, JSON, one page of PDF."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.lesions import LesionReport, compare_visits
from napari_breastseg.lesions.report import lesion_report, write_report
from napari_breastseg.phantom import LesionSpec, breast_phantom


@pytest.fixture(scope="module")
def phantom():
    specs = (LesionSpec("round", 6.0, "III", "right"), LesionSpec("round", 2.0, "I", "left"))
    return breast_phantom(
        11, shape=(20, 112, 112), spacing_mm=(4.0, 3.0, 3.0), lesions=specs, case_id="P017"
    )


@pytest.fixture
def files(phantom, tmp_path):
    """The phantom as a case set, and its mask."""
    for number, volume in enumerate(phantom.exam.phases.values()):
        formats.write_volume(tmp_path / f"P017_{number:04d}.nii.gz", volume)
    formats.write_label_map(tmp_path / "mask.nii.gz", phantom.truth)
    return tmp_path / "P017_0000.nii.gz", tmp_path / "mask.nii.gz"


def test_the_table_names_each_lesion_and_the_total(run, files):
    exam, mask = files
    code, out, err = run("report", exam, "--mask", mask)
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["lesion", "index", "left", "total"]
    assert "right" in lines[1]
    assert "III washout" in lines[1]
    assert "left" in lines[2]
    assert "I persistent" in lines[2]
    assert "times of the phases are not known" in err
    assert "not a medical device" in err


def test_json_agrees_with_the_engine(run, files, phantom):
    exam, mask = files
    code, out, _ = run("report", exam, "--mask", mask, "--json")
    assert code == 0
    value = json.loads(out)
    engine = drain(lesion_report(formats.open_exam(exam), phantom.truth))
    # Files keep affines in single precision.
    for one, other in zip(value["lesions"], engine.lesions, strict=True):
        assert one["id"] == other.id
        assert one["volume_ml"] == pytest.approx(other.volume_ml)
        assert one["kinetics"]["curve_percent"] == pytest.approx(other.kinetics.curve_percent)
        assert one["outside_share"] == 0
    assert value["total"]["volume_px"] == phantom.truth.tumor.sum()
    assert value["spacing_mm"] == [4.0, 3.0, 3.0]


def test_files_hold_what_the_ending_says(run, files, tmp_path):
    exam, mask = files
    for ending in ("csv", "json", "pdf"):
        code, out, _ = run(
            "report", exam, "--mask", mask, "--output", tmp_path / "out" / f"r.{ending}"
        )
        assert code == 0
        assert f"r.{ending}" in out.replace("\n", "")
    with (tmp_path / "out" / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["lesion"] for row in rows] == ["index", "left 1", "total"]
    assert float(rows[0]["volume_ml"]) == pytest.approx(6.0, rel=0.05)
    assert rows[1]["curve_type"] == "I"
    assert rows[0]["case_id"] == "P017"
    again = LesionReport.from_json(json.loads((tmp_path / "out" / "r.json").read_text()))
    assert [lesion.id for lesion in again.lesions] == ["index", "left 1"]
    page = (tmp_path / "out" / "r.pdf").read_bytes()
    assert page.startswith(b"%PDF")
    assert page.count(b"/Type /Page\n") + page.count(b"/Type /Page ") == 1
    assert b"CreationDate" not in page


def test_a_prior_visit_says_what_changed(run, files, phantom, tmp_path):
    exam, mask = files
    run("report", exam, "--mask", mask, "--output", tmp_path / "before.json")
    smaller = phantom.truth.data * (phantom.lesion_labels.data != 2)
    half = np.argwhere(smaller)
    smaller[tuple(half[: len(half) // 2].T)] = 0
    formats.write_label_map(tmp_path / "now.nii.gz", LabelMap(smaller, phantom.truth.grid))
    code, out, _ = run(
        "report", exam, "--mask", tmp_path / "now.nii.gz", "--prior", tmp_path / "before.json"
    )
    assert code == 0
    assert "index followed, volume -50%" in out
    assert "left 1 gone" in out
    _, out, _ = run(
        "report", exam, "--mask", tmp_path / "now.nii.gz", "--prior", tmp_path / "before.json",
        "--json",
    )  # fmt: skip
    assert [one["status"] for one in json.loads(out)["change"]] == ["followed", "gone", "followed"]


def test_bad_input_is_refused_before_work_with_three_parts(run, files, tmp_path):
    exam, mask = files
    for words, needed in (
        (("--output", tmp_path / "r.txt"), "Expected  a file name ending in .csv, .json, .pdf"),
        (("--pe-threshold", "0"), "Expected  an enhancement threshold above 0 %"),
        (("--prior", tmp_path / "none.json"), "Expected  the prior visit's report as a JSON file"),
    ):
        code, out, err = run("report", exam, "--mask", mask, *words)
        assert (code, out) == (2, "")
        assert needed in err
        assert "Fix       " in err
    before = tmp_path / "before.json"
    run("report", exam, "--mask", mask, "--output", before)
    kept = before.read_bytes()
    code, _, err = run("report", exam, "--mask", mask, "--prior", before, "--output", before)
    assert code == 2
    assert "Expected  an --output file other than the inputs" in err
    assert before.read_bytes() == kept


def test_a_mask_of_another_grid_is_refused(run, files, tmp_path):
    exam, _ = files
    other = Volume(np.ones((5, 8, 8), np.uint8), Grid((5, 8, 8), np.eye(4)))
    formats.write_volume(tmp_path / "other.nii.gz", other)
    code, _, err = run("report", exam, "--mask", tmp_path / "other.nii.gz")
    assert code == 2
    assert "Expected  a mask on the grid of exam P017" in err


def test_a_slice_is_reported_in_pixels(run, tmp_path):
    import imageio.v3 as iio

    picture = np.random.default_rng(0).integers(20, 90, (60, 60)).astype(np.uint8)
    mask = np.zeros((60, 60), np.uint8)
    mask[20:30, 25:31] = 255
    iio.imwrite(tmp_path / "S1.png", picture)
    iio.imwrite(tmp_path / "S1_mask.png", mask)
    code, out, err = run(
        "report", tmp_path / "S1.png", "--mask", tmp_path / "S1_mask.png",
        "--output", tmp_path / "S1.pdf",
    )  # fmt: skip
    assert code == 0
    assert "60 px" in out
    assert "mm" not in out
    assert "measures are in pixels" in err


def test_an_empty_mask_is_a_report_of_nothing(phantom, tmp_path):
    empty = LabelMap(np.zeros_like(phantom.truth.data), phantom.truth.grid)
    report = drain(lesion_report(phantom.exam, empty))
    for ending in ("csv", "json", "pdf"):
        write_report(tmp_path / f"r.{ending}", report, exam=phantom.exam)
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 2


def test_a_phase_with_values_that_are_no_numbers_is_not_measured(phantom):
    data = phantom.exam.phases["post1"].data.astype(np.float32)
    data[3, 4, 5] = np.inf
    bad = Exam("P017", {**phantom.exam.phases, "post1": Volume(data, phantom.exam.grid)})
    with pytest.raises(InputError, match="in post1 of case P017; found 1 of"):
        drain(lesion_report(bad, phantom.truth))


def test_many_lesions_still_make_one_page(phantom, tmp_path):
    labels = np.zeros_like(phantom.truth.data)
    labels[::4, 30:90:6, 30:90:6] = 1
    labels[::4, 30:90:6, 31:90:6] = 1
    labels[::4, 30:90:6, 32:90:6] = 1
    report = drain(lesion_report(phantom.exam, LabelMap(labels, phantom.truth.grid)))
    assert len(report.lesions) > 100
    changes = compare_visits(report.lesions[:3], report.lesions[:3])
    write_report(tmp_path / "r.pdf", report, exam=phantom.exam, changes=changes)
    assert (tmp_path / "r.pdf").stat().st_size < 500_000


def test_a_report_needs_a_known_ending(phantom, tmp_path):
    report = drain(lesion_report(phantom.exam, phantom.truth))
    with pytest.raises(InputError, match="Expected a file name ending in"):
        write_report(tmp_path / "r.docx", report)
