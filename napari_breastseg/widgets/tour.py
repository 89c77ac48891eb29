"""A guided tour of the five steps, offered once and remembered."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from .state.settings import recall, remember

__all__ = ["STEPS", "Tour"]

STEPS = (
    (
        "Open",
        "Open an exam",
        "Drop a DICOM folder, a NIfTI or NRRD file, or image slices anywhere on the window. The "
        "buttons below show each phase and map. No exam at hand? File > Open Sample has a "
        "synthetic one.",
    ),
    (
        "Draft",
        "Let a model draft the outline",
        "Press Draft for the breasts, or Whole, Slice or Box. Move the threshold to "
        "mark more or less. To read without the draft first, tick 'Hide the draft until I ask for "
        "it'.",
    ),
    (
        "Correct",
        "Correct and accept",
        "Go through the list of lesions with Up and Down; K keeps one and D drops it. "
        "Press Start correcting: the brush and the tools are ready, and every edit is saved within "
        "seconds. Accept writes the mask into the dataset folder that the line above the steps "
        "names. Slices you did not review are not used for training, unless you "
        "confirm that you reviewed them.",
    ),
    (
        "List",
        "Go through your cases",
        "Page Down opens the next case in the worklist. Flag a case that cannot be decided, undo "
        "an acceptance, or ask for a second read, blind to the first.",
    ),
    (
        "Train",
        "Make the model better",
        "Fine-tune on the cases you accepted, and use the new model for the next exam. Press ? for "
        "all keyboard shortcuts. This is research software, not a medical device.",
    ),
)
"""The dock's step, title and words of each card."""

_SETTING = "tour"


class Tour(QFrame):
    """A card above the dock's steps that walks through them, and goes back to where it began.

    Parameters
    ----------
    show_step : callable
        Brings a step to the front by its name.
    shown : callable
        Gives the name of the step in front.
    """

    def __init__(self, show_step: Callable[[str], object], shown: Callable[[], str]) -> None:
        super().__init__()
        self._show_step = show_step
        self._shown = shown
        self._began_at = ""
        self._step = 0
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.title = QLabel()
        self.title.setStyleSheet("QLabel { font-weight: bold; }")
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.skip_button = QPushButton("Skip the tour")
        self.skip_button.clicked.connect(lambda: self.end())
        self.back_button = QPushButton("Back")
        self.back_button.clicked.connect(lambda: self._go(self._step - 1))
        self.next_button = QPushButton("Next")
        self.next_button.clicked.connect(lambda: self._go(self._step + 1))
        row = QHBoxLayout()
        row.addWidget(self.skip_button)
        row.addStretch(1)
        row.addWidget(self.back_button)
        row.addWidget(self.next_button)
        column = QVBoxLayout(self)
        column.addWidget(self.title)
        column.addWidget(self.words)
        column.addLayout(row)
        self.setVisible(False)

    def offer(self) -> None:
        """Start the tour unless it was finished or skipped before."""
        if not recall(_SETTING):
            self.start()

    def start(self) -> None:
        """Start the tour at its first step."""
        self.setVisible(True)
        self._began_at = self._shown()
        self._go(0)

    def end(self) -> None:
        """Close the card; it is not offered again."""
        remember(_SETTING, "seen")
        self.setVisible(False)
        if self._shown() == STEPS[self._step][0]:  # else the reader has gone elsewhere
            self._show_step(self._began_at)

    def _go(self, step: int) -> None:
        if step >= len(STEPS):
            self.end()
            return
        self._step = step
        name, title, words = STEPS[step]
        self._show_step(name)
        self.title.setText(f"{step + 1} of {len(STEPS)}: {title}")
        self.words.setText(words)
        self.back_button.setEnabled(step > 0)
        self.skip_button.setVisible(step + 1 < len(STEPS))
        self.next_button.setText("Next" if step + 1 < len(STEPS) else "Done")
