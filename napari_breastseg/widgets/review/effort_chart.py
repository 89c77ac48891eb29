"""What each accepted case cost, in the order of acceptance: does it fall with better models?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from ...dataset import Effort, effort_by_model
from ..parts.chart import Chart, Inks, label_ends
from ..parts.colors import CHART, CHART_OTHER
from ..parts.fields import counted, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["EffortChart"]


@dataclass(frozen=True)
class _Measure:
    title: str
    unit: str
    value: Callable[[Effort], float | None]

    def words(self, value: float) -> str:
        """A value with its unit."""
        number = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        return f"{number} {self.unit}".strip()


_MEASURES = (
    _Measure("Seconds of work", "s", lambda row: row.seconds),
    _Measure("Strokes", "", lambda row: row.strokes),
    _Measure("Added path length, mm", "mm", lambda row: row.added_path_mm),
    _Measure("Added path length, px", "px", lambda row: row.added_path_px),
    _Measure("Voxels changed", "", lambda row: row.voxels_changed),
    _Measure("Findings dropped", "", lambda row: row.findings_dropped),
    _Measure("Slices drafted again", "", lambda row: row.slices_redrafted),
    _Measure(
        "Accepted of what was drafted again, %",
        "%",
        lambda row: None if row.redraft_accepted is None else 100 * row.redraft_accepted,
    ),
    _Measure("Dice of draft and accepted mask", "", lambda row: row.dice_draft),
)


class EffortChart(QWidget):
    """One dot for each case, a line for the median of each model's cases."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[Effort, ...] = ()
        self.measure = QComboBox()
        self.measure.setToolTip("What to draw")
        self.measure.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for measure in _MEASURES:
            self.measure.addItem(measure.title)
        self.measure.currentIndexChanged.connect(lambda _: self._show())
        self.dots = _Dots()
        self.words = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.measure)
        column.addWidget(self.dots)
        column.addWidget(self.words)
        self.set_rows(())

    def set_rows(self, rows: Sequence[Effort]) -> None:
        """Show what these cases cost; those without a draft are left out."""
        self.rows = tuple(row for row in rows if row.model is not None)
        self._show()

    @property
    def points(self) -> list[tuple[float, str]]:
        """Value and model of each case drawn, in order."""
        return [(value, row.model or "") for row, value in self.dots.dots]

    def _show(self) -> None:
        self.dots.show_rows(self.rows, _MEASURES[self.measure.currentIndex()])
        lines = [
            f"{row.model}: {counted(row.cases, 'case')}, {row.seconds:.0f} s, "
            f"Dice of the draft {row.dice_draft:.2f}"
            for row in effort_by_model(self.rows)
            if row.dice_draft is not None
        ]
        self.words.setText("\n".join(lines) or "No draft has been corrected yet.")
        self.dots.setVisible(bool(self.rows))
        self.measure.setVisible(bool(self.rows))


class _Dots(Chart):
    def __init__(self) -> None:
        super().__init__("correction-effort", 120, (52, 8, 8, 18))
        self.dots: list[tuple[Effort, float]] = []
        self._measure = _MEASURES[0]

    def show_rows(self, rows: Sequence[Effort], measure: _Measure) -> None:
        values = ((row, measure.value(row)) for row in rows)
        self.dots = [(row, float(value)) for row, value in values if value is not None]
        self._measure = measure
        self.redraw()

    def plot(self, axes: Axes, inks: Inks) -> None:
        """Plot dots and medians; a new model begins at a dashed line."""
        measure, values = self._measure, [value for _, value in self.dots]
        top = max(values, default=1.0) or 1.0
        last = max(len(values) - 1, 0)
        axes.set(xlim=(-0.5, last + 0.5), ylim=(0, top))
        axes.set_yticks([0, top], [measure.words(value) for value in (0, top)])
        label_ends(axes, "first accepted", "last")
        start = 0
        for model, group in groupby(self.dots, key=lambda dot: dot[0].model):
            cases = [value for _, value in group]
            stop = start + len(cases)
            if start:
                axes.axvline(start - 0.5, color=inks.faint, linestyle="--", linewidth=0.8)
            middle = median(cases)
            axes.plot([start - 0.4, stop - 0.6], [middle, middle], color=CHART_OTHER, linewidth=1.5)
            text = f"{model}: median {measure.words(middle)}"
            self.tell(axes, [start - 0.4, stop - 0.6], [middle, middle], [text, text])
            start = stop
        axes.plot(range(len(values)), values, "o", color=CHART, markersize=4, clip_on=False)
        texts = [f"{row.case_id} ({row.model}): {measure.words(value)}" for row, value in self.dots]
        self.tell(axes, range(len(values)), values, texts)
