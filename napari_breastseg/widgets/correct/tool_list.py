"""The correction tools as a list: scopes, buttons, and those that stay in the hand."""

from __future__ import annotations

from ..canvas.mouse_tools import GROW, THRESHOLD

__all__ = ["BUTTONS", "IN_HAND", "SCOPES"]

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
