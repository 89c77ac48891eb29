"""Damaged files of every kind end in something plausible or a three-part error, soon and in bounds.

A few of each are tried here; `benchmarks/damaged_files.py` tries 10,000.
"""

from __future__ import annotations

import shutil
import time
import tracemalloc

import pytest
from damage import (
    KINDS,
    MOST_BYTES,
    MOST_SECONDS,
    chance_changes,
    changes_of,
    damaged,
    require_said,
)
from hypothesis import HealthCheck, given, settings

from napari_breastseg.core.errors import InputError

# nnU-Net's own package takes half a minute to load.
QUICK = [name for name in KINDS if not name.startswith("nnU-Net")]
# Those that read or write whole folders.
FEW = ("bundle", "registry", "DICOM SEG", "cases", "dataset")


@pytest.mark.parametrize("name", QUICK)
# Libraries warn of what is odd in a file; that is theirs to say.
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_plausibly_or_refused(name, tmp_path_factory):
    kind = KINDS[name]
    folder = tmp_path_factory.mktemp("whole")
    relative = kind.make(folder).relative_to(folder)
    content = (folder / relative).read_bytes()
    shutil.copytree(folder, folder.with_name("read"), dirs_exist_ok=True)
    kind.read(folder.with_name("read") / relative)
    work = tmp_path_factory.mktemp("damaged") / "work"

    @settings(
        max_examples=5 if name.startswith(FEW) else 30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changes=changes_of(kind))
    def one(changes) -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folder, work)
        (work / relative).write_bytes(damaged(content, changes, kind))
        started = time.process_time()
        tracemalloc.start()
        try:
            kind.read(work / relative)
        except InputError as error:
            require_said(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MOST_BYTES
        assert time.process_time() - started < MOST_SECONDS

    one()


def test_the_changes_with_a_number_stay_the_same():
    kind = KINDS["dataset.json"]
    content = b'{"name": "D", "labels": {"background": 0, "tumor": 1}}'
    made = [damaged(content, chance_changes(kind, number), kind) for number in range(50)]
    assert made == [damaged(content, chance_changes(kind, number), kind) for number in range(50)]
    assert len(set(made)) > 40
