"""The numbers beside napari's sliders, counted from 1 as in reports and everywhere else.

napari counts from 0. Its fields are hidden, and ones that count from 1 stand in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QIntValidator
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from .window_part import WindowPart

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["SliceNumbers"]

_SLIDER = "QtDimSliderWidget"
_NAPARIS_NAME = "slice_label"  # of both fields; the theme styles them by it


class SliceNumbers(WindowPart):
    """Shows and takes slice numbers from 1 beside each slider of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        # napari makes its sliders anew when the number of axes changes.
        super().__init__(viewer, parent, (viewer.dims.events.ndim, viewer.dims.events.range))
        self._fields: dict[int, tuple[QLineEdit, QLabel]] = {}
        viewer.dims.events.current_step.connect(self.refresh)

    def _restore(self) -> None:
        for slider in self._found(_SLIDER):
            self._show_naparis(slider, is_shown=True)
        for fields in self._fields.values():
            for field in fields:
                field.hide()
                field.setObjectName("")  # the next dock must not find it
                field.deleteLater()  # and with it what it is connected to
        self._fields = {}

    def refresh(self, event: object = None) -> None:
        """Show where the viewer is."""
        steps, counts = self._viewer.dims.current_step, self._viewer.dims.nsteps
        for axis, (number, total) in self._fields.items():
            if axis < len(steps):
                if not number.hasFocus():
                    number.setText(str(int(steps[axis]) + 1))
                total.setText(str(int(counts[axis])))

    def _change(self) -> None:
        self._fields = {}
        for slider in self._found(_SLIDER):
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
