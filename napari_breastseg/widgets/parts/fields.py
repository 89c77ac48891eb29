"""Small Qt parts the panels are made of: notes, a path field, a form, a fold-away section.

They know nothing of exams or jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .notices import notices_in_sight

__all__ = [
    "Fold",
    "GivenField",
    "PathField",
    "as_note",
    "ask",
    "ask_where",
    "button",
    "counted",
    "draw_now",
    "form",
    "heading",
    "note",
    "scrolled",
    "set_ready",
]


def counted(number: int, thing: str) -> str:
    """A number of things, with the plural.

    Examples
    --------
    >>> counted(1, "case"), counted(12, "case")
    ('1 case', '12 cases')
    """
    return f"{number} {thing}" if number == 1 else f"{number:,} {thing}s"


def note(text: str = "") -> QLabel:
    """A line of small explanatory text that wraps."""
    return as_note(QLabel(text))


def as_note(label: QLabel) -> QLabel:
    """A label made small, one that wraps and can be copied from."""
    label.setWordWrap(True)
    label.setStyleSheet("QLabel { font-size: 11px; }")
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # Long file names without spaces must not widen the dock.
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def heading(text: str) -> QLabel:
    """The title of a group of fields."""
    label = QLabel(text)
    label.setStyleSheet("QLabel { font-weight: bold; margin-top: 6px; }")
    return label


def button(
    text: str, on_click: Callable[[], object], tooltip: str = "", key: str = ""
) -> QPushButton:
    """A push button; its tooltip names its key."""
    made = QPushButton(text)
    made.setProperty("help", f"{tooltip} ({key})" if key else tooltip)
    made.setToolTip(made.property("help"))
    made.clicked.connect(lambda: on_click())
    return made


def set_ready(widget: Any, why_not: str) -> None:
    """Enable a widget of Qt or magicgui, or disable it with the reason as its tooltip."""
    widget = getattr(widget, "native", widget)
    widget.setEnabled(not why_not)
    widget.setToolTip(why_not or widget.property("help") or "")


def form(*rows: tuple[str, QWidget]) -> QFormLayout:
    """Rows of a label and a field, narrow enough for a dock."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(4)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for text, field in rows:
        layout.addRow(text, field)
    return layout


def scrolled(panel: Any) -> QScrollArea:
    """A panel, of Qt or magicgui, that scrolls when the window is not high enough."""
    area = QScrollArea()
    area.setWidget(getattr(panel, "native", panel))
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


def draw_now(widget: QWidget) -> None:
    """Draw the canvas of a widget's window at once."""
    for canvas in widget.window().findChildren(QWidget):
        if canvas.inherits("QOpenGLWidget"):
            canvas.repaint()


def ask(parent: QWidget, title: str, text: str, yes: str, no: str) -> bool:
    """A question with two buttons; whether the first was pressed.

    It stands in the dock where that is in sight, else in a window of its own.
    """
    if (place := notices_in_sight(parent)) is not None:
        return place.ask(title, text, yes, no)
    box = QMessageBox(QMessageBox.Icon.Question, title, text, parent=parent)
    accept = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    box.addButton(no, QMessageBox.ButtonRole.RejectRole)
    box.exec()
    return bool(box.clickedButton() is accept)


def ask_where(parent: QWidget, title: str, name: str, kinds: str) -> Path | None:
    """Where to save a file; None if the reader cancels.

    Parameters
    ----------
    parent : QWidget
    title : str
    name : str
        Proposed.
    kinds : str
        Kinds of files as Qt writes them, such as "Table (*.csv)".
    """
    text, _ = QFileDialog.getSaveFileName(parent, title, name, kinds)
    return Path(text) if text else None


class GivenField(QLineEdit):
    """A field that is text where its value is given and cannot be edited."""

    def setReadOnly(self, is_given: bool) -> None:
        """Show text, or a field to type in."""
        super().setReadOnly(is_given)
        self.setFrame(not is_given)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus if is_given else Qt.FocusPolicy.StrongFocus)
        self.setStyleSheet("QLineEdit { background: transparent; padding: 0; }" if is_given else "")


class PathField(QWidget):
    """A path to type, paste or choose; emits `valueChanged` when it is entered.

    Parameters
    ----------
    placeholder : str
        What to enter here.
    files, folders : bool
        Which file dialogs to offer.
    """

    valueChanged = Signal(object)

    def __init__(self, placeholder: str, *, files: bool = False, folders: bool = True) -> None:
        super().__init__()
        self._placeholder = placeholder
        self._edit = QLineEdit()
        self._edit.setPlaceholderText(placeholder)
        self._edit.returnPressed.connect(self._emit)
        self.setFocusProxy(self._edit)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self._edit, 1)
        if files:
            row.addWidget(self._chooser("File…", self._choose_file))
        if folders:
            row.addWidget(self._chooser("Folder…", self._choose_folder))

    def value(self) -> Path | None:
        """The path, None while the field is empty."""
        text = self._edit.text().strip()
        return Path(text).expanduser() if text else None

    def setValue(self, path: Path | None) -> None:
        """Show a path without emitting `valueChanged`."""
        self._edit.setText("" if path is None else str(path))
        self._edit.setToolTip(self._edit.text())

    def _chooser(self, text: str, choose: Callable[[], str]) -> QToolButton:
        made = QToolButton()
        made.setText(text)
        made.clicked.connect(lambda: self._take(choose()))
        return made

    def _start(self) -> str:
        path = self.value()
        return str(path if path is not None else Path.cwd())

    def _choose_file(self) -> str:
        return str(QFileDialog.getOpenFileName(self, self._placeholder, self._start())[0])

    def _choose_folder(self) -> str:
        return str(QFileDialog.getExistingDirectory(self, self._placeholder, self._start()))

    def _take(self, text: str) -> None:
        if text:
            self._edit.setText(text)
            self._emit()

    def _emit(self) -> None:
        self._edit.setToolTip(self._edit.text())
        self.valueChanged.emit(self.value())


class Fold(QWidget):
    """A section that opens when its title is clicked."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self._title = QToolButton()
        self._title.setText(title)
        self._title.setCheckable(True)
        self._title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._title.setArrowType(Qt.ArrowType.RightArrow)
        self._title.setStyleSheet("QToolButton { border: none; background: transparent; }")
        self._content = content
        self._title.toggled.connect(self.set_open)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._title)
        column.addWidget(content)
        content.setVisible(False)

    def set_title(self, title: str) -> None:
        """Name the section."""
        self._title.setText(title)

    def set_open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self._title.setChecked(is_open)
        arrow = Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow
        self._title.setArrowType(arrow)
        self._content.setVisible(is_open)
