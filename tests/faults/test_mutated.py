"""Damaged files of every format end in a plausible exam or a three-part error, soon and in bounds.

`make test-faults` tries 10,000 of each; `BREASTSEG_FAULTS` says how many.
"""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_enhanced, write_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, Volume

EXAMPLES = int(os.environ.get("BREASTSEG_FAULTS", "40"))
MOST_SECONDS, MOST_BYTES = 10.0, 2_000_000_000

GRID = Grid((4, 8, 9), np.diag([3.0, 0.7, 0.7, 1.0]))
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"9999", b"-1e9")

mutations = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "cut", "double", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
        # Most of what decides is in the first bytes.
        st.sampled_from([1.0, 0.1, 0.02]),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, changes) -> bytes:
    """Content with bytes set to extremes, flipped, cut out, doubled or cut off."""
    made = bytearray(content)
    for how, where, value, part in changes:
        at = int(where * part * len(made))
        if how == "set":
            made[at : at + 4] = EXTREMES[value % len(EXTREMES)]
        elif how == "flip" and at < len(made):
            made[at] ^= value
        elif how == "cut":
            del made[at : at + value]
        elif how == "double":
            made[at:at] = made[at : at + value]
        elif how == "end":
            del made[max(at, 1) :]
    return bytes(made)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole file of each format, by its name."""
    folder = tmp_path_factory.mktemp("whole")
    data = np.random.default_rng(1).integers(0, 200, GRID.shape).astype(np.int16)
    for name in ("P1.nii", "P1.nii.gz", "P1.nrrd", "P1.tif"):
        formats.write_volume(folder / name, Volume(data, GRID))
    slice_ = Volume(data[:1].astype(np.uint8), Grid((1, 8, 9)))
    formats.write_volume(folder / "P1.png", slice_)
    from PIL import Image

    Image.fromarray(np.asarray(slice_.data[0])).save(folder / "P1.jpg")
    (one, *_) = write_series(folder / "series", 1, 100, count=1)
    one.rename(folder / "P1.dcm")
    write_enhanced(folder / "P1_enhanced.dcm", 2)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def require_plausible(exam: Exam) -> None:
    """What every exam that comes through has to be."""
    for volume in exam.phases.values():
        assert volume.data.shape == exam.grid.shape
        assert np.isfinite(volume.data).all()
        assert abs(float(volume.data.max())) <= 1e12
        assert volume.data.min() < volume.data.max()
    if exam.grid.spacing_mm is not None:
        assert all(0.0005 < mm < 1000 for mm in exam.grid.voxel_size)
    assert exam.case_id.isprintable()


def require_said(error: InputError) -> None:
    """A refusal has its three parts."""
    assert error.expected.startswith("Expected")
    assert error.found
    assert error.fix


@pytest.mark.parametrize(
    "name",
    ["P1.nii", "P1.nii.gz", "P1.nrrd", "P1.tif", "P1.png", "P1.jpg", "P1.dcm", "P1_enhanced.dcm"],
)
# Libraries warn of what is odd in a file; that is theirs to say.
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_plausibly_or_refused(name, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changes=mutations)
    def one(changes) -> None:
        path: Path = folder / name
        path.write_bytes(mutated(whole[name], changes))
        started = time.process_time()
        tracemalloc.start()
        try:
            require_plausible(formats.open_exam(path))
        except InputError as error:
            require_said(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MOST_BYTES
        assert time.process_time() - started < MOST_SECONDS

    one()


def test_what_is_whole_is_read(whole, tmp_path):
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
        require_plausible(formats.open_exam(tmp_path / name))
