"""Layers stay where their exam is: napari's transform mode, or a script, may move any layer.

Tools and files go by voxels, not by where a layer is drawn: what is painted in a mask that was
moved lies elsewhere in the exam than where it was seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from ..parts.jobs import show_info
from ..state.sources import case_id_of, grid_noted, key_of, layer_of, note_of
from .layers import placement_of_grid, placement_on

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Places"]

_MOVES = ("scale", "translate", "rotate", "shear", "affine")
_TOLD_AFTER_MS = 300


class Places(QObject):
    """Puts layers of exams back where they belong, and says so.

    Masks of another reader's image go where that image goes.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._is_putting_back = False
        self._moved: set[str] = set()
        self._soon = QTimer(self)  # a drag is many moves
        self._soon.setSingleShot(True)
        self._soon.setInterval(_TOLD_AFTER_MS)
        self._soon.timeout.connect(self._tell)
        for layer in viewer.layers:
            self._follow(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)

    def take_down(self) -> None:
        """Follow no layer any longer."""
        self._soon.stop()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in self._viewer.layers:
            for move in _MOVES:
                getattr(layer.events, move).disconnect(self._on_move)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, layer: Any) -> None:
        for move in _MOVES:
            getattr(layer.events, move).connect(self._on_move)
        self._put_back(layer)

    def _on_move(self, event: Any) -> None:
        if self._is_putting_back:
            return
        layer = event.source
        self._put_back(layer)
        if not note_of(layer):  # another reader's may go anywhere, and takes its masks along
            self._is_putting_back = True
            try:
                for other in self._viewer.layers:
                    if note_of(other).get("case_id") == case_id_of(layer) is not None:
                        _put(other, placement_on(layer, other.ndim))
            finally:
                self._is_putting_back = False

    def _put_back(self, layer: Any) -> None:
        if (place := self._place_of(layer)) is None or _is_at(layer, place):
            return
        self._is_putting_back = True
        try:
            _put(layer, place)
        finally:
            self._is_putting_back = False
        self._moved.add(key_of(layer))
        self._soon.start()

    def _place_of(self, layer: Any) -> dict[str, Any] | None:
        """Where a layer belongs; None for one that may lie anywhere."""
        note = note_of(layer)
        if note.get("case_id") is None:
            return None
        if not note.get("fingerprint"):
            for other in self._viewer.layers:
                if case_id_of(other) == note["case_id"]:
                    return placement_on(other, layer.ndim)
            return None
        grid = grid_noted(layer)
        if grid is None:  # a box or a frame: where the image is that it was drawn on
            same = (one for one in self._viewer.layers if _is_of_exam(one, note))
            grid = next((found for one in same if (found := grid_noted(one)) is not None), None)
        return None if grid is None or layer.ndim != 3 else placement_of_grid(grid)

    def _tell(self) -> None:
        found = [layer_of(self._viewer, key) for key in self._moved]
        self._moved.clear()
        layers = [layer for layer in found if layer is not None]
        if not layers:
            return
        names = " and ".join(sorted(f"'{layer.name}'" for layer in layers))
        was, are = ("was", "is") if len(layers) == 1 else ("were", "are")
        text = (
            f"{names} {was} moved and {are} back in place: masks are saved by voxels, not by where "
            "they are drawn."
        )
        if any(layer.__class__.__name__ == "Image" for layer in layers):
            text += " To bring phases together, use 'Align phases' in the Open step."
        show_info(text)


def _is_of_exam(layer: Any, note: dict[str, Any]) -> bool:
    other = note_of(layer)
    return all(other.get(what) == note.get(what) for what in ("case_id", "fingerprint"))


def _is_at(layer: Any, place: dict[str, Any]) -> bool:
    return not any(_differs(layer, move, place) for move in _MOVES)


def _put(layer: Any, place: dict[str, Any]) -> None:
    for move in _MOVES:
        if _differs(layer, move, place):
            setattr(layer, move, place[move])


def _differs(layer: Any, move: str, place: dict[str, Any]) -> bool:
    return not np.allclose(_numbers(getattr(layer, move)), _numbers(place[move]))


def _numbers(value: Any) -> Any:
    return np.asarray(getattr(value, "affine_matrix", value), float)
