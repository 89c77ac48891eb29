"""The list of findings and lesions, and the reader's decisions about them in the mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...imaging.correction import Edit
from ...lesions import LesionReport
from ...lesions.findings import Findings
from ..canvas.layers import apply_edit, tumor_layer, volume_of
from ..parts.fields import button, counted, note, set_ready
from ..parts.jobs import JobRunner, errors_shown
from ..state.findings import Row, is_marked, rows_of, total_now, why_no_choice
from ..state.session import Session, is_same
from .lesion_table import LesionTable

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["FindingList"]


class FindingList(QWidget):
    """Rows to go through, Keep and Drop, and the findings that the model held back.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    runner : JobRunner
        Measures what the list shows.
    """

    chosen = Signal(object)
    """The `Lesion` whose row was selected."""

    weaker_wanted = Signal()
    """The findings held back are to be listed, and were not measured yet."""

    def __init__(self, viewer: Viewer, session: Session, runner: JobRunner) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._runner = runner
        self._report: LesionReport | None = None
        self._weaker: tuple[Findings, LesionReport] | None = None
        self._shows_weaker = False
        self._expected: NDArray[np.uint8] | None = None
        self._marked: list[Row] = []
        self._is_deciding = False
        self.rows: list[Row] = []
        self.table = LesionTable()
        self.result = note()
        self.keep_button = button(
            "Keep",
            self.keep,
            "It is a lesion: into the mask, or left there",
            "K in the list, Ctrl-K",
        )
        self.drop_button = button(
            "Drop", self.drop, "No lesion: it goes out of the mask", "in the list D, else Ctrl-D"
        )
        self.weaker_button = button(
            "",
            self.toggle_weaker,
            "What the model held back as less likely. The mask stays as it is until you keep one",
        )
        choose = QHBoxLayout()
        choose.addWidget(self.keep_button)
        choose.addWidget(self.drop_button)
        self._choose = QWidget()
        self._choose.setLayout(choose)
        choose.setContentsMargins(0, 0, 0, 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.result, self.table, self._choose, self.weaker_button):
            column.addWidget(widget)
        self.table.chosen.connect(self._on_chosen)
        self.table.keep_pressed.connect(self.keep)
        self.table.drop_pressed.connect(self.drop)
        session.choices.changed.connect(self._on_choices)
        self.show_report(None)

    @property
    def is_outdated(self) -> bool:
        """Whether the mask was edited since it was measured, apart from decisions."""
        layer = self._layer()
        return self._expected is not None and not (
            layer is not None and is_same(volume_of(layer), self._expected)
        )

    def show_report(
        self, report: LesionReport | None, mask: NDArray[np.uint8] | None = None
    ) -> None:
        """List the lesions of a report; what was dropped stays in the list.

        Parameters
        ----------
        report : LesionReport, optional
        mask : ndarray, shape (Z, Y, X), optional
            What was measured, for the list to keep and to change.
        """
        self._report, self._expected = report, mask
        if report is None:
            self.rows, self._shows_weaker = [], False
        self._list()

    def show_weaker(self, findings: Findings, report: LesionReport) -> None:
        """List findings that the model held back."""
        self._weaker, self._shows_weaker = (findings, report), True
        self._list()

    def toggle_weaker(self) -> None:
        """List the findings held back, or hide those again that were not kept."""
        if self._shows_weaker:
            self._shows_weaker = False
            self._list()
        elif self._weaker is None or self._weaker[0] is not self._session.choices.findings:
            self.weaker_wanted.emit()
        else:
            self.show_weaker(*self._weaker)

    def keep(self) -> None:
        """Keep the row selected, as one undo step of the mask."""
        self._decide("keep", lambda row, mask: self._session.choices.keep(row, mask))

    def drop(self) -> None:
        """Drop the row selected, as one undo step of the mask."""
        self._decide("drop", lambda row, mask: self._session.choices.drop(row, mask, self.rows))

    def follow_mask(self) -> None:
        """Follow an edit of the mask, which may be a decision that undo takes back."""
        layer = self._layer()
        if self._is_deciding or layer is None or self._report is None:
            return
        mask = volume_of(layer)
        edits = self._session.choices.follow_mask(mask)
        for edit in edits:
            self._expect(edit)
        if edits or self._marked != [row for row in self.rows if is_marked(row, mask)]:
            self._show()

    def reset_choices(self) -> None:
        """Bring the buttons up to date."""
        findings = self._session.choices.findings
        weaker = 0 if findings is None else len(findings.weaker)
        is_hidden = self._session.draft is None or self._session.drafts.is_hidden
        self.weaker_button.setVisible(bool(weaker) and self._report is not None and not is_hidden)
        self.weaker_button.setText(
            "Hide weaker findings"
            if self._shows_weaker
            else f"Show {counted(weaker, 'weaker finding')}"
        )
        set_ready(self.weaker_button, "Busy; wait or cancel" if self._runner.is_running else "")
        self._choose.setVisible(bool(self.rows))
        for made in (self.keep_button, self.drop_button):
            set_ready(made, self._why_not())

    def _decide(self, verb: str, decide: Callable[[Row, NDArray[Any]], Edit]) -> None:
        with errors_shown():
            if why_not := self._why_not():
                raise InputError(f"Expected a finding to {verb}", why_not, "Then try again")
            row, layer = self.table.selected, self._layer()
            assert row is not None  # `_why_not` said so
            assert layer is not None
            self._session.effort.touch()
            self._is_deciding = True
            try:
                edit = decide(row, volume_of(layer))
                self._expect(edit)
                apply_edit(layer, edit)
            finally:
                self._is_deciding = False
            self._show()

    def _expect(self, edit: Edit) -> None:
        if self._expected is not None:
            self._expected[edit.voxels] = edit.after

    def _list(self) -> None:
        """Make the rows anew."""
        choices = self._session.choices
        if self._report is not None:
            weaker = None
            if self._shows_weaker and self._weaker and self._weaker[0] is choices.findings:
                weaker = self._weaker[1]
            rows = rows_of(self._report, weaker=weaker, earlier=self.rows, decided=choices.decided)
            if (layer := self._layer()) is not None:
                choices.settle(rows, volume_of(layer))
            self.rows = rows
        self._show()

    def _show(self) -> None:
        report, layer = self._report, self._layer()
        decided = self._session.choices.decided
        if report is None or layer is None:
            self.table.show_rows((), None, marked=(), decided=decided)
            self.result.hide()
        else:
            mask = volume_of(layer)
            self._marked = marked = [row for row in self.rows if is_marked(row, mask)]
            total = total_now(report, self.rows, marked)
            keys = {row.key for row in marked}
            self.table.show_rows(self.rows, total, marked=keys, decided=decided)
            now = replace(report, lesions=tuple(row.lesion for row in marked))
            self.result.setText(" ".join(now.nothing_found))
            self.result.setVisible(bool(now.nothing_found))
        self.reset_choices()

    def _on_choices(self) -> None:
        if not self._is_deciding and self._report is not None:
            self._show()

    def _on_chosen(self, row: Row | None) -> None:
        self.reset_choices()
        if row is not None:
            self.chosen.emit(row.lesion)

    def _layer(self) -> Labels | None:
        return tumor_layer(self._viewer, self._session.case_id)

    def _why_not(self) -> str:
        return why_no_choice(
            has_list=bool(self.rows),
            has_row=self.table.selected is not None,
            has_mask=self._layer() is not None,
            is_busy=self._runner.is_running,
        )
