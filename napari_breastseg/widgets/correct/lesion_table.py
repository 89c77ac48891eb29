"""The table of findings and lesions: a row for each, and one for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ...lesions import Lesion
from ...lesions.report import lesion_words, place_words
from ..parts.colors import NOT_IN_MASK
from ..state.findings import Decision, Key, Row

__all__ = ["LesionTable", "short_text"]

_COLUMNS = {
    "lesion": "Lesion",
    "side": "",
    "place": "Place",
    "size": "Size",
    "diameter": "Longest",
    "type": "Type",
    "score": "Score",
}
_ML = "mL"
_MOST_ROWS_SHOWN = 8
_STATES = {
    Decision.KEPT: "kept (K again takes that back)",
    Decision.DROPPED: "dropped (D again takes that back)",
}
_NOT_IN_MASK = "not in the mask (K adds it)"


class LesionTable(QTableWidget):
    """Columns that fit a narrow dock; the tooltip of a row has all figures.

    A row that is kept has a check mark, one that is dropped is struck through, one that is not in
    the mask is grey.
    """

    chosen = Signal(object)
    """The `Row` that was selected, or None."""

    keep_pressed = Signal()
    drop_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self._rows: tuple[Row, ...] = ()
        self.setProperty("keys", "KD")
        self.setHorizontalHeaderLabels(list(_COLUMNS.values()))
        self.setStyleSheet("QTableWidget, QHeaderView { font-size: 11px; }")  # all columns fit
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMinimumSectionSize(20)
        header.setStretchLastSection(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.itemSelectionChanged.connect(self._on_selection)

    @property
    def selected(self) -> Row | None:
        """The row selected."""
        places = {index.row() for index in self.selectedIndexes()}
        return next((self._rows[place] for place in places if place < len(self._rows)), None)

    def show_rows(
        self,
        rows: Sequence[Row],
        total: Lesion | None,
        *,
        marked: Collection[Key],
        decided: Mapping[Key, Decision],
    ) -> None:
        """Show rows and a total, or hide the table without one; the row selected stays so.

        Parameters
        ----------
        rows : sequence of Row
        total : Lesion, optional
        marked : collection
            Keys of the rows that are in the mask.
        decided : mapping
            Decisions by key.
        """
        selected = self.selected
        self._rows = tuple(rows)
        self.blockSignals(True)
        # Columns that follow their contents would be measured anew for each cell.
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.clearSelection()
        self.setRowCount(0 if total is None else len(rows) + 1)
        for place, row in enumerate(rows):
            decision = decided.get(row.key, Decision.NONE)
            self._fill(place, row.lesion, decision, is_marked=row.key in marked)
        if total is not None:
            self._fill(len(rows), total, Decision.NONE, is_marked=True)
            for column in range(self.columnCount()):  # the total cannot be selected
                self.item(len(rows), column).setFlags(Qt.ItemFlag.ItemIsEnabled)
        self._choose_columns([row.lesion for row in rows])
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        keys = [row.key for row in rows]
        if selected is not None and selected.key in keys:
            self.selectRow(keys.index(selected.key))
        self.blockSignals(False)
        shown = min(self.rowCount(), _MOST_ROWS_SHOWN)
        height = self.horizontalHeader().height() + shown * self.rowHeight(0) + 4
        self.setFixedHeight(max(height, 1))
        self.setVisible(total is not None)
        if selected is not None and selected.key not in keys:
            self.chosen.emit(None)

    def select_next(self) -> None:
        """Select the next row, after the last one the first."""
        if self._rows:
            now = -1 if self.selected is None else self._rows.index(self.selected)
            self.selectRow((now + 1) % len(self._rows))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keep or drop the row selected by K or D; leave other letters to the window.

        In the window K is a tool, and D belongs to napari's shapes: both mean a row only here.
        """
        is_plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if is_plain and event.key() == Qt.Key.Key_K:
            self.keep_pressed.emit()
        elif is_plain and event.key() == Qt.Key.Key_D:
            self.drop_pressed.emit()
        elif event.text().isprintable() and event.text():
            event.ignore()  # a table would search its text for it
        else:
            super().keyPressEvent(event)

    def _fill(self, place: int, lesion: Lesion, decision: Decision, *, is_marked: bool) -> None:
        words = lesion_words(lesion)
        tooltip = _tooltip(lesion, words, decision, is_marked=is_marked)
        for column, name in enumerate(_COLUMNS):
            text = short_text(name, words[name])
            if name == "lesion" and decision is Decision.KEPT:
                text = f"✓ {text}"
            if name == "size":
                text = text.removesuffix(f" {_ML}")  # the header says it
            item = QTableWidgetItem(text)
            item.setToolTip(tooltip)
            if not is_marked:
                item.setForeground(QColor(NOT_IN_MASK))
            if decision is Decision.DROPPED:
                font = item.font()
                font.setStrikeOut(True)
                item.setFont(font)
            self.setItem(place, column, item)

    def _choose_columns(self, lesions: Sequence[Lesion]) -> None:
        """Hide what is not known of any lesion; the place takes the room of the diameter."""
        is_in_ml = all(lesion.volume_ml is not None for lesion in lesions)
        header = self.horizontalHeaderItem(list(_COLUMNS).index("size"))
        header.setText(_ML if is_in_ml else _COLUMNS["size"])
        has_place = any(place_words(lesion) for lesion in lesions)
        has_score = any(lesion.score is not None for lesion in lesions)
        has_type = any(lesion.kinetics.curve_type for lesion in lesions)
        for name, is_hidden in (
            ("place", not has_place),
            ("diameter", has_place and (has_type or has_score)),
            ("type", not has_type),
            ("score", not has_score),
        ):
            self.setColumnHidden(list(_COLUMNS).index(name), is_hidden)

    def _on_selection(self) -> None:
        self.chosen.emit(self.selected)


def short_text(column: str, words: str) -> str:
    """What fits in a narrow column: R, 18.2 mm, III.

    Examples
    --------
    >>> short_text("side", "right"), short_text("diameter", "18.2 x 9.1 mm")
    ('R', '18.2 mm')
    >>> short_text("type", "III washout")
    'III'
    """
    if column == "side":
        return words[:1].upper()
    if column == "diameter":
        longest, _, across = words.partition(" x ")
        return f"{longest} {across.split()[-1]}" if across else longest
    return words.split(" ")[0] if column == "type" else words


def _tooltip(
    lesion: Lesion, words: Mapping[str, str], decision: Decision, *, is_marked: bool
) -> str:
    lines = []
    if (state := _STATES.get(decision, "" if is_marked else _NOT_IN_MASK)) != "":
        lines.append(state)
    named = {**words, "place": place_words(lesion, is_short=False)}
    lines += [f"{name}: {text}" for name, text in named.items() if text]
    if lesion.sphericity is not None:
        lines.append(f"sphericity: {lesion.sphericity:.2f}")
    if lesion.kinetics.ser is not None:
        lines.append(f"SER: {lesion.kinetics.ser:.2f}")
    shares = lesion.kinetics.type_shares
    if shares:
        lines.append(", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()))
    return "\n".join(lines)
