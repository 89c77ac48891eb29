"""May a correction tool be used now, and if not why. No Qt, no napari."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ToolSituation", "unfinished", "why_no_tool"]

_OF_THE_DRAFT = ("revert", "predict_box")


@dataclass(frozen=True)
class ToolSituation:
    """What the tools depend on."""

    is_busy: bool = False
    """Whether a tool is running."""

    has_exam: bool = True
    has_mask: bool = True
    has_draft: bool = False
    is_draft_hidden: bool = False
    """Whether a draft would be hidden, should there be one."""


def why_no_tool(name: str, now: ToolSituation) -> str:
    """Why the tool of this name cannot be used; empty when it can.

    Examples
    --------
    >>> why_no_tool("smooth", ToolSituation()), why_no_tool("revert", ToolSituation())
    ('', 'No draft to go back to')
    """
    if now.is_busy:
        return "Busy; wait or cancel"
    if not now.has_exam:
        return "Open an exam first"
    if not now.has_mask:
        return "No mask to correct: segment first, or start correcting"
    if name in _OF_THE_DRAFT and now.is_draft_hidden and now.has_draft:
        return "The draft is hidden; show it first (F9)"
    if name == "revert" and not now.has_draft:
        return "No draft to go back to"
    return ""


def unfinished(now: ToolSituation) -> str:
    """What is still to be done to the mask before it can be accepted; empty when nothing."""
    return "A tool is running; wait or cancel" if now.is_busy else ""
