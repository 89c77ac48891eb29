"""Imports what a model needs while the reader still looks at the exam that was just opened."""

from __future__ import annotations

from importlib import import_module
from threading import Lock, Thread

__all__ = ["warm_up"]

WANTED = ["torch", "napari_breastseg.model.blocks", "napari_breastseg.predict.prediction"]
"""What takes seconds to import; nothing that 2D networks can do without, as MONAI."""

_lock = Lock()
_started: list[Thread] = []


def warm_up() -> Thread:
    """Start importing, once for the process; the thread that does it."""
    with _lock:
        if not _started:
            # No daemon: torch's libraries must not be torn down while they are being loaded.
            thread = Thread(target=_import_all, name="breastseg-warm-up", daemon=False)
            _started.append(thread)
            thread.start()
        return _started[0]


def _import_all() -> None:
    for name in WANTED:
        try:
            import_module(name)
        except ImportError:  # said where the model is run, to whoever runs it
            return
