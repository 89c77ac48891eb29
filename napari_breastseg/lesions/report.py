"""The lesion report of a case, written as CSV, JSON or PDF.

Imports matplotlib only inside the function that draws.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.atomic import write_json, write_text
from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.reading import read_json
from ..core.volume import Exam, LabelMap, require_numbers
from ..imaging.breast_region import Breasts, find_breasts
from ..imaging.pictures import save_picture, slice_picture
from . import (
    PE_THRESHOLD_PERCENT,
    Change,
    Lesion,
    LesionReport,
    curve_type_name,
    measure_lesions,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .findings import Findings

__all__ = [
    "ENDINGS",
    "change_words",
    "lesion_report",
    "lesion_side",
    "lesion_words",
    "place_words",
    "read_report",
    "require_ending",
    "write_report",
]

ENDINGS = (".csv", ".json", ".pdf")
"""Endings of the files a report can be written to."""

NOT_A_DEVICE = "Research software, not a medical device. Do not base patient care on this report."

_A4_INCHES = (8.27, 11.69)
_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2")
_MOST_ROWS = 12


def lesion_report(
    exam: Exam,
    label_map: LabelMap,
    *,
    breasts: Breasts | None = None,
    findings: Findings | None = None,
    previous: LesionReport | None = None,
    injection_s: float | None = None,
    pe_threshold_percent: float = PE_THRESHOLD_PERCENT,
) -> Job[LesionReport]:
    """`measure_lesions` with the breast region, found if it is not given; same parameters.

    If not, as in a single slice, or if the region is in doubt, a lesion's quadrant, clock position,
    distance from the nipple and share outside the breasts are not given; a note says why.
    """
    label_map.require_grid(exam.grid, exam.case_id)
    for role, volume in exam.phases.items():
        require_numbers(volume.data, f"{role} of case {exam.case_id}")
    note = ""
    if breasts is None and exam.grid.shape[0] > 1:
        yield Progress("Finding the breasts", 0, 0)
        try:
            breasts = find_breasts(exam)
            note = f"breasts not outlined: {'; '.join(breasts.doubts)}" if breasts.doubts else ""
        except InputError as error:
            note = f"breasts not outlined: {error.found}"
    report = yield from measure_lesions(
        exam,
        label_map,
        breasts=breasts,
        findings=findings,
        previous=previous,
        injection_s=injection_s,
        pe_threshold_percent=pe_threshold_percent,
    )
    return replace(report, notes=(*report.notes, note)) if note else report


def lesion_side(exam: Exam, label_map: LabelMap) -> Job[str | None]:
    """Side of all lesions together, by the breasts in which they lie.

    Returns
    -------
    {"right", "left", "both"} or None
        None if the breasts are not found beyond doubt, or the side of any lesion is not clear.
    """
    yield Progress("Finding the breasts", 0, 0)
    try:
        breasts = find_breasts(exam)
    except InputError:
        return None
    if not breasts.is_trusted:
        return None
    report = yield from measure_lesions(exam, label_map, breasts=breasts)
    sides = {lesion.side for lesion in report.lesions}
    if not sides or not sides <= {"left", "right"}:
        return None
    return "both" if len(sides) == 2 else sides.pop()


def read_report(path: Path) -> LesionReport:
    """Report written as JSON by `write_report`, such as that of a prior visit.

    Raises
    ------
    InputError
        If the file is missing or is not a report.
    """
    try:
        value = read_json(path)
    except (OSError, ValueError):
        raise InputError(
            "Expected the prior visit's report as a JSON file",
            f"found {path.name} missing or not JSON",
            "Make it with 'napari-breastseg report ... --output FILE.json'",
        ) from None
    return LesionReport.from_json(value)


def change_words(change: Change) -> str:
    """Change of a lesion since the prior visit, in words.

    Examples
    --------
    >>> change_words(Change("index", "index", "followed", volume_relative=-0.25))
    'index followed, volume -25%'
    """
    relative = "" if change.volume_relative is None else f", volume {change.volume_relative:+.0%}"
    return f"{change.id} {change.status}{relative}"


def require_ending(path: Path) -> None:
    """Raise unless a report can be written to a file of this name.

    Raises
    ------
    InputError
        Listing the possible endings.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(
            f"Expected a file name ending in {', '.join(ENDINGS)} for the report",
            f"found {path.name}",
            "Choose one of these endings",
        )


def write_report(
    path: str | Path,
    report: LesionReport,
    *,
    exam: Exam | None = None,
    changes: Sequence[Change] = (),
) -> None:
    """Write a report atomically, in the format of the file's ending.

    Parameters
    ----------
    path : str or Path
        `.csv` has one row per lesion and one for the total; `.json` everything, to be read with
        `LesionReport.from_json`; `.pdf` one page for reading.
    report : LesionReport
    exam : Exam, optional
        For the pictures on the page.
    changes : sequence of Change, optional
        Change since the prior visit; not in the CSV file.

    Raises
    ------
    InputError
        If the name has another ending.
    StorageError
        If the file cannot be written.
    """
    path = Path(path)
    require_ending(path)
    ending = path.suffix.lower()
    if ending == ".json":
        write_json(path, report_json(report, changes))
    elif ending == ".csv":
        text = io.StringIO()
        rows = report.rows()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
    else:
        save_picture(_page(report, exam, changes), path)


def report_json(report: LesionReport, changes: Sequence[Change] = ()) -> dict[str, Any]:
    """Content of the JSON file."""
    value = report.to_json()
    if changes:
        value["change"] = [asdict(change) for change in changes]
    return {**value, "disclaimer": NOT_A_DEVICE}


def lesion_words(lesion: Lesion) -> dict[str, str]:
    """A lesion's main measurements as text, by column, for a table.

    Examples
    --------
    >>> lesion_words(Lesion("index", 1200, volume_ml=2.4, diameter_mm=18.04, perpendicular_mm=11.0))
    {'lesion': 'index', 'side': '', 'place': '', 'size': '2.40 mL', 'diameter': '18.0 x 11.0 mm',
     'FTV': '', 'peak': '', 'type': '', 'score': ''}
    """
    if lesion.volume_ml is not None:
        size = f"{lesion.volume_ml:.2f} mL"
    elif lesion.area_mm2 is not None:
        size = f"{lesion.area_mm2:.0f} mm²"
    else:
        size = f"{lesion.volume_px} px"
    kinetics = lesion.kinetics
    functional = lesion.functional_ml
    return {
        "lesion": lesion.id,
        "side": lesion.side or "",
        "place": place_words(lesion),
        "size": size,
        "diameter": _lengths(lesion.diameter_mm, lesion.perpendicular_mm, "mm")
        or _lengths(lesion.diameter_px, lesion.perpendicular_px, "px"),
        "FTV": "" if functional is None else f"{functional:.2f} mL",
        "peak": "" if kinetics.peak_percent is None else f"{kinetics.peak_percent:.0f} %",
        "type": curve_type_name(kinetics.curve_type),
        "score": "" if lesion.score is None else f"{lesion.score:.0%}".replace("%", " %"),
    }


def place_words(lesion: Lesion, *, is_short: bool = True) -> str:
    """Place of a lesion in its breast: quadrant, clock position, distance from the nipple.

    Examples
    --------
    >>> lesion = Lesion("index", 9, quadrant="upper outer", clock=10, nipple_mm=42.3)
    >>> place_words(lesion), place_words(lesion, is_short=False)
    ('UOQ 10 h, 42 mm', "upper outer quadrant, 10 o'clock, 42 mm from the nipple")
    >>> place_words(Lesion("index", 9, quadrant="central", nipple_mm=18.0))
    'central, 18 mm'

    Outside the breasts it says so: a distance from the nipple alone would mislead.

    >>> place_words(Lesion("index", 9, nipple_mm=210.0, outside_share=1.0))
    'outside'
    """
    if lesion.quadrant is None and (lesion.outside_share or 0) > 0.5:
        return "outside" if is_short else "outside the breasts"
    quadrant, clock, mm = lesion.quadrant, lesion.clock, lesion.nipple_mm
    words = []
    if quadrant is not None and quadrant != "central":
        initials = "".join(word[0].upper() for word in quadrant.split())
        words.append(f"{initials}Q" if is_short else f"{quadrant} quadrant")
    elif quadrant is not None:
        words.append(quadrant)
    if clock is not None:
        words.append(f"{clock} h" if is_short else f"{clock} o'clock")
    if is_short and words:
        words = [" ".join(words)]
    if mm is not None:
        words.append(f"{mm:.0f} mm" if is_short else f"{mm:.0f} mm from the nipple")
    return ", ".join(words)


def _lengths(longest: float | None, across: float | None, unit: str) -> str:
    if longest is None:
        return ""
    return f"{longest:.1f} {unit}" if across is None else f"{longest:.1f} x {across:.1f} {unit}"


def _page(report: LesionReport, exam: Exam | None, changes: Sequence[Change]) -> Figure:
    """One portrait page: table, pictures, curves, changes and notes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_A4_INCHES)
    figure.text(0.08, 0.955, f"Lesions of {report.case_id}", fontsize=15, weight="bold")
    figure.text(0.08, 0.937, NOT_A_DEVICE, fontsize=8, color="#a00000")
    shown = report.lesions[:_MOST_ROWS]
    rows = [lesion_words(lesion) for lesion in (*shown, report.total)]
    table_axes = figure.add_axes((0.08, 0.66, 0.84, 0.26))
    table_axes.set_axis_off()
    table = table_axes.table(
        cellText=[list(row.values()) for row in rows],
        colLabels=list(rows[0]),
        loc="upper center",
        cellLoc="left",
        colWidths=[0.12, 0.06, 0.18, 0.1, 0.17, 0.11, 0.08, 0.12, 0.06],
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    if exam is not None:
        for place, lesion in enumerate(report.lesions[:3]):
            axes = figure.add_axes((0.08 + 0.29 * place, 0.44, 0.26, 0.2))
            _draw_lesion(axes, exam, report, lesion)
    curves = figure.add_axes((0.12, 0.2, 0.5, 0.19))
    _draw_curves(curves, shown)
    figure.text(0.66, 0.39, "\n".join(_change_lines(changes)), fontsize=7.5, va="top")
    notes = [*report.nothing_found, *report.notes, *report.total.kinetics.notes]
    if len(report.lesions) > len(shown):
        notes.append(f"{len(report.lesions) - len(shown)} smaller lesions are not listed here")
    notes.append(
        f"FTV: voxels that enhance by {report.pe_threshold_percent:g} % or more in the first phase "
        "after contrast; lengths run between voxel centers, within a slice"
    )
    figure.text(0.08, 0.15, "\n".join(f"- {note}" for note in notes), fontsize=7.5, va="top")
    return figure


def _draw_lesion(axes: Any, exam: Exam, report: LesionReport, lesion: Lesion) -> None:
    role = next((r for r in exam.phases if r != "pre"), next(iter(exam.phases)))
    z = lesion.diameter_z or 0
    mask = np.zeros(exam.grid.shape[1:], bool)
    if report.labels is not None:
        mask = report.labels[z] == 1 + report.lesions.index(lesion)
    slice_picture(axes, exam.phases[role], z, mask, _COLORS[report.lesions.index(lesion)])
    axes.set_title(f"{lesion.id}, {role}, slice {z + 1}", fontsize=8)


def _draw_curves(axes: Any, lesions: Sequence[Lesion]) -> None:
    is_drawn = False
    for lesion, color in zip(lesions, _COLORS, strict=False):
        curve = lesion.kinetics.curve_percent
        if not curve:
            continue
        is_drawn = True
        axes.plot(list(curve), list(curve.values()), "o-", color=color, label=lesion.id, ms=4)
    axes.set_ylabel("enhancement, %", fontsize=8)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if is_drawn:
        axes.legend(fontsize=7, frameon=False)
    else:
        axes.text(0.5, 0.5, "no enhancement curve", ha="center", fontsize=8)


def _change_lines(changes: Sequence[Change]) -> list[str]:
    if not changes:
        return []
    lines = ["Since the prior visit"]
    for change in changes:
        if change.status != "followed":
            lines.append(f"{change.id}: {change.status}")
            continue
        parts = [
            f"{name} {relative:+.0%}"
            for name, relative in (
                ("volume", change.volume_relative),
                ("diameter", change.diameter_relative),
                ("FTV", change.functional_relative),
            )
            if relative is not None
        ]
        was = f" (was {change.prior_id})" if change.prior_id != change.id else ""
        lines.append(f"{change.id}{was}: {', '.join(parts) or 'no size to compare'}")
    return lines
