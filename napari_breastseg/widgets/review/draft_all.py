"""Draft all to do: the model's draft, and the Dice it expects, for each case not worked on yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from ...core.errors import InputError
from ...core.progress import Job
from ..parts.beside import beside_the_window
from ..parts.fields import button, counted, set_ready
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.session import Session

if TYPE_CHECKING:
    from ...dataset import Dataset
    from ...predict.drafting import Drafting

__all__ = ["DraftAll"]


class DraftAll(QObject):
    """A button, and its job.

    Parameters
    ----------
    session : Session
    runner : JobRunner
    changed : callable
        Called when cases have drafts that had none.
    """

    def __init__(self, session: Session, runner: JobRunner, changed: Callable[[], object]) -> None:
        super().__init__(runner)
        self._session = session
        self._runner = runner
        self._changed = changed
        self.draft: Callable[[Dataset, Path], Job[Drafting]] = _draft
        """Drafts what is to do; called in the worker's thread."""

        self.button = button(
            "Draft all to do",
            self.run,
            "Draft every case not worked on yet with the model of the Draft step; go on reading",
        )
        self.refresh()

    def run(self) -> None:
        """Draft them, one after the other."""
        with errors_shown():
            if why_not := self._why_not():
                raise InputError("Expected cases to draft", why_not, "Then try again")
            dataset, model = self._session.dataset, self._session.model
            assert dataset is not None  # `_why_not` said so
            assert model is not None
            self._runner.start(
                "Drafting",
                lambda: beside_the_window(lambda: self.draft(dataset, model)),
                on_result=self._show,
            )

    def refresh(self) -> None:
        """Bring the button up to date."""
        set_ready(self.button, self._why_not())

    def _why_not(self) -> str:
        if self._session.dataset is None:
            return "Open a dataset first"
        if self._session.model is None:
            return "Choose a model in the Draft step first"
        return "Busy; wait or cancel" if self._runner.is_running else ""

    def _show(self, done: Drafting) -> None:
        text = f"Drafted {counted(len(done.predicted_dice), 'case')}."
        if done.failed:
            text += f" {counted(len(done.failed), 'case')} could not be drafted:\n" + "\n".join(
                f"{case_id}: {why}" for case_id, why in done.failed.items()
            )
        show_info(text)
        self._changed()


def _draft(dataset: Dataset, model: Path) -> Job[Drafting]:
    """In the worker's thread: torch is loaded here."""
    from ...predict.drafting import draft_cases
    from ...predict.uncertainty import load_members

    return (yield from draft_cases(dataset, load_members(model)))
