"""Enhancement curves of lesions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...lesions import Lesion
from ..parts.chart import SMALL, Chart, Inks
from ..parts.colors import CHART

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["KineticChart", "clock_words", "phase_places"]

_MOST_CURVES = 12
_LABEL_ROOM = 0.11
"""Share of the axis that a time needs."""


class KineticChart(Chart):
    """Enhancement in % over time, or over the phases where their times are not known.

    The chosen lesion is bright, the others are faint.
    """

    def __init__(self) -> None:
        super().__init__("enhancement", 126, (44, 20, 20, 20))
        self.times_s: dict[str, float] = {}
        """Seconds by role, see `Kinetics.times_s`; empty where they are not known."""

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
        self.times_s = dict(lesions[0].kinetics.times_s) if lesions else {}
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
        places, labels = phase_places(roles, self.times_s)
        axes.set(xlim=(places[0], max(places[-1], places[0] + 1)), ylim=(bottom, top))
        scale = [bottom, (bottom + top) / 2, top]
        axes.set_yticks(scale, [f"{value:.0f} %" for value in scale])
        axes.set_xticks(places, labels)
        axes.set_title(self.chosen or "", loc="left", fontsize=SMALL, color=CHART, pad=6)
        for lesion_id in sorted(self.curves, key=lambda one: one == self.chosen):
            curve = self.curves[lesion_id]
            heights = list(curve.values())
            look: Any = {"color": inks.faint, "linewidth": 0.8}
            if lesion_id == self.chosen:
                look = {"color": CHART, "linewidth": 1.5, "marker": "o", "markersize": 4}
            axes.plot(places[: len(heights)], heights, clip_on=False, **look)
            texts = [
                f"{lesion_id}, {role}{self._when(role)}: {value:.0f} %"
                for role, value in curve.items()
            ]
            self.tell(axes, places[: len(heights)], heights, texts)

    def _when(self, role: str) -> str:
        return f" {clock_words(self.times_s[role])}" if role in self.times_s else ""


def clock_words(seconds: float) -> str:
    """Minutes and seconds.

    Examples
    --------
    >>> clock_words(0), clock_words(121), clock_words(-1371)
    ('0:00', '2:01', '-22:51')
    """
    whole = round(abs(seconds))
    return f"{'-' if seconds < 0 else ''}{whole // 60}:{whole % 60:02d}"


def phase_places(
    roles: Sequence[str], times_s: Mapping[str, float]
) -> tuple[list[float], list[str]]:
    """Where phases stand on the axis, and what is written below them.

    After contrast they stand at their times, in seconds. The phase before contrast may be of any
    time before: it stands one interval ahead. Where a time is not known, all stand at equal steps.

    Examples
    --------
    >>> phase_places(["pre", "post1", "post2"], {"post1": 0.0, "post2": 121.0})
    ([-121.0, 0.0, 121.0], ['pre', '0:00', '2:01'])
    >>> phase_places(["pre", "post1"], {})
    ([0.0, 1.0], ['pre', 'post1'])
    """
    posts = [role for role in roles if role != "pre"]
    times = [float(times_s[role]) for role in posts if role in times_s]
    if len(times) < max(2, len(posts)) or sorted(set(times)) != times:
        return [float(place) for place in range(len(roles))], list(roles)
    ahead = (times[-1] - times[0]) / (len(times) - 1)
    places = [times[0] - ahead, *times] if "pre" in roles else times
    labels, last, room = [], -math.inf, _LABEL_ROOM * (places[-1] - places[0])
    for role, place in zip(roles, places, strict=True):
        is_free = place - last >= room
        labels.append(("pre" if role == "pre" else clock_words(place)) if is_free else "")
        last = place if is_free else last
    return places, labels
