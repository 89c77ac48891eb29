"""Charts of a training: loss and Dice as it goes, and the Dice of each held-out case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..parts.chart import SMALL, Chart, Inks, label_ends
from ..parts.colors import CHART, CHART_OTHER, WORSE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_ROWS", "CaseDice", "Curves"]

MOST_ROWS = 12
_SMOOTH = 0.9
_ROW = 15
_NAME_PX, _FIGURES_PX = 110, 92
_NAME_LETTERS = 14


class Curves(Chart):
    """Loss (left scale) and validation Dice (right scale, 0 to 1) over steps."""

    def __init__(self) -> None:
        super().__init__("training", 150, (30, 18, 30, 18))
        self.loss: list[tuple[int, float]] = []
        """Step and running mean of the loss."""

        self.dice: list[tuple[int, float]] = []
        self._total = 1
        self._smoothed = math.nan
        self.setVisible(False)

    def begin(self) -> None:
        """Forget the curves of an earlier run."""
        self.loss, self.dice, self._total, self._smoothed = [], [], 1, math.nan
        self.setVisible(True)
        self.redraw()

    def add(self, step: int, total: int, loss: float | None, dice: float | None) -> None:
        """Add a step's figures; the loss is drawn as a running mean."""
        self._total = max(total, 1)
        if loss is not None:
            before = loss if math.isnan(self._smoothed) else self._smoothed
            self._smoothed = _SMOOTH * before + (1 - _SMOOTH) * loss
            self.loss.append((step, self._smoothed))
        if dice is not None:
            self.dice.append((step, dice))
        self.redraw()

    def plot(self, axes: Axes, inks: Inks) -> None:
        """Plot both curves, each on its own scale."""
        top = max(0.1, math.ceil(5 * max((loss for _, loss in self.loss), default=1.0)) / 5)
        right = axes.twinx()
        axes.set(xlim=(0, self._total), ylim=(0, top))
        right.set(ylim=(0, 1), frame_on=False)
        right.tick_params(length=0, pad=4, labelsize=SMALL, colors=inks.text)
        axes.set_yticks([0, top / 2, top], ["0", "", f"{top:g}"])
        right.set_yticks([0, 1], ["0", "1"])
        label_ends(axes, "0", "" if self._total == 1 else f"{self._total} steps")
        self._curve(axes, "loss", self.loss, "left", color=CHART_OTHER)
        self._curve(right, "Dice", self.dice, "right", color=CHART, marker="o", markersize=3.5)

    def _curve(
        self,
        axes: Axes,
        name: str,
        points: Sequence[tuple[int, float]],
        side: Literal["left", "right"],
        **look: Any,
    ) -> None:
        title = f"{name} {points[-1][1]:.3f}" if points else name
        axes.set_title(title, loc=side, fontsize=SMALL, color=look["color"], pad=4)
        steps, values = [step for step, _ in points], [value for _, value in points]
        axes.plot(steps, values, linewidth=1.3, clip_on=False, **look)
        self.tell(axes, steps, values, [f"step {i}: {name} {value:.3f}" for i, value in points])


class CaseDice(Chart):
    """A row for each case, lowest Dice first: an open dot before, a full one now, from 0 to 1."""

    def __init__(self) -> None:
        super().__init__("dice-of-held-out-cases", _ROW, (_NAME_PX, 2, _FIGURES_PX, 2))
        self.before: dict[str, float] = {}
        self.now: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        """Forget the cases of an earlier run."""
        self.before, self.now = {}, {}
        self.setVisible(False)

    def add(self, step: int, per_case: Mapping[str, float]) -> None:
        """Take the Dice of each case; those of step 0 are of the model that is fine-tuned."""
        if step == 0:
            self.before = dict(per_case)
        else:
            self.now = dict(per_case)
        self.setFixedHeight(_ROW * (len(self.rows()) + (self._hidden > 0)) + 4)
        self.setToolTip("\n".join(self._figures(case) for case in self._cases()))
        self.setVisible(True)
        self.redraw()

    def rows(self) -> list[str]:
        """Cases shown, lowest Dice first."""
        return self._cases()[:MOST_ROWS]

    def plot(self, axes: Axes, inks: Inks) -> None:
        """Plot a row for each case."""
        rows = self.rows()
        lines = range(len(rows))
        words: Any = {"fontsize": SMALL, "color": inks.text, "va": "center_baseline"}
        # Names and figures stand beside the axes, which go from 0 to 1.
        width = max(self.width() - _NAME_PX - _FIGURES_PX, 20)
        name_x, figures_x = -_NAME_PX / width, 1 + 8 / width
        axes.set(
            xlim=(0, 1), ylim=(len(rows) + (self._hidden > 0) - 0.5, -0.5), xticks=[], yticks=[]
        )
        axes.hlines(lines, 0, 1, color=inks.faint, linewidth=0.8)
        before = [self.before.get(case, math.nan) for case in rows]
        now = [self.now.get(case, math.nan) for case in rows]
        colors = [WORSE if new < old else CHART for old, new in zip(before, now, strict=True)]
        axes.hlines(lines, before, now, colors=colors, linewidth=1.5)
        above: Any = {"clip_on": False, "zorder": 3}
        axes.scatter(before, lines, 25, facecolors=[inks.background], edgecolors=colors, **above)
        axes.scatter(now, lines, 25, colors, **above)
        for line, case in enumerate(rows):
            axes.text(name_x, line, _short(case), **words)
            axes.text(figures_x, line, self._change(case), **words)
        for values in (before, now):
            self.tell(axes, values, lines, [self._figures(case) for case in rows])
        if self._hidden:
            axes.text(name_x, MOST_ROWS, f"and {self._hidden} more with a higher Dice", **words)

    @property
    def _hidden(self) -> int:
        return len(self._cases()) - len(self.rows())

    def _cases(self) -> list[str]:
        latest = self.before | self.now
        return sorted(latest, key=lambda case: (latest[case], case))

    def _change(self, case: str) -> str:
        shown = [values.get(case) for values in (self.before, self.now)]
        return " → ".join(f"{value:.2f}" for value in shown if value is not None)

    def _figures(self, case: str) -> str:
        return f"{case}: Dice {self._change(case)}"


def _short(case: str) -> str:
    """A case's name without its middle, where it is too long for its column."""
    if len(case) <= _NAME_LETTERS:
        return case
    return f"{case[: _NAME_LETTERS // 2]}…{case[1 - _NAME_LETTERS // 2 :]}"
