"""Which model is the default: set after the check on locked patients, without it, or back again.

Shows what the gate says; decides nothing.
"""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...dataset import Dataset
from ...model.checkpoint import STARTER
from ...registry.judgment import Judgment
from ...registry.models import Registry
from ...registry.promotion import Promotion, promote, registered
from ..parts import colors as _colors
from ..parts.fields import button, heading, note, set_ready
from ..parts.jobs import JobRunner, as_job, errors_shown, show_info
from ..parts.model_field import ModelField
from ..state.default_model import verdict_title, why_not_go_back, why_not_set_default
from ..state.session import Session

__all__ = ["GateBox"]


class GateBox(QFrame):
    """A card: a model, what the locked patients say of it, and what to do with it.

    Parameters
    ----------
    session : Session
        Whose dataset's locked patients judge.
    runner : JobRunner
        Runs the work; the one of the panel the box stands in.
    use_button : QWidget, optional
        Uses a new model here; stands first in the row.
    """

    promoted = Signal(object)
    """Folder of the model that is the default now; the starter's when none is promoted."""

    def __init__(
        self, session: Session, runner: JobRunner, use_button: QWidget | None = None
    ) -> None:
        super().__init__()
        self._session = session
        self._runner = runner
        self.model = ModelField(name="model")
        self.model.changed.connect(lambda _: self._show_model())
        self.promote_button = button(
            "Make default",
            self.promote,
            "Compare it with the default on the dataset's locked patients, and set it as default "
            "if it is better, or not worse",
            "Ctrl-Shift-PageUp",
        )
        self.by_hand_button = button(
            "Make default all the same",
            self.promote_by_hand,
            "Set it as default on your own judgment, whatever the locked patients say",
        )
        self.back_button = button(
            "Back",
            self.roll_back,
            "Make the previous default model the default again",
            "Ctrl-Shift-PageDown",
        )
        self.verdict = heading("")
        self.judgment_line = note()
        row = QHBoxLayout()
        if use_button is not None:
            row.addWidget(use_button)
        row.addWidget(self.promote_button, 1)
        row.addWidget(self.back_button)
        self.setObjectName("verdict")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        column = QVBoxLayout(self)
        for widget in (self.model.native, self.verdict, self.judgment_line):
            column.addWidget(widget)
        column.addLayout(row)
        column.addWidget(self.by_hand_button)
        runner.started.connect(lambda _: self.refresh())
        runner.ended.connect(lambda _: self.refresh())
        self._show_model()

    def reset_choices(self) -> None:
        """Read the registry again."""
        self.model.reset_choices()
        self.refresh()

    def promote(self) -> None:
        """Check the chosen model on the locked patients; set it as default if it passes."""
        with errors_shown():
            folder, dataset = self.model.value, self._session.dataset
            why_not = self._why_not() or self._no_dataset()
            if folder is None or dataset is None or why_not:
                raise InputError(
                    "Expected a model to check and a dataset with locked patients",
                    "not everything is ready",
                    why_not or "Choose a model first",
                )
            self._runner.start(
                "Checking the model",
                lambda: _judge(folder, dataset),
                on_result=self._on_judged,
            )

    def promote_by_hand(self) -> None:
        """Set the chosen model as default without the check."""
        with errors_shown():
            if (folder := self.model.value) is None:
                raise InputError("Expected a model", "none is chosen", "Choose one first")
            self._runner.start(
                "Setting the default",
                lambda: as_job("Setting the default", lambda: _by_hand(folder)),
                on_result=self._on_default,
            )

    def roll_back(self) -> None:
        """Go back to the previous default model, or to the starter."""
        self._runner.start(
            "Going back",
            lambda: as_job("Going back", lambda: Registry().rollback() or STARTER),
            on_result=self._on_default,
        )

    def _on_judged(self, promotion: Promotion) -> None:
        entry = promotion.entry
        if entry.is_promoted:
            self._on_default(entry.path)
        else:
            self.model.value = entry.path
            self.reset_choices()
            show_info(f"Model {entry.name} was not set as default; the Train step says why.")
        self._show_judgment(promotion.judgment)

    def _on_default(self, folder: Path) -> None:
        self.model.value = folder
        self.reset_choices()
        name = "The starter" if folder == STARTER else f"Model {folder.name}"
        show_info(f"{name} is now the default.")
        self.promoted.emit(folder)

    def _show_model(self) -> None:
        folder, registry = self.model.value, Registry()
        is_known = folder is not None and folder.parent == registry.folder
        judgment = registry.judgment(folder.name) if folder is not None and is_known else None
        self._show_judgment(judgment)
        self.refresh()

    def _show_judgment(self, judgment: Judgment | None) -> None:
        """The verdict and why; all figures in the tooltip."""
        self.verdict.setText(verdict_title(judgment))
        self.verdict.setVisible(judgment is not None)
        color = _colors.DONE if judgment is not None and judgment.passes else _colors.WORSE
        border = "palette(mid)" if judgment is None else color
        self.setStyleSheet(f"#verdict {{ border: 1px solid {border}; border-radius: 6px; }}")
        self.by_hand_button.setVisible(judgment is not None and not judgment.passes)
        self.judgment_line.setVisible(judgment is not None)
        self.judgment_line.setText("" if judgment is None else judgment.describe())
        figures = () if judgment is None else judgment.figures
        self.judgment_line.setToolTip("\n".join(str(figure) for figure in figures))

    def _why_not(self) -> str:
        with errors_shown():
            obstacle = self._busy or self.model.problem
            return obstacle or why_not_set_default(self.model.value, Registry())
        return ""

    @property
    def _busy(self) -> str:
        return "Busy; wait a moment" if self._runner.is_running else ""

    def _no_dataset(self) -> str:
        return "" if self._session.dataset is not None else "Open a dataset folder first"

    def refresh(self) -> None:
        """Enable what can be done now."""
        why_not = self._why_not()
        set_ready(self.promote_button, why_not or self._no_dataset())
        set_ready(self.by_hand_button, why_not)
        set_ready(self.back_button, self._busy or why_not_go_back(Registry()))


def _judge(folder: Path, dataset: Dataset) -> Job[Promotion]:
    """In the worker's thread: torch and MONAI are loaded here."""
    yield Progress("Loading PyTorch", 0, 0)
    registry = Registry()
    entry = registered(registry, folder)
    return (yield from promote(registry, entry.name, [dataset]))


def _by_hand(folder: Path) -> Path:
    registry = Registry()
    entry = registered(registry, folder)
    return registry.promote(entry.name, force=True).path
