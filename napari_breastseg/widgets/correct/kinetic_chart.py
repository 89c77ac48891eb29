"""Enhancement curves of lesions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...lesions import Lesion
from ..parts.chart import SMALL, Chart, Inks
from ..parts.colors import CHART

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["KineticChart"]

_MOST_CURVES = 12


class KineticChart(Chart):
    """Enhancement in % over the phases; the chosen lesion bright, the others faint."""

    def __init__(self) -> None:
        super().__init__("enhancement", 140, (44, 20, 16, 20))
        self.curves: dict[str, dict[str, float]] = {}
        """Lesion id to role to enhancement in %."""

        self.chosen: str | None = None

    def show_lesions(self, lesions: Sequence[Lesion], chosen: str | None) -> None:
        """Show the curves of lesions; hidden without any."""
        self.curves = {
            lesion.id: dict(lesion.kinetics.curve_percent)
            for place, lesion in enumerate(lesions)
            if lesion.kinetics.curve_percent and (place < _MOST_CURVES or lesion.id == chosen)
        }
        self.chosen = chosen or next(iter(self.curves), None)
        self.setVisible(bool(self.curves))
        self.redraw()

    def plot(self, axes: Axes, inks: Inks) -> None:
        """Plot the curves, the chosen one above the others."""
        if not self.curves:
            return
        values = [value for curve in self.curves.values() for value in curve.values()]
        top = max(50.0, 50 * math.ceil(max(values) / 50))
        bottom = min(0.0, 50 * math.floor(min(values) / 50))
        roles = list(next(iter(self.curves.values())))
        axes.set(xlim=(0, max(1, len(roles) - 1)), ylim=(bottom, top))
        scale = [bottom, (bottom + top) / 2, top]
        axes.set_yticks(scale, [f"{value:.0f} %" for value in scale])
        axes.set_xticks(range(len(roles)), roles)
        axes.set_title(self.chosen or "", loc="left", fontsize=SMALL, color=CHART, pad=6)
        for lesion_id in sorted(self.curves, key=lambda one: one == self.chosen):
            curve = self.curves[lesion_id]
            heights = list(curve.values())
            look: Any = {"color": inks.faint, "linewidth": 0.8}
            if lesion_id == self.chosen:
                look = {"color": CHART, "linewidth": 1.5, "marker": "o", "markersize": 4}
            axes.plot(range(len(heights)), heights, clip_on=False, **look)
            texts = [f"{lesion_id}, {role}: {value:.0f} %" for role, value in curve.items()]
            self.tell(axes, range(len(heights)), heights, texts)
