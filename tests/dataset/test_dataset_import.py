"""Cases from a CSV file: resumable, judged as a whole first, one bad row stopping no other."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, ImportResult, Status, import_csv


def write_csv(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def slice_rows(folder: Path, count: int = 3, per_patient: int = 1) -> list[dict[str, str]]:
    """Rows for `count` PNG slices with masks, written to `folder`."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(count):
        image = rng.integers(0, 255, (24, 20), np.uint8)
        mask = np.zeros((24, 20), np.uint8)
        mask[5:9, 3 : 5 + number % 7] = 255
        iio.imwrite(folder / f"i{number}.png", image)
        iio.imwrite(folder / f"m{number}.png", mask)
        rows.append(
            {
                "case_id": f"S{number:02d}",
                "patient_id": f"p{number // per_patient}",
                "image": f"i{number}.png",
                "mask": f"m{number}.png",
            }
        )
    return rows


def volume_rows(folder: Path, exam: Exam, truth: LabelMap, count: int = 3) -> list[dict[str, str]]:
    """Rows for 3D two-phase cases, each its own patient."""
    rows = []
    for number in range(count):
        formats.write_volume(folder / f"v{number}_0000.nii.gz", exam.phases["pre"])
        formats.write_volume(folder / f"v{number}_0001.nii.gz", exam.phases["post1"])
        formats.write_label_map(folder / f"v{number}_mask.nii.gz", truth)
        rows.append(
            {
                "case_id": f"V{number}",
                "patient_id": f"q{number}",
                "image_0000": f"v{number}_0000.nii.gz",
                "image_0001": f"v{number}_0001.nii.gz",
                "mask": f"v{number}_mask.nii.gz",
            }
        )
    return rows


def imported(
    rows: list[dict[str, str]], tmp_path: Path, **options: str
) -> tuple[Dataset, ImportResult]:
    table = write_csv(tmp_path / "cases.csv", rows, **options)
    result = drain(import_csv(table, tmp_path / "dataset"))
    return Dataset.open(tmp_path / "dataset"), result


def test_clinic_slices_are_accepted_and_fully_reviewed(test_data: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    table = test_data / "clinic_slices" / "cases.csv"
    result = drain(import_csv(table, tmp_path / "any name"), lambda p: seen.append(p.done))
    assert (len(result.imported), result.failures, seen) == (21, (), list(range(22)))
    dataset = Dataset.open(tmp_path / "any name")
    record = dataset.case("C03_S2")
    assert (record.status, record.accepted.reviewed_slices) == (Status.ACCEPTED, None)
    exam = dataset.exam("C03_S2")
    assert list(exam.phases) == ["post1"]
    source = iio.imread(test_data / "clinic_slices" / "images" / "C03_S2.png")
    grey = source[..., 0] if source.ndim == 3 else source
    np.testing.assert_array_equal(exam.phases["post1"].data[0], grey)
    assert exam.grid.spacing_mm is None
    mask = iio.imread(test_data / "clinic_slices" / "masks" / "C03_S2.png")
    np.testing.assert_array_equal(dataset.label_map("C03_S2").data[0], mask > 0)
    assert dataset.check() == []


def test_phases_of_a_volume_come_from_its_numbered_columns(tmp_path: Path, sphere_exam) -> None:
    exam, truth = sphere_exam
    dataset, result = imported(volume_rows(tmp_path, exam, truth), tmp_path)
    assert (dataset.channels, result.imported) == (("pre", "post1"), ("V0", "V1", "V2"))
    back = dataset.exam("V1")
    np.testing.assert_array_equal(back.phases["post1"].data, exam.phases["post1"].data)
    assert dataset.label_map("V1").grid.matches(exam.grid)
    assert dataset.check() == []


def test_a_mask_of_a_part_of_the_exam_is_told_once_and_background_elsewhere(
    tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    exam, truth = sphere_exam
    rows = volume_rows(tmp_path, exam, truth, count=1)
    places = np.argwhere(truth.tumor)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine = np.array(truth.grid.affine)
    affine[:, 3] = affine @ (*low, 1)
    part = truth.data[box]
    cropped = LabelMap(part, Grid(part.shape, affine))
    formats.write_label_map(tmp_path / rows[0]["mask"], cropped)
    told: list[str] = []
    job = import_csv(write_csv(tmp_path / "cases.csv", rows), tmp_path / "dataset")
    drain(job, lambda progress: told.append(progress.message))
    case_id = rows[0]["case_id"]
    assert [f"{case_id}: the mask" in text for text in told].count(True) == 1
    assert any("it was placed there, the rest is background" in text for text in told)
    accepted = Dataset.open(tmp_path / "dataset").label_map(case_id)
    assert np.array_equal(accepted.data, truth.data)


def test_importing_again_skips_what_is_there(tmp_path: Path) -> None:
    rows = slice_rows(tmp_path)
    dataset, _ = imported(rows[:2], tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in dataset.folder.rglob("*.nii.gz")}
    dataset, result = imported(rows, tmp_path)
    assert (result.skipped, result.imported, result.failures) == (("S00", "S01"), ("S02",), ())
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_a_case_without_mask_enters_as_new_and_takes_its_mask_later(tmp_path: Path) -> None:
    rows = slice_rows(tmp_path)
    dataset, _ = imported([rows[0], {**rows[1], "mask": ""}], tmp_path)
    assert dataset.case("S01").status is Status.NEW
    dataset, result = imported(rows[:2], tmp_path)
    assert (result.skipped, result.updated) == (("S00",), ("S01",))
    assert dataset.case("S01").is_accepted


def test_a_changed_mask_replaces_the_imported_one_into_history(tmp_path: Path) -> None:
    rows = slice_rows(tmp_path)
    imported(rows, tmp_path)
    iio.imwrite(tmp_path / "m1.png", np.full((24, 20), 255, np.uint8))
    dataset, result = imported(rows, tmp_path)
    assert (result.updated, result.skipped) == (("S01",), ("S00", "S02"))
    assert len(dataset.case("S01").history) == 1
    assert dataset.label_map("S01").tumor.all()
    assert dataset.check() == []


def test_a_changed_mask_does_not_replace_a_correction(tmp_path: Path) -> None:
    rows = slice_rows(tmp_path)
    dataset, _ = imported(rows, tmp_path)
    corrected = dataset.label_map("S01")
    dataset.accept("S01", corrected, reviewed_slices=None, annotator="reader", seconds=1)
    iio.imwrite(tmp_path / "m1.png", np.full((24, 20), 255, np.uint8))
    dataset, result = imported(rows, tmp_path)
    assert "found status 'accepted' with a mask corrected here" in result.failures[0].message
    np.testing.assert_array_equal(dataset.label_map("S01").data, corrected.data)


@pytest.mark.parametrize(
    ("change", "said"),
    [("image", "found changed images"), ("patient_id", "found changed patient")],
)
def test_a_case_whose_source_changed_is_refused(tmp_path: Path, change: str, said: str) -> None:
    rows = slice_rows(tmp_path)
    imported(rows, tmp_path)
    rows[1][change] = "i2.png" if change == "image" else "somebody"
    _, result = imported(rows, tmp_path)
    assert [(f.case_id, f.row) for f in result.failures] == [("S01", 3)]
    assert said in result.failures[0].message
    assert len(result.skipped) == 2


def test_bad_cases_are_reported_and_stop_no_other(tmp_path: Path) -> None:
    rows = slice_rows(tmp_path, count=7)
    iio.imwrite(tmp_path / "m1.png", np.zeros((24, 21), np.uint8))
    (tmp_path / "i2.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    grid = formats.open_exam(tmp_path / "i3.png").grid
    twos = np.full((1, 24, 20), 2, np.uint8)
    formats.write_volume(tmp_path / "m3.nii.gz", Volume(twos, grid))
    rows[3]["mask"] = "m3.nii.gz"
    rows[4]["mask"] = "absent.png"
    rows[5]["case_id"] = "Doe, Jane"
    dataset, result = imported(rows, tmp_path)
    assert result.imported == ("S00", "S06")
    assert [failure.case_id for failure in result.failures] == ["S01", "S02", "S03", "S04", ""]
    said = [failure.message for failure in result.failures]
    for text, expected in zip(
        said,
        [
            "grid of exam S01, 1 x 24 x 20 voxels of unknown spacing; found one of 1 x 24 x 21",
            "Row 4: ",
            "Row 5: Expected a mask of 0 background and 1 tumor in m3.nii.gz",
            "no file at the path in column mask",
            "Row 7: Expected a case id of letters, digits",
        ],
        strict=True,
    ):
        assert expected in text
    assert "Doe" not in " ".join(said)
    assert dataset.check() == []


def test_all_problems_of_a_table_are_reported_together_before_any_work(tmp_path: Path) -> None:
    rows = slice_rows(tmp_path)
    rows[1]["case_id"] = "s00"
    for row in rows:
        del row["patient_id"], row["mask"]
    with pytest.raises(
        InputError,
        match="column patient_id is missing; column mask is missing; case id s00 stands",
    ):
        imported(rows, tmp_path)
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("case_id,patient_id,mask\na,b,c\n", "column image .* is missing"),
        (
            "case_id,patient_id,image,image_0000,mask\na,b,c,d,e\n",
            "both a column image and numbered ones",
        ),
        ("case_id,patient_id,image,mask\n", "no rows below its header"),
        ("case_id,patient_id,image,mask\na,b,c.png,d.png\n", "none of its image files exists"),
        ("", "column case_id is missing"),
    ],
)
def test_an_unfit_table_is_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        drain(import_csv(tmp_path / "cases.csv", tmp_path / "dataset"))
    assert not (tmp_path / "dataset").exists()


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        drain(import_csv(tmp_path / "cases.csv", tmp_path / "dataset"))
    with pytest.raises(InputError, match="No such file"):
        drain(import_csv(tmp_path / "none.csv", tmp_path / "dataset"))


def test_a_table_with_semicolons_other_columns_and_a_byte_order_mark_is_read(
    tmp_path: Path,
) -> None:
    rows = [{"Comment": "free text", **row} for row in slice_rows(tmp_path)]
    table = write_csv(tmp_path / "cases.csv", rows, delimiter=";")
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    result = drain(import_csv(table, tmp_path / "dataset"))
    assert len(result.imported) == 3
    assert "free text" not in (tmp_path / "dataset" / "cases" / "S00.json").read_text()


@pytest.mark.parametrize(
    ("cell", "spacing"),
    [
        ("0.7", (1.0, 0.7, 0.7)),
        ("0.7 0.8", (1.0, 0.7, 0.8)),
        ("3x0.7x0.8", (3.0, 0.7, 0.8)),
        ("", None),
    ],
)
def test_spacing_of_a_slice_comes_from_its_column(tmp_path: Path, cell: str, spacing) -> None:
    dataset, result = imported(
        [{**row, "spacing_mm": cell} for row in slice_rows(tmp_path, 1)], tmp_path
    )
    assert result.failures == ()
    assert dataset.exam("S00").grid.spacing_mm == spacing
    assert dataset.label_map("S00").grid.spacing_mm == spacing
    _, again = imported([{**row, "spacing_mm": cell} for row in slice_rows(tmp_path, 1)], tmp_path)
    assert again.skipped == ("S00",)
    _, other = imported([{**row, "spacing_mm": "0.9"} for row in slice_rows(tmp_path, 1)], tmp_path)
    assert "found changed spacing" in other.failures[0].message


@pytest.mark.parametrize("cell", ["wide", "0", "1 2 3 4", "nan"])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, cell: str) -> None:
    _, result = imported([{**row, "spacing_mm": cell} for row in slice_rows(tmp_path, 1)], tmp_path)
    assert "Expected spacing_mm of case S00 as one in-plane number" in result.failures[0].message


def test_a_spacing_against_that_of_the_file_is_refused(tmp_path: Path, sphere_exam) -> None:
    rows = volume_rows(tmp_path, *sphere_exam, count=1)
    _, result = imported([{**rows[0], "spacing_mm": "3 0.5 0.5"}], tmp_path)
    assert "Expected the spacing of case V0 to agree with its file" in result.failures[0].message


def test_a_table_without_a_channel_of_the_dataset_is_refused_with_the_names(
    tmp_path: Path, sphere_exam
) -> None:
    dataset, _ = imported(volume_rows(tmp_path, *sphere_exam), tmp_path)
    rows = [
        {k: v for k, v in row.items() if k != "image_0000"}
        for row in volume_rows(tmp_path, *sphere_exam)
    ]
    with pytest.raises(
        InputError,
        match=r"channels of dataset .*, pre, post1, for every case; found post1 in the table",
    ):
        imported(rows, tmp_path)
    _, result = imported(slice_rows(tmp_path), tmp_path)
    assert "pre, post1, for every case; found post1 in case S00" in result.failures[0].message
    assert dataset.check() == []


def color_rows(folder: Path) -> list[dict[str, str]]:
    """A row for one slice whose red, green and blue differ, with its mask."""
    image = np.random.default_rng(2).integers(0, 255, (24, 20, 3), np.uint8)
    iio.imwrite(folder / "color.png", image)
    (row,) = slice_rows(folder, 1)
    return [row | {"image": "color.png"}]


def test_colors_of_a_slice_are_the_channels_of_the_dataset(tmp_path: Path) -> None:
    Dataset.create(tmp_path / "dataset", ["pre", "post1", "post3"])
    rows = color_rows(tmp_path)
    dataset, result = imported(rows, tmp_path)
    assert (result.imported, result.failures) == (("S00",), ())
    exam = dataset.exam("S00")
    image = iio.imread(tmp_path / "color.png")
    assert list(exam.phases) == ["pre", "post1", "post3"]
    for channel, volume in enumerate(exam.phases.values()):
        np.testing.assert_array_equal(volume.data[0], image[..., channel])
    assert imported(rows, tmp_path)[1].skipped == ("S00",)
    assert dataset.check() == []


def test_a_trial_slice_enters_with_its_phases(test_data: Path, tmp_path: Path) -> None:
    image = min((test_data / "ispy_slices" / "images").glob("*.png"), default=None)
    if image is None:
        pytest.skip("needs ispy_slices in the test data")
    Dataset.create(tmp_path / "dataset", ["pre", "post1", "post2"])
    row = {"case_id": "I1", "patient_id": "i1", "image": str(image), "mask": ""}
    dataset, result = imported([row], tmp_path)
    assert result.failures == ()
    assert list(dataset.exam("I1").phases) == ["pre", "post1", "post2"]


@pytest.mark.parametrize(
    ("channels", "named"), [((), "no channels"), (("pre", "post1"), "pre, post1")]
)
def test_colors_without_as_many_channels_ask_for_a_dataset_made_for_them(
    tmp_path: Path, channels: tuple[str, ...], named: str
) -> None:
    Dataset.create(tmp_path / "dataset", channels)
    dataset, result = imported(color_rows(tmp_path), tmp_path)
    message = result.failures[0].message
    assert f"found 3 channels that differ, and dataset dataset names {named}" in message
    assert "new dataset with `dataset init DATASET --channels pre,post1,post2` first" in message
    assert "--phases" not in message
    assert dataset.cases() == []


def test_an_empty_image_cell_is_reported(tmp_path: Path, sphere_exam) -> None:
    rows = volume_rows(tmp_path, *sphere_exam)
    rows[0]["image_0000"] = ""
    dataset, result = imported(rows, tmp_path)
    assert (
        "every image column of case V0; found an empty cell in column image_0000"
        in result.failures[0].message
    )
    assert (dataset.channels, result.imported) == (("pre", "post1"), ("V1", "V2"))


def test_a_cancelled_import_keeps_what_is_in(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "cases.csv", slice_rows(tmp_path, 5))
    job = import_csv(table, tmp_path / "dataset")
    for _ in range(3):
        next(job)
    job.close()
    dataset = Dataset.open(tmp_path / "dataset")
    assert [record.case_id for record in dataset.cases()] == ["S00", "S01"]
    assert dataset.check() == []


def test_a_foreign_folder_is_not_imported_into(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "scan.nii.gz").write_bytes(b"x")
    with pytest.raises(InputError, match="found other files in it"):
        imported(slice_rows(tmp_path), tmp_path)
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["scan.nii.gz"]


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_an_import_killed_midway_is_taken_up_where_it_was(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "cases.csv", slice_rows(tmp_path, 60, per_patient=3))
    folder = tmp_path / "dataset"
    program = (
        "from pathlib import Path\nfrom napari_breastseg.dataset import import_csv\n"
        "from napari_breastseg.core.progress import drain\n"
        f"drain(import_csv(Path({str(table)!r}), Path({str(folder)!r})))"
    )
    running = subprocess.Popen([sys.executable, "-c", program])
    while len(list(folder.glob("cases/S*.json"))) < 15 and running.poll() is None:
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert running.returncode == -signal.SIGKILL, "the import ended before it could be killed"

    roles = {record.case_id: record.role for record in Dataset.open(folder).cases()}
    assert 15 <= len(roles) < 60
    result = drain(import_csv(table, folder))
    assert (len(result.skipped), len(result.imported)) == (len(roles), 60 - len(roles))
    dataset = Dataset.open(folder)
    assert {case_id: dataset.case(case_id).role for case_id in roles} == roles
    assert [f for f in dataset.check() if f.what != "temporary_file"] == []
    # What was in twice or never would show here: the same table without a kill.
    whole = drain(import_csv(table, tmp_path / "whole"))
    assert len(whole.imported) == 60
    for part in ("splits_final.json", "datalist.json"):
        assert (folder / part).read_text() == (tmp_path / "whole" / part).read_text()


def test_the_first_phase_of_several_alone_is_refused(
    tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    exam, truth = sphere_exam
    (row,) = volume_rows(tmp_path, exam, truth, count=1)
    alone = {k: v for k, v in row.items() if not k.startswith("image")}
    table = write_csv(tmp_path / "a.csv", [alone | {"image": "v0_0000.nii.gz"}])
    result = drain(import_csv(table, tmp_path / "a"))
    (failure,) = result.failures
    assert result.imported == ()
    assert "found v0_0000.nii.gz with v0_0001.nii.gz beside it" in failure.message
    # The one after contrast, and one that has no other beside it, say what they are
    table = write_csv(tmp_path / "b.csv", [alone | {"image": "v0_0001.nii.gz"}])
    assert len(drain(import_csv(table, tmp_path / "b")).imported) == 1
    (tmp_path / "v0_0001.nii.gz").unlink()
    table = write_csv(tmp_path / "c.csv", [alone | {"image": "v0_0000.nii.gz"}])
    assert len(drain(import_csv(table, tmp_path / "c")).imported) == 1


def test_labels_of_another_program_are_imported_as_the_reader_says(tmp_path: Path) -> None:
    rows = slice_rows(tmp_path, count=2)
    for n in range(2):
        mask = np.zeros((24, 20), np.uint8)
        mask[3:6, 3:6], mask[10:14, 10:14] = 1, 2
        iio.imwrite(tmp_path / f"m{n}.png", mask)
    dataset, result = imported(rows, tmp_path)
    assert result.imported == ()
    assert ["--tumor-label 1,2" in failure.message for failure in result.failures] == [True, True]
    result = drain(dataset.import_csv(tmp_path / "cases.csv", tumor={1, 2}))
    assert result.imported == ("S00", "S01")
    assert dataset.case("S01").accepted.tumor_voxels == 9 + 16
