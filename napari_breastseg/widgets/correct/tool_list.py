"""The correction tools as a list of buttons, and as actions that keys are bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..canvas.mouse_tools import GROW, THRESHOLD

if TYPE_CHECKING:
    from .tools import ToolSection

__all__ = ["BUTTONS", "IN_HAND", "SCOPES", "ToolActions"]

SCOPES = ("lesion", "slice", "box", "volume")
KEEP, DROP = "keep", "drop"

BUTTONS = (
    ("grow_click", "Grow from click", "Press on a lesion, turn the wheel to take in more or "
     "less, release to keep it", "G"),
    ("threshold_brush", "Threshold brush", "A brush that paints only what is at least as bright "
     "as the level", "Shift-Z"),
    ("scribble", "Scribble in / out", "Draw over what is tumor; press again to draw over what is "
     "not", "Shift-Q"),
    ("settle", "Settle scribbles", "Redraw the mask around the scribbles by a random walk", "Q"),
    ("keep", "Keep clicked", "Click a lesion: all others go", "K"),
    ("drop", "Drop clicked", "Click a lesion: it goes", "Shift-K"),
    ("interpolate", "Interpolate", "Redraw the slices between edited ones: those around the slice "
     "in sight; with the scope 'volume' all", "J"),
    ("fill_holes", "Fill holes", "Fill what tumor encloses in a slice", "Shift-F"),
    ("smooth", "Smooth", "Smooth the outline over the distance, keeping the volume", "Shift-H"),
    ("revert", "Back to draft", "Bring back what the model drafted", "Shift-U"),
    ("enlarge", "Grow", "Grow the tumor by the distance", "."),
    ("shrink", "Shrink", "Shrink the tumor by the distance", ","),
    ("copy_next", "Copy to next slice", "Give the next slice the tumor of this one and go there",
     "N"),
    ("copy_previous", "Copy to previous", "Give the slice before the tumor of this one and go "
     "there", "Shift-J"),
    ("predict_box", "Predict in box", "Run the model of the Segment tab in the box drawn; "
     "corrections stay as they are", "Shift-Y"),
)  # fmt: skip

IN_HAND = {
    "grow_click": GROW,
    "threshold_brush": THRESHOLD,
    "keep": KEEP,
    "drop": DROP,
}


class ToolActions:
    """The tools as actions of the dock, which keys are bound to."""

    correct_panel: Any

    def next_scope(self) -> None:
        """Work on lesion, slice, box or volume: the next of them."""
        self._tools.next_scope()

    def grow_click(self) -> None:
        """Grow from a click: hold, turn the wheel, release."""
        self._tools.act("grow_click")

    def threshold_brush(self) -> None:
        """Brush that paints only where it enhances."""
        self._tools.act("threshold_brush")

    def scribble(self) -> None:
        """Scribble in, then out."""
        self._tools.act("scribble")

    def settle(self) -> None:
        """Settle the scribbles."""
        self._tools.act("settle")

    def keep_clicked(self) -> None:
        """Keep only the lesion clicked."""
        self._tools.act("keep")

    def drop_clicked(self) -> None:
        """Drop the lesion clicked."""
        self._tools.act("drop")

    def interpolate(self) -> None:
        """Interpolate between edited slices."""
        self._tools.act("interpolate")

    def fill_holes(self) -> None:
        """Fill holes."""
        self._tools.act("fill_holes")

    def smooth(self) -> None:
        """Smooth the outline."""
        self._tools.act("smooth")

    def enlarge(self) -> None:
        """Grow the tumor by the distance."""
        self._tools.act("enlarge")

    def shrink(self) -> None:
        """Shrink the tumor by the distance."""
        self._tools.act("shrink")

    def copy_next(self) -> None:
        """Copy the tumor to the next slice."""
        self._tools.act("copy_next")

    def copy_previous(self) -> None:
        """Copy the tumor to the slice before."""
        self._tools.act("copy_previous")

    def revert(self) -> None:
        """Back to the draft."""
        self._tools.act("revert")

    def predict_box(self) -> None:
        """Predict in the box, keeping corrections."""
        self._tools.act("predict_box")

    @property
    def _tools(self) -> ToolSection:
        self.show_tab("Correct")  # type: ignore[attr-defined]
        tools: ToolSection = self.correct_panel.tools
        return tools
