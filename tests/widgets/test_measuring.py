"""Measuring lesions and exporting the mask: what may be done, and what the job does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.formats import WrittenSeg
from napari_breastseg.lesions.report import read_report
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels
from napari_breastseg.widgets.canvas.lesion_frame import frame_lesion, go_to_lesion, remove_frame
from napari_breastseg.widgets.state.measuring import (
    MeasureSettings,
    measuring,
    seg_text,
    why_no_measure,
    why_no_seg,
)
from napari_breastseg.widgets.state.sources import sources

SETTINGS = MeasureSettings(70.0)


@pytest.fixture
def kept(sphere_exam: tuple[Exam, LabelMap], tmp_path: Path) -> Dataset:
    """A dataset with the exam, its truth accepted by AB."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    dataset.add(exam, patient_id="A")
    dataset.accept("P001", truth, reviewed_slices=None, annotator="AB", seconds=1)
    return dataset


def two_lesions(truth: LabelMap) -> LabelMap:
    data = truth.data.copy()
    data[1:3, 40:44, 2:6] = 1
    return LabelMap(data, truth.grid)


@pytest.mark.parametrize(
    ("given", "why_not"),
    [
        ({}, ""),
        ({"is_busy": True}, "Busy"),
        ({"has_exam": False}, "Open an exam first"),
        ({"has_mask": False}, "there is no mask yet"),
    ],
)
def test_lesions_are_measured_or_it_is_said_why_not(given: dict[str, bool], why_not: str) -> None:
    said = why_no_measure(**{"is_busy": False, "has_exam": True, "has_mask": True, **given})
    assert bool(said) == bool(why_not)
    assert why_not in said
    assert why_no_seg(said, is_dicom=True) == said
    assert "not opened from DICOM" in why_no_seg("", is_dicom=False)


def test_lesions_of_a_case_take_their_ids_from_its_record_and_leave_them_there(
    sphere_exam: tuple[Exam, LabelMap], kept: Dataset
) -> None:
    exam, truth = sphere_exam
    both = two_lesions(truth)
    first = drain(measuring(exam, both, SETTINGS, workspace=kept)).report
    assert [one.id for one in first.lesions] == ["index", "satellite 1"]
    assert [one.id for one in kept.case("P001").lesions] == ["index", "satellite 1"]
    # Another window: the smaller one keeps its id though the larger one is gone
    small = LabelMap(np.where(truth.tumor, 0, both.data).astype(np.uint8), truth.grid)
    again = drain(measuring(exam, small, SETTINGS, workspace=kept)).report
    assert [one.id for one in again.lesions] == ["satellite 1"]


def test_a_second_readers_lesions_stay_out_of_the_cases_record(
    sphere_exam: tuple[Exam, LabelMap], kept: Dataset
) -> None:
    exam, truth = sphere_exam
    kept.reads.ask("P001")
    second = kept.reads.second_read("P001", "CD")
    report = drain(measuring(exam, truth, SETTINGS, workspace=second)).report
    assert len(report.lesions) == 1
    assert kept.case("P001").lesions == ()


def test_the_report_is_written_and_compared_with_the_prior_visit(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path
) -> None:
    exam, truth = sphere_exam
    prior = tmp_path / "prior.json"
    both = MeasureSettings(70.0, output=prior)
    assert drain(measuring(exam, two_lesions(truth), both)).changes == ()
    assert [one.id for one in read_report(prior).lesions] == ["index", "satellite 1"]
    measured = drain(measuring(exam, truth, MeasureSettings(70.0, prior=prior)))
    assert ("satellite 1", "gone") in [(one.id, one.status) for one in measured.changes]
    strict = drain(measuring(exam, truth, MeasureSettings(300.0)))
    assert strict.report.total.functional_ml < measured.report.total.functional_ml
    with pytest.raises(InputError, match="prior visit's report as a JSON file"):
        drain(measuring(exam, truth, MeasureSettings(70.0, prior=tmp_path / "r.txt")))


def test_the_frame_leads_to_a_lesion_and_goes_again(sphere_exam: tuple[Exam, LabelMap]) -> None:
    exam, truth = sphere_exam
    viewer = ViewerModel()
    show_exam(viewer, exam)
    mask: Any = show_labels(viewer, sources(viewer)[0], truth)
    viewer.layers.selection.active = mask
    (lesion,) = drain(measuring(exam, truth, SETTINGS)).report.lesions
    viewer.dims.set_current_step(0, 0)
    go_to_lesion(viewer, mask, lesion)
    assert viewer.dims.current_step[0] == lesion.diameter_z
    for _ in range(2):  # the second frame replaces the first
        frame_lesion(viewer, mask, lesion)
    frames = [layer for layer in viewer.layers if layer.name.startswith("P001 lesion")]
    assert len(frames) == 1
    (z0, z1), (y0, y1), (x0, x1) = lesion.box
    corners = np.concatenate(frames[0].data)
    assert corners.min(axis=0) == pytest.approx((z0, y0 - 2, x0 - 2))
    assert corners.max(axis=0) == pytest.approx((z1 - 1, y1 + 1, x1 + 1))
    assert viewer.layers.selection.active == mask
    remove_frame(viewer)
    assert "P001 lesion" not in viewer.layers


def test_what_was_exported_is_said() -> None:
    path = Path("somewhere") / "tumor.dcm"
    written = WrittenSeg("P001", "post1", 3, 90, "left")
    assert seg_text(path, written) == "Wrote tumor.dcm: 3 frames on post1, left breast"
    assert seg_text(path, replace(written, side=None)).endswith(", side not known")
