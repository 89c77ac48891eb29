"""Copies of a mask, as napari's Duplicate makes them: to look at, while one mask is saved.

A copy carries the note of the layer it was made from. One of the two must be the exam's mask: it is
the one that was there before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from ..parts.jobs import show_info
from ..state.session import Session
from ..state.sources import key_of, layer_of, note_of
from .layers import edit_labels, find_layer, tumor_layer, volume_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["Copies"]

_COUNTS_ONCE = ("tumor", "box")
"""Roles of which an exam has one layer, which the reader draws in."""

_COPY = "copy"


class Copies(QObject):
    """Keeps the brush in the mask where a copy of it is made.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    parent : QObject
    """

    def __init__(self, viewer: Viewer, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._painted: set[str] = set()
        viewer.layers.events.inserted.connect(self._on_inserted)

    def take_down(self) -> None:
        """Follow the viewer no longer."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)

    def painted(self) -> Labels | None:
        """A copy of the current exam's mask that was changed, as a script or plugin may do."""
        case_id = self._session.case_id
        for layer in self._viewer.layers:
            is_copy = note_of(layer).get("role") == _COPY
            if is_copy and note_of(layer)["case_id"] == case_id and key_of(layer) in self._painted:
                return layer
        return None

    def settle(self, copy: Labels, *, is_taken: bool) -> None:
        """Take what a copy shows into the mask, as one undo step, or leave it."""
        self._painted.discard(key_of(copy))
        mask = tumor_layer(self._viewer, self._session.case_id)
        if is_taken and mask is not None:
            edit_labels(mask, volume_of(copy))

    def _on_inserted(self, event: Any) -> None:
        layer, note = event.value, note_of(event.value)
        role = note.get("role")
        original = self._original(layer, note)
        if role != _COPY and (role not in _COUNTS_ONCE or original is None):
            return
        layer.metadata = {**layer.metadata, "breastseg": {**note, "role": _COPY}}
        layer.editable = False
        layer.events.editable.connect(self._on_editable)
        if hasattr(layer.events, "paint"):
            layer.events.paint.connect(self._on_paint)
        if original is None:
            return
        show_info(
            f"'{layer.name}' is a copy to look at. The brush stays in '{original.name}', which is "
            "saved and accepted."
        )
        copied, drawn = key_of(layer), key_of(original)
        # napari makes a layer the active one after it has told of it.
        QTimer.singleShot(0, lambda: self._go_back(copied, drawn))

    def _original(self, layer: Any, note: dict[str, Any]) -> Any:
        role, case_id = note.get("role"), note.get("case_id")
        role = "tumor" if role == _COPY else role
        if role not in _COUNTS_ONCE or case_id is None:
            return None
        for other in self._viewer.layers:
            known = note_of(other)
            if (known.get("role"), known.get("case_id")) == (role, case_id) and other != layer:
                return other
        return None

    def _go_back(self, copied: str, drawn: str) -> None:
        selection = self._viewer.layers.selection
        original = layer_of(self._viewer, drawn)
        if selection.active == layer_of(self._viewer, copied) and original is not None:
            selection.active = original

    def _on_editable(self, event: Any) -> None:
        if event.source.editable:  # napari sets it again where the axes shown change
            event.source.editable = False

    def _on_paint(self, event: Any) -> None:
        copy = event.source
        mask = find_layer(self._viewer, "tumor", note_of(copy).get("case_id"))
        if key_of(copy) not in self._painted and mask is not None:
            self._painted.add(key_of(copy))
            show_info(f"'{copy.name}' was painted in, but '{mask.name}' is what is saved.")
