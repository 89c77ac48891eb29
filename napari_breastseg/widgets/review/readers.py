"""Second reads in the List step: ask for them, compare readers and model, make a consensus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from ...dataset import CaseRecord, Dataset
from ..parts.fields import button, counted, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, show, show_info
from ..state.decisions import Changes, changing
from ..state.session import Session

if TYPE_CHECKING:
    from ...scoring.agreement import Agreement, Mean

__all__ = ["ReadersSection", "agreement_words"]

_METHODS = (("staple", "STAPLE"), ("majority", "majority of 3 or more"))


class ReadersSection(QWidget):
    """Ask, compare, merge.

    Parameters
    ----------
    session : Session
    chosen : callable
        Case ids selected in the worklist.
    changed : callable
        Called when cases have changed.
    """

    def __init__(
        self, session: Session, chosen: Callable[[], list[str]], changed: Callable[[], object]
    ) -> None:
        super().__init__()
        self._session = session
        self._chosen = chosen
        self._changed = changed
        self.runner = JobRunner(self)
        self.ask_button = button(
            "Ask for a second read",
            self.ask,
            "Another reader outlines the selected accepted cases without seeing the first outline",
        )
        self.compare_button = button(
            "Compare readers",
            self.compare,
            "Dice, distance and volume difference per pair of readers",
        )
        self.method = QComboBox()
        self.method.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for value, title in _METHODS:
            self.method.addItem(title, value)
        self.merge_button = button(
            "Consensus as draft",
            self.merge,
            "Merge the readers' outlines into one; it becomes a draft to review and accept",
        )
        self.words = note()
        row = QHBoxLayout()
        row.addWidget(self.merge_button)
        row.addWidget(self.method, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.ask_button)
        column.addLayout(row)
        column.addWidget(self.compare_button)
        column.addWidget(JobBar(self.runner, "Ctrl-Shift-X"))
        column.addWidget(self.words)

    def ask(self) -> None:
        """Choose the selected cases for a second read."""
        self._change("Asking", lambda dataset, case_id: dataset.reads.ask(case_id))

    def merge(self) -> None:
        """Make the readers' consensus the draft of the selected cases."""
        from ...scoring.consensus import Method, propose_consensus

        method = Method(self.method.currentData())
        self._change(
            "Merging", lambda dataset, case_id: propose_consensus(dataset, case_id, method)
        )

    def compare(self) -> None:
        """Compare all readers of the dataset."""
        from ...scoring.agreement import agreement

        dataset = self._session.dataset
        if dataset is not None:
            self.runner.start(
                "Comparing readers",
                lambda: agreement(dataset),
                on_result=lambda found: self.words.setText(agreement_words(found)),
            )

    def set_busy(self, why_not: str) -> None:
        """Enable what can be done now."""
        no_dataset = "" if self._session.dataset is not None else "Open a dataset first"
        for one in (self.ask_button, self.merge_button):
            set_ready(one, no_dataset or why_not)
        set_ready(self.compare_button, no_dataset)

    def _change(self, title: str, change: Callable[[Dataset, str], CaseRecord]) -> None:
        dataset, case_ids = self._session.dataset, self._chosen()
        if dataset is not None and case_ids:
            current = self._session.record
            if current is not None and current.case_id in case_ids:
                show_info("A selected case is open: open another case first.")
                return
            self.runner.start(
                title,
                lambda: changing(title, dataset, case_ids, change),
                on_result=self._show_changes,
            )

    def _show_changes(self, changes: Changes) -> None:
        for error in changes.errors:
            show(error)
        if changes.records:
            show_info(f"Done for {counted(len(changes.records), 'case')}.")
        self._changed()


def agreement_words(found: Agreement) -> str:
    """How well the readers agree, and the model with a reader who did not see its draft."""
    lines = []
    for pair in found.pairs:
        text = f"{pair.first} – {pair.second}: Dice {_words(pair.dice)}"
        if pair.hd95_mm is not None:
            text += f", HD95 {pair.hd95_mm.mean:.1f} mm"
        elif pair.hd95_px is not None:
            text += f", HD95 {pair.hd95_px.mean:.1f} px"
        if pair.difference_ml is not None:
            text += f", volume {pair.difference_ml.mean:+.2f} mL"
        text += f"; {counted(pair.n_cases, 'case')}"
        lines.append(text + (" (corrected from that draft)" if pair.is_corrected else ""))
    if found.readers_dice is not None:
        lines.append(f"Two readers: Dice {_words(found.readers_dice)}")
    if found.model_dice is not None:
        lines.append(f"Model and a reader who did not see its draft: {_words(found.model_dice)}")
    return "\n".join(lines)


def _words(mean: Mean) -> str:
    if mean.ci95 is None:
        return f"{mean.mean:.2f}"
    return f"{mean.mean:.2f} ({mean.ci95[0]:.2f} to {mean.ci95[1]:.2f})"
