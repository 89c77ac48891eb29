"""What the window tells and asks, in place and in full: above the bar at the dock's foot.

napari's own notifications cut a text of three parts to its first line. They are used where no dock
is in sight.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from qtpy.QtCore import QEvent, QEventLoop, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .colors import ERROR, FRAME

__all__ = ["Notices", "notices_in_sight"]

_INFO_STAYS_MS = 8000


class Notices(QWidget):
    """One error, one piece of news and one question at a time; each leaves room when it is gone."""

    told = Signal(str)
    """A text that was told."""

    def __init__(self) -> None:
        super().__init__()
        self.error = _Card(ERROR)
        self.news = _Card(FRAME)
        self.question = _Card(FRAME, can_close=False)
        self._fading = QTimer(self, singleShot=True, interval=_INFO_STAYS_MS)
        self._fading.timeout.connect(self.news.hide)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for card in (self.error, self.news, self.question):
            column.addWidget(card)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        _MADE.add(self)

    def tell(self, text: str, *, is_error: bool = False) -> None:
        """Show news for some seconds, or an error until it is closed or another one comes."""
        if is_error:
            self.error.show_text(text)
        else:
            self.news.show_text(text)
            self._fading.start()
        self.told.emit(text)

    def clear(self) -> None:
        """Take away what was told."""
        self.error.hide()
        self.news.hide()

    def ask(self, title: str, text: str, yes: str, no: str) -> bool:
        """Ask, and let nothing else be done in the window until it is answered.

        Escape and closing the window mean no.
        """
        self.news.hide()  # it would only take room from what is asked about
        loop = QEventLoop()
        answers: list[bool] = []

        def answer(is_yes: bool) -> None:
            answers.append(is_yes)
            loop.quit()

        self.question.show_text(
            f"{title}\n{text}", (no, lambda: answer(False)), (yes, lambda: answer(True))
        )
        guard = _Guard(self.question, lambda: answer(False))
        try:
            loop.exec()
        finally:
            guard.stop()
            self.question.hide()
        return bool(answers) and answers[0]


_MADE: weakref.WeakSet[Notices] = weakref.WeakSet()


def notices_in_sight(window: QWidget | None = None) -> Notices | None:
    """Where to tell something: in this window, else in any; None when none of them is in sight."""
    shown = []
    for made in list(_MADE):
        try:
            parent = made.parentWidget()
            if parent is not None and parent.isVisible():
                shown.append(made)
        except RuntimeError:  # its window is gone
            _MADE.discard(made)
    if window is not None:
        return next((made for made in shown if made.window() is window.window()), None)
    return max(shown, key=lambda made: made.window().isActiveWindow(), default=None)


class _Card(QFrame):
    """A text that wraps, buttons under it, and a cross that closes it."""

    def __init__(self, color: str, *, can_close: bool = True) -> None:
        super().__init__()
        self.setObjectName("card")
        self.setStyleSheet(f"QFrame#card {{ border: none; border-left: 4px solid {color}; }}")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.close_button = QToolButton()
        self.close_button.setText("\u2715")
        self.close_button.setToolTip("Close")
        self.close_button.setStyleSheet("QToolButton { border: none; padding: 2px 4px; }")
        self.close_button.clicked.connect(self.hide)
        self.close_button.setVisible(can_close)
        self.buttons: list[QPushButton] = []
        self._row = QHBoxLayout()
        self._row.addStretch(1)
        top = QHBoxLayout()
        top.setSpacing(2)
        top.addWidget(self.text, 1)
        top.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 3, 2, 3)
        column.setSpacing(3)
        column.addLayout(top)
        column.addLayout(self._row)
        self.hide()

    def show_text(self, text: str, *buttons: tuple[str, Callable[[], object]]) -> None:
        """Show a text and its buttons."""
        self.text.setText(text)
        for old in self.buttons:
            self._row.removeWidget(old)
            old.deleteLater()
        self.buttons = []
        for words, act in buttons:
            made = QPushButton(words)
            made.clicked.connect(lambda _=False, act=act: act())
            self.buttons.append(made)
            self._row.addWidget(made)
        self.show()


_KEPT_OUT = frozenset(
    {
        QEvent.Type.MouseButtonPress,
        QEvent.Type.MouseButtonRelease,
        QEvent.Type.MouseButtonDblClick,
        QEvent.Type.Wheel,
        QEvent.Type.KeyPress,
        QEvent.Type.KeyRelease,
        QEvent.Type.Shortcut,
        QEvent.Type.ShortcutOverride,
        QEvent.Type.ContextMenu,
        QEvent.Type.DragEnter,
        QEvent.Type.Drop,
        QEvent.Type.Close,
    }
)


class _Guard(QObject):
    """While a question stands, only its card takes clicks and keys."""

    def __init__(self, card: QWidget, refuse: Callable[[], object]) -> None:
        super().__init__()
        self._card = card
        self._refuse = refuse
        application = QApplication.instance()
        assert application is not None  # a widget was made
        application.installEventFilter(self)

    def stop(self) -> None:
        """Let the window work again."""
        if (application := QApplication.instance()) is not None:
            application.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep clicks and keys out of all but the card."""
        if event.type() not in _KEPT_OUT or not isinstance(watched, QWidget):
            return False
        if watched is self._card or self._card.isAncestorOf(watched):
            return False
        if event.type() == QEvent.Type.Close:
            event.ignore()
            self._refuse()
        elif isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape:
            self._refuse()
        return True
