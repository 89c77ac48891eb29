"""The list "Interrupted runs" of the step Train: go on with a training, or forget it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from ..parts.fields import button, heading, note, set_ready
from ..parts.jobs import errors_shown
from ..state.interrupted import Interrupted, forget_training, interrupted_trainings
from ..state.training import TrainingOrder

__all__ = ["InterruptedRuns"]

_MOST = 4


class InterruptedRuns(QWidget):
    """A line for each training that was cut off; hidden without any."""

    wanted = Signal(object)
    """`TrainingOrder` of the training to go on with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Interrupted] = []
        self.rows: list[QWidget] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)
        self._column.addWidget(heading("Interrupted runs"))

    def refresh(self, *, why_not: str = "", offered: TrainingOrder | None = None) -> None:
        """Read again which there are.

        Parameters
        ----------
        why_not : str
            Why none can go on now; empty when one can.
        offered : TrainingOrder, optional
            The one that the large button offers already.
        """
        found = [one for one in interrupted_trainings() if one.order != offered][:_MOST]
        if found != self.found:
            self.found = found
            for row in self.rows:
                row.hide()
                row.deleteLater()
            self.rows = [_Row(one, self) for one in found]
            for row in self.rows:
                self._column.addWidget(row)
                row.show()
        for row in self.rows:
            set_ready(row, why_not)
        self.setVisible(bool(found))

    def forget(self, one: Interrupted) -> None:
        """Offer a training no more."""
        with errors_shown():
            forget_training(one.order.output)
        self.refresh()


class _Row(QWidget):
    def __init__(self, one: Interrupted, runs: InterruptedRuns) -> None:
        super().__init__()
        self.line = note(one.words)
        self.line.setToolTip(str(one.order.output))
        self.go_on = button(
            "Go on",
            lambda: runs.wanted.emit(one.order),
            "Train on from the last step that was kept, with the settings it was started with",
        )
        self.forget = button(
            "Forget", lambda: runs.forget(one), "Do not offer it any more; its folder stays"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line, 1)
        row.addWidget(self.go_on)
        row.addWidget(self.forget)
