"""A task whose worker is killed in the middle, once; light, as each worker imports it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_breastseg.cli._planning import Planned


@dataclass(frozen=True)
class Dying:
    """Writes each case's name where its mask would be."""

    marker: Path
    """There once the worker has been killed."""

    def __call__(self, one: Planned) -> dict[str, Any]:
        if one.case.case_id == "S2" and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        one.mask.parent.mkdir(exist_ok=True)
        # Perhaps again: what a lost worker had done and not yet told is done once more.
        one.mask.write_text(one.case.case_id)
        return {"case_id": one.case.case_id, "status": "done"}
