"""Importing exams with masks into the open dataset, as a CSV file lists them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...dataset import ImportResult
from ..parts.fields import counted
from ..parts.forms import push
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.session import Session

__all__ = ["CaseImport"]


class CaseImport(QWidget):
    """A button that asks for the CSV file.

    Parameters
    ----------
    session : Session
        Whose dataset takes the cases.
    runner : JobRunner
    """

    def __init__(self, session: Session, runner: JobRunner) -> None:
        super().__init__()
        self._session = session
        self._runner = runner
        self.button = push(
            "Import cases…", self.import_cases, "Exams with masks, as a CSV file lists them"
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.button.native)

    def import_cases(self) -> None:
        """Import the exams and masks that a CSV file lists into the open dataset."""
        dataset = self._session.dataset
        with errors_shown():
            if dataset is None:
                raise InputError(
                    "Expected a dataset to import into", "none is open", "Open a dataset folder"
                )
            kinds = "Table (*.csv)"
            text = str(QFileDialog.getOpenFileName(self, "CSV file of cases", "", kinds)[0])
            if text:
                self._runner.start(
                    "Importing",
                    lambda: dataset.import_csv(Path(text)),
                    on_result=self._on_imported,
                )

    def _on_imported(self, result: ImportResult) -> None:
        show_info(
            f"Imported {counted(len(result.imported), 'case')}, updated {len(result.updated)}, "
            f"{len(result.skipped)} were there; {len(result.failures)} failed."
        )
        self._session.dataset_changed.emit(self._session.dataset)
