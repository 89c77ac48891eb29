"""The list of lesions: findings first, best first; what is too small for it; what is clear."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.imaging.breast_region import find_breasts
from napari_breastseg.lesions import LesionReport, measure_lesions
from napari_breastseg.lesions.evidence import Evidence
from napari_breastseg.lesions.findings import Finding, Findings
from napari_breastseg.lesions.report import lesion_report, lesion_words, write_report
from napari_breastseg.phantom import LesionSpec, breast_phantom

GRID = Grid((10, 40, 40), np.diag([3.0, 1.0, 1.0, 1.0]))
EVIDENCE = Evidence(0.0, 0.9, 0.8, 1.2, 0.9, 3.0, 3.0)
SMALL = (slice(2, 5), slice(4, 10), slice(4, 10))
LARGE = (slice(2, 7), slice(18, 30), slice(18, 30))
SPECK = (slice(8, 9), slice(35, 37), slice(2, 3))


def exam_of(labels):
    post = np.random.default_rng(0).normal(100, 5, GRID.shape).astype(np.float32)
    return Exam("P001", {"post1": Volume(post + 80 * (labels > 0), GRID)})


def mask_of(*boxes):
    labels = np.zeros(GRID.shape, np.uint8)
    for box in boxes:
        labels[box] = 1
    return labels


def findings_of(*scores_and_boxes):
    labels = np.zeros(GRID.shape, np.uint16)
    found = []
    for number, (score, box) in enumerate(scores_and_boxes, start=1):
        labels[box] = number
        size = int((labels == number).sum())
        center = tuple(float((part.start + part.stop - 1) / 2) for part in box)
        found.append(Finding(number, score, True, size, size * 3e-3, box, center, EVIDENCE))
    return Findings(tuple(found), labels, GRID)


def measured(labels, **settings):
    return drain(measure_lesions(exam_of(labels), LabelMap(labels, GRID), **settings))


def test_marks_under_4_mm_are_in_the_total_and_not_in_the_list():
    report = measured(mask_of(SMALL, LARGE, SPECK))
    assert [one.id for one in report.lesions] == ["index", "satellite 1"]
    assert report.notes == ("1 mark under 4 mm is in the total, not in the list",)
    assert report.total.volume_px == mask_of(SMALL, LARGE, SPECK).sum()
    assert not report.labels[SPECK].any()
    two = mask_of(LARGE, SPECK)
    two[0, 0, 0] = 1
    assert measured(two).notes == ("2 marks under 4 mm are in the total, not in the list",)
    only = measured(mask_of(SPECK))
    assert (only.lesions, only.total.volume_px) == ((), 2)


def test_a_lesion_takes_the_score_of_the_finding_with_most_of_its_voxels():
    findings = findings_of((0.97, SMALL), (0.4, LARGE))
    labels = mask_of(SMALL, LARGE)
    labels[2:5, 10:12, 4:10] = 1  # a reader made it larger
    labels[8:10, 2:8, 30:38] = 1  # and drew another one
    report = measured(labels, findings=findings)
    assert [(one.id, one.finding, one.score) for one in report.lesions] == [
        ("satellite 1", 1, 0.97),
        ("index", 2, 0.4),
        ("satellite 2", None, None),
    ]
    # Two findings in one lesion: the one that it mostly is.
    labels[4, 9:19, 9:19] = 1
    joined = measured(labels, findings=findings).lesions[0]
    assert (joined.finding, joined.score) == (2, 0.4)
    assert [one.score for one in measured(labels).lesions] == [None, None]


def test_findings_of_another_grid_are_refused():
    other = Grid((10, 40, 40), np.diag([3.0, 1.0, 2.0, 1.0]))
    findings = replace(findings_of((0.9, SMALL)), grid=other)
    with pytest.raises(InputError, match="Expected findings on the grid of exam P001"):
        measured(mask_of(SMALL), findings=findings)


def test_score_and_breasts_are_in_the_files_and_old_reports_still_read(tmp_path):
    report = measured(mask_of(SMALL, LARGE), findings=findings_of((0.97, SMALL), (None, LARGE)))
    report = replace(report, breasts=("right",))
    assert LesionReport.from_json(report.to_json()).lesions == report.lesions
    assert LesionReport.from_json(report.to_json()).breasts == ("right",)
    write_report(tmp_path / "r.csv", report)
    with (tmp_path / "r.csv").open(newline="") as file:
        assert [row["score"] for row in csv.DictReader(file)] == ["0.97", "", ""]
    assert lesion_words(report.lesions[0])["score"] == "97 %"
    old = report.to_json()
    del old["breasts"]
    for one in (*old["lesions"], old["total"]):
        del one["score"], one["finding"]
    again = LesionReport.from_json(old)
    assert again.breasts == ()
    assert again.lesions[0].score is None


def test_a_breast_without_a_lesion_is_named():
    phantom = breast_phantom(
        11,
        shape=(20, 112, 112),
        spacing_mm=(4.0, 3.0, 3.0),
        lesions=(LesionSpec("round", 6.0, "III", "right"),),
    )
    breasts = find_breasts(phantom.exam)
    assert breasts.is_trusted
    report = drain(measure_lesions(phantom.exam, phantom.truth, breasts=breasts))
    assert report.nothing_found == ("Nothing found in the left breast.",)
    empty = LabelMap(np.zeros_like(phantom.truth.data), phantom.truth.grid)
    report = drain(measure_lesions(phantom.exam, empty, breasts=breasts))
    assert report.nothing_found == (
        "Nothing found in the right breast.",
        "Nothing found in the left breast.",
    )
    # Where the breasts are not known no side is named.
    assert drain(measure_lesions(phantom.exam, empty)).nothing_found == ("Nothing found.",)
    assert drain(measure_lesions(phantom.exam, phantom.truth)).nothing_found == ()


def test_breasts_that_are_known_are_not_looked_for_again(monkeypatch):
    phantom = breast_phantom(
        11,
        shape=(20, 112, 112),
        spacing_mm=(4.0, 3.0, 3.0),
        lesions=(LesionSpec("round", 6.0, "III", "right"),),
    )
    breasts = find_breasts(phantom.exam)
    found = drain(lesion_report(phantom.exam, phantom.truth))
    monkeypatch.setattr("napari_breastseg.lesions.report.find_breasts", None)
    given = drain(lesion_report(phantom.exam, phantom.truth, breasts=breasts))
    assert given.lesions == found.lesions
    assert given.breasts == found.breasts == ("right", "left")
