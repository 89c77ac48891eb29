"""The window: panels over the engine, in one dock "Breast MRI".

The panels load when a command of the manifest asks for them, so that reading a file needs
neither them nor a Qt binding. No torch and no MONAI at import: jobs load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dock import BreastMRI, show_demo, show_segment
    from .segment.call import segment_tumor
    from .segment.panel import SegmentTumor

__all__ = ["BreastMRI", "SegmentTumor", "segment_tumor", "show_demo", "show_segment"]


def __getattr__(name: str) -> Any:
    if name == "segment_tumor":
        from .segment.call import segment_tumor

        return segment_tumor
    if name == "SegmentTumor":
        from .segment.panel import SegmentTumor

        return SegmentTumor
    if name in __all__:
        from . import dock as _dock

        return getattr(_dock, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
