"""How a dock behaves beside a canvas: keys are the canvas's, the wheel scrolls and changes nothing.

Buttons and lists take no keys, so that Space and the arrows move in the exam whatever was clicked
last. Only a field that is typed in keeps the keys; Enter, Escape, a click elsewhere in the dock, or
one on the canvas, which then paints nothing, gives them back.
"""

from __future__ import annotations

from contextlib import suppress

from qtpy.QtCore import QEvent, QObject, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QListView,
    QMainWindow,
    QPlainTextEdit,
    QScrollArea,
    QScrollBar,
    QTextEdit,
    QWidget,
)

__all__ = ["DockManners", "canvas_of", "is_typed_in"]

_TEXTS = (QLineEdit, QAbstractSpinBox, QPlainTextEdit, QTextEdit)
_TURNED = (QAbstractSpinBox, QComboBox, QAbstractSlider)
"""What the wheel would change."""

_ENDS = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)


def canvas_of(window: QWidget | None) -> QWidget | None:
    """The main canvas of a window; None before there is one."""
    middle = window.centralWidget() if isinstance(window, QMainWindow) else None
    found = [] if middle is None else middle.findChildren(QWidget)
    return next((widget for widget in found if widget.inherits("QOpenGLWidget")), None)


def is_typed_in(widget: QObject | None) -> bool:
    """Whether what is typed goes into this widget: a field whose text can be changed."""
    if isinstance(widget, QComboBox):
        return bool(widget.isEditable())
    return isinstance(widget, _TEXTS) and not widget.isReadOnly() and widget.isEnabled()


class DockManners(QObject):
    """Keeps keys and wheel where a reader expects them, for all there is in a dock.

    Parameters
    ----------
    dock : QWidget
        With all widgets that it comes to have.
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self._canvas: QWidget | None = None
        self._held_back: QMouseEvent | None = None
        self._is_way_back = False
        self._watch(dock)
        application = QApplication.instance()
        assert isinstance(application, QApplication)  # a widget was made
        application.focusChanged.connect(self._on_focus)

    def stop(self) -> None:
        """Leave the canvas alone: the dock is closed."""
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.disconnect(self._on_focus)
        if self._canvas is not None:
            self._canvas.removeEventFilter(self)
            self._canvas = None

    def follow_canvas(self) -> None:
        """Take the canvas of the window that the dock stands in now."""
        if self._canvas is None and (canvas := canvas_of(self._dock.window())) is not None:
            self._canvas = canvas
            canvas.installEventFilter(self)

    def give_keys_to_canvas(self) -> None:
        """Let the next key be the canvas's."""
        if self._canvas is not None:
            self._canvas.setFocus(Qt.FocusReason.OtherFocusReason)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Decide who gets a press, a key or a turn of the wheel."""
        kind = event.type()
        if watched is self._canvas:
            return isinstance(event, QMouseEvent) and self._is_kept_from_canvas(event)
        if kind == QEvent.Type.ChildPolished:
            child = event.child()
            if isinstance(child, QWidget) and not child.isWindow():
                self._watch(child)
        elif kind == QEvent.Type.MouseButtonPress and isinstance(event, QMouseEvent):
            focused = self._dock.window().focusWidget()
            if (
                not _keeps_keys(_under(watched, event))
                and focused is not None
                and focused is not self._canvas
            ):
                self.give_keys_to_canvas()
        elif kind == QEvent.Type.Wheel:
            return self._is_scrolled_past(watched, event)
        elif kind == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._is_for_canvas(watched, event)
        return False

    def _watch(self, widget: QWidget) -> None:
        for one in (widget, *widget.findChildren(QWidget)):
            if one.window() is not widget.window():
                continue  # the list of a combo box, a menu: they take keys while they are open
            one.installEventFilter(self)
            if one.focusProxy() is not None:
                continue  # Qt would set the policy of the other one
            if isinstance(one, QAbstractSpinBox) or is_typed_in(one):
                one.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
            elif isinstance(one, QAbstractItemView):
                if one.focusPolicy() != Qt.FocusPolicy.NoFocus:
                    one.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            else:
                one.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _is_scrolled_past(self, watched: QObject, event: QEvent) -> bool:
        """Hand a turn of the wheel to the panel, unless the field was clicked into."""
        if not isinstance(watched, _TURNED) or isinstance(watched, QScrollBar):
            return False
        if watched.hasFocus():
            return False
        above: QWidget | None = watched.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        if isinstance(above, QScrollArea):
            QApplication.sendEvent(above.verticalScrollBar(), event)
        return True

    def _is_for_canvas(self, watched: QObject, event: QKeyEvent) -> bool:
        """Hand on a key that means the exam, or end the typing."""
        if is_typed_in(watched):
            if event.key() in _ENDS:
                QTimer.singleShot(0, self.give_keys_to_canvas)
            return False
        if not isinstance(watched, QAbstractItemView) or self._canvas is None:
            return False
        if not _means_exam(watched, event):
            return False
        self.give_keys_to_canvas()
        QApplication.sendEvent(self._canvas, event)
        return True

    def _on_focus(self, old: QWidget | None, new: QWidget | None) -> None:
        with suppress(RuntimeError):  # Qt has deleted one of them
            is_from_dock = old is not None and self._dock.isAncestorOf(old)
            self._is_way_back = is_from_dock and new is not None and new is self._canvas
            if is_from_dock and new is not self._canvas:
                QTimer.singleShot(0, lambda: self._on_left(old))

    def _on_left(self, old: QWidget | None) -> None:
        """Qt hands the keys of a field that is hidden or disabled to any other."""
        with suppress(RuntimeError):
            if old is not None and not (old.isVisible() and old.isEnabled()):
                self.give_keys_to_canvas()

    def _is_kept_from_canvas(self, event: QMouseEvent) -> bool:
        """Hold back a click that only gets the keys back; one that becomes a stroke goes on."""
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress:
            is_back, self._is_way_back = self._is_way_back, False
            # The focus moves before the press arrives.
            self._held_back = _copy(event) if is_back else None
            return self._held_back is not None
        held = self._held_back
        if held is None:
            return False
        if kind == QEvent.Type.MouseButtonRelease:
            self._held_back = None
            return True
        if kind == QEvent.Type.MouseMove:
            way = _place(event) - _place(held)
            if way.manhattanLength() < QApplication.startDragDistance():
                return True
            self._held_back = None
            QApplication.sendEvent(self._canvas, held)
        return False


def _under(widget: QObject, event: QMouseEvent) -> QObject:
    """What was pressed: a field that has no use for a press hands it to what it stands in."""
    if isinstance(widget, QWidget):
        return widget.childAt(_place(event)) or widget
    return widget


def _keeps_keys(widget: QObject) -> bool:
    """Whether a click here may take the keys: a field to type in, or a list."""
    parent = widget.parent()
    if isinstance(parent, QAbstractItemView):
        widget = parent  # what was clicked is its viewport
    if isinstance(widget, QLineEdit) and isinstance(parent, (QAbstractSpinBox, QComboBox)):
        widget = parent
    return is_typed_in(widget) or isinstance(widget, QAbstractItemView)


def _means_exam(items: QAbstractItemView, event: QKeyEvent) -> bool:
    """Whether a list leaves a key to the canvas: all it does not say that it uses itself.

    A list that knows letters names them in its property "keys".
    """
    if event.key() == Qt.Key.Key_Space:
        return True
    if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
        return not isinstance(items, QListView)  # of pictures, which stand side by side
    is_letter = bool(event.text()) and event.text().isprintable()
    is_own = event.modifiers() == Qt.KeyboardModifier.NoModifier and event.text().upper() in (
        items.property("keys") or ""
    )
    return is_letter and not is_own


def _place(event: QMouseEvent) -> QPoint:
    return event.position().toPoint() if hasattr(event, "position") else event.pos()


def _copy(event: QMouseEvent) -> QMouseEvent:
    """The event again: Qt deletes its own when the press is done with."""
    place = _place(event)
    on_screen = (
        event.globalPosition() if hasattr(event, "globalPosition") else QPointF(event.globalPos())
    )
    return QMouseEvent(
        event.type(),
        QPointF(place),
        on_screen,
        event.button(),
        event.buttons(),
        event.modifiers(),
    )
