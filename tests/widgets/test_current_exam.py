"""Which exam of a viewer is the current one, without a viewer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from napari_breastseg.widgets.state.current_exam import current_exam, exam_of_layer
from napari_breastseg.widgets.state.sources import Source

FIRST = Source("P001", "P001 (post1)", {"post1": "P001 post1"}, fingerprint="a")
SECOND = Source("P002", "P002 (post1)", {"post1": "P002 post1"}, fingerprint="b")
FOREIGN = Source("scan", "scan (image layer)", {"post1": "scan"}, is_foreign=True)
EXAMS = [FIRST, SECOND, FOREIGN]


def layer(name: str, case_id: str | None = None) -> Any:
    note = {} if case_id is None else {"breastseg": {"case_id": case_id}}
    return SimpleNamespace(unique_id=name, metadata=note)


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        (layer("P001 post1", "P001"), FIRST),
        (layer("P002 tumor", "P002"), SECOND),  # a mask belongs to its exam
        (layer("renamed", "P002"), SECOND),
        (layer("scan"), FOREIGN),
        (layer("any", "scan"), FOREIGN),  # its mask
        (layer("P009 tumor", "P009"), None),
        (layer("points"), None),
        (None, None),
    ],
)
def test_a_layer_belongs_to_the_exam_it_was_made_for(active: Any, expected: Source | None) -> None:
    assert exam_of_layer(active, EXAMS) == expected


def test_the_current_exam_stays_while_it_is_there() -> None:
    assert current_exam(EXAMS, "P001", layer("P002 post1", "P002")) == FIRST


def test_the_active_layer_s_exam_takes_its_place_else_the_last_one() -> None:
    assert current_exam(EXAMS, "gone", layer("P002 post1", "P002")) == SECOND
    assert current_exam(EXAMS, None, layer("points")) == FOREIGN
    assert current_exam([FIRST], None, None) == FIRST
    assert current_exam([], "P001", None) is None
