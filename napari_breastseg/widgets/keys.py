"""What each key does: a method of the dock, whose docstring the sheet of keys shows."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget

from .correct.tool_actions import ToolActions
from .parts.shortcuts import (
    MOUSE_ONLY,
    ShortcutSheet,
    action_of,
    flat_button,
    menu_button,
    title_of,
)

__all__ = ["KEYS", "SHEET_KEY", "Actions", "menus"]

KEYS = {
    "Shift-O": "open",
    "Ctrl-Shift-N": "next_case",
    "Ctrl-Shift-V": "show_maps",
    "Ctrl-Shift-I": "align",
    "Ctrl-Shift-S": "segment",
    "Ctrl-Shift-B": "take_brush",
    "Shift-D": "toggle_difference",
    "Shift-R": "toggle_rest",
    "Ctrl-Shift-K": "mark_clear",
    "Shift-Enter": "accept",
    "PageDown": "next_in_list",
    "PageUp": "previous_in_list",
    "Ctrl-Shift-Q": "close_case",
    "Ctrl-Shift-F": "flag",
    "Ctrl-Shift-U": "undo_accept",
    "Ctrl-Shift-E": "reopen",
    "Ctrl-Shift-G": "toggle_pictures",
    "Shift-T": "measure_lesions",
    "Ctrl-Shift-W": "export_report",
    "Ctrl-Shift-D": "export_seg",
    "Ctrl-Shift-L": "train",
    "Ctrl-Shift-M": "use_model",
    "Ctrl-Shift-PageUp": "promote_model",
    "Ctrl-Shift-PageDown": "roll_back",
    "Ctrl-Shift-X": "cancel",
    # Correction tools
    "H": "next_scope",
    "A": "smart_click",
    "G": "grow_click",
    "Shift-Z": "threshold_brush",
    "K": "keep_clicked",
    "Shift-K": "drop_clicked",
    "J": "interpolate",
    "Shift-F": "fill_holes",
    "Shift-H": "smooth",
    "Shift-U": "revert",
    "Ctrl-Shift-J": "drop_small",
    ".": "enlarge",
    ",": "shrink",
    "N": "copy_next",
    "Shift-J": "copy_previous",
    "Ctrl-Shift-Y": "predict_box",
    # Reading
    "W": "display.next_picture",
    "Shift-W": "display.previous_picture",
    "F5": "display.toggle_outline",
    "U": "display.next_opacity",
    "Shift-Up": "display.brighten",
    "Shift-Down": "display.darken",
    "Shift-Right": "display.widen",
    "Shift-Left": "display.narrow",
    "F2": "layouts.show_axial",
    "F3": "layouts.show_orthogonal",
    "F4": "layouts.show_phases",
    "Shift-F4": "prior.toggle",
    "F6": "display.next_preset",
    "F7": "display.crosshair.toggle",
    "Shift-C": "curve.toggle",
    "F8": "next_lesion",
    "Ctrl-K": "keep_finding",
    "Ctrl-D": "drop_finding",
    "F9": "reveal_draft",
    "?": "show_keys",
}
"""Key to action of the dock; napari uses none of them, but A in layers of points and shapes."""

SHEET_KEY = "?"
"""A Qt shortcut, because napari cannot bind it."""


class Actions(ToolActions):
    """The dock's actions, for it to inherit; the panels they act on are the dock's."""

    tabs: Any
    open_panel: Any
    segment_panel: Any
    correct_panel: Any
    review_panel: Any
    train_panel: Any
    show_tab: Any
    _runners: Any
    _sheet: ShortcutSheet | None

    def open(self) -> None:
        """Show the Open step, with the cursor in its field; Enter opens."""
        self.show_tab("Open")
        self.open_panel.path.setFocus()

    def next_case(self) -> None:
        """Open the next case in the folder."""
        self.open_panel.open_next()

    def show_maps(self) -> None:
        """Show the exam's enhancement maps."""
        self.show_tab("Open")
        self.open_panel.dce.show_maps()

    def align(self) -> None:
        """Align the exam's phases."""
        self.show_tab("Open")
        self.open_panel.dce.align()

    def segment(self) -> None:
        """Segment with the settings of the Draft step."""
        self.show_tab("Segment")
        self.segment_panel.run()

    def take_brush(self) -> None:
        """Start correcting, or pick up the brush again."""
        self.show_tab("Correct")
        self.correct_panel.start()

    def toggle_difference(self) -> None:
        """Show or hide the changes from the draft."""
        box = self.correct_panel.difference
        box.setChecked(box.isEnabled() and not box.isChecked())

    def toggle_rest(self) -> None:
        """Mark the rest of the exam as reviewed, or unmark it."""
        box = self.correct_panel.rest
        box.setChecked(box.isEnabled() and not box.isChecked())

    def mark_clear(self) -> None:
        """No tumor in this exam."""
        self.correct_panel.accept_box.mark_clear()

    def accept(self) -> None:
        """Accept the mask into the dataset."""
        if self.tabs.tabText(self.tabs.currentIndex()) != "List":
            self.show_tab("Correct")
        self.review_panel.accept()

    def next_in_list(self) -> None:
        """Open the next case in the worklist."""
        self.review_panel.walk.go(1)

    def previous_in_list(self) -> None:
        """Open the previous case in the worklist."""
        self.review_panel.walk.go(-1)

    def close_case(self) -> None:
        """Close the current case: save it, give it back, go to the list."""
        self.correct_panel.opening.close()

    def flag(self) -> None:
        """Flag the selected cases in the worklist."""
        self.show_tab("Review")
        self.review_panel.flag()

    def undo_accept(self) -> None:
        """Undo the last acceptance."""
        self.show_tab("Review")
        self.review_panel.undo_accept()

    def reopen(self) -> None:
        """Reopen accepted or flagged cases."""
        self.show_tab("Review")
        self.review_panel.reopen()

    def toggle_pictures(self) -> None:
        """Show the worklist as thumbnails, or as a table."""
        self.show_tab("Review")
        self.review_panel.worklist.pictures.toggle()

    def measure_lesions(self) -> None:
        """Measure the lesions of the mask."""
        self.show_tab("Correct")
        self.correct_panel.lesions.measure()

    def export_report(self) -> None:
        """Export the lesion report."""
        self.show_tab("Correct")
        self.correct_panel.lesions.export()

    def export_seg(self) -> None:
        """Export the mask as a DICOM SEG."""
        self.show_tab("Correct")
        self.correct_panel.lesions.exports.export_seg()

    def train(self) -> None:
        """Train with the settings of the Train step."""
        self.show_tab("Train")
        self.train_panel.start()

    def use_model(self) -> None:
        """Use the new model."""
        self.train_panel.use()

    def promote_model(self) -> None:
        """Set the chosen model as default, if it passes the check."""
        self.show_tab("Train")
        self.train_panel.gate.promote()

    def roll_back(self) -> None:
        """Go back to the previous default model."""
        self.show_tab("Train")
        self.train_panel.gate.roll_back()

    def next_lesion(self) -> None:
        """Go to the next lesion; measures first if needed."""
        self.show_tab("Correct")
        self.correct_panel.lesions.go_to_next()

    def keep_finding(self) -> None:
        """Keep the finding selected (in the list: K)."""
        self.correct_panel.lesions.list.keep()

    def drop_finding(self) -> None:
        """Drop the finding selected (in the list: D)."""
        self.correct_panel.lesions.list.drop()

    def reveal_draft(self) -> None:
        """Show the hidden draft."""
        self.correct_panel.hidden_draft.reveal()

    def show_keys(self) -> None:
        """Show all keyboard shortcuts."""
        if self._sheet is None:
            self._sheet = ShortcutSheet(self, KEYS)
        self._sheet.show()
        self._sheet.raise_()

    def cancel(self) -> None:
        """Cancel all running jobs."""
        for runner in self._runners():
            runner.cancel()


def menus(dock: Any) -> list[QWidget]:
    """The menus of a dock: actions without a button, and help."""
    views = {
        title_of(dock, action): (key, action_of(dock, action))
        for key, action in KEYS.items()
        if action.startswith(MOUSE_ONLY)
    }
    prior = flat_button("Prior ▾", "Another exam of this patient, beside this one (Shift-F4)")
    prior.setObjectName("prior_button")
    prior.clicked.connect(lambda: dock.prior.choose())
    helps = {"Keys": (SHEET_KEY, dock.show_keys), "Guided tour": ("", dock.tour.start)}
    return [
        prior,
        menu_button("View ▾", "Images, window presets, layouts, outline or fill", views),
        menu_button("?", "Keyboard shortcuts, and a guided tour of the steps", helps),
    ]
