"""What is on the screen, written on the picture: "post1 0:00  slice 71/160", and a ruler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..state.opening import phase_time_words
from ..state.session import Session
from ..state.sources import key_of, note_of
from .display import Display
from .view import current_slice

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Caption"]

_NAME = "breastseg_caption"


class Caption:
    """Follows the slice and the picture shown.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    display : Display
        Knows the picture shown.
    """

    def __init__(self, viewer: Viewer, session: Session, display: Display) -> None:
        self._viewer = viewer
        self._session = session
        self._display = display
        self._followed: set[str] = set()
        session.source_changed.connect(self.refresh)
        dims = viewer.dims.events
        for event in (dims.current_step, dims.order, dims.ndisplay, viewer.layers.events.inserted):
            event.connect(self.refresh)

    @property
    def text(self) -> str:
        """Picture, its time and slice; empty without an exam."""
        source, picture = self._session.source, self._display.picture
        if source is None or picture is None:
            return ""
        roles = {key: role for role, key in (self._session.roles or source.layers).items()}
        note = note_of(picture)
        name = roles.get(key_of(picture)) or note.get("map") or ""
        time_s = note.get("time_s")
        words = [name if time_s is None else f"{name} {phase_time_words(time_s)}"]
        if (seen := current_slice(self._viewer, source)) is not None:
            axis, index = seen
            words.append(f"slice {index + 1}/{picture.data.shape[-3:][axis]}")
        return "   ".join(word for word in words if word)

    def refresh(self, event: object = None) -> None:
        """Write what is true now."""
        from napari.components.overlays import TextOverlay

        for layer in self._viewer.layers:
            if note_of(layer).get("case_id") and key_of(layer) not in self._followed:
                self._followed.add(key_of(layer))
                layer.events.visible.connect(self.refresh)
        overlays: Any = self._viewer.canvas.overlays
        text = self.text
        if _NAME not in overlays:
            if not text:
                return
            overlays[_NAME] = TextOverlay(position="bottom_left", font_size=10)
            overlays["scale_bar"].visible = True  # the ruler
        overlays[_NAME].text = text or " "
        overlays[_NAME].visible = bool(text)
