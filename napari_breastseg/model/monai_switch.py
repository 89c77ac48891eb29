"""MONAI in a process of several threads: how it is imported, and its switch for metadata.

The switch is global and set for one block at a time.

A training switches it off for its patches, because tracking costs as much as varying them; the
transforms of a MONAI bundle need it on. Both may run in threads of one process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["import_monai", "metadata_tracked"]

_SWITCH = threading.RLock()


def import_monai() -> None:
    """Import MONAI as a whole; to be called before any of its parts is imported.

    Its parts import each other in circles. Python lets a second thread have a part that is half
    imported, which fails; only for the whole package does it wait.
    """
    import monai  # noqa: F401


@contextmanager
def metadata_tracked(is_tracked: bool) -> Iterator[None]:
    """Whether MONAI tracks metadata within the block; other blocks wait until it ends."""
    import_monai()
    from monai.data.meta_obj import get_track_meta, set_track_meta

    with _SWITCH:
        before = get_track_meta()
        set_track_meta(is_tracked)
        try:
            yield
        finally:
            set_track_meta(before)
