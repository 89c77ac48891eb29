"""The correction tools as a list: scopes, buttons, and those that stay in the hand."""

from __future__ import annotations

from typing import Literal

__all__ = ["BUTTONS", "EDITS", "HANDS", "HINTS", "IN_HAND", "SCOPES", "ScopeKind"]

ScopeKind = Literal["lesion", "slice", "box", "volume"]
SCOPES: tuple[ScopeKind, ...] = ("lesion", "slice", "box", "volume")

BUTTONS = (
    ("smart_click", "Smart click", "Click a lesion to outline it in all its slices; hold to see it "
     "first.\nDrag to scribble, Ctrl-drag for a box; with Shift: this is not lesion", "A"),
    ("grow_click", "Grow from click", "Press on a lesion, turn the wheel to include more or "
     "less, release to keep it", "G"),
    ("threshold_brush", "Threshold brush", "A brush that paints only what is at least as bright "
     "as the level", "Shift-Z"),
    ("keep", "Keep clicked", "Click a lesion to remove all others", "K"),
    ("drop", "Drop clicked", "Click a lesion to remove it", "Shift-K"),
    ("interpolate", "Interpolate", "Redraw the slices between edited ones: those around the "
     "current slice, or all with the scope 'volume'", "J"),
    ("fill_holes", "Fill holes", "Fill what tumor encloses in a slice", "Shift-F"),
    ("smooth", "Smooth", "Smooth the outline over the distance, keeping the volume", "Shift-H"),
    ("revert", "Back to draft", "Go back to the model's draft", "Shift-U"),
    ("drop_small", "Drop marks under", "Remove the marks of the whole mask that are smaller than "
     "this; one undo brings them back", "Ctrl-Shift-J"),
    ("enlarge", "Grow", "Grow the tumor by the distance", "."),
    ("shrink", "Shrink", "Shrink the tumor by the distance", ","),
    ("copy_next", "Copy to next slice", "Copy the tumor of this slice to the next one and go "
     "there", "N"),
    ("copy_previous", "Copy to previous", "Copy the tumor of this slice to the previous one and "
     "go there", "Shift-J"),
    ("predict_box", "Predict in box", "Run the model of the Draft step in the box drawn; "
     "your corrections are kept", "Ctrl-Shift-Y"),
)  # fmt: skip

IN_HAND = frozenset({"smart_click", "grow_click", "threshold_brush", "keep", "drop"})

HANDS = ("smart_click", "grow_click", "threshold_brush", "keep", "drop")
"""What the mouse does, as a row of signs."""

EDITS = (
    "enlarge", "shrink", "smooth", "fill_holes", "interpolate", "copy_previous", "copy_next"
)  # fmt: skip
"""What changes the mask at once, as a row of signs."""

HINTS = {
    "": "Brush (2) and eraser (1) are napari's; [ and ] change their size.",
    "smart_click": "Click a lesion: all its slices. Hold to see it first, drag to scribble, "
    "Ctrl-drag for a box; with Shift: not lesion.",
    "grow_click": "Press on a lesion, turn the wheel, release.",
    "threshold_brush": "Paints only what enhances to this level.",
    "keep": "Click a lesion: all others go.",
    "drop": "Click a lesion: it goes.",
    "box": "Drag a rectangle on the image.",
}
"""How the tool in the hand is used, in a line."""
