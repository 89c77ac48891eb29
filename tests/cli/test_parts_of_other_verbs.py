"""Parts, going on and dry runs of `evaluate`, `report` and `dataset draft`, as of `predict`."""

from __future__ import annotations

import csv
import json
import shutil

import imageio.v3 as iio
import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.volume import Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import ModelInfo
from napari_breastseg.model.unet import ModelSpec, build

N_CASES = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small network, untrained, and a dataset of six patients."""
    folder = tmp_path_factory.mktemp("made")
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32), inputs=("post1",))
    checkpoint.save(folder / "m", build(spec).state_dict(), ModelInfo(name="small", spec=spec))
    rows = ["case_id,patient_id,image,mask"]
    rng = np.random.default_rng(0)
    for n in range(N_CASES):
        mask = np.zeros((48, 40), np.uint8)
        mask[10 + n : 25, 12:30] = 255
        iio.imwrite(folder / f"S{n}.png", rng.integers(20, 200, (48, 40)).astype(np.uint8))
        iio.imwrite(folder / f"S{n}_mask.png", mask)
        rows.append(f"S{n},P{n},S{n}.png,S{n}_mask.png")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def model(made):
    return made / "m"


@pytest.fixture
def dataset(made, run, tmp_path):
    assert run("dataset", "import", made / "cases.csv", tmp_path / "data")[0] == 0
    return tmp_path / "data"


def tables(folder):
    return {name: (folder / name).read_bytes() for name in ("cases.csv", "patients.csv")} | {
        "evaluation.json": json.loads((folder / "evaluation.json").read_text())
    }


# evaluate


@pytest.fixture
def words(dataset, model):
    return ("evaluate", dataset, "--model", model, "--split", "all", "--device", "cpu")


def test_parts_of_an_evaluation_summed_up_are_the_evaluation(run, words, tmp_path):
    assert run(*words, "--output", tmp_path / "one")[0] == 0
    seen = []
    for number in (1, 2, 3):
        told = run(*words, "--output", tmp_path / "out", "--part", f"{number}/3", "--json")
        assert told[0] == 0
        seen += [row["case_id"] for row in json.loads(told[1])["cases"]]
    assert sorted(seen) == [f"S{n}" for n in range(N_CASES)]
    assert not (tmp_path / "out" / "evaluation.json").exists()  # no part speaks for all
    assert run(*words, "--output", tmp_path / "out", "--resume")[0] == 0
    assert tables(tmp_path / "out") == tables(tmp_path / "one")
    names = [sorted(p.name for p in (tmp_path / n / "pictures").iterdir()) for n in ("one", "out")]
    assert names[0] == names[1]


def _no_picture(*_, **__):
    """Drawing takes longer than all the rest."""


def scored(monkeypatch):
    """Cases that are scored from now on."""
    from napari_breastseg.scoring import evaluation

    names = []
    score = evaluation.score_case
    monkeypatch.setattr(
        evaluation,
        "score_case",
        lambda name, *rest, **how: names.append(name) or score(name, *rest, **how),
    )
    return names


def test_only_what_changed_is_scored_again(run, words, dataset, tmp_path, monkeypatch):
    words = (*words, "--output", tmp_path / "out", "--resume")
    monkeypatch.setattr("napari_breastseg.scoring.evaluation._write_case_picture", _no_picture)
    names = scored(monkeypatch)
    assert run(*words)[0] == 0
    assert len(names) == N_CASES
    names.clear()
    assert run(*words)[0] == 0
    assert names == []
    (tmp_path / "out" / "cases" / "S1.npz").write_bytes(b"PK\x03\x04 cut off")
    opened = Dataset.open(dataset)
    mask = opened.label_map("S2")
    changed = LabelMap(np.roll(mask.data, 3, axis=1), mask.grid)
    opened.accept("S2", changed, reviewed_slices=None, annotator="AB", seconds=1)
    code, stdout, _ = run(*words, "--dry-run")
    assert (code, stdout.count("done before"), stdout.count("planned")) == (0, N_CASES - 2, 2)
    assert names == []
    assert run(*words)[0] == 0
    assert sorted(names) == ["S1", "S2"]
    names.clear()
    assert run(*words, "--threshold", "0.4")[0] == 0
    assert len(names) == N_CASES


def test_a_case_that_cannot_be_scored_is_said_by_its_part_which_ends_with_1(
    run, words, dataset, tmp_path
):
    for path in (dataset / "imagesTr").iterdir():
        path.write_bytes(b"no image")
    codes = [
        run(*words, "--output", tmp_path / "out", "--part", f"{number}/3", "--json")
        for number in (1, 2, 3)
    ]
    failed = [row["case_id"] for _, out, _ in codes for row in json.loads(out)["failed"]]
    assert sorted(failed) == [f"S{n}" for n in range(N_CASES)]
    assert {code for code, out, _ in codes if json.loads(out)["failed"]} == {1}
    assert run(*words, "--output", tmp_path / "out", "--resume")[0] == 2


def test_a_part_without_a_case_is_no_error(run, words, tmp_path):
    code, stdout, _ = run(*words, "--output", tmp_path / "out", "--part", "1/1000", "--json")
    assert (code, json.loads(stdout)) == (0, {"cases": [], "failed": []})


def test_parts_of_an_evaluation_need_a_folder_to_share(run, words):
    for more in (("--part", "1/2"), ("--resume",)):
        code, _, stderr = run(*words, *more)
        assert code == 2
        assert "the folder that all parts share" in stderr


# dataset draft


@pytest.fixture
def undrafted(made, run, tmp_path):
    listed = (made / "cases.csv").read_text().replace("_mask.png", "_none.png")
    lines = [line.rsplit(",", 1)[0] + "," for line in listed.splitlines()[1:]]
    (made / "images.csv").write_text("\n".join(["case_id,patient_id,image,mask", *lines]) + "\n")
    assert run("dataset", "import", made / "images.csv", tmp_path / "new")[0] == 0
    return tmp_path / "new"


def test_parts_of_a_drafting_make_every_draft_once_and_the_same(run, undrafted, model, tmp_path):
    shutil.copytree(undrafted, tmp_path / "whole")
    words = ("--model", model, "--device", "cpu", "--json")
    code, stdout, _ = run("dataset", "draft", undrafted, *words, "--dry-run")
    planned = json.loads(stdout)["cases"]
    assert {(row["status"], row["why"]) for row in planned} == {("planned", "it has no draft")}
    assert len(planned) == N_CASES
    assert not (undrafted / "drafts").exists()
    seen = []
    for number in (1, 2, 3):
        code, stdout, _ = run("dataset", "draft", undrafted, *words, "--part", f"{number}/3")
        assert code == 0
        seen += [row["case_id"] for row in json.loads(stdout)["cases"]]
    assert sorted(seen) == [f"S{n}" for n in range(N_CASES)]
    assert run("dataset", "draft", tmp_path / "whole", *words)[0] == 0
    drafts = [
        {path.name: path.read_bytes() for path in (folder / "drafts").iterdir()}
        for folder in (undrafted, tmp_path / "whole")
    ]
    assert drafts[0] == drafts[1]
    code, stdout, _ = run("dataset", "draft", undrafted, *words, "--resume", "--dry-run")
    assert json.loads(stdout)["cases"] == []


# report

GRID = Grid((6, 20, 24), np.diag([3.0, 0.9, 0.9, 1.0]))


@pytest.fixture
def exams(tmp_path):
    """Five exams of two phases with masks, one of them without."""
    folder, masks = tmp_path / "exams", tmp_path / "masks"
    rng = np.random.default_rng(1)
    for n in range(5):
        pre = rng.integers(90, 110, GRID.shape).astype(np.int16)
        tumor = np.zeros(GRID.shape, np.uint8)
        tumor[1:4, 5:12, 5 + n : 12 + n] = 1
        (folder / f"E{n}").mkdir(parents=True)
        for number, data in enumerate((pre, pre + (150 * tumor).astype(np.int16))):
            formats.write_volume(folder / f"E{n}/E{n}_{number:04d}.nii.gz", Volume(data, GRID))
        if n < 4:
            formats.write_label_map(masks / f"E{n}.nii.gz", LabelMap(tumor, GRID))
    (masks / "E0.done.json").write_text("{}")
    return folder


def reports(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.report.json")}


def rows_of(table):
    with table.open() as stream:
        return {row["case_id"]: row for row in csv.DictReader(stream)}


def test_parts_of_many_reports_together_are_all_reports(run, exams, tmp_path):
    masks, words = tmp_path / "masks", ("report", *sorted(exams.iterdir()))
    code, _, stderr = run(
        *words, "--masks", masks, "--output", tmp_path / "one", "--table", tmp_path / "one.csv"
    )
    assert code == 1
    assert "1 of 5 failed" in stderr
    whole = reports(tmp_path / "one")
    assert whole.keys() == {f"E{n}.report.json" for n in range(4)}
    together, rows = {}, {}
    for number in (1, 2, 3):
        out, table = tmp_path / f"part{number}", tmp_path / f"{number}.csv"
        words_of_part = ("--masks", masks, "--output", out, "--part", f"{number}/3")
        code, _, _ = run(*words, *words_of_part, "--table", table)
        part = rows_of(table)
        assert code == int("E4" in part)  # also where it is the part's only case
        assert not together.keys() & reports(out).keys()
        together |= reports(out)
        rows |= part
    assert together == whole
    listed = rows_of(tmp_path / "one.csv")
    timeless = lambda row: {k: v for k, v in row.items() if k != "seconds"}  # noqa: E731
    assert {c: timeless(r) for c, r in rows.items()} == {c: timeless(r) for c, r in listed.items()}
    assert listed["E0"]["phases"] == "pre; post1"
    assert listed["E0"]["findings"] == "1"
    assert float(listed["E0"]["tumor_ml"]) == pytest.approx(147 * 3 * 0.81 / 1000, abs=1e-3)
    assert listed["E4"]["status"] == "failed"
    assert "mask of case E4" in listed["E4"]["error"]


def test_a_report_that_was_made_is_skipped_until_its_mask_changes(run, exams, tmp_path):
    words = ("report", exams, "--masks", tmp_path / "masks", "--output", tmp_path / "out")
    assert run(*words, "--resume")[0] == 1
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.report.json")}
    mask = formats.read_label_map(tmp_path / "masks" / "E1.nii.gz")
    mask.data[2, 15, 20] = 1
    formats.write_label_map(tmp_path / "masks" / "E1.nii.gz", mask)
    code, stdout, stderr = run(*words, "--resume", "--json")
    assert code == 1
    assert "3 of 5 cases were done before" in stderr
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.report.json")}
    assert [name for name in after if after[name] != before[name]] == ["E1.report.json"]
    rows = {row["case_id"]: row for row in json.loads(stdout)["cases"]}
    assert rows["E0"]["report"].endswith("E0.report.json")
    assert rows["E0"]["mask"].endswith("masks/E0.nii.gz")


def test_a_dry_run_of_reports_lists_phases_and_what_lacks_a_mask(run, exams, tmp_path):
    words = ("report", exams, "--masks", tmp_path / "masks", "--output", tmp_path / "out")
    code, stdout, _ = run(*words, "--dry-run", "--json")
    rows = json.loads(stdout)["cases"]
    assert code == 1
    assert [row["status"] for row in rows] == ["planned"] * 4 + ["failed"]
    assert rows[0]["phases"] == ["pre", "post1"]
    assert rows[0]["why"] == "by the files' numbers"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), "--mask of one exam, or --masks of many"),
        (("--mask", "m.nii", "--masks", "masks"), "Found both"),
        (("--mask", "m.nii", "--part", "1/2"), "one EXAM with --mask"),
        (("--masks", "masks"), "--output FOLDER with --masks"),
        (("--masks", "masks", "--output", "o", "--prior", "p.json"), "without --prior"),
        (("--masks", "nowhere", "--output", "o"), "a folder of masks after --masks"),
    ],
)
def test_options_of_one_report_and_of_many_are_not_mixed(run, exams, more, told):
    code, _, stderr = run("report", exams, *more)
    assert code == 2
    assert told in " ".join(stderr.split())


# predict


def test_a_part_whose_only_case_fails_ends_with_1(run, model, tmp_path):
    (tmp_path / "S1.png").write_bytes(b"no picture")
    words = ("predict", tmp_path / "S1.png", "--output", tmp_path / "out", "--model", model)
    assert run(*words)[0] == 2
    assert run(*words, "--part", "1/1")[0] == 1
