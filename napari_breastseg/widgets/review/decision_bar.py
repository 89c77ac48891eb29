"""The buttons below the worklist: walk, accept, flag with a reason, undo, reopen."""

from __future__ import annotations

from collections.abc import Collection

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from ...dataset import FlagReason, WorklistRow
from ..parts.fields import button, set_ready
from ..state.decisions import why_not_flag, why_not_reopen, why_not_undo

__all__ = ["DecisionBar"]


class DecisionBar(QWidget):
    """Says what is asked for; decides nothing."""

    previous_asked = Signal()
    next_asked = Signal()
    accept_asked = Signal()
    flag_asked = Signal()
    undo_asked = Signal()
    reopen_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.previous = button(
            "Previous", self.previous_asked.emit, "Open the case before the current one", "PageUp"
        )
        self.next = button(
            "Next", self.next_asked.emit, "Open the case after the current one", "PageDown"
        )
        self.accept = button(
            "Accept",
            self.accept_asked.emit,
            "Accept the current case with its mask as it is",
            "Shift-Enter",
        )
        self.advance = QCheckBox("then next")
        self.advance.setToolTip("After accepting or flagging a case, open the next one")
        self.flag = button(
            "Flag", self.flag_asked.emit, "Set the selected cases aside", "Ctrl-Shift-F"
        )
        self.reason = QComboBox()
        self.reason.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.reason.setToolTip("Why: a fixed list, because free text could name a patient")
        for reason in FlagReason:
            self.reason.addItem(reason.value.replace("_", " "), reason)
        self.undo = button(
            "Undo accept",
            self.undo_asked.emit,
            "Undo the last acceptance of the selected cases; the mask stays in the history",
            "Ctrl-Shift-U",
        )
        self.reopen = button(
            "Reopen",
            self.reopen_asked.emit,
            "Reopen the selected accepted or flagged cases",
            "Ctrl-Shift-E",
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for left, left_share, right, right_share in (
            (self.previous, 0, self.next, 0),
            (self.accept, 1, self.advance, 0),
            (self.flag, 0, self.reason, 1),
            (self.undo, 0, self.reopen, 0),
        ):
            row = QHBoxLayout()
            row.addWidget(left, left_share)
            row.addWidget(right, right_share)
            column.addLayout(row)

    def set_ready(
        self,
        rows: Collection[WorklistRow],
        *,
        busy: str,
        why_no_next: str,
        why_no_previous: str,
        why_no_accept: str,
    ) -> None:
        """Enable what can be done now, and say why not of the rest.

        Parameters
        ----------
        rows : collection of WorklistRow
            The cases selected.
        busy : str
            Why nothing can be decided at the moment; empty when it can.
        why_no_next, why_no_previous, why_no_accept : str
            The same of each of these.
        """
        set_ready(self.next, why_no_next)
        set_ready(self.previous, why_no_previous)
        set_ready(self.accept, why_no_accept)
        set_ready(self.flag, busy or why_not_flag(rows))
        set_ready(self.undo, busy or why_not_undo(rows))
        set_ready(self.reopen, busy or why_not_reopen(rows))
