"""The settings of the correction tools: scope, distance, tolerance, level, least size."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QSpinBox,
    QWidget,
)

from .tool_list import SCOPES, ScopeKind

__all__ = ["ToolSettings"]


class ToolSettings(QWidget):
    """Fields that say where and how far the tools work.

    Scope and distance stand in a row here, the others with the tool they are for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scope = QComboBox()
        for kind in SCOPES:
            self.scope.addItem(f"scope: {kind}", kind)
        self.scope.setToolTip(
            "Tool scope (H: next). 'lesion' is the one under the mouse for a key, the one last "
            "clicked for a button, otherwise the nearest in the slice"
        )
        self.distance = QDoubleSpinBox()
        self.distance.setDecimals(1)
        self.distance.setRange(0.1, 50.0)
        self.distance.setValue(1.0)
        self.distance.setSingleStep(0.5)
        self.distance.setPrefix("by ")
        self.distance.setToolTip("For Grow, Shrink and Smooth")
        self.tolerance = _percent("tolerance ", 100, 40)
        self.tolerance.setToolTip(
            "How much darker than the click: 50 % is half way down to its surroundings"
        )
        self.level = _percent("level ", 500, 70)
        self.level.setToolTip(
            "Threshold brush: enhancement in %; without a pre-contrast phase, brightness in % of "
            "the exam's range"
        )
        self.only_enhancing = QCheckBox("only what enhances")
        self.only_enhancing.setToolTip(
            "Smart click: mark the tissue that enhances alone, without a dead core and the gaps "
            "between, not the outline that a hand would draw"
        )
        self.least = QSpinBox()
        self.least.setRange(1, 100_000)
        self.least.setValue(20)
        self.least.setToolTip("Marks smaller than this are dropped; 20 mm3 are 3.4 mm across")
        self.beside = QSpinBox()
        self.beside.setRange(0, 500)
        self.beside.setValue(5)
        self.beside.setPrefix("± ")
        self.beside.setSuffix(" slices")
        self.beside.setToolTip("How many slices on both sides of the rectangle the box includes")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.scope, 1)
        row.addWidget(self.distance, 1)

    @property
    def kind(self) -> ScopeKind:
        """The scope."""
        return SCOPES[self.scope.currentIndex()]

    def next_scope(self) -> None:
        """Choose the next scope."""
        self.scope.setCurrentIndex((self.scope.currentIndex() + 1) % len(SCOPES))

    def set_unit(self, unit: str) -> None:
        """Give distances in "mm" or "px", and sizes in mm3 or pixels."""
        self.distance.setSuffix(f" {unit}")
        self.least.setSuffix(" mm³" if unit == "mm" else f" {unit}")


def _percent(prefix: str, highest: int, value: int) -> QSpinBox:
    made = QSpinBox()
    made.setRange(0, highest)
    made.setPrefix(prefix)
    made.setSuffix(" %")
    made.setValue(value)
    return made
