"""What clocks, other programs and killed ones do to the records of a dataset."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, lifecycle
from napari_breastseg.dataset.store import Store

GRID = Grid((4, 8, 9), np.diag([3.0, 0.7, 0.7, 1.0]))


def mask(x=3):
    data = np.zeros(GRID.shape, np.uint8)
    data[1, 2, x] = 1
    return LabelMap(data, GRID)


@pytest.fixture
def dataset(tmp_path):
    dataset = Dataset.create(tmp_path / "D")
    data = np.random.default_rng(1).integers(0, 200, GRID.shape).astype(np.int16)
    for name in ("K1", "K2", "K3"):
        exam = Exam(name, {"post1": Volume(data, GRID)})
        dataset.add(exam, case_id=name, patient_id=f"patient {name}")
    return dataset


def accept(dataset, case_id, x=3):
    return dataset.accept(case_id, mask(x), reviewed_slices=None, annotator="AB", seconds=1.0)


def test_two_programs_that_accept_at_once_give_different_numbers(dataset, monkeypatch):
    real = lifecycle._next_order

    def slow(store):
        order = real(store)
        time.sleep(0.3)
        return order

    monkeypatch.setattr(lifecycle, "_next_order", slow)
    programs = {name: Dataset.open(dataset.folder) for name in ("K1", "K2", "K3")}
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda name: accept(programs[name], name), programs))
    assert sorted(record.accepted.order for record in done) == [1, 2, 3]


@pytest.mark.parametrize("set_to", [0, 4_000_000_000])
def test_a_wrong_clock_hides_no_unfinished_work(dataset, set_to):
    accept(dataset, "K1")
    dataset.autosave("K1", mask(5))
    (path,) = (dataset.folder / "autosave").glob("K1*")
    os.utime(path, (set_to, set_to))
    again = Dataset.open(dataset.folder)
    np.testing.assert_array_equal(again.recover("K1").data, mask(5).data)
    dataset.autosave("K1", mask(6))
    np.testing.assert_array_equal(again.recover("K1").data, mask(6).data)


def test_an_error_after_the_commit_says_that_the_mask_is_accepted(dataset, monkeypatch):
    def full(self):
        raise StorageError("Expected a disk", "found the system error 'No space left'", "Free some")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "rebuild", full)
        said = r"record of case K1; found that it is kept, and then: .*Do not repeat it"
        with pytest.raises(StorageError, match=said):
            accept(dataset, "K1")
    assert Dataset.open(dataset.folder).case("K1").is_accepted
    assert Dataset.open(dataset.folder).check() == []


def test_what_killed_programs_left_is_swept_a_day_later(dataset):
    old, new = dataset.folder / ".tmp-old.json", dataset.folder / "labelsTr" / ".tmp-new.nii.gz"
    for path in (old, new):
        path.write_bytes(b"half")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    Dataset.open(dataset.folder)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_line_breaks_and_escape_codes_reach_neither_case_ids_nor_messages(tmp_path):
    name = "P1\n\x1b[31mred.png"
    formats.write_volume(
        tmp_path / "a.png", Volume(np.eye(9, dtype=np.uint8)[None], Grid((1, 9, 9)))
    )
    (tmp_path / "a.png").rename(tmp_path / name)
    (case,) = formats.find_cases(tmp_path)
    assert case.case_id == "P1__[31mred"
    assert formats.read_exam(case).case_id == "P1__[31mred"
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError) as refused:
        formats.open_exam(tmp_path / name)
    assert str(refused.value).isprintable()


def test_a_mistyped_path_is_not_told_whole(tmp_path):
    with pytest.raises(InputError) as refused:
        formats.open_exam(tmp_path / "DOE_JANE" / "exams" / "P1.nii")
    assert "DOE_JANE" not in str(refused.value)
