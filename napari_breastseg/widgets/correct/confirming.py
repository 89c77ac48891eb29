"""Questions before a mask is accepted, and what follows from the answers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from ..canvas.copies import Copies
from ..canvas.view import go_to_slice
from ..parts import fields as _fields
from ..state.accept_questions import question_before_accept
from ..state.sources import Source

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Confirmed", "confirmed", "settle_copy"]


class Confirmed(Enum):
    """What the reader said."""

    NOT = "not"
    AS_IT_IS = "as it is"
    CLEAR = "clear"
    """The exam holds no tumor: all of it was reviewed."""


def confirmed(
    parent: QWidget,
    viewer: Viewer,
    source: Source | None,
    labels: NDArray[np.uint8],
    reviewed: Sequence[int] | None,
    voxel_ml: float | None,
) -> Confirmed:
    """Ask where accepting would leave tumor out or claim that there is none.

    Who wants to see what was not seen is led there.
    """
    question = question_before_accept(labels, reviewed, voxel_ml=voxel_ml)
    if question is None:
        return Confirmed.AS_IT_IS
    if _fields.ask(parent, question.title, question.text, question.yes, question.no):
        return Confirmed.AS_IT_IS if question.unseen else Confirmed.CLEAR
    if question.unseen:
        go_to_slice(viewer, source, question.unseen[0])
    return Confirmed.NOT


def settle_copy(parent: QWidget, copies: Copies, name: str) -> None:
    """Ask what counts where a copy of the mask `name` was changed."""
    if (copy := copies.painted()) is not None:
        is_taken = _fields.ask(
            parent,
            "A copy of the mask was changed",
            f"'{copy.name}' was painted in, but '{name}' is what is accepted.\n"
            "Take what the copy shows into the mask first? (Ctrl+Z goes back.)",
            "Take the copy",
            "Accept the mask as it is",
        )
        copies.settle(copy, is_taken=is_taken)
