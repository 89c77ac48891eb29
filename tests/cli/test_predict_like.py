"""`predict --like`: an exam drafted again from its corrected mask, slices from their neighbors'."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.overlap import dice
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.training import exam_learning
from napari_breastseg.training.exam_steps import ExamLearning

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ExamLearning(steps=10, batch_size=2, patch_px=64)
    monkeypatch.setattr(exam_learning, "ExamLearning", lambda: few)


@pytest.fixture
def sphere(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> LabelMap:
    """Files of an exam, P1; its truth."""
    for number, volume in enumerate(sphere_exam[0].phases.values()):
        formats.write_volume(tmp_path / f"P1_{number:04d}.nii.gz", volume)
    return sphere_exam[1]


def rows(run: Run, *words: Any, code: int = 0) -> list[dict[str, Any]]:
    done, out, err = run("predict", *words, "--model", "starter", "--json")
    assert done == code, err
    found: list[dict[str, Any]] = json.loads(out)["cases"]
    return found


def test_slices_not_reviewed_are_drafted_again(run, tmp_path, sphere) -> None:
    wrong = np.zeros(sphere.data.shape, np.uint8)
    wrong[:] = 2
    # The reader wants more than enhances: a ring around it.
    wanted = np.pad(sphere.data, ((0, 0), (3, 3), (3, 3)), mode="edge")
    wanted = np.stack(
        [
            np.maximum.reduce(
                [wanted[z, i : i + 48, j : j + 40] for i in (0, 3, 6) for j in (0, 3, 6)]
            )
            for z in range(12)
        ]
    )
    wrong[[5, 7]] = wanted[[5, 7]]
    formats.write_label_map(tmp_path / "mask.nii.gz", LabelMap(wrong, sphere.grid))

    plain = rows(run, tmp_path / "P1_0000.nii.gz", "--output", tmp_path / "plain")
    (row,) = rows(
        run, tmp_path / "P1_0000.nii.gz", "--like", tmp_path / "mask.nii.gz",
        "--output", tmp_path / "like",
    )  # fmt: skip

    assert row["learned_from_slices"] == 2
    assert row["redrafted_slices"]
    assert not {6, 8} & set(row["redrafted_slices"])
    before = formats.read_label_map(Path(plain[0]["mask"])).tumor
    after = formats.read_label_map(Path(row["mask"])).tumor
    assert np.array_equal(after[[5, 7]], wanted[[5, 7]] == 1)
    assert dice(after[6], wanted[6] == 1) > dice(before[6], wanted[6] == 1)
    assert [one["is_shown"] for one in row["findings"]] == [True]


def test_reviewed_slices_may_be_named_where_a_mask_does_not_tell(run, tmp_path, sphere) -> None:
    formats.write_label_map(tmp_path / "mask.nii.gz", sphere)
    (row,) = rows(
        run, tmp_path / "P1_0000.nii.gz", "--like", tmp_path / "mask.nii.gz",
        "--reviewed", "6,8", "--output", tmp_path / "like",
    )  # fmt: skip
    assert row["learned_from_slices"] == 2


def test_slices_of_one_patient_are_drafted_from_the_corrected_ones(
    run, tmp_path, sphere_exam
) -> None:
    exam, truth = sphere_exam
    post = np.asarray(exam.phases["post1"].data)
    for z in (4, 5, 6):
        grid = Grid((1, 48, 40))
        picture = Volume((post[z : z + 1] / post.max() * 255).astype(np.uint8), grid)
        formats.write_volume(tmp_path / "slices" / f"S{z}.png", picture)
        if z != 5:
            mask = LabelMap(truth.data[z : z + 1], grid)
            formats.write_label_map(tmp_path / "corrected" / f"S{z}.png", mask)
    found = rows(
        run, tmp_path / "slices", "--like", tmp_path / "corrected", "--output", tmp_path / "out"
    )
    assert [row["learned_from_slices"] for row in found] == [2, 2, 2]
    kept = formats.read_label_map(tmp_path / "out" / "S4.png")
    assert np.array_equal(kept.tumor[0], truth.tumor[4])
    middle = formats.read_label_map(tmp_path / "out" / "S5.png")
    assert dice(middle.tumor[0], truth.tumor[5]) > 0.8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--like", "nowhere"], "Expected a corrected mask, or a folder of them"),
        (["--like", "mask.nii.gz", "--uncertainty"], "Expected --like or --uncertainty"),
        (["--like", "mask.nii.gz", "--reviewed", "x"], "Expected numbers of slices"),
        (["--like", "mask.nii.gz", "--reviewed", "13"], "Expected reviewed slices from 1 to 12"),
        (["--like", "mask.nii.gz", "--like", "P1.nii.gz"], "one each"),
    ],
)
def test_what_cannot_be_learned_from_is_told(run, tmp_path, sphere, words, told) -> None:
    for name in ("mask.nii.gz", "P1.nii.gz"):
        formats.write_label_map(tmp_path / name, sphere)
    words = [word if word[:2] == "--" or "." not in word else tmp_path / word for word in words]
    code, _, err = run(
        "predict", tmp_path / "P1_0000.nii.gz", *words, "--model", "starter",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 2
    assert told in " ".join(err.split())


def test_a_corrected_mask_is_never_overwritten(run, tmp_path, sphere) -> None:
    formats.write_label_map(tmp_path / "masks" / "P1.nii.gz", sphere)
    code, _, err = run(
        "predict", tmp_path / "P1_0000.nii.gz", "--like", tmp_path / "masks",
        "--output", tmp_path / "masks", "--model", "starter",
    )  # fmt: skip
    assert code == 2
    assert "no corrected mask would be overwritten" in " ".join(err.split())
