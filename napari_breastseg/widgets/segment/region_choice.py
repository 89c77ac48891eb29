"""Which part of the current exam is segmented: all of it, the breasts, a slice or a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...core.region import Region
from ...core.volume import Exam
from ..canvas.view import box_region, slice_region
from ..parts.fields import button, set_ready
from ..state.sources import Source

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["RegionChoice"]


class RegionChoice(QWidget):
    """Four radio buttons; the box comes with a button to draw it and its slices on each side.

    Parameters
    ----------
    draw_box : callable
        Adds the layer in which the user drags a rectangle.
    """

    def __init__(self, draw_box: Callable[[], object]) -> None:
        super().__init__()
        self.breasts = QRadioButton("Breasts")
        self.breasts.setToolTip(
            "Segment the breasts: nothing outside them, such as the heart, is marked.\n"
            "Where they cannot be outlined reliably the whole exam is segmented, and you are told."
        )
        self.breasts.setChecked(True)
        self.whole = QRadioButton("Whole")
        self.whole.setToolTip("Segment the whole exam, axilla and chest wall included")
        self.slice = QRadioButton("Slice")
        self.slice.setToolTip("Segment the current slice only")
        self.box = QRadioButton("Box")
        self.box.setToolTip("Segment inside a rectangle, on several slices")
        group = QButtonGroup(self)
        first_row = QHBoxLayout()
        first_row.setContentsMargins(0, 0, 0, 0)
        for choice in (self.breasts, self.whole, self.slice, self.box):
            group.addButton(choice)
            first_row.addWidget(choice)
        first_row.addStretch(1)
        self.draw_box = button("Draw box", draw_box, "Drag a rectangle on the image")
        self.beside = QSpinBox()
        self.beside.setRange(0, 500)
        self.beside.setValue(5)
        self.beside.setPrefix("± ")
        self.beside.setSuffix(" slices")
        self.beside.setToolTip("How many slices to add on each side of the rectangle's slice")
        box_row = QWidget()
        second_row = QHBoxLayout(box_row)
        second_row.setContentsMargins(0, 0, 0, 0)
        second_row.addWidget(self.draw_box)
        second_row.addWidget(self.beside, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(first_row)
        column.addWidget(box_row)
        self.box.toggled.connect(box_row.setVisible)
        box_row.setVisible(False)

    def value(self, viewer: Viewer, source: Source, exam: Exam) -> Region | None:
        """The part chosen, None for the whole exam.

        Raises
        ------
        InputError
            If a box is chosen and none is drawn.
        """
        if self.slice.isChecked():
            return slice_region(viewer, source, exam)
        if self.box.isChecked():
            return box_region(viewer, source, exam, self.beside.value())
        return None

    def set_ready(self, why_not: str) -> None:
        """Let a box be drawn, or say why not."""
        set_ready(self.draw_box, why_not)
