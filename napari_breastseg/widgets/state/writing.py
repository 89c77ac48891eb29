"""Writing masks to the dataset from several threads: one at a time, no effort counted twice.

No Qt, no napari.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...core.errors import InputError
from ...dataset import CaseRecord, Workspace
from .recovery import PendingSave, RecoveryCopy
from .session import Session, is_same

__all__ = ["MaskWriter", "PendingEffort"]


@dataclass(eq=False)
class PendingEffort:
    """What the reader spent on a mask that is on its way to being accepted."""

    workspace: Workspace
    case_id: str
    seconds: float
    strokes: int

    @property
    def key(self) -> tuple[Path, str]:
        """Folder and case id."""
        return self.workspace.folder, self.case_id


class MaskWriter:
    """Writes autosaves and accepted masks, in whichever thread it is called."""

    def __init__(self) -> None:
        self.disk = threading.Lock()
        """Held while anything is written."""

        self._accepted: tuple[tuple[Path, str], NDArray[Any]] | None = None
        self._pending: list[PendingEffort] = []

    def autosave(self, copy: RecoveryCopy, pending: PendingSave) -> None:
        """Write a copy, unless that was done or the same mask was accepted meanwhile."""
        with self.disk:
            if copy.pending is not pending:
                return
            key, accepted = self._accepted or (None, None)
            if key != pending.place.key or not is_same(accepted, pending.labels):
                pending.write()
            copy.pending = None

    def take_effort(self, session: Session, workspace: Workspace, case_id: str) -> PendingEffort:
        """Take the session's count over to a mask that is to be accepted.

        Whoever leaves the case or closes the window meanwhile then counts nothing twice.
        """
        effort = session.effort
        taken = PendingEffort(workspace, case_id, effort.seconds, effort.strokes)
        effort.deduct(taken.seconds, taken.strokes)
        self._pending.append(taken)  # without `disk`: an autosave may hold it for long
        return taken

    def return_effort(self, session: Session) -> None:
        """Count the effort of masks that were not accepted as work on their cases."""
        with self.disk:
            returned, self._pending = self._pending, []
        record = session.record
        for effort in returned:
            if record is not None and record.case_id == effort.case_id:
                session.effort.add(effort.seconds, effort.strokes)
            else:
                with suppress(InputError):  # as when a case is left
                    effort.workspace.note_work(
                        effort.case_id, seconds=effort.seconds, strokes=effort.strokes
                    )

    def accept(
        self,
        effort: PendingEffort,
        labels: NDArray[Any],
        write: Callable[[float, int], CaseRecord],
    ) -> CaseRecord:
        """Accept a mask with its effort, or with none where that was returned meanwhile.

        Parameters
        ----------
        effort : PendingEffort
        labels : ndarray, shape (Z, Y, X)
            What is accepted; no autosave of the same labels is written after it.
        write : callable
            Accepts the mask, given seconds and strokes.
        """
        with self.disk:
            is_pending = effort in self._pending
            record = write(*((effort.seconds, effort.strokes) if is_pending else (0.0, 0)))
            if is_pending:
                self._pending.remove(effort)
            self._accepted = (effort.key, labels)
            return record

    def end_accept(self) -> None:
        """Forget the mask accepted last: autosaves are written again whatever they hold."""
        self._accepted = None
