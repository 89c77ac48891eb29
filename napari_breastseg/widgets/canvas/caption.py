"""What is on the screen, written on the picture: "post1 0:00  slice 71/160", and a ruler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QWidget

from ..state.opening import phase_time_words
from ..state.session import Session
from ..state.sources import key_of, note_of
from .display import Display
from .view import current_slice

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Caption"]

_MARGIN, _LETTER = 6, 40  # pixels; the letter in the middle of the lower edge with its margin
_STYLE = "QLabel { font-size: 14px; padding: 1px 4px; color: white; background: rgba(0,0,0,60%); }"


class Caption(QLabel):
    """Follows the slice and the picture shown, in the canvas's lower left corner.

    Not a text of napari's canvas: there each new text has a shader compiled again, which takes a
    third of the time of a slice and never gives all of its memory back.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    display : Display
        Knows the picture shown.
    """

    def __init__(self, viewer: Viewer, session: Session, display: Display) -> None:
        super().__init__()
        self.setStyleSheet(_STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()
        self._viewer = viewer
        self._session = session
        self._display = display
        self._followed: set[str] = set()
        self._has_ruler = False
        session.source_changed.connect(self.refresh)
        dims = viewer.dims.events
        inserted = viewer.layers.events.inserted
        self._events = (dims.current_step, dims.order, dims.ndisplay, inserted)
        for event in self._events:
            event.connect(self.refresh)

    def stand_on(self, canvas: QWidget) -> None:
        """Stand in the canvas's lower left corner."""
        self.setParent(canvas)
        canvas.installEventFilter(self)
        self.refresh()

    def take_down(self) -> None:
        """Leave canvas and viewer."""
        for event in (*self._events, *(layer.events.visible for layer in self._viewer.layers)):
            event.disconnect(self.refresh)
        self._session.source_changed.disconnect(self.refresh)
        self.hide()
        self.deleteLater()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the corner."""
        if event.type() == QEvent.Type.Resize and watched is self.parentWidget():
            self._place()
        return False

    def _place(self) -> None:
        if (canvas := self.parentWidget()) is not None:
            self.adjustSize()
            reaches_letter = _MARGIN + self.width() > canvas.width() // 2 - _LETTER // 2
            below = _LETTER if reaches_letter else _MARGIN
            self.move(_MARGIN, canvas.height() - self.height() - below)

    def _words(self) -> str:
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
        for layer in self._viewer.layers:
            if note_of(layer).get("case_id") and key_of(layer) not in self._followed:
                self._followed.add(key_of(layer))
                layer.events.visible.connect(self.refresh)
        words = self._words()
        if words and not self._has_ruler:
            self._has_ruler = True
            ruler = self._viewer.canvas.overlays["scale_bar"]
            ruler.box, ruler.visible = False, True
        if words != self.text():
            self.setText(words)
            self._place()
        self.setVisible(bool(words) and self.parent() is not None)
