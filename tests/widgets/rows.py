"""Rows of a worklist to decide on."""

from __future__ import annotations

from typing import Any

from napari_breastseg.dataset import Status, WorklistRow

NOW_S = 1_000_000.0


def row(case_id: str, **rest: Any) -> WorklistRow:
    values: dict[str, Any] = {
        "status": Status.DRAFTED,
        "flag_reason": None,
        "model": "m@1",
        "predicted_dice": None,
        "changed_s": NOW_S,
        "reader": None,
        "is_for_second_read": False,
        "is_blinded": False,
        "n_slices": 9,
    }
    return WorklistRow(case_id=case_id, **{**values, **rest})
