"""Progress of a job: stage, bar, time left, Cancel."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ...core.progress import Progress
from .jobs import JobRunner

__all__ = ["JobBar", "time_words"]


def time_words(seconds: float) -> str:
    """A duration in words.

    Examples
    --------
    >>> time_words(4), time_words(75), time_words(4000)
    ('4 s', '1 min 15 s', '1 h 6 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class JobBar(QWidget):
    """Progress of one `JobRunner`; hidden while nothing runs."""

    def __init__(self, runner: JobRunner, key: str = "") -> None:
        super().__init__()
        self._runner = runner
        self._stage = QLabel()
        self._left = QLabel()
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(14)
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip(f"Stop this job ({key})" if key else "Stop this job")
        self._cancel.clicked.connect(lambda: runner.cancel())
        self._begun = 0.0
        self._stage_name = ""
        words = QHBoxLayout()
        words.addWidget(self._stage, 1)
        words.addWidget(self._left)
        bar = QHBoxLayout()
        bar.addWidget(self._bar, 1)
        bar.addWidget(self._cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(2)
        column.addLayout(words)
        column.addLayout(bar)
        self.setVisible(False)
        runner.started.connect(self._start)
        runner.progressed.connect(self._show)
        runner.canceling.connect(self._say_canceling)
        runner.ended.connect(self._end)

    def _start(self, title: str) -> None:
        self._stage.setText(f"{title}…")
        self._left.setText("")
        self._bar.setRange(0, 0)
        self._cancel.setEnabled(True)
        self._stage_name = ""
        self.setVisible(True)

    def _show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage_name:
            self._stage_name, self._begun = progress.stage, now
        self._bar.setRange(0, progress.total)
        self._bar.setValue(progress.done)
        count = f" {progress.done} of {progress.total}" if progress.total else "…"
        self._stage.setText(progress.stage + count)
        left = progress.metrics.get("seconds_left")
        if left is None and 0 < progress.done < progress.total:
            left = (now - self._begun) / progress.done * (progress.total - progress.done)
        self._left.setText("" if left is None else f"{time_words(left)} left")

    def _say_canceling(self) -> None:
        self._stage.setText("Canceling…")
        self._left.setText("")
        self._cancel.setEnabled(False)

    def _end(self, outcome: str) -> None:
        self.setVisible(False)
