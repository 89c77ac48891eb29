"""How the current exam is shown: which picture, intensity window, outline or fill, crosshair.

No voxel is changed. Each action has a key in the dock's KEYS; the list of keys shows the first line
of its docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..parts.jobs import errors_shown, show_info
from ..state.session import Session
from ..state.sources import Source, key_of, layer_of, note_of
from .crosshair import Crosshair
from .layers import tumor_layer
from .maps import can_subtract, map_layer, subtraction_layer

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["PRESETS", "Display"]

PRESETS = {
    "as opened": (0.0, 1.0),
    "dark tissue": (0.0, 0.5),
    "bright lesions": (0.3, 1.3),
}
"""Intensity windows as fractions of the one the exam was opened with: MR signal has no unit."""

OPACITIES = (0.5, 0.25, 0.75, 1.0)
CONTOUR_PX = 2
_STEP = 1.25
_SHIFT = 0.1


class Display:
    """How the current exam is shown.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._opened: dict[tuple[str, str], tuple[float, float]] = {}
        self._preset = 0
        session.source_changed.connect(self._take_source)
        self.crosshair = Crosshair(viewer, session)

    def take_down(self) -> None:
        """Clean up: the window is closing."""
        self.crosshair.remove()

    # Pictures

    def phases(self) -> list[Any]:
        """Image layers of the phases in time order."""
        source = self._session.source
        if source is None:
            return []
        keys = dict.fromkeys((self._session.roles or source.layers).values())
        found = [layer_of(self._viewer, key) for key in keys]
        return [layer for layer in found if layer is not None]

    def next_picture(self) -> None:
        """Next image: pre-contrast, post-contrast phases, subtraction."""
        self._step(1)

    def previous_picture(self) -> None:
        """Previous image."""
        self._step(-1)

    def _step(self, by: int) -> None:
        """Step through the phases in time order, then the subtraction."""
        source, pictures = self._session.source, self.phases()
        if source is None:
            show_info("Open an exam first.")
            return
        now = [place for place, picture in enumerate(pictures) if picture.visible]
        subtraction = map_layer(self._viewer, source, "sub1")
        has_subtraction = subtraction is not None or can_subtract(source, self._session.roles)
        if subtraction is not None and subtraction.visible:
            now.append(len(pictures))
        count = len(pictures) + has_subtraction
        if count < 2:
            show_info("This exam has only one image.")
            return
        wanted = (now[-1] + by) % count if now else 0
        layer = pictures[wanted] if wanted < len(pictures) else None
        if layer is None:
            with errors_shown():  # made when its turn comes: that takes a second
                layer = subtraction_layer(self._viewer, source, self._session.roles)
        self.show_picture(pictures[0 if by > 0 else -1] if layer is None else layer)

    def show_picture(self, picture: Any) -> None:
        """Show one image of the current exam and hide the others."""
        case_id, pictures = self._session.case_id, self.phases()
        for layer in self._viewer.layers:
            note = note_of(layer)
            is_map = note.get("map") is not None and note.get("case_id") == case_id
            if layer != picture and (is_map or layer in pictures):
                layer.visible = False
        picture.visible = True
        self._viewer.status = picture.name

    # The intensity window

    def widen(self) -> None:
        """Wider window: less contrast."""
        self._window(_STEP, 0.0)

    def narrow(self) -> None:
        """Narrower window: more contrast."""
        self._window(1 / _STEP, 0.0)

    def brighten(self) -> None:
        """Brighter image (lower level)."""
        self._window(1.0, -_SHIFT)

    def darken(self) -> None:
        """Darker image (higher level)."""
        self._window(1.0, _SHIFT)

    def drag_window(self, right: int, down: int) -> None:
        """Follow a drag over the canvas, in pixels: to the right widens, down darkens."""
        self._window(1.01**right, 0.004 * down)

    def next_preset(self) -> None:
        """Next window preset: as opened, dark tissue, bright lesions."""
        source, layer = self._session.source, self.picture
        if source is None or layer is None:
            return
        if key_of(layer) not in source.layers.values():
            show_info("Window presets are for the phases; this is a map.")
            return
        self._preset = (self._preset + 1) % len(PRESETS)
        name, (low, high) = list(PRESETS.items())[self._preset]
        start, stop = self._opened.get(_key(source), tuple(layer.contrast_limits))
        layer.contrast_limits = (start + low * (stop - start), start + high * (stop - start))
        self._viewer.status = f"Window: {name}"

    def _window(self, factor: float, shift: float) -> None:
        layer = self.picture
        if layer is not None:
            low, high = layer.contrast_limits
            center, half = (low + high) / 2 + shift * (high - low), factor * (high - low) / 2
            layer.contrast_limits = (center - half, center + half)

    @property
    def picture(self) -> Any:
        """The image shown, the topmost of several."""
        case_id = self._session.case_id
        keys = [] if self._session.source is None else self._session.source.layers.values()
        for layer in reversed(self._viewer.layers):
            note = note_of(layer)
            is_map = note.get("map") is not None and note.get("case_id") == case_id
            if layer.visible and (is_map or key_of(layer) in keys):
                return layer
        return None

    def _take_source(self, source: Source | None) -> None:
        """Let all phases share one intensity window from now on."""
        self._preset = 0
        if source is None:
            return
        phases = [layer_of(self._viewer, key) for key in source.layers.values()]
        self._opened = {_key(source): tuple(phases[0].contrast_limits)}
        for layer in phases:
            layer.events.contrast_limits.connect(self._share_window)

    def _share_window(self, event: Any) -> None:
        # napari's own linking of layers would keep the layers alive for ever.
        source, changed = self._session.source, event.source
        keys = () if source is None or source.is_foreign else tuple(source.layers.values())
        if key_of(changed) not in keys:
            return
        for key in keys:
            layer = layer_of(self._viewer, key)
            if layer is None:
                continue
            if tuple(layer.contrast_limits) != tuple(changed.contrast_limits):
                layer.contrast_limits = changed.contrast_limits

    # The mask

    def toggle_outline(self) -> None:
        """Mask as an outline or filled."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None:
            layer.contour = 0 if layer.contour else CONTOUR_PX

    def next_opacity(self) -> None:
        """Next opacity of the mask: 50, 25, 75, 100 %."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None:
            distances = [abs(layer.opacity - one) for one in OPACITIES]
            layer.opacity = OPACITIES[(int(np.argmin(distances)) + 1) % len(OPACITIES)]


def _key(source: Source) -> tuple[str, str]:
    return source.case_id, source.fingerprint
