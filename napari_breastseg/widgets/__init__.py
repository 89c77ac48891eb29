"""The window: panels over the engine, in one dock "Breast MRI".

The panels load when a command of the manifest asks for them, so that reading a file needs
neither them nor a Qt binding. No torch and no MONAI at import: jobs load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dock import BreastMRI, show_demo, show_segment

__all__ = ["BreastMRI", "show_demo", "show_segment"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import dock as _dock

        return getattr(_dock, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
