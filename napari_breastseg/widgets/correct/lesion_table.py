"""The table of lesions: a row for each, and one for all of them."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ...lesions import Lesion, LesionReport
from ...lesions.report import lesion_words

__all__ = ["LesionTable", "short_text"]

_COLUMNS = ("lesion", "side", "size", "diameter", "type")
_MOST_ROWS_SHOWN = 8


class LesionTable(QTableWidget):
    """Five columns that fit a narrow dock; the tooltip of a row has all figures."""

    chosen = Signal(object)
    """The `Lesion` whose row was selected."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self._report: LesionReport | None = None
        self.setHorizontalHeaderLabels(["Lesion", "Side", "Size", "Longest", "Type"])
        self.setStyleSheet("QTableWidget, QHeaderView { font-size: 11px; }")  # five columns fit
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.itemSelectionChanged.connect(self._on_selection)

    def show_report(self, report: LesionReport | None) -> None:
        """Show the lesions of a report; hidden without one."""
        self._report = report
        rows = [] if report is None else [*report.lesions, report.total]
        self.blockSignals(True)
        self.clearSelection()
        self.setRowCount(len(rows))
        for row, lesion in enumerate(rows):
            words = lesion_words(lesion)
            for column, name in enumerate(_COLUMNS):
                item = QTableWidgetItem(short_text(name, words[name]))
                item.setToolTip(_tooltip(lesion, words))
                if lesion is rows[-1]:
                    item.setFlags(Qt.ItemFlag.ItemIsEnabled)  # the total cannot be selected
                self.setItem(row, column, item)
        self.blockSignals(False)
        shown = min(len(rows), _MOST_ROWS_SHOWN)
        height = self.horizontalHeader().height() + shown * self.rowHeight(0) + 4
        self.setFixedHeight(max(height, 1))
        self.setVisible(report is not None)

    def select_next(self) -> None:
        """Select the next lesion, after the last one the first."""
        if self._report is not None and self._report.lesions:
            self.selectRow((self.currentRow() + 1) % len(self._report.lesions))

    def _on_selection(self) -> None:
        rows = sorted({index.row() for index in self.selectedIndexes()})
        if self._report is not None and rows and rows[0] < len(self._report.lesions):
            self.chosen.emit(self._report.lesions[rows[0]])


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


def _tooltip(lesion: Lesion, words: dict[str, str]) -> str:
    lines = [f"{name}: {text}" for name, text in words.items() if text]
    if lesion.sphericity is not None:
        lines.append(f"sphericity: {lesion.sphericity:.2f}")
    if lesion.kinetics.ser is not None:
        lines.append(f"SER: {lesion.kinetics.ser:.2f}")
    shares = lesion.kinetics.type_shares
    if shares:
        lines.append(", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()))
    return "\n".join(lines)
