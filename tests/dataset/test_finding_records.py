"""What is kept of a model's findings: decisions, in the case record and in the effort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import CaseRecord, Dataset, Decision, FindingRecord, effort
from napari_breastseg.dataset.effort import effort_by_model

EVIDENCE = {
    "log_volume": 0.4,
    "peak": 0.9,
    "mean": 0.8,
    "elongation": 1.2,
    "fullness": 0.9,
    "brightness": 3.0,
    "contrast": 3.0,
}


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    dataset.add(sphere_exam[0], patient_id="P001", case_id="P001")
    dataset.save_draft("P001", sphere_exam[1], model="m@1")
    return dataset


def finding(number: object, decision: Decision = Decision.NONE, **changes: object) -> FindingRecord:
    settings = {
        "number": number,
        "score": 0.8,
        "is_shown": True,
        "volume_ml": 1.5,
        "center_voxel": (6.0, 20.0, 25.0),
        "decision": decision,
        "share_accepted": 1.0,
        "evidence": EVIDENCE | {"rise": None},
    }
    return FindingRecord.model_validate(settings | changes)


def accept(dataset: Dataset, mask: LabelMap, *findings: FindingRecord) -> CaseRecord:
    return dataset.accept(
        "P001", mask, reviewed_slices=None, annotator="AB", seconds=3, findings=findings
    )


def test_decisions_are_in_the_record_and_in_the_effort(dataset: Dataset, sphere_exam) -> None:
    findings = (
        finding(1, Decision.KEPT),
        finding(2, Decision.DROPPED),
        finding(3, Decision.DROPPED, is_shown=False),
        finding(4),
    )
    accept(dataset, sphere_exam[1], *findings)
    again = Dataset.open(dataset.folder)
    assert again.case("P001").findings == findings
    (row,) = effort(again.cases())
    assert (row.findings_kept, row.findings_dropped) == (1, 2)
    (model,) = effort_by_model([row])
    assert (model.findings_kept, model.findings_dropped) == (1, 2)


def test_findings_stay_with_their_draft_and_go_with_it(dataset: Dataset, sphere_exam) -> None:
    accept(dataset, sphere_exam[1], finding(1, Decision.KEPT))
    dataset.reopen("P001")
    dataset.save_draft("P001", sphere_exam[1], model="m@1")  # the same again
    record = accept(dataset, sphere_exam[1])
    assert [one.decision for one in record.findings] == [Decision.KEPT]
    assert record.accepted is not None
    assert record.accepted.findings_kept is None  # nothing was decided in this sitting
    dataset.reopen("P001")
    moved = LabelMap(np.roll(sphere_exam[1].data, 1, axis=1), sphere_exam[1].grid)
    dataset.save_draft("P001", moved, model="m@2")
    assert dataset.case("P001").findings == ()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"score": 1.2}, "score"),
        ({"volume_ml": float("inf")}, "volume_ml"),
        ({"number": 0}, "number"),
        ({"share_accepted": -0.1}, "share_accepted"),
        ({"decision": "looks benign to me"}, "decision"),
        ({"evidence": EVIDENCE | {"note": 1.0}}, "evidence must be named"),
        ({"evidence": EVIDENCE | {"peak": None}}, "evidence must hold brightness"),
        ({"evidence": EVIDENCE | {"peak": float("nan")}}, "evidence"),
        ({"evidence": EVIDENCE | {"peak": "high"}}, "evidence"),
        ({"center_voxel": (-1.0, 2.0, 3.0)}, "center"),
        ({"remark": "text"}, "remark"),
    ],
)
def test_a_finding_holds_numbers_within_bounds_and_no_text(changes, what) -> None:
    with pytest.raises(ValidationError, match=what):
        finding(**{"number": 1} | changes)


def test_findings_of_a_case_lie_in_its_exam_and_differ(dataset: Dataset) -> None:
    value = dataset.case("P001").model_dump()
    for findings, what in (
        ((finding(1), finding(1)), "different numbers"),
        ((finding(1, center_voxel=(99.0, 2.0, 3.0)),), "finding 1 must lie in the exam"),
    ):
        with pytest.raises(ValidationError, match=what):
            CaseRecord.model_validate({**value, "findings": findings})
