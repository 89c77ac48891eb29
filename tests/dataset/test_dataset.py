"""The dataset folder: cases from entry to accepted mask, with provenance, history and locks."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.volume import IGNORE, Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, FlagReason, Status


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """A dataset with one new case, P001."""
    dataset = Dataset.create(tmp_path / "breast data", ["pre", "post1"])
    dataset.add(sphere_exam[0], patient_id="patient-1")
    return dataset


def accept(dataset: Dataset, label_map: LabelMap, case_id: str = "P001", **changes: object):
    settings = {"reviewed_slices": None, "annotator": "reader A", "seconds": 42.0} | changes
    return dataset.accept(case_id, label_map, **settings)  # type: ignore[arg-type]


def shifted(label_map: LabelMap) -> LabelMap:
    return replace(label_map, data=np.roll(label_map.data, 2, axis=2))


# Making and opening


def test_a_new_dataset_is_an_nnunet_folder_without_cases(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "new", ["pre", "post1"])
    head = json.loads((tmp_path / "new" / "dataset.json").read_text())
    assert head["channel_names"] == {"0": "pre", "1": "post1"}
    assert head["labels"] == {"background": 0, "tumor": 1, "ignore": 2}
    assert (head["numTraining"], head["dataset"]) == (0, {})
    assert Dataset.open(tmp_path / "new").channels == ("pre", "post1")
    assert dataset.splits() == []


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0}}')
    (tmp_path / "thesis.docx").write_text("x")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for attempt in (Dataset.open, Dataset.open_or_create):
        with pytest.raises(InputError, match=r"made by other software.*nothing was changed"):
            attempt(tmp_path)
    with pytest.raises(InputError, match=r"new or empty folder.*other files"):
        Dataset.create(tmp_path, ["post1"])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_with_files_but_no_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"x")
    with pytest.raises(InputError, match="found other files in it"):
        Dataset.open_or_create(tmp_path)
    with pytest.raises(InputError, match="found no such folder"):
        Dataset.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match="found a file"):
        Dataset.open_or_create(tmp_path / "scan.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_a_dataset_is_not_made_twice(dataset: Dataset) -> None:
    with pytest.raises(InputError, match=r"new or empty folder .*found a dataset"):
        Dataset.create(dataset.folder, ["post1"])


def test_channels_given_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all different; found 'pre', 'pre'"):
        Dataset.create(tmp_path / "new", ["pre", "pre"])


def test_lost_derived_files_come_back_from_the_records(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, sphere_exam[1])
    names = ("dataset.json", "splits_final.json", "datalist.json")
    before = {name: (dataset.folder / name).read_text() for name in names}
    (dataset.folder / "dataset.json").write_text('{"labels": {"backgr')
    for name in names[1:]:
        (dataset.folder / name).unlink()
    Dataset.open(dataset.folder)
    assert {name: (dataset.folder / name).read_text() for name in names} == before


def test_a_damaged_record_is_named_and_the_rest_stays(dataset: Dataset) -> None:
    (dataset.folder / "cases" / "P002.json").write_text("{")
    opened = Dataset.open(dataset.folder)
    assert [record.case_id for record in opened.cases()] == ["P001"]
    findings = opened.check()
    assert [(f.what, f.case_id) for f in findings] == [("unreadable_record", "P002")]


# Entering


def test_an_exam_comes_back_as_it_was_entered(dataset: Dataset, sphere_exam) -> None:
    exam = dataset.exam("P001")
    assert list(exam.phases) == ["pre", "post1"]
    for role, volume in sphere_exam[0].phases.items():
        np.testing.assert_array_equal(exam.phases[role].data, volume.data)
    assert exam.grid.matches(sphere_exam[0].grid)
    assert dataset.case("P001").status is Status.NEW


def test_the_first_case_fixes_the_channels(tmp_path: Path, sphere_exam) -> None:
    exam = sphere_exam[0]
    dataset = Dataset.create(tmp_path / "new")
    dataset.add(exam, patient_id="a")
    assert Dataset.open(tmp_path / "new").channels == ("pre", "post1")
    only_post = Exam("P002", {"post1": exam.phases["post1"]})
    with pytest.raises(
        InputError,
        match=r"channels of dataset .*, pre, post1, for every case; found post1 in case P002",
    ):
        dataset.add(only_post, patient_id="b")
    more = Exam(
        "P003", {**exam.phases, "post2": exam.phases["post1"]}, {"pre": 0.0, "post2": 180.0}
    )
    assert dataset.add(more, patient_id="b").channels == ("pre", "post1")
    assert dataset.exam("P003").times_s == {"pre": 0.0}
    assert not list(dataset.folder.glob("imagesTr/P002*"))


def test_a_case_id_is_entered_once_whatever_its_letter_case(dataset: Dataset, sphere_exam) -> None:
    for case_id in ("P001", "p001"):
        with pytest.raises(InputError, match="does not have yet; found case P001"):
            dataset.add(sphere_exam[0], patient_id="patient-2", case_id=case_id)
    assert dataset.check() == []


@pytest.mark.parametrize(
    "case_id", ["", "../x", "a/b", "Doe^Jane", "a b", "nul", "x.", "a..b", "é" * 3]
)
def test_an_unsafe_case_id_is_refused_without_being_repeated(
    dataset: Dataset, sphere_exam, case_id: str
) -> None:
    with pytest.raises(InputError, match="Expected a case id of letters, digits") as caught:
        dataset.add(sphere_exam[0], patient_id="p", case_id=case_id)
    assert not case_id or f"'{case_id}'" not in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_a_patient_id_written_like_a_name_is_refused_without_being_repeated(
    dataset: Dataset, sphere_exam
) -> None:
    with pytest.raises(InputError, match="Expected a patient id") as caught:
        dataset.add(sphere_exam[0], patient_id="Doe^Jane", case_id="P002")
    assert "Doe" not in str(caught.value)


def test_a_patient_id_in_another_letter_case_is_refused(dataset: Dataset, sphere_exam) -> None:
    with pytest.raises(InputError, match="differs only in letter case from that of case P001"):
        dataset.add(sphere_exam[0], patient_id="Patient-1", case_id="P002")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.nan, "Expected finite values in post1 of case P002; found 1 of"),
        (7.0, "with structure in phase post1"),
    ],
)
def test_an_image_without_use_is_refused(
    dataset: Dataset, sphere_exam, value: float, match: str
) -> None:
    exam = sphere_exam[0]
    data = np.array(exam.phases["post1"].data)
    data[(0, 0, 0) if np.isnan(value) else ...] = value
    bad = Exam("P002", {**exam.phases, "post1": Volume(data, exam.grid)})
    with pytest.raises(InputError, match=match):
        dataset.add(bad, patient_id="b")
    assert dataset.check() == []


def test_a_case_entry_cut_off_by_a_full_disk_leaves_nothing(
    dataset: Dataset, sphere_exam, monkeypatch
) -> None:
    def full(*args: object) -> None:
        raise StorageError("Expected to write", "no space", "Free some")

    monkeypatch.setattr("napari_breastseg.dataset.store.write_text", full)
    with pytest.raises(StorageError):
        dataset.add(sphere_exam[0], patient_id="b", case_id="P002")
    monkeypatch.undo()
    assert dataset.check() == []
    assert dataset.add(sphere_exam[0], patient_id="b", case_id="P002").role.entry == 2


# Drafting, correcting, accepting


def test_a_case_goes_from_new_to_accepted(dataset: Dataset, sphere_exam) -> None:
    truth = sphere_exam[1]
    draft = shifted(truth)
    assert dataset.save_draft("P001", draft, model="starter").status is Status.DRAFTED
    assert not (dataset.folder / "labelsTr" / "P001.nii.gz").exists()
    dataset.autosave("P001", truth)
    assert dataset.case("P001").status is Status.IN_PROGRESS
    np.testing.assert_array_equal(dataset.recover("P001").data, truth.data)
    record = accept(dataset, truth)
    assert (record.status, dataset.recover("P001")) == (Status.ACCEPTED, None)
    mask = record.accepted
    assert (mask.annotator, mask.seconds_spent, mask.model) == ("reader A", 42.0, "starter")
    changed = int((draft.data != truth.data).sum())
    overlap = int((draft.data & truth.data).sum())
    assert mask.voxels_changed == changed > 0
    assert mask.dice_draft == pytest.approx(2 * overlap / (2 * int(truth.data.sum())))
    assert mask.tumor_voxels == int(truth.data.sum())
    np.testing.assert_array_equal(dataset.draft("P001").data, draft.data)
    np.testing.assert_array_equal(dataset.label_map("P001").data, truth.data)
    assert dataset.label_map("P001").grid.matches(truth.grid)
    assert dataset.check() == []


def test_slices_nobody_looked_at_become_ignore_and_do_not_count(
    dataset: Dataset, sphere_exam
) -> None:
    truth = sphere_exam[1]
    dataset.save_draft("P001", shifted(truth), model="starter")
    record = accept(dataset, truth, reviewed_slices=[5, 6])
    written = dataset.label_map("P001").data
    np.testing.assert_array_equal(written[5:7], truth.data[5:7])
    assert (np.delete(written, [5, 6], axis=0) == IGNORE).all()
    assert record.accepted.reviewed_slices == (5, 6)
    assert record.accepted.voxels_changed == int((shifted(truth).data != truth.data)[5:7].sum())


def test_the_rest_reviewed_later_and_clear_is_no_longer_ignore(
    dataset: Dataset, sphere_exam
) -> None:
    accept(dataset, sphere_exam[1], reviewed_slices=[5, 6])
    record = accept(dataset, dataset.label_map("P001"))
    assert record.accepted.reviewed_slices is None
    assert not (dataset.label_map("P001").data == IGNORE).any()


def test_an_accepted_case_may_hold_no_tumor(dataset: Dataset, sphere_exam) -> None:
    empty = replace(sphere_exam[1], data=np.zeros_like(sphere_exam[1].data))
    dataset.save_draft("P001", empty, model="starter")
    assert accept(dataset, empty).accepted.dice_draft == 1.0
    assert json.loads((dataset.folder / "dataset.json").read_text())["numTraining"] == 1


def test_accepting_again_keeps_the_earlier_mask(dataset: Dataset, sphere_exam) -> None:
    first = sphere_exam[1]
    accept(dataset, first, annotator="reader A")
    first_bytes = (dataset.folder / "labelsTr" / "P001.nii.gz").read_bytes()
    accept(dataset, shifted(first), annotator="reader B")
    record = accept(dataset, first, annotator="reader C")
    kept = sorted((dataset.folder / "history" / "P001").iterdir())
    assert [mask.history_file for mask in record.history] == [path.name for path in kept]
    assert [mask.annotator for mask in record.history] == ["reader A", "reader B"]
    assert kept[0].read_bytes() == first_bytes != kept[1].read_bytes()
    assert dataset.check() == []


def test_without_hard_links_history_is_a_copy(dataset: Dataset, sphere_exam, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    accept(dataset, sphere_exam[1])
    accept(dataset, shifted(sphere_exam[1]))
    assert dataset.check() == []


def test_a_reopened_case_leaves_training_and_keeps_its_mask(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, sphere_exam[1])
    record = dataset.reopen("P001")
    assert (record.status, record.accepted) == (Status.IN_PROGRESS, None)
    assert list((dataset.folder / "labelsTr").iterdir()) == []
    assert json.loads((dataset.folder / "dataset.json").read_text())["dataset"] == {}
    np.testing.assert_array_equal(dataset.working_map("P001").data, sphere_exam[1].data)
    with pytest.raises(
        InputError, match="accepted or flagged to reopen it; found status 'in_progress'"
    ):
        dataset.reopen("P001")
    with pytest.raises(
        InputError, match="Expected an accepted mask of case P001; found status 'in_progress'"
    ):
        dataset.label_map("P001")


def test_a_flag_takes_a_reason_from_the_list(dataset: Dataset, sphere_exam) -> None:
    with pytest.raises(InputError, match="Expected one of these reasons: motion") as caught:
        dataset.flag("P001", "Mrs Doe moved")
    assert "Doe" not in str(caught.value)
    assert dataset.flag("P001", "motion").flag_reason is FlagReason.MOTION
    for attempt in (
        lambda: accept(dataset, sphere_exam[1]),
        lambda: dataset.save_draft("P001", sphere_exam[1], model="m"),
        lambda: dataset.autosave("P001", sphere_exam[1]),
    ):
        with pytest.raises(InputError, match=r"found status 'flagged'. Reopen the case first"):
            attempt()
    assert dataset.status()["flag_reasons"] == {"motion": 1}
    assert dataset.reopen("P001").flag_reason is None


def test_a_draft_does_not_replace_that_of_an_accepted_case(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, sphere_exam[1])
    with pytest.raises(
        InputError, match="Expected case P001 to be open for a draft; found status 'accepted'"
    ):
        dataset.save_draft("P001", sphere_exam[1], model="m")


def test_work_over_an_accepted_case_is_recovered_and_changes_no_status(
    dataset: Dataset, sphere_exam
) -> None:
    accept(dataset, sphere_exam[1])
    time.sleep(0.02)
    dataset.autosave("P001", shifted(sphere_exam[1]))
    assert dataset.case("P001").is_accepted
    np.testing.assert_array_equal(dataset.recover("P001").data, shifted(sphere_exam[1]).data)
    np.testing.assert_array_equal(dataset.working_map("P001").data, shifted(sphere_exam[1]).data)
    np.testing.assert_array_equal(dataset.label_map("P001").data, sphere_exam[1].data)


def test_a_mask_on_another_grid_is_refused_with_both_grids(dataset: Dataset, sphere_exam) -> None:
    other = LabelMap(
        np.zeros((11, 48, 40), np.uint8), Grid((11, 48, 40), np.diag([3, 0.7, 0.7, 1]))
    )
    for attempt in (
        lambda: accept(dataset, other),
        lambda: dataset.autosave("P001", other),
        lambda: dataset.save_draft("P001", other, model="m"),
    ):
        with pytest.raises(
            InputError, match=r"exam P001, 12 x 48 x 40 .* found one of 11 x 48 x 40"
        ):
            attempt()


def test_unknown_labels_are_refused(dataset: Dataset, sphere_exam) -> None:
    three = replace(sphere_exam[1], data=sphere_exam[1].data * 3)
    with pytest.raises(
        InputError, match="labels 0 background, 1 tumor, 2 ignore; found labels 0, 3"
    ):
        accept(dataset, three)
    ignoring = replace(sphere_exam[1], data=sphere_exam[1].data * 2)
    with pytest.raises(InputError, match="labels 0 background, 1 tumor; found labels 0, 2"):
        dataset.save_draft("P001", ignoring, model="m")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"reviewed_slices": []}, "from 0 to 11, at least one; found none"),
        ({"reviewed_slices": [3, 12]}, "from 0 to 11, at least one; found 3, 12"),
        ({"annotator": " "}, "Expected an annotator of 1 to 100 printable"),
        ({"seconds": float("nan")}, "in seconds, 0 or more; found nan"),
    ],
)
def test_what_is_said_of_an_acceptance_must_make_sense(
    dataset: Dataset, sphere_exam, changes, match: str
) -> None:
    with pytest.raises(InputError, match=match):
        accept(dataset, sphere_exam[1], **changes)
    assert dataset.case("P001").status is Status.NEW


def test_an_unknown_case_is_named(dataset: Dataset) -> None:
    with pytest.raises(InputError, match="found none called P009"):
        dataset.exam("P009")
    with pytest.raises(InputError, match="found none called P009"):
        dataset.lock("P009", "me")


def test_two_open_datasets_see_each_others_work(dataset: Dataset, sphere_exam) -> None:
    other = Dataset.open(dataset.folder)
    assert other.case("P001").status is Status.NEW
    accept(dataset, sphere_exam[1])
    assert other.case("P001").is_accepted
    np.testing.assert_array_equal(other.label_map("P001").data, sphere_exam[1].data)


def test_no_date_enters_a_record(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, sphere_exam[1])
    text = (dataset.folder / "cases" / "P001.json").read_text()
    assert time.strftime("%Y-%m", time.gmtime()) not in text
    assert time.strftime("%Y%m", time.gmtime()) not in text


def test_the_folder_gives_each_case_once_with_its_own_channels(tmp_path: Path, sphere_exam) -> None:
    pre, post = sphere_exam[0].phases.values()
    dataset = Dataset.create(tmp_path / "dataset", ["post1", "post2"])
    for case_id in ("P001", "P002"):
        dataset.add(Exam(case_id, {"post1": pre, "post2": post}), patient_id=case_id)
        dataset.save_draft(case_id, sphere_exam[1], model="m")
    accept(dataset, sphere_exam[1])
    accept(dataset, shifted(sphere_exam[1]))
    dataset.autosave("P001", sphere_exam[1])
    dataset.autosave("P002", sphere_exam[1])
    found = formats.find_cases(dataset.folder)
    assert [(case.case_id, case.roles) for case in found] == [
        ("P001", ("post1", "post2")),
        ("P002", ("post1", "post2")),
    ]
    exam = formats.read_exam(found[0])
    np.testing.assert_array_equal(exam.phases["post2"].data, post.data)


# Locks


def in_another_program(folder: Path, code: str) -> subprocess.Popen[str]:
    program = "from pathlib import Path\nfrom napari_breastseg.dataset import Dataset\n"
    program += f"dataset = Dataset.open(Path({str(folder)!r}))\n" + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


HOLD = """
with dataset.lock("P001", "reader B"):
    print("held", flush=True)
    input()
"""


def test_a_case_open_elsewhere_is_refused_with_owner_and_time(
    dataset: Dataset, sphere_exam
) -> None:
    program = in_another_program(dataset.folder, HOLD)
    try:
        assert program.stdout.readline() == "held\n"
        with pytest.raises(
            InputError, match=r"P001 to be free; found it open by reader B on .* since 20\d\d-"
        ):
            accept(dataset, sphere_exam[1])
        with pytest.raises(InputError, match="reader B"), dataset.lock("P001", "reader A"):
            pytest.fail("two readers hold one case")
        assert dataset.lock_holder("P001").owner == "reader B"
        assert [lock["owner"] for lock in dataset.status()["locks"]] == ["reader B"]
        assert Dataset.open(dataset.folder).case("P001").status is Status.NEW
    finally:
        program.communicate("\n")
    assert dataset.lock_holder("P001") is None
    assert accept(dataset, sphere_exam[1]).is_accepted


def test_a_lock_ends_with_its_killed_owner(dataset: Dataset, sphere_exam) -> None:
    program = in_another_program(dataset.folder, HOLD)
    assert program.stdout.readline() == "held\n"
    program.kill()
    program.communicate()
    assert dataset.lock_holder("P001") is None
    assert dataset.last_lock("P001").owner == "reader B"
    assert accept(dataset, sphere_exam[1]).is_accepted


def test_the_holder_of_a_case_goes_on_working_on_it(dataset: Dataset, sphere_exam) -> None:
    with dataset.lock("P001", "reader A"):
        dataset.autosave("P001", sphere_exam[1])
        accept(dataset, sphere_exam[1])
        other = Dataset.open(dataset.folder)
        with pytest.raises(InputError, match="found it open by reader A"):
            other.flag("P001", "motion")
    other.flag("P001", "motion")


# Threads of one program


def test_an_autosave_begun_before_an_accept_does_not_undo_it(
    dataset: Dataset, sphere_exam, monkeypatch
) -> None:
    saving = threading.Barrier(2)
    accepted = threading.Event()
    write = formats.write_label_map

    def slow_write(path: Path, label_map: LabelMap) -> None:
        write(path, label_map)
        if path.parent.name == "autosave":  # the record was read, and is not yet committed
            saving.wait(10)
            accepted.wait(0.5)  # nobody accepts meanwhile

    monkeypatch.setattr(formats, "write_label_map", slow_write)
    with dataset.lock("P001", "reader A"), ThreadPoolExecutor(1) as threads:
        autosave = threads.submit(dataset.autosave, "P001", shifted(sphere_exam[1]))
        saving.wait(10)
        accept(dataset, sphere_exam[1])
        accepted.set()
        autosave.result()
    assert dataset.case("P001").status is Status.ACCEPTED
    assert dataset.recover("P001") is None
    np.testing.assert_array_equal(dataset.label_map("P001").data, sphere_exam[1].data)
    assert dataset.check() == []


@pytest.mark.parametrize("reviewed", [None, [5, 6]])
def test_what_is_accepted_is_not_offered_as_unfinished_by_a_late_autosave(
    dataset: Dataset, sphere_exam, reviewed
) -> None:
    for number in range(4):
        label_map = replace(sphere_exam[1], data=np.roll(sphere_exam[1].data, number, axis=2))
        start = threading.Barrier(2)

        def autosave(label_map: LabelMap = label_map, start: threading.Barrier = start) -> None:
            start.wait(10)
            dataset.autosave("P001", label_map)

        with ThreadPoolExecutor(1) as threads:
            late = threads.submit(autosave)
            start.wait(10)
            accept(dataset, label_map, reviewed_slices=reviewed)
            late.result()
        dataset.autosave("P001", label_map)
        assert dataset.recover("P001") is None
        assert dataset.case("P001").is_accepted
    assert len(dataset.case("P001").history) == 3
    assert dataset.check() == []


def test_undoing_back_to_the_accepted_mask_ends_the_unfinished_work(
    dataset: Dataset, sphere_exam
) -> None:
    accept(dataset, sphere_exam[1])
    time.sleep(0.02)
    opened = Dataset.open(dataset.folder)
    opened.autosave("P001", shifted(sphere_exam[1]))
    assert opened.recover("P001") is not None
    opened.autosave("P001", sphere_exam[1])
    assert opened.recover("P001") is None


def test_work_in_slices_left_open_is_kept_after_an_accept(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, sphere_exam[1], reviewed_slices=[5, 6])
    time.sleep(0.02)
    data = sphere_exam[1].data.copy()
    data[0, :3, :3] = 1  # in a slice that the accepted mask holds as `ignore`
    dataset.autosave("P001", replace(sphere_exam[1], data=data))
    np.testing.assert_array_equal(dataset.recover("P001").data, data)


def test_a_case_stays_locked_until_the_last_thread_leaves_it(dataset: Dataset) -> None:
    window, worker = dataset.lock("P001", "reader A"), dataset.lock("P001", "worker")
    other = Dataset.open(dataset.folder)
    window.__enter__()
    worker.__enter__()
    window.__exit__(None, None, None)  # closed while the worker still saves
    with pytest.raises(InputError, match="found it open by reader A"):
        other.flag("P001", "motion")
    worker.__exit__(None, None, None)
    assert other.lock_holder("P001") is None
    other.flag("P001", "motion")


# Programs


ADD = """
import sys
import numpy as np
from napari_breastseg.core.volume import Exam, Grid, Volume
data = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
exam = Exam("x", {"pre": Volume(data, Grid((1, 8, 8))), "post1": Volume(data, Grid((1, 8, 8)))})
print("ready", flush=True)
input()
for number in range(6):
    dataset.add(exam, patient_id=f"NAME{number}", case_id=f"NAME{number}")
"""


def test_two_programs_adding_patients_give_each_a_role_of_its_own(dataset: Dataset) -> None:
    programs = [in_another_program(dataset.folder, ADD.replace("NAME", name)) for name in "AB"]
    for program in programs:
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        program.stdin.write("\n")
        program.stdin.flush()
    for program in programs:
        program.communicate()
        assert program.returncode == 0
    roles = [record.role for record in dataset.cases()]
    assert sorted(role.entry for role in roles) == list(range(1, 14))
    assert [role.entry for role in roles if role.is_locked] == [10]
    assert [sum(role.fold == fold for role in roles) for fold in range(5)] == [3, 3, 2, 2, 2]
    assert dataset.check() == []
