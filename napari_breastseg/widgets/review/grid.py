"""Many cases at a time as thumbnails, read with the keyboard: arrows, A and F."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QIdentityProxyModel, QModelIndex, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QPainter, QPen, QPixmap, QResizeEvent, QTextOption
from qtpy.QtWidgets import QAbstractItemView, QListView

from ...dataset import Status, WorklistRow
from ..state.effort import IDLE_S
from ..state.worklist import status_words
from .dock_keys import is_dock_key, is_enter
from .table import WorklistModel
from .thumbnails import SIDE, Thumbnail, Thumbnails

__all__ = ["GridView"]

_BAND = 16
_GAP, _CAPTION = 8, 40
"""Around a picture, and for two lines below it."""

_BANDS = {Status.ACCEPTED: "#009e73", Status.FLAGGED: "#d55e00"}
_OTHER = "#56606b"
_FRAME = "#f0e442"
_DRAWN = 60
"""Pictures kept as they are drawn, 10 MB; a large screen draws more of them anew."""


class GridView(QListView):
    """Thumbnails of the worklist's rows.

    Parameters
    ----------
    model : WorklistModel
    thumbnails : Thumbnails
    clock : callable, optional
        Seconds that only rise; tests give their own.
    """

    accept_asked = Signal(object, object, float)
    """Row, its `Thumbnail`, and the seconds it was the current one."""

    flag_asked = Signal(object)
    open_asked = Signal(object)

    def __init__(
        self,
        model: WorklistModel,
        thumbnails: Thumbnails,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._worklist = model
        self._thumbnails = thumbnails
        self._clock = clock
        self._since = clock()
        self._pictures = _Pictures(model, thumbnails)
        self.setModel(self._pictures)
        self.setProperty("keys", "AF")
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self._fit(SIDE)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.doubleClicked.connect(lambda index: self.open_asked.emit(model.rows[index.row()]))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show two pictures side by side at least."""
        super().resizeEvent(event)
        width = self.viewport().width()
        columns = max(2, width // (SIDE + _GAP))
        self._fit(min(SIDE, width // columns - _GAP))

    def _fit(self, side: int) -> None:
        size = QSize(side, round(side * (SIDE + _BAND) / SIDE))
        if size != self.iconSize():
            self.setIconSize(size)
            self.setGridSize(QSize(side + _GAP, size.height() + _CAPTION))

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Start the clock for the thumbnail that is current now."""
        super().currentChanged(current, previous)
        self._since = self._clock()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A accepts, F flags, Enter opens; the arrows move."""
        row = self._current()
        if is_dock_key(event):
            event.ignore()
        elif row is None or event.modifiers() != Qt.KeyboardModifier.NoModifier:
            super().keyPressEvent(event)
        elif event.key() == Qt.Key.Key_A:
            made = self._thumbnails.get(row)
            seconds = min(self._clock() - self._since, IDLE_S)
            self.accept_asked.emit(row, made, seconds)
        elif event.key() == Qt.Key.Key_F:
            self.flag_asked.emit(row)
        elif is_enter(event):
            self.open_asked.emit(row)
        else:
            super().keyPressEvent(event)

    def go_to_next(self) -> None:
        """Go to the next thumbnail."""
        index = self.currentIndex()
        if index.isValid() and index.row() + 1 < len(self._worklist.rows):
            self.setCurrentIndex(self._pictures.index(index.row() + 1, 0))

    def _current(self) -> WorklistRow | None:
        index = self.currentIndex()
        rows = self._worklist.rows
        return rows[index.row()] if index.isValid() and index.row() < len(rows) else None


class _Pictures(QIdentityProxyModel):
    """The worklist with a picture for each row, asked for as it scrolls into view."""

    def __init__(self, model: WorklistModel, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._worklist = model
        self._thumbnails = thumbnails
        self._drawn: dict[str, tuple[Thumbnail | None, WorklistRow, QIcon]] = {}
        self.setSourceModel(model)
        thumbnails.made.connect(self._on_made)

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """A picture where an icon is asked for."""
        if role == Qt.ItemDataRole.DecorationRole and index.isValid():
            rows = self._worklist.rows
            return self._icon(rows[index.row()]) if index.row() < len(rows) else None
        if role == Qt.ItemDataRole.DisplayRole and index.row() < len(self._worklist.rows):
            row = self._worklist.rows[index.row()]
            return f"{super().data(index, role)}\n{row.patient_id}".rstrip()
        if role == Qt.ItemDataRole.ToolTipRole and index.row() < len(self._worklist.rows):
            made = self._thumbnails.get(self._worklist.rows[index.row()])
            if made is not None and made.agreement:
                return f"{super().data(index, role)}\n{made.agreement} (orange, blue)"
        return super().data(index, role)

    def _icon(self, row: WorklistRow) -> QIcon:
        made = self._thumbnails.get(row)
        drawn = self._drawn.get(row.case_id)
        if drawn is None or drawn[0] is not made or drawn[1] != row:
            pixmap = _draw(row, made)
            icon = QIcon(pixmap)
            # A frame instead of Qt's tint, which would lie over what is being judged.
            icon.addPixmap(_framed(pixmap), QIcon.Mode.Selected)
            drawn = made, row, icon
        self._drawn.pop(row.case_id, None)  # the last one asked for goes last
        self._drawn[row.case_id] = drawn
        while len(self._drawn) > _DRAWN:
            del self._drawn[next(iter(self._drawn))]
        return drawn[2]

    def _on_made(self, case_ids: list[str]) -> None:
        for case_id in case_ids:
            if (place := self._worklist.place(case_id)) is not None:
                index = self.index(place, 0)
                self.dataChanged.emit(index, index)


def _framed(pixmap: QPixmap) -> QPixmap:
    framed = pixmap.copy()
    painter = QPainter(framed)
    painter.setPen(QPen(QColor(_FRAME), 4))
    painter.drawRect(1, 1, framed.width() - 3, framed.height() - 3)
    painter.end()
    return framed


def _draw(row: WorklistRow, made: Thumbnail | None) -> QPixmap:
    pixmap = QPixmap(SIDE, SIDE + _BAND)
    pixmap.fill(QColor("#000000"))
    painter = QPainter(pixmap)
    center = QTextOption(Qt.AlignmentFlag.AlignCenter)
    if made is not None and made.image is not None:
        left, top = (SIDE - made.image.width()) // 2, (SIDE - made.image.height()) // 2
        painter.drawImage(left, top, made.image)
    else:
        painter.setPen(QColor("#cccccc"))
        text = "…" if made is None else "could not be read"
        painter.drawText(QRectF(0, 0, SIDE, SIDE), text, center)
    color = _OTHER if row.is_blinded else _BANDS.get(row.status, _OTHER)
    painter.fillRect(0, SIDE, SIDE, _BAND, QColor(color))
    painter.setPen(QColor("#ffffff"))
    small = painter.font()
    small.setPointSizeF(8.0)
    painter.setFont(small)
    said = status_words(row) if made is None else made.agreement or status_words(row)
    words = painter.fontMetrics().elidedText(said, Qt.TextElideMode.ElideRight, SIDE - 6)
    painter.drawText(QRectF(0, SIDE, SIDE, _BAND), words, center)
    painter.end()
    return pixmap
