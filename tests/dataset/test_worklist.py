"""The worklist: what a row says, and the order in which cases come."""

from __future__ import annotations

from pathlib import Path

from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset, Order, Status, WorklistRow, arranged


def row(case_id: str, predicted_dice: float | None = None, **changes: object) -> WorklistRow:
    settings = {
        "status": Status.DRAFTED,
        "flag_reason": None,
        "model": "m",
        "changed_s": 0.0,
        "reader": None,
        "is_for_second_read": False,
        "is_blinded": False,
        "n_slices": 1,
    } | changes
    return WorklistRow(case_id=case_id, predicted_dice=predicted_dice, **settings)  # type: ignore[arg-type]


def ids(rows: list[WorklistRow]) -> str:
    return " ".join(one.case_id for one in rows)


def test_the_least_certain_come_first_and_the_unknown_last() -> None:
    rows = [row("a"), row("b", 0.9), row("c", 0.2), row("d")]
    assert ids(arranged(rows, order=Order.UNCERTAIN)) == "c b a d"


def test_a_random_order_is_that_of_its_seed_and_filtering_keeps_it() -> None:
    rows = [row(f"c{i:02d}") for i in range(40)]
    first = arranged(rows, order=Order.RANDOM, seed=1)
    assert ids(first) == ids(arranged(rows[::-1], order=Order.RANDOM, seed=1))
    assert ids(first) != ids(arranged(rows, order=Order.RANDOM, seed=2))
    assert first != rows
    fewer = arranged(rows[:20], order=Order.RANDOM, seed=1)
    assert fewer == [one for one in first if one in rows[:20]]


def test_statuses_and_words_choose_rows() -> None:
    rows = [
        row("P001", status=Status.ACCEPTED, reader="AB"),
        row("P002", status=Status.IN_PROGRESS),
        row("Q001", status=Status.ACCEPTED, is_for_second_read=True),
    ]
    assert ids(arranged(rows, statuses=[Status.ACCEPTED])) == "P001 Q001"
    assert ids(arranged(rows, text="001 accepted")) == "P001 Q001"
    assert ids(arranged(rows, text="ab p0")) == "P001"
    assert ids(arranged(rows, text="in progress")) == "P002"
    assert ids(arranged(rows, only_second_reads=True)) == "Q001"


def test_rows_say_what_the_records_say(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> None:
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    dataset.add(sphere_exam[0], patient_id="1")
    dataset.save_draft("P001", sphere_exam[1], model="m@1", predicted_dice=0.71)
    (before,) = dataset.worklist("AB")
    assert (before.status, before.model, before.predicted_dice, before.n_slices) == (
        "drafted",
        "m@1",
        0.71,
        12,
    )
    assert before.reader is None
    dataset.accept("P001", sphere_exam[1], reviewed_slices=None, annotator="AB", seconds=1)
    (after,) = dataset.worklist("AB")
    assert (after.status, after.reader) == ("accepted", "AB")
    assert after.changed_s >= before.changed_s > 0


def test_a_row_says_when_unfinished_work_was_kept(
    tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    dataset.add(sphere_exam[0], patient_id="1")
    accept = {"reviewed_slices": None, "seconds": 1}
    dataset.autosave("P001", sphere_exam[1])
    (row,) = dataset.worklist("AB")
    kept = dataset.folder / "autosave" / "P001.nii.gz"
    assert row.unfinished_s == kept.stat().st_mtime
    old = kept.read_bytes()
    dataset.accept("P001", sphere_exam[1], annotator="AB", **accept)
    kept.write_bytes(old)  # as if the power had failed before it was removed
    assert dataset.worklist("AB")[0].unfinished_s is None
    dataset.reads.ask("P001")
    dataset.reads.second_read("P001", "CD").autosave("P001", sphere_exam[1])
    (first,), (second,) = dataset.worklist("AB"), dataset.worklist("CD")
    assert first.unfinished_s is None
    assert second.is_blinded
    assert second.unfinished_s is not None


def test_a_blinded_row_shows_no_model_and_no_predicted_dice(
    tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    dataset.add(sphere_exam[0], patient_id="1")
    dataset.save_draft("P001", sphere_exam[1], model="m@1", predicted_dice=0.71)
    dataset.accept("P001", sphere_exam[1], reviewed_slices=None, annotator="AB", seconds=1)
    dataset.reads.ask("P001")
    (first,), (second,) = dataset.worklist("AB"), dataset.worklist("CD")
    assert (first.is_blinded, first.model, first.predicted_dice) == (False, "m@1", 0.71)
    assert (second.is_blinded, second.model, second.predicted_dice) == (True, None, None)
    assert arranged([second], text="m@1") == []
