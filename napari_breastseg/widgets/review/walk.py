"""Walking the worklist: the next case, the previous one, and reading the next one ahead."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

from ...dataset import CaseRecord, WorklistRow
from ..parts.jobs import show_info
from ..state.casework import LoadedCase
from ..state.session import Session
from ..state.worklist import neighbor
from .listing import WorklistView
from .prefetch import Prefetch

__all__ = ["CaseWalk"]

_LET_NAPARI_DRAW_MS = 150
"""Reading ahead begins when the case just opened is on the screen."""


class CaseWalk(QObject):
    """Opens cases of the worklist, and knows where in it the current one stands.

    Parameters
    ----------
    session : Session
    worklist : WorklistView
    open_case : callable
        Opens a case by its id, with what was read of it ahead, if anything.
    is_opening : callable
        Whether a case is being opened.
    reader : callable
        Who reads.
    parent : QObject, optional
    """

    def __init__(
        self,
        session: Session,
        worklist: WorklistView,
        *,
        open_case: Callable[[str, LoadedCase | None], object],
        is_opening: Callable[[], bool],
        reader: Callable[[], str],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._worklist = worklist
        self._model = worklist.model
        self._open_case = open_case
        self._is_opening = is_opening
        self._reader = reader
        self._last_place = -1
        self._leaving = ""
        self.prefetch = Prefetch(self)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_LET_NAPARI_DRAW_MS)
        self._soon.timeout.connect(self._read_ahead)
        worklist.filtered.connect(self._on_filtered)

    def why_not(self, step: int) -> str:
        """Why there is no next (step 1) or previous (step -1) case to open now."""
        if self._is_opening():
            return "Busy; wait a moment"
        if not self._model.rows:
            return "No case in the list"
        if self._neighbor(step) is not None:
            return ""
        return f"This is the {'last' if step > 0 else 'first'} case in the list"

    def go(self, step: int) -> None:
        """Open the next (step 1) or previous (step -1) case, or say that there is none."""
        row = self._neighbor(step)
        if row is None:
            show_info(f"{self.why_not(step)}.")
        elif not self._is_opening():
            self.open(row)

    def open(self, row: WorklistRow) -> None:
        """Open a case of the list."""
        self._leaving = ""
        self._open_case(row.case_id, self.prefetch.pop(row.case_id))

    def go_on_from(self, case_id: str) -> None:
        """Open the case after this one once the list has been read again."""
        self._leaving = case_id

    def on_listed(self) -> None:
        """The list was read again."""
        if self._leaving:
            leaving, self._leaving = self._leaving, ""
            if self._session.case_id == leaving:
                self.go(1)

    def on_opened(self, record: CaseRecord) -> None:
        """Note where the current case stands, and read the next one ahead soon."""
        self._model.set_current(record.case_id)
        place = self._model.place(record.case_id)
        self._worklist.is_selected_by_hand = False
        if place is not None:
            self._last_place = place
            self._worklist.select([place])
        self._soon.start()

    def forget(self) -> None:
        """Begin anew: another dataset is open."""
        self.prefetch.forget()
        self._last_place = -1
        self._model.set_current(None)

    def _on_filtered(self) -> None:
        """Begin at the list's first case where the reader's choice left the current one out."""
        place = self._model.place(self._model.current)
        self._last_place = -1 if place is None else place

    def _neighbor(self, step: int) -> WorklistRow | None:
        rows = self._model.rows
        place = self._model.place(self._model.current)
        found = neighbor(len(rows), place, self._last_place, step)
        return None if found is None else rows[found]

    def _read_ahead(self) -> None:
        dataset, following = self._session.dataset, self._neighbor(1)
        if dataset is not None and following is not None and self._session.record is not None:
            self.prefetch.want(dataset, following.case_id, self._reader())
