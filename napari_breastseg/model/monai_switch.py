"""MONAI's switch for metadata, which is global, set for one block at a time.

A training switches it off for its patches, because tracking costs as much as varying them; the
transforms of a MONAI bundle need it on. Both may run in threads of one process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["metadata_tracked"]

_SWITCH = threading.RLock()


@contextmanager
def metadata_tracked(is_tracked: bool) -> Iterator[None]:
    """Whether MONAI tracks metadata within the block; other blocks wait until it ends."""
    from monai.data.meta_obj import get_track_meta, set_track_meta

    with _SWITCH:
        before = get_track_meta()
        set_track_meta(is_tracked)
        try:
            yield
        finally:
            set_track_meta(before)
