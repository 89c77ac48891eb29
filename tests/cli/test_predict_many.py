"""Many exams at once: parts of a run, going on after an interruption, and what a run would do."""

from __future__ import annotations

import csv
import json
import sys
import threading
import time

import imageio.v3 as iio
import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.cli import _segmented
from napari_breastseg.cli._finishing import behind
from napari_breastseg.cli._planning import is_in_part, part_of
from napari_breastseg.cli._table import TABLE_COLUMNS, table_rows, view_of, write_table
from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.volume import Grid
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import ModelInfo
from napari_breastseg.model.unet import ModelSpec, build


@pytest.fixture
def model(tmp_path):
    """A small network, untrained: what it marks does not matter here."""
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32), inputs=("post1",))
    checkpoint.save(tmp_path / "m", build(spec).state_dict(), ModelInfo(name="small", spec=spec))
    return tmp_path / "m"


@pytest.fixture
def slices(tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(9):
        iio.imwrite(folder / f"S{n}.png", rng.integers(20, 200, (48, 40)).astype(np.uint8))
    return folder


def masks(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.mark.parametrize("by_name", [False, True], ids=["one folder", "many files"])
def test_parts_together_make_every_mask_once_and_the_same(run, model, slices, tmp_path, by_name):
    exams = sorted(slices.iterdir()) if by_name else [slices]
    assert run("predict", *exams, "--output", tmp_path / "one", "--model", model)[0] == 0
    together = {}
    for number in (1, 2, 3):
        out = tmp_path / f"part{number}"
        words = ("--output", out, "--model", model, "--part", f"{number}/3")
        assert run("predict", *exams, *words)[0] == 0
        made = masks(out)
        assert not together.keys() & made.keys()
        together |= made
    assert together == masks(tmp_path / "one")
    assert len(together) == 9


def test_a_part_opens_no_exam_of_another(run, model, slices, tmp_path, monkeypatch):
    opened = []
    finding = formats.finding_cases
    monkeypatch.setattr(
        formats, "finding_cases", lambda path, **how: opened.append(path) or finding(path, **how)
    )
    exams = sorted(slices.iterdir())
    out = tmp_path / "out"
    run("predict", *exams, "--output", out, "--model", model, "--part", "2/3")
    assert {path.name for path in opened} == masks(out).keys()


def test_every_case_is_in_one_part_whatever_its_letter_case():
    for name in ("P001", "p001", "Ä", "x"):
        assert sum(is_in_part(name, (number, 7)) for number in range(1, 8)) == 1
    assert is_in_part("P001", (3, 3)) == is_in_part("p001", (3, 3))


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", "-1/3"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="I from 1 to N"):
        part_of(text)


def test_folders_whose_names_hide_their_cases_are_not_shared_out(run, model, slices, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (slices / "S1.png").rename(other / "S1.png")
    words = ("--output", tmp_path / "out", "--model", model)
    codes = [run("predict", slices, other, *words, "--part", f"{number}/2") for number in (1, 2)]
    assert any(code == 2 and "called after their cases" in stderr for code, _, stderr in codes)


def test_a_case_that_was_done_is_skipped_until_something_changes(run, model, slices, tmp_path):
    out = tmp_path / "out"
    words = ("predict", slices, "--output", out, "--model", model, "--resume", "--json")
    code, stdout, _ = run(*words)
    assert code == 0
    first = {row["case_id"]: row for row in json.loads(stdout)["cases"]}
    stamp = (out / "S0.png").stat().st_mtime_ns

    code, stdout, stderr = run(*words)
    assert code == 0
    assert "9 of 9 cases were done before" in stderr
    assert {row["case_id"]: row for row in json.loads(stdout)["cases"]} == first
    assert (out / "S0.png").stat().st_mtime_ns == stamp

    iio.imwrite(slices / "S1.png", np.full((48, 40), 90, np.uint8) + np.eye(48, 40, dtype=np.uint8))
    (out / "S2.png").unlink()
    (out / "S4.done.json").write_text("{")
    code, _, stderr = run(*words)
    assert code == 0
    assert "6 of 9 cases were done before" in stderr

    corrected = np.full((48, 40), 255, np.uint8)
    iio.imwrite(out / "S3.png", corrected)
    code, _, stderr = run(*words)
    assert code == 1
    assert "Expected the mask of S3 as it was written here" in " ".join(stderr.split())
    assert (iio.imread(out / "S3.png") == corrected).all()
    (out / "S3.png").unlink()

    assert "done before" not in run(*words, "--threshold", "0.4")[2]


def test_parts_and_going_on_do_not_go_with_corrected_masks(run, slices, tmp_path):
    for more in (("--part", "1/2"), ("--resume",)):
        words = ("--output", tmp_path / "out", "--like", slices / "S0.png", *more)
        code, _, stderr = run("predict", slices, *words)
        assert code == 2
        assert "without --like" in stderr


def test_the_file_beside_a_mask_holds_no_path(run, model, slices, tmp_path):
    out = tmp_path / "out"
    run("predict", slices, "--output", out, "--model", model, "--resume")
    text = (out / "S0.done.json").read_text()
    assert str(tmp_path) not in text


def test_a_dry_run_lists_the_cases_and_writes_nothing(run, slices, tmp_path):
    code, stdout, _ = run(
        "predict", slices, "--output", tmp_path / "out", "--model", "none", "--dry-run", "--json",
        "--phases", "post1",
    )  # fmt: skip
    rows = json.loads(stdout)["cases"]
    assert code == 0
    assert {row["case_id"] for row in rows} == {f"S{n}" for n in range(9)}
    assert rows[0]["phases"] == ["post1"]
    assert rows[0]["why"] == "named by the user or the dataset"
    assert not (tmp_path / "out").exists()


def test_the_next_case_is_read_while_one_is_worked_on(slices, monkeypatch):
    cases = formats.find_cases(slices)
    begun = threading.Semaphore(0)
    reading = formats.reading_exam

    def seen(case):
        begun.release()
        return (yield from reading(case))

    monkeypatch.setattr(formats, "reading_exam", seen)
    order = []
    for case, exam in _segmented.reading_ahead(cases, quiet=True):
        order.append(case.case_id)
        assert exam.case_id == case.case_id
        if len(order) == 1:
            assert begun.acquire(timeout=20)
            assert begun.acquire(timeout=20)  # the second one, before it was asked for
            time.sleep(0.05)
            assert not begun.acquire(blocking=False)  # and no third
    assert order == [case.case_id for case in cases]


def test_a_table_has_a_row_for_every_case_and_for_what_failed(run, model, sphere_exam, tmp_path):
    exam, _ = sphere_exam
    folder = tmp_path / "exams"
    folder.mkdir()
    for number, volume in enumerate(exam.phases.values()):
        formats.write_volume(folder / f"P001_{number:04d}.nii.gz", volume)
    formats.write_volume(folder / "P002.nii.gz", exam.phases["post1"])
    (folder / "P003.nii.gz").write_bytes(b"cut off")
    table = tmp_path / "cases.csv"
    words = ("--output", tmp_path / "out", "--model", model, "--table", table, "--resume")
    assert run("predict", folder, *words)[0] == 1
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    by_case = {row["case_id"]: row for row in rows}
    assert by_case.keys() == {"P001", "P002", "P003"}
    assert {name: row["status"] for name, row in by_case.items()} == {
        "P001": "done",
        "P002": "done",
        "P003": "failed",
    }
    assert tuple(rows[0]) == TABLE_COLUMNS
    assert by_case["P001"]["view"] == "axial"
    assert "no pre" not in by_case["P001"]["flags"]
    assert "no pre" in by_case["P002"]["flags"]
    assert "region not trusted" in by_case["P001"]["flags"]  # a sphere is no breast
    assert by_case["P001"]["why"] == "by the files' numbers"
    assert by_case["P001"]["model"].startswith("small@")
    assert float(by_case["P001"]["seconds"]) > 0
    assert by_case["P003"]["error"].startswith("Expected")
    assert not by_case["P003"]["mask"]

    run("predict", folder, *words)  # what was done before has the same row
    with table.open() as stream:
        again = {row["case_id"]: row for row in csv.DictReader(stream)}
    assert again == by_case


@pytest.mark.parametrize(
    ("order", "view"), [((0, 1, 2), "axial"), ((2, 1, 0), "sagittal"), ((1, 2, 0), "coronal")]
)
def test_the_view_is_the_one_that_slices_are_nearest_to(order, view):
    affine = np.eye(4)
    # Rows are right, front and head; columns z, y and x; a little oblique.
    affine[:3, :3] = np.array([[0.3, 0, -0.7], [0, -0.7, 0.1], [3.0, 0.1, 0]])[list(order)]
    assert view_of(Grid((4, 8, 8), affine)) == view
    assert view_of(Grid((4, 8, 8))) is None


def test_volumes_are_told_for_each_breast_seen():
    found = [
        {"is_shown": True, "side": "left", "volume_ml": 1.5},
        {"is_shown": True, "side": "left", "volume_ml": 0.25},
        {"is_shown": False, "side": None, "volume_ml": 9.0},
    ]
    result = {"case_id": "P1", "status": "done", "source": "=P1", "findings": found}
    (row,) = table_rows([{**result, "sides": ["right", "left"]}], "m@1")
    assert (row["findings"], row["weaker"]) == (2, 1)
    assert (row["right_ml"], row["left_ml"]) == (0.0, 1.75)
    assert row["input"] == "'=P1"  # no spreadsheet takes it for a formula
    (row,) = table_rows([{**result, "sides": ["left"]}], "m@1")
    assert row["right_ml"] is None  # not seen is not empty


def test_a_table_that_cannot_be_written_is_refused_before_work(
    run, model, slices, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    words = ("predict", slices, "--output", tmp_path / "out", "--model", model, "--table")
    code, _, stderr = run(*words, tmp_path / "t.parquet")
    assert code == 2
    assert "pip install pyarrow" in stderr
    code, _, stderr = run(*words, tmp_path / "t.xlsx")
    assert code == 2
    assert ".csv or .parquet" in stderr
    assert not (tmp_path / "out").exists()


def test_a_table_can_be_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = table_rows([{"case_id": "P1", "status": "failed", "source": "p", "error": "e"}], "m@1")
    write_table(tmp_path / "t.parquet", rows)
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == rows


@pytest.mark.parametrize("where", ["reading", "segmenting"])
def test_a_fault_of_the_program_in_one_exam_stops_no_other(
    run, model, slices, tmp_path, monkeypatch, where
):
    from napari_breastseg.predict import prediction

    reading, predict = formats.reading_exam, prediction.predict

    def fails_reading(case):
        if case.case_id in ("S0", "S3"):
            raise TypeError("DOE^JANE")
        return (yield from reading(case))

    def fails_segmenting(checkpoint, exam, **how):
        if exam.case_id in ("S0", "S3"):
            raise TypeError("DOE^JANE")
        return (yield from predict(checkpoint, exam, **how))

    if where == "reading":
        monkeypatch.setattr(formats, "reading_exam", fails_reading)
    else:
        monkeypatch.setattr(prediction, "predict", fails_segmenting)
    code, stdout, stderr = run(
        "predict", slices, "--output", tmp_path / "out", "--model", model, "--json"
    )
    assert code == 1
    assert len(masks(tmp_path / "out")) == 7
    assert "TypeError" in stderr
    assert "DOE" not in stdout + stderr


def test_without_dask_a_scheduler_is_refused_with_advice(run, slices, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ("--output", tmp_path / "out", "--scheduler", "local")
    code, _, stderr = run("predict", slices, *words)
    assert code == 2
    assert "napari-breastseg[cluster]" in stderr


def test_a_case_is_written_while_the_next_is_segmented_and_rows_stay_in_order():
    next_is_made, rows = threading.Event(), []

    def made():
        yield "A", None
        next_is_made.set()
        yield "B", None
        yield "C", None

    def finish(files, _outcome):
        assert next_is_made.wait(30)  # in turns, A would wait for B forever
        if files == "C":
            raise StorageError("Expected room on the disk", "found none", "Make room")
        return {"case_id": files}

    with pytest.raises(StorageError, match="room on the disk"):
        rows += behind(made(), finish)
    assert [row["case_id"] for row in rows] == ["A", "B"]
