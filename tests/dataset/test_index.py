"""The index of the records saves time, and nothing else depends on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg.core.errors import StorageError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, Severity, Status, catalog, index_file
from napari_breastseg.dataset.index_file import Known, read_index, stamp_of, write_index

N_CASES = 60
GRID = Grid((2, 8, 9), np.diag([3.0, 0.7, 0.7, 1.0]))


def mask(x: int = 3) -> LabelMap:
    data = np.zeros(GRID.shape, np.uint8)
    data[1, 2, x] = 1
    return LabelMap(data, GRID)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty accepted cases of as many patients."""
    folder = tmp_path_factory.mktemp("many") / "Dataset501_Many"
    dataset = Dataset.create(folder, ["post1"])
    image = Volume(np.arange(144, dtype=np.int16).reshape(GRID.shape), GRID)
    dataset.add(Exam("C01", {"post1": image}), patient_id="patient 1")
    accept(dataset, "C01")
    record = json.loads((folder / "cases" / "C01.json").read_text())
    for number in range(2, N_CASES + 1):
        name = f"C{number:02d}"
        own = record | {
            "case_id": name,
            "patient_id": f"patient {number}",
            "role": {"entry": number, "fold": number % 5},
            "accepted": record["accepted"] | {"order": number},
        }
        (folder / "cases" / f"{name}.json").write_text(json.dumps(own))
        shutil.copy(folder / "imagesTr/C01_0000.nii.gz", folder / f"imagesTr/{name}_0000.nii.gz")
        shutil.copy(folder / "labelsTr/C01.nii.gz", folder / f"labelsTr/{name}.nii.gz")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sixty cases with an index, on a disk whose clock has no ticks."""
    monkeypatch.setattr(index_file, "_SETTLED_NS", 0)
    shutil.copytree(made, tmp_path / made.name)
    dataset = Dataset.open(tmp_path / made.name)
    dataset.changed_masks()
    return dataset.folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cases whose record is read from now on."""
    names: list[str] = []
    parse = catalog._parse

    def noted(case_id: str, path: Path) -> object:
        names.append(case_id)
        return parse(case_id, path)

    monkeypatch.setattr(catalog, "_parse", noted)
    return names


def accept(dataset: Dataset, case_id: str, x: int = 3):
    return dataset.accept(case_id, mask(x), reviewed_slices=None, annotator="AB", seconds=1.0)


def index_of(folder: Path) -> Path:
    return folder / ".index.json"


def edit(folder: Path, case_id: str, **values: object) -> None:
    path = folder / "cases" / f"{case_id}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_no_record_is_read_that_the_index_knows(folder: Path, read: list[str]) -> None:
    opened = Dataset.open(folder)
    assert len(opened.worklist("AB")) == N_CASES
    assert opened.status()["cases"]["accepted"] == N_CASES
    assert read == []


def test_with_the_index_and_without_a_folder_says_the_same(folder: Path) -> None:
    def said() -> list[object]:
        opened = Dataset.open(folder)
        return [opened.summaries(), opened.status(), opened.worklist("AB"), opened.splits()]

    with_index = said()
    index_of(folder).unlink()
    assert said() == with_index


def test_a_record_that_was_changed_is_read_and_no_other(folder: Path, read: list[str]) -> None:
    edit(folder, "C07", status="flagged", accepted=None, flag_reason="motion")
    (row,) = [row for row in Dataset.open(folder).worklist("AB") if row.case_id == "C07"]
    assert row.status is Status.FLAGGED
    assert set(read) == {"C07"}


def test_a_record_changed_behind_its_old_time_and_size_is_read(folder: Path) -> None:
    path = folder / "cases" / "C07.json"
    before = path.stat()
    path.write_text(path.read_text().replace('"patient 7"', '"patient X"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert "patient X" in {one.patient_id for one in Dataset.open(folder).summaries()}


def damage(content: bytes, how: str) -> bytes:
    match how:
        case "empty":
            return b""
        case "cut off":
            return content[: len(content) // 2]
        case "one letter":
            return content.replace(b"patient 9", b"patient 8")
        case "another version":
            return content.replace(b"1/", b"2/", 1)
        case "no JSON":
            return b"\x00\xff" * 500
    body = json.dumps({"records": {"stamp": [1, 2, 3, 4], "case_id": ["C01"]}}).encode()
    return json.dumps(index_file._head(body)).encode() + b"\n" + body


@pytest.mark.parametrize(
    "how", ["empty", "cut off", "one letter", "another version", "no JSON", "other rows"]
)
def test_a_damaged_index_costs_time_and_is_made_anew(
    folder: Path, read: list[str], how: str
) -> None:
    right = Dataset.open(folder).summaries()
    index_of(folder).write_bytes(damage(index_of(folder).read_bytes(), how))
    assert Dataset.open(folder).summaries() == right
    assert len(read) == N_CASES
    assert len(read_index(index_of(folder)).summaries) == N_CASES


def test_a_folder_that_takes_no_index_is_used_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("Expected a disk", "found it full", "Free some")

    index_of(folder).unlink()
    monkeypatch.setattr(catalog, "write_index", full)
    assert len(Dataset.open(folder).summaries()) == N_CASES
    assert not index_of(folder).exists()


def test_checking_asks_the_records_and_finds_an_index_that_lies(folder: Path) -> None:
    known = read_index(index_of(folder))
    stamp, summary = known.summaries["C07"]
    lie = summary._replace(status=Status.NEW, last_order=500)
    write_index(index_of(folder), known._replace(summaries={"C07": (stamp, lie)}))
    findings = Dataset.open(folder).check()
    lists = [("stale_derived", None)] * 3  # opening made them by the lie
    assert [(one.what, one.case_id) for one in findings] == [*lists, ("wrong_index", "C07")]
    assert all(one.severity is Severity.WARNING and one.is_repaired for one in findings)
    again = Dataset.open(folder)
    assert again.check() == []
    assert accept(again, "C07", 5).accepted.order == N_CASES + 1


def test_a_mask_newer_than_the_index_counts_as_changed(folder: Path) -> None:
    path = folder / "labelsTr" / "C07.nii.gz"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[4] ^= 1  # the time in a gzip header: as long as before, and another file
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Dataset.open(folder).changed_masks() == {"C07"}
    path.unlink()
    assert Dataset.open(folder).changed_masks() == frozenset()


def test_no_mask_is_hashed_that_the_index_knows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    monkeypatch.setattr(catalog, "sha256", lambda path: hashed.append(path.name) or "other")
    assert Dataset.open(folder).notes() == []
    assert hashed == []


def test_what_changed_a_moment_ago_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second change within a tick of the disk's clock might not show.
    monkeypatch.setattr(index_file, "_SETTLED_NS", 3_600_000_000_000)
    path = folder / "cases" / "C01.json"
    (summary,) = [one for one in Dataset.open(folder).summaries() if one.case_id == "C01"]
    write_index(index_of(folder), Known({"C01": (stamp_of(path), summary)}, {}))
    assert read_index(index_of(folder)).summaries == {}


def test_accepting_looks_at_each_record_once_and_writes_no_index(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    dataset = Dataset.open(folder)
    dataset.summaries()
    index = index_of(folder).read_bytes()
    looked: list[str] = []
    monkeypatch.setattr(
        catalog, "stamp_of", lambda path: looked.append(str(path)) or stamp_of(path)
    )
    accept(dataset, "C07", 5)
    records = [path for path in looked if path.endswith(".json")]
    assert N_CASES <= len(records) <= N_CASES + 4  # and the case's own some times
    assert index_of(folder).read_bytes() == index
    assert set(read) == {"C07"}


def test_a_number_is_given_by_a_look_of_its_own_whatever_another_thread_has_seen(
    folder: Path,
) -> None:
    here, elsewhere = Dataset.open(folder), Dataset.open(folder)
    with here._store.catalog.read_once():
        here.summaries()
        accept(elsewhere, "C07", 5)
        with ThreadPoolExecutor(1) as pool:
            record = pool.submit(accept, here, "C08", 5).result()
    assert record.accepted.order == N_CASES + 2


def test_checking_tells_each_case_at_once_and_keeps_no_record(folder: Path) -> None:
    for name in ("C02", "C50"):
        (folder / "labelsTr" / f"{name}.nii.gz").unlink()
    dataset = Dataset.open(folder)
    job, kept, told = dataset.checking(), [], {}
    for step in job:
        kept.append(len(dataset._store.catalog._records))
        told |= {finding.case_id: step.done for finding in step.findings}
        assert step.done <= step.total
    assert told["C50"] - told["C02"] == 48
    assert max(kept) == 0


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_index import Dataset, accept
import napari_breastseg.dataset.index_file as index_file

index_file._SETTLED_NS = 0
for number in range(int(sys.argv[3]), 12, 2):
    dataset = Dataset.open(Path(sys.argv[2]))
    accept(dataset, f"C{number:02d}", 5)
    (dataset.folder / ".index.json").unlink(missing_ok=True)
"""


def test_two_programs_on_one_folder_give_every_mask_a_number_of_its_own(folder: Path) -> None:
    here = str(Path(__file__).parent)
    programs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, here, str(folder), str(first)])
        for first in (1, 2)
    ]
    assert [program.wait(60) for program in programs] == [0, 0]
    opened = Dataset.open(folder)
    orders = [one.last_order for one in opened.summaries()]
    assert sorted(orders) == [*range(12, N_CASES + 1), *range(N_CASES + 1, N_CASES + 12)]
    assert opened.check() == []


def test_what_is_known_is_told_without_a_look_at_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.open(folder)
    assert dataset.known_notes() == dataset.notes() == []
    assert dataset.known_summaries() == dataset.summaries()
    edit(folder, "C07", status="flagged", accepted=None, flag_reason="motion")
    (folder / "labelsTr" / "C09.nii.gz").write_bytes(b"another program's")
    with monkeypatch.context() as patched:
        patched.setattr(catalog, "stamp_of", lambda path: pytest.fail(f"looked at {path}"))
        known = {one.case_id: one.status for one in dataset.known_summaries()}
        assert known["C07"] is Status.ACCEPTED
        assert dataset.known_notes() == []
    dataset.notes()  # a worker's look
    known = {one.case_id: one.status for one in dataset.known_summaries()}
    assert known["C07"] is Status.FLAGGED
    (note,) = dataset.known_notes()
    assert "mask of case C09" in note
    accept(dataset, "C09")  # what is done here is known at once
    assert dataset.known_notes() == []
