"""Which exam of a viewer is the current one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .sources import Source, key_of, note_of

__all__ = ["current_exam", "exam_of_layer"]


def exam_of_layer(layer: Any, exams: Sequence[Source]) -> Source | None:
    """The exam that a layer belongs to; None for no layer, or one of no exam.

    Parameters
    ----------
    layer : napari.layers.Layer, optional
    exams : sequence of Source
    """
    if layer is None:
        return None
    case_id = note_of(layer).get("case_id")
    for exam in exams:
        if exam.case_id == case_id or key_of(layer) in exam.layers.values():
            return exam
    return None


def current_exam(exams: Sequence[Source], case_id: str | None, active: Any) -> Source | None:
    """The exam to go on with: the one of that name, else the active layer's, else the last one.

    Parameters
    ----------
    exams : sequence of Source
        Those in the viewer now.
    case_id : str, optional
        The current exam's so far.
    active : napari.layers.Layer, optional
        The layer selected in the viewer.
    """
    for exam in exams:
        if exam.case_id == case_id:
            return exam
    return exam_of_layer(active, exams) or (exams[-1] if exams else None)
