"""The correction tools as actions of the dock, which keys are bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tools import ToolSection

__all__ = ["ToolActions"]


class ToolActions:
    """The tools as actions of the dock, which keys are bound to."""

    correct_panel: Any

    def next_scope(self) -> None:
        """Tool scope: the next of lesion, slice, box and volume."""
        self._tools.next_scope()

    def smart_click(self) -> None:
        """Smart click: outline what is clicked; with Shift: not this."""
        self._tools.act("smart_click")

    def grow_click(self) -> None:
        """Grow from a click: hold, turn the wheel, release."""
        self._tools.act("grow_click")

    def threshold_brush(self) -> None:
        """Take the brush that paints only where it enhances."""
        self._tools.act("threshold_brush")

    def keep_clicked(self) -> None:
        """Keep only the lesion clicked."""
        self._tools.act("keep")

    def drop_clicked(self) -> None:
        """Remove the lesion clicked."""
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

    def drop_small(self) -> None:
        """Drop the marks under a size."""
        self._tools.act("drop_small")

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
        """Copy the tumor to the previous slice."""
        self._tools.act("copy_previous")

    def revert(self) -> None:
        """Go back to the draft."""
        self._tools.act("revert")

    def predict_box(self) -> None:
        """Predict in the box, keeping corrections."""
        self._tools.act("predict_box")

    @property
    def _tools(self) -> ToolSection:
        self.show_tab("Correct")  # type: ignore[attr-defined]
        tools: ToolSection = self.correct_panel.tools
        return tools
