"""Enhancement maps as layers below the mask; each slice is computed when it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.progress import Job, Progress
from ...core.volume import Exam, Grid
from ...imaging import dce
from ..state.sources import Source, exam_of, layer_of, note_of
from .layers import placement

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = [
    "MAP_CHIPS",
    "Maps",
    "can_subtract",
    "compute_maps",
    "map_layer",
    "show_map",
    "subtraction_layer",
    "subtraction_map",
]

MAP_CHIPS = {
    "sub": ("sub1", "First post-contrast phase minus pre"),
    "PE": ("PE1", "Early enhancement: black up to 30 %, bright from 200 %"),
    "SER": ("SER", "Signal enhancement ratio: below 0.9 persistent, above 1.1 washout"),
    "MIP": ("MIP sub1", "Highest value of the subtraction through all slices"),
}
"""What a chip says, the map it shows, and what that is."""

_SHOWN_MAPS = ("sub1", "PE1", "SER")
_COLORMAPS = {"sub1": "gray", "PE1": "inferno", "SER": "turbo", "MIP sub1": "gray"}
_BLACK = np.array([0.0, 0.0, 0.0, 1.0])
_FIXED_LIMITS = {"PE1": (30.0, 200.0), "SER": (0.1, 2.0)}
_LEAST_RISE = 2
"""In air floors: a map in color is black where the signal rises by less, which is noise."""


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps by name, each with its intensity window, and how far the phases are shifted."""

    layers: dict[str, tuple[Any, tuple[float, float]]]
    shifts: tuple[dce.Shift, ...]


def show_map(
    viewer: Viewer,
    source: Source,
    grid: Grid,
    name: str,
    data: Any,
    limits: tuple[float, float],
    is_visible: bool,
) -> None:
    """Add a map of an exam as layer "<case> <name>", below the mask."""
    from napari.utils.colormaps import ensure_colormap

    active = viewer.layers.selection.active
    colors = ensure_colormap(_COLORMAPS[name])
    if name in _FIXED_LIMITS:
        colors = colors.model_copy(update={"name": f"{colors.name} on black", "low_color": _BLACK})
    under = layer_of(viewer, source.layers.get("post1", next(iter(source.layers.values()))))
    layer = viewer.add_image(
        data,
        name=f"{source.case_id} {name}",
        contrast_limits=limits,
        colormap=colors,
        visible=is_visible,
        metadata={
            "breastseg": {
                "case_id": source.case_id,
                "fingerprint": source.fingerprint,
                "map": name,
                "grid": grid,
            }
        },
        **placement(under),
    )
    if name in _FIXED_LIMITS:
        layer.colorbar.visible = True  # what the colors mean
        layer.colorbar.position = "top_right"
    masks = [i for i, one in enumerate(viewer.layers) if note_of(one).get("role") == "tumor"]
    if masks and masks[0] < viewer.layers.index(layer):
        viewer.layers.move(viewer.layers.index(layer), masks[0])
    viewer.layers.selection.active = active


def map_layer(viewer: Viewer, source: Source, name: str) -> Any:
    """An exam's map that is shown as a layer; None while it is not."""
    for layer in viewer.layers:
        note = note_of(layer)
        of_exam = note.get("case_id") == source.case_id
        if of_exam and note.get("fingerprint") == source.fingerprint and note.get("map") == name:
            return layer
    return None


def subtraction_layer(viewer: Viewer, source: Source, roles: Mapping[str, str] | None) -> Any:
    """The layer first post-contrast minus pre, added if missing; None without both phases."""
    layer = map_layer(viewer, source, "sub1")
    if layer is None and (found := subtraction_map(viewer, source, roles)) is not None:
        values, limits, grid = found
        show_map(viewer, source, grid, "sub1", values, limits, False)
        layer = map_layer(viewer, source, "sub1")
    return layer


def can_subtract(source: Source, roles: Mapping[str, str] | None) -> bool:
    """Whether there is a pre and a first post-contrast phase."""
    return {"pre", "post1"} <= set(roles or source.layers)


def subtraction_map(
    viewer: Viewer, source: Source, roles: Mapping[str, str] | None
) -> tuple[dce.LazyMap, tuple[float, float], Grid] | None:
    """First post-contrast minus pre, with its window and grid; None without both phases."""
    if not can_subtract(source, roles):
        return None
    exam = exam_of(viewer, source, roles)
    pre, post = exam.phases["pre"].data, exam.phases["post1"].data
    values = dce.LazyMap(exam.grid.shape, lambda part: dce.subtraction(pre[part], post[part]))
    return values, _limits(values), exam.grid


def compute_maps(exam: Exam) -> Job[Maps]:
    """Maps of an exam with a pre and a post phase, and how far its phases are shifted."""
    maps = dce.enhancement_maps(exam)
    shifts = yield from dce.estimate_shifts(exam)
    yield Progress("Computing maps", 0, 0)
    layers: dict[str, tuple[Any, tuple[float, float]]] = {}
    least = _LEAST_RISE * dce.tissue_floor(exam)
    for name in _SHOWN_MAPS:
        if name in maps:
            if name in _FIXED_LIMITS:
                maps[name] = dce.where_enhancing(maps[name], maps["sub1"], least)
            layers[name] = (maps[name], _FIXED_LIMITS.get(name) or _limits(maps[name]))
    highest = dce.projection(maps["sub1"])
    # The same picture in every slice, without its memory.
    layers["MIP sub1"] = (
        np.broadcast_to(highest, exam.grid.shape),
        (0.0, max(float(np.percentile(highest, 99.8)), 1.0)),
    )
    return Maps(layers, shifts)


def _limits(values: dce.LazyMap) -> tuple[float, float]:
    step = max(1, round((values.size / 1e6) ** (1 / 3)))
    sample = np.stack([values[z, ::step, ::step] for z in range(0, values.shape[0], step)])
    return 0.0, max(float(np.percentile(sample, 99.7)), 1.0)
