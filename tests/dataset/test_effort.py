"""What a correction cost: counted, kept, added up, and asked for again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_breastseg.cli import app
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import CaseRecord, Dataset, effort, effort_by_model
from napari_breastseg.dataset.effort import added_path_px


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """Two cases of two patients with the draft of one model."""
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    for case_id in ("P001", "P002"):
        dataset.add(sphere_exam[0], patient_id=case_id, case_id=case_id)
        dataset.save_draft(case_id, sphere_exam[1], model="m@1", predicted_dice=0.8)
    return dataset


def accept(dataset: Dataset, case_id: str, label_map: LabelMap, **changes: object) -> CaseRecord:
    settings = {"reviewed_slices": None, "annotator": "AB", "seconds": 40.0, "strokes": 3}
    return dataset.accept(case_id, label_map, **settings | changes)  # type: ignore[arg-type]


def wider(label_map: LabelMap) -> LabelMap:
    """The mask with one slice's tumor moved by two pixels."""
    data = label_map.data.copy()
    data[6] = np.roll(data[6], 2, axis=1)
    return LabelMap(data, label_map.grid)


def slow_contour(plane: np.ndarray) -> set[tuple[int, int]]:
    """Pixels with a neighbor outside, one by one: the oracle."""
    inside = set(map(tuple, np.argwhere(plane).tolist()))
    steps = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return {(y, x) for y, x in inside if any((y + a, x + b) not in inside for a, b in steps)}


def test_added_path_is_the_contour_the_draft_lacks() -> None:
    rng = np.random.default_rng(3)
    draft, accepted = rng.random((2, 4, 9, 11)) > 0.4
    expected = sum(
        len(slow_contour(a) - slow_contour(d)) for d, a in zip(draft, accepted, strict=True)
    )
    assert added_path_px(draft, accepted) == expected > 0
    assert added_path_px(draft, np.zeros_like(draft)) == 0


def test_an_accepted_mask_keeps_what_it_cost(dataset: Dataset, sphere_exam) -> None:
    wanted = wider(sphere_exam[1])
    mask = accept(dataset, "P001", wanted).accepted
    truth = sphere_exam[1].data
    assert (mask.strokes, mask.seconds_spent, mask.order, mask.model) == (3, 40.0, 1, "m@1")
    assert mask.voxels_changed == np.count_nonzero(wanted.data != truth)
    assert mask.added_path_px == added_path_px(truth == 1, wanted.data == 1) > 0
    assert accept(dataset, "P002", wanted).accepted.order == 2


def test_slices_nobody_looked_at_cost_no_path(dataset: Dataset, sphere_exam) -> None:
    mask = accept(dataset, "P001", wider(sphere_exam[1]), reviewed_slices=[4, 5]).accepted
    assert mask.added_path_px == 0


def test_sittings_that_ended_without_accepting_count(dataset: Dataset, sphere_exam) -> None:
    dataset.note_work("P001", seconds=10, strokes=2)
    dataset.note_work("P001", seconds=5, strokes=1)
    record = accept(dataset, "P001", sphere_exam[1])
    assert (record.accepted.seconds_spent, record.accepted.strokes) == (55.0, 6)
    assert record.work is None


def test_effort_adds_up_a_reopened_case_and_groups_by_model(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, "P002", sphere_exam[1], seconds=100.0, strokes=9)
    accept(dataset, "P001", wider(sphere_exam[1]))
    dataset.reopen("P001")
    accept(dataset, "P001", wider(sphere_exam[1]), seconds=5.0, strokes=1)
    rows = effort(dataset.cases())
    assert [(row.case_id, row.seconds, row.strokes) for row in rows] == [
        ("P002", 100.0, 9),
        ("P001", 45.0, 4),
    ]
    # Oblique grid, pixels of 0.7 mm x 0.7 mm.
    assert rows[1].added_path_mm == pytest.approx(0.7 * rows[1].added_path_px)
    (model,) = effort_by_model(rows)
    assert (model.model, model.cases, model.seconds, model.strokes) == ("m@1", 2, 72.5, 6.5)
    assert model.dice_draft == pytest.approx((1 + rows[1].dice_draft) / 2)


def test_status_tells_the_effort(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, "P001", wider(sphere_exam[1]))
    told = CliRunner().invoke(app, ["dataset", "status", str(dataset.folder), "--json"])
    found = json.loads(told.stdout)["effort"]
    assert found["by_model"][0]["strokes"] == 3
    assert [row["case_id"] for row in found["cases"]] == ["P001"]
    words = CliRunner().invoke(app, ["dataset", "status", str(dataset.folder)])
    assert "m@1" in words.stdout


def test_a_record_of_an_earlier_version_still_loads(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, "P001", sphere_exam[1])
    path = dataset.folder / "cases" / "P001.json"
    record = json.loads(path.read_text())
    for name in ("goes_on_from", "work", "is_for_second_read", "findings"):
        del record[name]
    del record["draft"]["predicted_dice"]
    for name in (
        "strokes",
        "added_path_px",
        "order",
        "findings_kept",
        "findings_dropped",
        "redraft",
    ):
        del record["accepted"][name]
    path.write_text(json.dumps(record))
    dataset = Dataset.open(dataset.folder)
    (row,) = effort(dataset.cases())
    assert (row.seconds, row.strokes, row.added_path_px, row.order) == (40.0, None, None, 0)
    assert accept(dataset, "P001", sphere_exam[1]).accepted.order == 1


def test_undoing_the_first_accept_goes_on_from_that_mask(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, "P001", wider(sphere_exam[1]))
    record = dataset.undo_accept("P001")
    assert (record.status, record.accepted, len(record.history)) == ("in_progress", None, 1)
    np.testing.assert_array_equal(dataset.working_map("P001").data, wider(sphere_exam[1]).data)
    assert dataset.check() == []
    with pytest.raises(Exception, match="to be accepted to undo that; found status 'in_progress'"):
        dataset.undo_accept("P001")


def test_undoing_a_later_accept_goes_back_to_the_mask_before(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, "P001", sphere_exam[1])
    accept(dataset, "P001", wider(sphere_exam[1]))
    record = dataset.undo_accept("P001")
    np.testing.assert_array_equal(dataset.working_map("P001").data, sphere_exam[1].data)
    assert len(record.history) == 2  # nothing is deleted
    assert record.kept_mask == record.history[0]
    assert dataset.check() == []


def test_a_newer_draft_takes_the_place_of_a_reopened_mask(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, "P001", wider(sphere_exam[1]))
    dataset.reopen("P001")
    dataset.save_draft("P001", sphere_exam[1], model="m@2")
    np.testing.assert_array_equal(dataset.working_map("P001").data, sphere_exam[1].data)


def test_the_same_draft_saved_again_keeps_what_was_expected_of_it(
    dataset: Dataset, sphere_exam
) -> None:
    assert dataset.save_draft("P001", sphere_exam[1], model="m@1").predicted_dice == 0.8
    assert dataset.save_draft("P001", wider(sphere_exam[1]), model="m@1").predicted_dice is None


def test_noting_work_hides_no_unfinished_work(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, "P001", sphere_exam[1])
    dataset.autosave("P001", wider(sphere_exam[1]))
    dataset.note_work("P001", seconds=3, strokes=1)
    dataset.reads.ask("P001")
    np.testing.assert_array_equal(dataset.recover("P001").data, wider(sphere_exam[1]).data)
