"""The numbers beside napari's sliders, counted from 1 as in reports and everywhere else.

napari counts from 0. Its fields are hidden, and ones that count from 1 stand in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtGui import QIntValidator
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["SliceNumbers"]

_NAPARIS_NAME = "slice_label"  # of both fields; the theme styles them by it


class SliceNumbers(QObject):
    """Shows and takes slice numbers from 1 beside each slider of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._window: QWidget | None = None
        self._fields: dict[int, tuple[QLineEdit, QLabel]] = {}
        # napari makes its sliders anew when the number of axes changes.
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._add)
        for event in (viewer.dims.events.ndim, viewer.dims.events.range):
            event.connect(self._on_axes)
        viewer.dims.events.current_step.connect(self.refresh)

    def add_to(self, window: QWidget) -> None:
        """Count from 1 beside the sliders of a window."""
        self._window = window
        self._add()

    def take_down(self) -> None:
        """Give napari its own numbers back."""
        self._soon.stop()
        for slider in self._sliders():
            self._show_naparis(slider, is_shown=True)
        for fields in self._fields.values():
            for field in fields:
                field.hide()
                field.setObjectName("")  # the next dock must not find it
                field.deleteLater()  # and with it what it is connected to
        self._fields, self._window = {}, None

    def refresh(self, event: object = None) -> None:
        """Show where the viewer is."""
        steps, counts = self._viewer.dims.current_step, self._viewer.dims.nsteps
        for axis, (number, total) in self._fields.items():
            if axis < len(steps):
                if not number.hasFocus():
                    number.setText(str(int(steps[axis]) + 1))
                total.setText(str(int(counts[axis])))

    def _on_axes(self, event: object = None) -> None:
        if self._window is not None:
            self._soon.start()

    def _sliders(self) -> list[QWidget]:
        if self._window is None:
            return []
        found = self._window.findChildren(QWidget)
        return [widget for widget in found if type(widget).__name__ == "QtDimSliderWidget"]

    def _add(self) -> None:
        self._fields = {}
        for slider in self._sliders():
            number = slider.findChild(QLineEdit, "slice_number")
            total = slider.findChild(QLabel, "slice_count")
            if number is None or total is None:
                number, total = self._made(slider)
            self._fields[int(slider.axis)] = number, total
        self.refresh()

    def _made(self, slider: QWidget) -> tuple[QLineEdit, QLabel]:
        axis, layout = int(slider.axis), slider.layout()
        naparis, naparis_total = self._naparis(slider)
        number, total = QLineEdit(), QLabel()
        number.setObjectName("slice_number")
        total.setObjectName("slice_count")
        number.setValidator(QIntValidator(1, 999_999, number))
        number.setAlignment(Qt.AlignmentFlag.AlignRight)
        number.setFrame(False)
        number.setMaximumWidth(44)
        # A canvas beside others is narrow; napari's style would let "81" become "31".
        number.setStyleSheet("min-width: 36px;")
        number.setToolTip("Slice, counted from 1; type a number to go there")
        number.editingFinished.connect(lambda: self._go_to(axis, number))
        layout.insertWidget(layout.indexOf(naparis), number)
        layout.insertWidget(layout.indexOf(naparis_total), total)
        self._show_naparis(slider, is_shown=False)
        return number, total

    def _go_to(self, axis: int, number: QLineEdit) -> None:
        if number.text():
            self._viewer.dims.set_current_step(axis, int(number.text()) - 1)
        number.clearFocus()
        self.refresh()

    def _naparis(self, slider: QWidget) -> tuple[QWidget, QWidget]:
        return (
            slider.findChild(QLineEdit, _NAPARIS_NAME),
            slider.findChild(QLabel, _NAPARIS_NAME),
        )

    def _show_naparis(self, slider: QWidget, *, is_shown: bool) -> None:
        for field in self._naparis(slider):
            field.setVisible(is_shown)
