"""Outline tumors in breast MRI: draft with a U-Net, correct, and train on the corrections.

Twelve calls serve scripts and notebooks, loaded when they are used; `cli` is the command line and
`widgets` the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .core.version import __version__

if TYPE_CHECKING:
    from .scripting import (
        accept,
        draft,
        evaluate,
        export_seg,
        measure,
        open_exam,
        promote,
        redraft,
        save_report,
        segment_at,
        train,
        write_mask,
    )

__all__ = [
    "__version__",
    "accept",
    "draft",
    "evaluate",
    "export_seg",
    "measure",
    "open_exam",
    "promote",
    "redraft",
    "save_report",
    "segment_at",
    "train",
    "write_mask",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import scripting

        return getattr(scripting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
