"""Another id for the case selected in the list: a field in place, and the job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from ...dataset import CaseRecord, WorklistRow
from ..parts.fields import button, set_ready
from ..parts.jobs import JobRunner, as_job, show_info
from ..state.decisions import why_not_rename
from ..state.session import Session

__all__ = ["RenameBox"]


class RenameBox(QWidget):
    """A field for the new id, with *Rename* and *Cancel*; hidden until it is asked for.

    Parameters
    ----------
    session : Session
    runner : JobRunner
    chosen : callable
        Gives the rows that a decision is about.
    changed : callable
        Called when a case has another id.
    """

    def __init__(
        self,
        session: Session,
        runner: JobRunner,
        chosen: Callable[[], Sequence[WorklistRow]],
        changed: Callable[[], object],
    ) -> None:
        super().__init__()
        self._session = session
        self._runner = runner
        self._chosen = chosen
        self._changed = changed
        self._case_id = ""
        self.open_button = button(
            "\u22ef", self.ask, "Rename the selected case: all that is kept of it gets the new id"
        )
        self.open_button.setAccessibleName("Rename the selected case")
        self.field = QLineEdit()
        self.field.setToolTip("Letters, digits, '_', '-' and single dots; never a patient's name")
        self.field.returnPressed.connect(self.rename)
        self.rename_button = button("Rename", self.rename, "Give the case this id (Enter)")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.field, 1)
        row.addWidget(self.rename_button)
        row.addWidget(button("Cancel", self.hide, "Keep the id (Escape)"))
        self.hide()

    def ask(self) -> None:
        """Show the field with the id that the selected case has."""
        (row,) = self._chosen()  # else the button is disabled
        self._case_id = row.case_id
        self.field.setText(row.case_id)
        self.show()
        self.field.setFocus()
        self.field.selectAll()

    def rename(self) -> None:
        """Rename the case, if the field says another id."""
        dataset, old, new = self._session.dataset, self._case_id, self.field.text().strip()
        if dataset is None or new == old:
            self.hide()
            return
        title = f"Renaming {old}"
        self._runner.start(
            title,
            lambda: as_job(title, lambda: dataset.rename(old, new)),
            on_result=self._show,
        )

    def refresh(self, busy: str) -> None:
        """Bring the button up to date; what was being renamed may not be selected any more."""
        rows = self._chosen()
        why_not = busy or why_not_rename(rows, on_canvas=self._session.case_id)
        set_ready(self.open_button, why_not)
        set_ready(self.rename_button, busy)
        if not busy and [row.case_id for row in rows] != [self._case_id]:
            self.hide()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape keeps the id."""
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)

    def _show(self, record: CaseRecord) -> None:
        self.hide()
        show_info(f"{self._case_id} is called {record.case_id} from now on.")
        self._changed()
