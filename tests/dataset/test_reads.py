"""Second reads are blind, kept beside the dataset, compared, and merged into a draft at most."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_breastseg import formats
from napari_breastseg.cli import app
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import IGNORE, Exam, Grid, LabelMap
from napari_breastseg.dataset import Dataset, ReadKind, Status
from napari_breastseg.scoring.agreement import agreement
from napari_breastseg.scoring.consensus import Method, consensus, propose_consensus


def moved(label_map: LabelMap, by: int) -> LabelMap:
    return LabelMap(np.roll(label_map.data, by, axis=2), label_map.grid)


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """Three cases, drafted one pixel off, accepted by AB, chosen for a second read."""
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    for number in (1, 2, 3):
        case_id = f"P00{number}"
        dataset.add(sphere_exam[0], patient_id=f"patient-{number}", case_id=case_id)
        dataset.save_draft(case_id, moved(sphere_exam[1], 1), model="m@1")
        dataset.accept(
            case_id, sphere_exam[1], reviewed_slices=None, annotator="AB", seconds=9, strokes=2
        )
        dataset.reads.ask(case_id)
    return dataset


def read(dataset: Dataset, case_id: str, reader: str, label_map: LabelMap, **changes) -> None:
    settings = {"reviewed_slices": None, "seconds": 20.0, "strokes": 4} | changes
    dataset.reads.second_read(case_id, reader).accept(
        case_id, label_map, annotator=reader, **settings
    )


def test_only_an_accepted_case_can_be_read_twice(dataset: Dataset, sphere_exam) -> None:
    dataset.add(sphere_exam[0], patient_id="patient-4", case_id="P004")
    with pytest.raises(
        InputError, match=r"an accepted mask of case P004 to ask.*found status 'new'"
    ):
        dataset.reads.ask("P004")
    with pytest.raises(InputError, match="a request for a second read of case P004; found none"):
        dataset.reads.second_read("P004", "CD")
    with pytest.raises(InputError, match=r"another reader.*the reader of the first read"):
        dataset.reads.second_read("P001", "ab")


def test_a_second_reader_sees_nothing_of_the_first(dataset: Dataset, sphere_exam) -> None:
    second = dataset.reads.second_read("P001", "CD")
    dataset.autosave("P001", moved(sphere_exam[1], 3))  # the first reader is at work again
    record = second.case("P001")
    assert "AB" not in record.model_dump_json()
    assert "m@1" not in record.model_dump_json()
    assert (record.status, record.accepted, record.draft) == (Status.IN_PROGRESS, None, None)
    assert (second.draft("P001"), second.kept_map("P001"), second.recover("P001")) == (None,) * 3
    for reader, blinded in (("CD", True), ("", True), ("AB", False), ("ab", False)):
        assert dataset.reads.is_blinded(dataset.case("P001"), reader) is blinded
        assert dataset.worklist(reader)[0].reader == (None if blinded else "AB")
    np.testing.assert_array_equal(
        second.exam("P001").phases["pre"].data, sphere_exam[0].phases["pre"].data
    )


def test_a_second_read_is_kept_beside_the_accepted_mask(dataset: Dataset, sphere_exam) -> None:
    before = dataset.case("P001")
    second = dataset.reads.second_read("P001", "Dr C & D")
    second.autosave("P001", moved(sphere_exam[1], 2))
    np.testing.assert_array_equal(second.recover("P001").data, moved(sphere_exam[1], 2).data)
    read(dataset, "P001", "Dr C & D", moved(sphere_exam[1], 2), reviewed_slices=range(3, 10))
    assert dataset.case("P001") == before
    np.testing.assert_array_equal(dataset.label_map("P001").data, sphere_exam[1].data)
    reads = dataset.reads.of_case("P001")
    assert [(r.kind, r.reader) for r in reads] == [
        (ReadKind.FIRST, "AB"),
        (ReadKind.SECOND, "Dr C & D"),
        (ReadKind.MODEL, "m@1"),
    ]
    assert (reads[1].seconds_spent, reads[1].strokes) == (20.0, 4)
    kept = dataset.reads.label_map(reads[1]).data
    assert (kept[0] == IGNORE).all()
    np.testing.assert_array_equal(kept[3:10], moved(sphere_exam[1], 2).data[3:10])
    # Now this reader may see the first read.
    assert not dataset.reads.is_blinded(before, "Dr C & D")
    assert second.recover("P001") is None
    # The folder is what it was to everybody else.
    assert dataset.check() == []
    assert [case.case_id for case in formats.find_cases(dataset.folder)] == ["P001", "P002", "P003"]
    assert list(json.loads((dataset.folder / "dataset.json").read_text())["dataset"]) == [
        "P001",
        "P002",
        "P003",
    ]


def test_unfinished_work_keeps_a_second_reader_blind(dataset: Dataset, sphere_exam) -> None:
    record = dataset.case("P001")
    second = dataset.reads.second_read("P001", "CD")
    read(dataset, "P001", "CD", moved(sphere_exam[1], 1))
    assert not dataset.reads.is_blinded(record, "CD")
    second.autosave("P001", moved(sphere_exam[1], 2))
    assert dataset.reads.is_blinded(record, "cd")
    assert dataset.worklist("CD")[0].reader is None
    second.autosave("P001", moved(sphere_exam[1], 1))  # as it was accepted: nothing is unfinished
    assert not dataset.reads.is_blinded(record, "CD")


def test_a_crash_right_after_a_second_read_leaves_no_older_work(
    dataset: Dataset, sphere_exam, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, wanted = dataset.reads.second_read("P001", "CD"), moved(sphere_exam[1], 2)
    second.autosave("P001", moved(sphere_exam[1], 5))

    def crash(path: Path, **_: object) -> None:
        raise KeyboardInterrupt(path.name)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            read(dataset, "P001", "CD", wanted)
    again = Dataset.open(dataset.folder).reads.second_read("P001", "CD")
    np.testing.assert_array_equal(again.kept_map("P001").data, wanted.data)
    np.testing.assert_array_equal(again.recover("P001").data, wanted.data)
    again.autosave("P001", wanted)
    assert again.recover("P001") is None


def test_a_second_reader_is_whoever_did_not_read_first(dataset: Dataset, sphere_exam) -> None:
    reads, record = dataset.reads, dataset.case("P001")
    found = {reader: reads.is_second_reader(record, reader) for reader in ("AB", " ab", "CD", "")}
    assert found == {"AB": False, " ab": False, "CD": True, "": True}
    read(dataset, "P001", "CD", sphere_exam[1])
    assert reads.is_second_reader(record, "CD")  # who may see the first read decides on it no more
    dataset.add(sphere_exam[0], patient_id="patient-4", case_id="P004")
    assert not reads.is_second_reader(dataset.case("P004"), "CD")


def test_the_model_a_second_read_began_with_outlasts_the_sitting(
    dataset: Dataset, sphere_exam
) -> None:
    second = dataset.reads.second_read("P001", "CD")
    second.save_draft("P001", moved(sphere_exam[1], 1), model="m@2")
    second.autosave("P001", moved(sphere_exam[1], 2))
    read(Dataset.open(dataset.folder), "P001", "CD", moved(sphere_exam[1], 2))
    assert dataset.reads.second_read("P001", "CD").case("P001").accepted.model == "m@2"
    read(dataset, "P001", "EF", sphere_exam[1])
    assert dataset.reads.second_read("P001", "EF").case("P001").accepted.model is None


def test_a_case_read_twice_is_not_asked_for_again(dataset: Dataset, sphere_exam) -> None:
    read(dataset, "P001", "CD", moved(sphere_exam[1], 2))
    propose_consensus(dataset, "P001", Method.STAPLE)
    dataset.accept("P001", sphere_exam[1], reviewed_slices=None, annotator="EF", seconds=9)
    before = dataset.reads.of_case("P001")
    with pytest.raises(InputError, match=r"P001 to have no second read yet; found one"):
        dataset.reads.ask("P001")
    assert dataset.reads.of_case("P001") == before


def test_a_read_accepted_again_keeps_the_earlier_one(dataset: Dataset, sphere_exam) -> None:
    read(dataset, "P001", "CD", sphere_exam[1])
    read(dataset, "P001", "CD", moved(sphere_exam[1], 1))
    own = dataset.reads.second_read("P001", "CD")
    np.testing.assert_array_equal(own.label_map("P001").data, moved(sphere_exam[1], 1).data)
    assert own.case("P001").accepted.annotator == "CD"
    earlier = dataset.folder / "reads" / "P001" / "earlier"
    assert len(list(earlier.glob("*.nii.gz"))) == 1
    assert dataset.check() == []


def test_check_finds_a_changed_read(dataset: Dataset, sphere_exam) -> None:
    read(dataset, "P001", "CD", sphere_exam[1])
    folder = dataset.folder / "reads" / "P001"
    formats.write_label_map(folder / "cd.nii.gz", moved(sphere_exam[1], 5))
    formats.write_label_map(folder / "zz.nii.gz", sphere_exam[1])
    (folder / "+model.nii.gz").unlink()
    assert [(f.what, f.severity.value) for f in dataset.check()] == [
        ("hash_mismatch", "error"),
        ("missing_file", "error"),
        ("orphan_file", "warning"),
    ]


def test_agreement_sets_the_models_error_beside_the_readers(dataset: Dataset, sphere_exam) -> None:
    with pytest.raises(InputError, match="two readers outlined; found none in dataset set"):
        drain(agreement(dataset))
    read(dataset, "P001", "CD", moved(sphere_exam[1], 2))
    read(dataset, "P002", "CD", sphere_exam[1])
    found = drain(agreement(dataset))
    dice = {(row.case_id, row.first, row.second): row.dice for row in found.cases}
    first, second = sphere_exam[1].tumor, moved(sphere_exam[1], 2).tumor
    expected = 2 * np.count_nonzero(first & second) / (first.sum() + second.sum())
    assert dice["P001", "AB", "CD"] == pytest.approx(expected)
    assert dice["P002", "AB", "CD"] == 1
    readers, with_ab, with_cd = found.pairs
    assert (readers.first, readers.second, readers.n_cases) == ("AB", "CD", 2)
    assert readers.dice.mean == pytest.approx((1 + expected) / 2)
    assert readers.dice.ci95[0] < readers.dice.mean < readers.dice.ci95[1]
    assert readers.hd95_mm.mean == pytest.approx((0 + 1.4) / 2, abs=0.01)
    assert readers.difference_ml.mean == pytest.approx(0)
    # AB corrected the model's draft, CD never saw it.
    assert (with_ab.first, with_ab.second, with_ab.is_corrected) == ("m@1", "AB", True)
    assert (with_cd.second, with_cd.is_corrected) == ("CD", False)
    assert found.model_dice.mean == pytest.approx(with_cd.dice.mean)
    gap = found.model_less_readers
    assert gap.mean == pytest.approx(with_cd.dice.mean - readers.dice.mean)
    assert gap.n_patients == 2


def test_what_one_reader_did_not_look_at_does_not_count(dataset: Dataset, sphere_exam) -> None:
    data = sphere_exam[1].data.copy()
    data[7:] = 0
    read(dataset, "P001", "CD", LabelMap(data, sphere_exam[1].grid), reviewed_slices=range(7))
    (row, *_) = drain(agreement(dataset)).cases
    assert row.dice == 1


# Consensus


def disks(*xs: int, z_seen: tuple[int, ...] = (0, 1)) -> list[LabelMap]:
    """Reads of disks in two slices; the first reader looked at `z_seen` only."""
    grid = Grid((2, 40, 60), np.diag([3.0, 0.7, 0.7, 1.0]))
    y, x = np.indices((40, 60))
    maps = []
    for index, center in enumerate(xs):
        data = np.repeat(((y - 20) ** 2 + (x - center) ** 2 < 64)[None], 2, axis=0).astype(np.uint8)
        if index == 0:
            for z in {0, 1} - set(z_seen):
                data[z] = IGNORE
        maps.append(LabelMap(data, grid))
    return maps


def test_majority_is_more_than_half() -> None:
    maps = disks(28, 30, 33)
    made = consensus(maps, Method.MAJORITY, "P001")
    votes = sum(m.tumor.astype(int) for m in maps)
    np.testing.assert_array_equal(made.tumor, votes >= 2)
    with pytest.raises(InputError, match=r"3 readers of case P001.*found 2.*or use STAPLE"):
        consensus(maps[:2], Method.MAJORITY, "P001")


def test_staple_trusts_the_readers_who_agree() -> None:
    maps = disks(30, 30, 30, 44)
    made = consensus(maps, Method.STAPLE, "P001")
    np.testing.assert_array_equal(made.tumor, maps[0].tumor)
    same = consensus(disks(30, 30), Method.STAPLE, "P001")
    np.testing.assert_array_equal(same.tumor, maps[0].tumor)
    with pytest.raises(
        InputError, match="2 readers of case P001 for a consensus by staple; found 1"
    ):
        consensus(maps[:1], Method.STAPLE, "P001")


@pytest.mark.parametrize("method", Method)
def test_where_one_reader_did_not_look_the_others_decide(method: Method) -> None:
    maps = disks(10, 30, 30, z_seen=(1,))
    made = consensus(maps, method, "P001")
    np.testing.assert_array_equal(made.tumor[0], maps[1].tumor[0])


def test_no_marks_make_an_empty_consensus() -> None:
    empty = [LabelMap(np.zeros_like(m.data), m.grid) for m in disks(10, 20)]
    assert not consensus(empty, Method.STAPLE, "P001").data.any()


def test_an_unreadable_read_leaves_out_its_case_only(dataset: Dataset, sphere_exam) -> None:
    read(dataset, "P001", "CD", moved(sphere_exam[1], 2))
    whole = drain(agreement(dataset))
    broken = dataset.folder / "reads" / "P002" / "x.json"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("{")
    told: list[str] = []
    found = drain(agreement(dataset), lambda progress: told.append(progress.message))
    assert found.cases == whole.cases
    assert any("records of the reads of case P002" in message for message in told)


def test_a_consensus_is_a_draft_and_accepts_nothing(dataset: Dataset, sphere_exam) -> None:
    with pytest.raises(InputError, match="2 readers of case P001"):
        propose_consensus(dataset, "P001", Method.STAPLE)
    assert dataset.case("P001").is_accepted
    read(dataset, "P001", "CD", moved(sphere_exam[1], 2))
    record = propose_consensus(dataset, "P001", Method.STAPLE)
    assert (record.status, record.accepted) == (Status.IN_PROGRESS, None)
    assert record.draft.model == "consensus by staple of 2 readers"
    assert not record.is_for_second_read
    assert dataset.working_map("P001").tumor.any()
    np.testing.assert_array_equal(dataset.working_map("P001").data, dataset.draft("P001").data)
    # Mask and reads are still there, and so is the model's draft for comparison.
    assert len(record.history) == 1
    assert len(dataset.reads.of_case("P001")) == 3
    assert drain(agreement(dataset)).model_dice is not None
    assert dataset.check() == []


def test_the_command_line_asks_compares_and_merges(dataset: Dataset, sphere_exam) -> None:
    folder = str(dataset.folder)
    run = CliRunner().invoke
    asked = run(app, ["dataset", "ask", folder, "P001", "P999", "--json"])
    assert asked.exit_code == 1
    told = json.loads(asked.stdout[asked.stdout.index("{") :])  # an older click adds stderr
    assert [row["status"] for row in told["cases"]] == ["accepted", "failed"]
    read(dataset, "P001", "CD", moved(sphere_exam[1], 2))
    told = json.loads(run(app, ["dataset", "agreement", folder, "--json"]).stdout)
    assert told["pairs"][0]["first"] == "AB"
    assert told["readers_dice"]["ci95"] is None  # one patient
    words = run(app, ["dataset", "agreement", folder])
    assert "Dice between two readers: 0." in words.output
    assert "biased towards it" in words.output
    made = run(app, ["dataset", "consensus", folder, "P001"])
    assert made.exit_code == 0
    assert dataset.case("P001").status is Status.IN_PROGRESS
    assert run(app, ["dataset", "consensus", folder, "P002", "--json"]).exit_code == 2
