"""A strip under the slice slider: which slices were reviewed, which hold tumor and were not.

It is added to napari's own column of sliders. In a napari version without that column there is no
strip, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint, QRectF
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QScrollBar, QSizePolicy, QWidget

from ..state.session import Session
from .view import current_slice

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["SliceMarks"]

REVIEWED_COLOR, TUMOR_COLOR, REDRAFTED_COLOR = "#009e73", "#e69f00", "#56b4e9"
_TOPS = {"reviewed": 0, "redrafted": 1, "tumor": 2, "": 4}
_HEIGHT = 7


class SliceMarks(QWidget):
    """One mark for each slice of the plane shown.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    tumor_slices, redrafted_slices : callable
        Indices along Z that hold tumor, and those that were drafted again and not seen since.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        tumor_slices: Callable[[], Iterable[int]],
        redrafted_slices: Callable[[], Iterable[int]] = lambda: (),
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._tumor_slices = tumor_slices
        self._redrafted_slices = redrafted_slices
        self._column: Any = None
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Slices: green = reviewed, orange = tumor, not reviewed, blue = drafted again from "
            "your corrections and not seen since. Slices that were not reviewed are left out of "
            "training."
        )
        self.setVisible(False)
        session.reviewed_changed.connect(self.refresh)
        session.record_changed.connect(self.refresh)
        for event in (viewer.dims.events.order, viewer.dims.events.ndisplay):
            event.connect(self.refresh)
        viewer.dims.events.ndim.connect(self._put_last)

    def add_to(self, window: QWidget) -> None:
        """Add the strip below the sliders of a window."""
        found = [w for w in window.findChildren(QWidget) if type(w).__name__ == "QtDims"]
        self._column = found[0] if found else None
        self._put_last()

    def take_down(self) -> None:
        """Remove the strip from the window."""
        if self._column is not None:
            self._column.layout().removeWidget(self)
            self._column = None
            self.hide()  # it goes with the window: without a parent it would stay behind

    @property
    def states(self) -> list[str]:
        """Of each slice: "reviewed", "redrafted", "tumor", or "".

        Redrafted ones were changed by a redraft since they were seen; others with tumor were not
        reviewed.
        """
        record = self._session.record
        seen = current_slice(self._viewer, self._session.source)
        if record is None or seen is None or record.grid.shape[seen[0]] == 1:
            return []
        axis = seen[0]
        reviewed = self._session.reviewed_along(axis)
        tumor = frozenset(self._tumor_slices()) if axis == 0 else frozenset()
        redrafted = frozenset(self._redrafted_slices()) if axis == 0 else frozenset()
        return [
            "reviewed"
            if index in reviewed
            else "redrafted"
            if index in redrafted
            else "tumor"
            if index in tumor
            else ""
            for index in range(record.grid.shape[axis])
        ]

    def refresh(self, event: object = None) -> None:
        """Draw again."""
        # The strip stays between two cases: the canvas must not change its size.
        is_wanted = (
            self._column is not None
            and self._session.dataset is not None
            and current_slice(self._viewer, self._session.source) is not None
        )
        if is_wanted == self.isHidden():
            self.setVisible(is_wanted)
        self.update()

    def _put_last(self, event: object = None) -> None:
        if self._column is not None:
            # Sliders that napari makes anew come after what is in the column.
            self._column.layout().removeWidget(self)
            self._column.layout().addWidget(self)
            self.refresh()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a mark for each slice, as long as the slider's track."""
        states = self.states
        if not states:
            return
        painter = QPainter(self)
        left, width = self._track()
        step = width / len(states)
        faint = self.palette().windowText().color()
        faint.setAlpha(45)
        colors = {
            "reviewed": QColor(REVIEWED_COLOR),
            "redrafted": QColor(REDRAFTED_COLOR),
            "tumor": QColor(TUMOR_COLOR),
            "": faint,
        }
        gap = 1.0 if step > 3 else 0.0
        for index, state in enumerate(states):
            # Marks differ in height too, so that the state is not told by color alone.
            top = _TOPS[state]
            place = QRectF(left + index * step, top, max(step - gap, 0.8), _HEIGHT - top)
            painter.fillRect(place, colors[state])
        painter.end()

    def _track(self) -> tuple[float, float]:
        """Left end and width of the visible slider, in this strip's pixels."""
        for slider in self._column.findChildren(QScrollBar):
            if slider.isVisible():
                start = slider.mapTo(self._column, QPoint(0, 0)).x() - self.x()
                return float(start), float(slider.width())
        return 0.0, float(self.width())
