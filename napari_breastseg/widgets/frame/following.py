"""Header and steps follow what the session holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QLineEdit

from ..state.frame import Situation, header_words, steps
from ..state.session import Session
from .header import Header
from .steps import StepBar

__all__ = ["Following"]


class Following(QObject):
    """Brings the line of the header and the states of the steps up to date.

    Parameters
    ----------
    session : Session
    header : Header
    bar : StepBar
    patient, reader : QLineEdit
        Fields of the current case.
    situation : callable
        Gives what the states are told from.
    """

    def __init__(
        self,
        session: Session,
        header: Header,
        bar: StepBar,
        *,
        patient: QLineEdit,
        reader: QLineEdit,
        situation: Callable[[], Situation],
    ) -> None:
        super().__init__(bar)
        self._session = session
        self._header = header
        self._bar = bar
        self._patient = patient
        self._reader = reader
        self._situation = situation
        # Many things change together: show them once, when all are in place.
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self.refresh)
        for signal in (
            session.source_changed,
            session.record_changed,
            session.dataset_changed,
            session.drafts.changed,
        ):
            signal.connect(self.later)
        for field in (patient, reader):
            field.textChanged.connect(self.later)
        self.refresh()

    def follow(self, *signals: Any) -> None:
        """Refresh after these too."""
        for signal in signals:
            signal.connect(self.later)

    def later(self, *_: object) -> None:
        """Refresh as soon as the window has a moment."""
        self._soon.start()

    def stop(self) -> None:
        """Refresh no longer."""
        self._soon.stop()
        self._soon.timeout.disconnect(self.refresh)

    def refresh(self) -> None:
        """Show what is true now."""
        session = self._session
        dataset = session.dataset
        self._header.say(
            header_words(
                session.case_id or "",
                str(self._patient.text()).strip(),
                str(self._reader.text()).strip(),
                "" if dataset is None else dataset.name,
            )
        )
        self._bar.show_steps(steps(self._situation()))
