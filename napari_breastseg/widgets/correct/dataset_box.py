"""The dataset folder in the Correct step: open or create one, and choose a case of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.home import default_dataset_folder
from ...dataset import Dataset
from ..parts.fields import PathField, button, counted, note, set_ready
from ..parts.jobs import JobRunner, as_job, errors_shown
from ..state.session import Session
from ..state.settings import recall, remember
from .autosave import Autosave

__all__ = ["DatasetBox"]

_AT_START = "opens_last_dataset"
"""The setting: "no" where the last dataset is not opened at the start."""


class DatasetBox(QWidget):
    """Folder field, what is in the folder, and its cases.

    Parameters
    ----------
    session : Session
    runner : JobRunner
        The Correct step's.
    autosave : Autosave
        Work on the current case is saved before another folder is opened.
    """

    case_chosen = Signal(str)
    """A case of the folder is to be opened."""

    close_asked = Signal()
    """The current case is to be closed."""

    def __init__(self, session: Session, runner: JobRunner, autosave: Autosave) -> None:
        super().__init__()
        self._session = session
        self._runner = runner
        self._autosave = autosave
        self.folder = PathField("New, empty or dataset folder")
        self.folder.setValue(Path(last) if (last := recall("dataset")) else None)
        self.folder.valueChanged.connect(lambda _: self.open_dataset())
        self.open_button = button("Open or create", self.open_dataset, "Open this dataset folder")
        self.at_start = QCheckBox("Open it at the next start")
        self.at_start.setToolTip("Open the dataset that was open last when the window opens")
        self.at_start.setChecked(recall(_AT_START) != "no")
        self.at_start.toggled.connect(lambda is_on: remember(_AT_START, "" if is_on else "no"))
        self.line = note(
            f"No dataset open. The first case goes into {default_dataset_folder().name}."
        )
        self.case = QComboBox()
        self.case.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open_case_button = button("Open case", self.open_case, "Correct a case of the dataset")
        row = QHBoxLayout()
        row.addWidget(self.case, 1)
        row.addWidget(self.open_case_button)
        self.close_button = button(
            "Close case",
            self.close_asked.emit,
            "Save the current case, give it back to other readers and go to the list",
            "Ctrl-Shift-Q",
        )
        row.addWidget(self.close_button)
        session.source_changed.connect(lambda _: self._refresh_close())
        self._refresh_close()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        first = QHBoxLayout()
        first.addWidget(self.folder, 1)
        first.addWidget(self.open_button)
        column.addLayout(first)
        column.addWidget(self.at_start)
        column.addWidget(self.line)
        column.addLayout(row)
        self._patients: dict[str | None, str] = {}
        self._listed: dict[str, str] = {}
        session.dataset_changed.connect(self.show_dataset)
        self.show_dataset(None)
        self.reopening = JobRunner(self)
        self._start = QTimer(self, singleShot=True, interval=0)
        self._start.timeout.connect(self._reopen)
        self._start.start()

    def open_dataset(self) -> None:
        """Open the dataset folder typed in, or make one where there is nothing yet."""
        with errors_shown():
            folder = self.folder.value()
            if folder is None:
                raise InputError(
                    "Expected a dataset folder", "the field is empty", "Choose or type one"
                )
            if not folder.exists() and not folder.absolute().parent.is_dir():
                raise InputError(
                    f"Expected a dataset folder, or a folder to make one in, at {folder}",
                    "neither it nor the folder above it is there",
                    "Check the spelling and whether its drive is connected, or make the folder "
                    "above it first",
                )
            self._autosave.save(lambda: self._open(folder))

    def open_for(self, then: Callable[[], object]) -> None:
        """Open the folder named, the last one or the default, and go on."""
        folder = self.folder.value() or default_dataset_folder()
        self._autosave.save(lambda: self._open(folder, then))

    def open_case(self) -> None:
        """Open the chosen case."""
        if (case_id := self.case.currentData()) is not None:
            self.case_chosen.emit(case_id)

    def has_case(self, case_id: str | None) -> bool:
        """Whether the dataset has a case of this id."""
        return bool(self.case.findData(case_id) >= 0)

    def patient_of(self, case_id: str | None) -> str:
        """The patient id under which the dataset knows a case; empty where it does not."""
        return self._patients.get(case_id, "")

    def reload(self) -> None:
        """Read the cases again, and choose the current one."""
        self.show_dataset(self._session.dataset)
        record = self._session.record
        if record is not None:
            self.case.setCurrentIndex(max(0, self.case.findData(record.case_id)))

    def show_dataset(self, dataset: Dataset | None) -> None:
        """Show what is in a dataset."""
        records = [] if dataset is None else dataset.known_summaries()
        if dataset is not None:
            self.folder.setValue(dataset.folder)
            accepted = sum(record.is_accepted for record in records)
            channels = ", ".join(dataset.channels) or "phases of the first case"
            text = (
                f"{dataset.name}: {channels}; {counted(len(records), 'case')}, {accepted} accepted"
            )
            self.line.setText("\n".join([text, *dataset.known_notes()]))
        self._patients = {record.case_id: record.patient_id for record in records}
        self._list({one.case_id: one.status.value.replace("_", " ") for one in records})
        has_cases = self.case.count() > 0
        self.case.setVisible(has_cases)
        self.open_case_button.setVisible(has_cases)

    def _list(self, cases: dict[str, str]) -> None:
        """Offer cases, each with its status; of thousands only what changed is written anew."""
        before, self._listed = self._listed, cases
        if list(before) != list(cases):
            chosen = self.case.currentData()
            self.case.clear()
            for case_id, status in cases.items():
                self.case.addItem(f"{case_id} ({status})", case_id)
            self.case.setCurrentIndex(max(0, self.case.findData(chosen)))
            return
        for place, (case_id, status) in enumerate(cases.items()):
            if before[case_id] != status:
                self.case.setItemText(place, f"{case_id} ({status})")

    def set_busy(self, why_not: str) -> None:
        """Enable the buttons, or disable them for this reason."""
        set_ready(self.open_button, why_not)
        set_ready(self.open_case_button, why_not)

    def _open(self, folder: Path, then: Callable[[], object] = lambda: None) -> None:
        def enter(dataset: Dataset) -> None:
            self._enter(dataset)
            then()

        title = "Opening the dataset"
        self._runner.start(
            title,
            lambda: as_job(title, lambda: _opened(folder)),
            on_result=enter,
        )

    def _reopen(self) -> None:
        """Open the last dataset again where it is still there; the reader is not kept waiting."""
        folder, session = self.folder.value(), self._session
        if folder is None or not self.at_start.isChecked() or session.dataset is not None:
            return

        def enter(dataset: Dataset | None) -> None:
            is_wanted = session.dataset is None and not session.is_at_work
            if dataset is not None and is_wanted and self.folder.value() == folder:
                session.dataset = dataset

        title = "Opening the last dataset"
        self.reopening.start(title, lambda: as_job(title, lambda: _found(folder)), on_result=enter)

    def _refresh_close(self) -> None:
        set_ready(self.close_button, "" if self._session.source else "No case is open")

    def _enter(self, dataset: Dataset) -> None:
        remember("dataset", str(dataset.folder))
        self._autosave.close_case()  # with what was painted while the folder was read
        self._session.dataset = dataset


def _found(folder: Path) -> Dataset | None:
    """The dataset in a folder; None where there is none, or none that can be opened."""
    with suppress(InputError, OSError):
        dataset = Dataset.open(folder)
        dataset.notes()
        return dataset
    return None


def _opened(folder: Path) -> Dataset:
    dataset = Dataset.open_or_create(folder)
    dataset.notes()  # reads every mask once, which would hold the window
    return dataset
