"""Deciding on cases of the worklist: flag, reopen, undo, accept by thumbnail. In a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from ...core.errors import InputError
from ...core.volume import LabelMap
from ...dataset import CaseRecord, Dataset, FlagReason, Status, WorklistRow
from ..canvas.layers import edit_labels, tumor_layer
from ..parts.jobs import JobRunner, errors_shown, show, show_info
from ..state.decisions import Changes, changing, is_of_second_read, why_not_accept_picture
from ..state.session import Session
from .thumbnails import Thumbnail

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["CaseDecisions"]


class CaseDecisions(QObject):
    """Changes cases of the open dataset, and what the window shows of the current one.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    reader : callable
        Who reads; empty when nobody said so.
    save_work : callable
        Saves the work on the current case, then calls its argument.
    parent : QObject, optional
    """

    changed = Signal(object, str)
    """Records of the changed cases; id of the current case where it was flagged and left, or ""."""

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        *,
        reader: Callable[[], str],
        save_work: Callable[[Callable[[], object]], object],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._reader = reader
        self._save_work = save_work
        self.runner = JobRunner(self)

    def flag(self, case_ids: Sequence[str], reason: FlagReason) -> None:
        """Set cases aside."""
        self._change("Flagging", case_ids, lambda dataset, case_id: dataset.flag(case_id, reason))

    def reopen(self, case_ids: Sequence[str]) -> None:
        """Reopen accepted or flagged cases."""
        self._change("Reopening", case_ids, lambda dataset, case_id: dataset.reopen(case_id))

    def undo_accept(self, case_ids: Sequence[str]) -> None:
        """Undo the last acceptance of cases; the current one shows the mask from before it."""
        own = None if self._session.record is None else self._session.record.case_id
        earlier: list[LabelMap] = []

        def undo(dataset: Dataset, case_id: str) -> CaseRecord:
            record = dataset.undo_accept(case_id)
            if case_id == own and (before := dataset.kept_map(case_id)) is not None:
                earlier.append(before)
            return record

        self._change("Undoing", case_ids, undo, then=lambda: self._show_earlier(own, earlier))

    def accept_picture(self, row: WorklistRow, made: Thumbnail | None, seconds: float) -> None:
        """Accept a single slice as its thumbnail shows it, read in so many seconds."""
        reader = self._reader()
        mask = None if made is None else made.mask
        with errors_shown():
            why_not = why_not_accept_picture(
                row,
                reader=reader,
                made_of_s=None if made is None else made.changed_s,
                has_mask=mask is not None,
                is_open=self._session.record is not None and self._session.case_id == row.case_id,
            )
            if why_not or mask is None:
                raise InputError(
                    f"Expected a slice with a mask to accept case {row.case_id} here",
                    why_not,
                    "Open the case instead (Enter)",
                )
            self._change(
                "Accepting",
                [row.case_id],
                lambda dataset, case_id: dataset.accept(
                    case_id,
                    mask,
                    reviewed_slices=None,
                    annotator=reader,
                    seconds=seconds,
                    strokes=0,
                ),
            )

    def _change(
        self,
        title: str,
        case_ids: Sequence[str],
        change: Callable[[Dataset, str], CaseRecord],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        dataset = self._session.dataset
        if dataset is None or not case_ids:
            show_info("Select a case in the worklist first.")
            return
        current = self._session.case_id if self._session.is_second_read else None
        if is_of_second_read(dataset, case_ids, self._reader(), current=current):
            show_info("A selected case is yours for a second read: the first reader decides on it.")
            return
        self._save_work(
            lambda: self.runner.start(
                title,
                lambda: changing(title, dataset, case_ids, change),
                on_result=lambda changes: self._show(changes, then),
            )
        )

    def _show(self, changes: Changes, then: Callable[[], object]) -> None:
        for error in changes.errors:
            show(error)
        then()
        left = [record.case_id for record in changes.records if self._update_current(record)]
        self.changed.emit(changes.records, left[0] if left else "")

    def _update_current(self, record: CaseRecord) -> bool:
        """Show what became of the current case; True when it was flagged and is left."""
        current = self._session.record
        is_other = current is None or current.case_id != record.case_id
        if is_other or self._session.is_second_read:
            return False
        if record.status is not Status.FLAGGED:
            self._session.update_record(record)
            return False
        self._session.leave_case()
        # Its work has been saved; a mask of a case no longer held would be asked about.
        if (layer := tumor_layer(self._viewer, record.case_id)) is not None:
            self._viewer.layers.remove(layer.name)
        return True

    def _show_earlier(self, case_id: str | None, masks: Sequence[LabelMap]) -> None:
        """Show the mask that an undone acceptance goes back to, as one undo step."""
        record = self._session.record
        if record is None or record.case_id != case_id:  # another case was opened meanwhile
            return
        layer = tumor_layer(self._viewer, self._session.case_id)
        if masks and layer is not None and not self._session.is_second_read:
            edit_labels(layer, masks[0].data)
            self._session.saved = masks[0].data
