"""What is kept of drafting an exam again from its reader's corrections, and what it saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from napari_breastseg.cli import app
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset, RedraftRecord, effort, effort_by_model


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    for case_id in ("P001", "P002"):
        dataset.add(sphere_exam[0], patient_id=case_id, case_id=case_id)
        dataset.save_draft(case_id, sphere_exam[1], model="m@1")
    return dataset


def test_only_reviewed_slices_count_and_only_what_the_redraft_changed() -> None:
    rng = np.random.default_rng(5)
    before, redrafted, mask = rng.integers(0, 2, (3, 6, 7, 8)).astype(np.uint8)
    redrafted[2] = before[2]
    reviewed = np.array([True, True, True, False, False, True])
    found = RedraftRecord.of(before, redrafted, mask, reviewed, from_slices=2)
    changed = [
        (z, y, x)
        for z, y, x in np.ndindex(before.shape)
        if reviewed[z] and before[z, y, x] != redrafted[z, y, x]
    ]
    assert found.voxels == len(changed)
    assert found.voxels_accepted == sum(mask[at] == redrafted[at] for at in changed)
    assert found.slices == len({z for z, _, _ in changed}) == 3
    assert found.share_accepted == found.voxels_accepted / found.voxels


def test_nothing_changed_is_no_share() -> None:
    labels = np.zeros((2, 3, 3), np.uint8)
    found = RedraftRecord.of(labels, labels, labels, np.ones(2, bool), from_slices=1)
    assert (found.slices, found.voxels, found.share_accepted) == (0, 0, None)


@pytest.mark.parametrize(
    "changes", [{"voxels_accepted": 9}, {"slices": 0}, {"from_slices": 0}, {"remark": "text"}]
)
def test_a_record_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    value = {"from_slices": 2, "slices": 3, "voxels": 8, "voxels_accepted": 6} | changes
    with pytest.raises(ValidationError):
        RedraftRecord.model_validate(value)


def test_the_effort_tells_what_drafting_again_saved(dataset: Dataset, sphere_exam) -> None:
    redraft = RedraftRecord(from_slices=2, slices=12, voxels=200, voxels_accepted=150)
    for case_id, record in (("P001", redraft), ("P002", None)):
        dataset.accept(
            case_id,
            sphere_exam[1],
            reviewed_slices=None,
            annotator="AB",
            seconds=3,
            redraft=record,
        )
    again = Dataset.open(dataset.folder)
    assert again.case("P001").accepted.redraft == redraft
    rows = effort(again.cases())
    assert [(row.slices_redrafted, row.redraft_accepted) for row in rows] == [
        (12, 0.75),
        (None, None),
    ]
    (model,) = effort_by_model(rows)
    assert (model.slices_redrafted, model.redraft_accepted) == (12, 0.75)
    told = CliRunner().invoke(app, ["dataset", "status", str(dataset.folder), "--json"])
    assert json.loads(told.stdout)["effort"]["cases"][0]["slices_redrafted"] == 12
    words = CliRunner().invoke(
        app, ["dataset", "status", str(dataset.folder)], env={"COLUMNS": "200"}
    )
    assert "12 slices, 75 % accepted" in words.stdout
