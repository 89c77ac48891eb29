"""Exams and masks as napari layers, and back.

A layer made here carries its case, role and grid in ``layer.metadata["breastseg"]``; layers of
other readers are used as they are. Loads no torch and no Qt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.volume import BACKGROUND, IGNORE, TUMOR, Exam, Grid, LabelMap
from ...imaging.correction import Edit
from ...imaging.intensity import grey_window
from ...imaging.pictures import shown_role
from ..parts import colors as _colors
from ..state.sources import (
    Source,
    earlier_layers,
    fingerprint,
    first_layer,
    grid_noted,
    note_of,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

__all__ = [
    "LayerTuple",
    "apply_edit",
    "edit_labels",
    "find_layer",
    "grid_of",
    "image_tuples",
    "keep_brush_to",
    "placement",
    "placement_of_grid",
    "placement_on",
    "plane_names",
    "release_earlier_layers",
    "remove_hidden",
    "show_exam",
    "show_labels",
    "tumor_layer",
    "volume_of",
]

LayerTuple = tuple[NDArray[Any], dict[str, Any], str]

_LEAVING = "leaving"
_COLORS = {TUMOR: _colors.TUMOR, IGNORE: _colors.IGNORED}
_PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_PLANES = {"H": "axial", "F": "axial", "A": "coronal", "P": "coronal"}


def image_tuples(
    exam: Exam, limits: tuple[float, float] | None = None, mark: str | None = None
) -> list[LayerTuple]:
    """Layers of an exam: one per phase, one window for all, the first post phase visible."""
    shown = shown_role(exam)
    limits = grey_window(exam) if limits is None else limits
    mark = fingerprint(exam) if mark is None else mark
    return [
        (
            volume.data,
            {
                "name": f"{exam.case_id} {role}",
                "contrast_limits": limits,
                "colormap": "gray",
                "visible": role == shown,
                "metadata": {"breastseg": _note(exam, role, mark)},
                **placement_of_grid(exam.grid),
            },
            "image",
        )
        for role, volume in exam.phases.items()
    ]


def placement_of_grid(grid: Grid) -> dict[str, Any]:
    """Where layers on a grid lie: in mm, or pixels where the spacing is unknown."""
    return {
        "scale": grid.spacing_mm or grid.voxel_size,
        "units": ("mm" if grid.has_spacing else "pixel",) * 3,
        "axis_labels": plane_names(grid) or ("slice", "row", "column"),
        **_unmoved(3),
    }


def plane_names(grid: Grid) -> tuple[str, str, str] | None:
    """The plane of the slices that follow each other along each array axis; None if unknown."""
    ends = grid.end_letters
    if ends is None:
        return None
    first, second, third = (_PLANES.get(start, "sagittal") for start, _ in ends)
    return (first, second, third)


def _unmoved(ndim: int) -> dict[str, Any]:
    return {
        "translate": (0.0,) * ndim,
        "rotate": np.eye(ndim),
        "shear": (0.0,) * (ndim * (ndim - 1) // 2),
        "affine": np.eye(ndim + 1),
    }


def show_exam(
    viewer: Viewer,
    exam: Exam,
    *,
    instead_of: str | None = None,
    limits: tuple[float, float] | None = None,
    mark: str | None = None,
    keeps_masks: bool = False,
    draw: Callable[[], object] = lambda: None,
) -> None:
    """Show an exam, in the image layers of the exam it replaces where they fit.

    Parameters
    ----------
    viewer : napari.Viewer
    exam : Exam
    instead_of : str, optional
        Case id whose layers are replaced; those of `exam.case_id` always are.
    limits, mark : optional
        Its `grey_window` and `fingerprint`, if a worker has computed them already.
    keeps_masks : bool
        Only hide the old masks: removing a layer takes longer than showing the exam.
        `remove_hidden` removes them once the exam is shown.
    draw : callable, optional
        Draws the canvas; called as soon as the phase shown first is in its layer.
    """
    from .orientation import show_radiologically

    show_radiologically(viewer)
    leaving = {exam.case_id, instead_of} - {None}  # layers of no case stay
    old = [layer for layer in viewer.layers if note_of(layer).get("case_id") in leaving]
    new = {
        str(attributes["metadata"]["breastseg"]["role"]): (data, attributes)
        for data, attributes, _ in image_tuples(exam, limits, mark)
    }
    units = placement_of_grid(exam.grid)["units"]
    reused: dict[str, Any] = {}
    for layer in old:
        role = note_of(layer).get("role")
        # Swapping data is several times faster than a new layer. Labels get a new one: the old
        # one's undo history would write into the new exam.
        is_alike = [str(u) for u in layer.units] == [_UNIT_NAMES[u] for u in units]
        if role in new and role not in reused and is_alike and layer.ndim == 3:
            reused[role] = layer
        elif keeps_masks and role in ("tumor", "difference"):
            layer.visible = False
            layer.metadata = {"breastseg": {"role": _LEAVING}}
        else:
            viewer.layers.remove(layer.name)
    first, framed = shown_role(exam), None
    # All get their voxels before any gets its name: a new name makes the dock refresh.
    for role in sorted(reused, key=lambda role: role != first):
        layer, (data, attributes) = reused[role], new[role]
        layer.metadata = attributes["metadata"]
        layer.data = data
        layer.scale = attributes["scale"]
        layer.axis_labels = attributes["axis_labels"]
        if role == first:
            _set_window(layer, data, attributes)
            for other in reused.values():
                other.visible = other is layer
            framed = _center(viewer)
            draw()
    for role, (data, attributes) in new.items():
        if (layer := reused.get(role)) is not None:
            _rename(layer, data, attributes)
        else:
            reused[role] = viewer.add_image(data, **attributes)
    viewer.layers.selection.active = reused[first]
    # Old phases of another size count until all of them have been replaced.
    if framed is None or framed != tuple(viewer.dims.range):
        _center(viewer)
        draw()


def _center(viewer: Viewer) -> tuple[Any, ...]:
    """Show the middle of all layers; returns the range they span."""
    viewer.dims.set_point(
        range(viewer.dims.ndim),
        [(bounds.start + bounds.stop) / 2 for bounds in viewer.dims.range],
    )
    viewer.reset_view()
    return tuple(viewer.dims.range)


def remove_hidden(viewer: Viewer) -> None:
    """Remove the masks that `show_exam` has hidden."""
    for layer in list(viewer.layers):
        if note_of(layer).get("role") == _LEAVING:
            viewer.layers.remove(layer.name)


def _rename(layer: Image, data: NDArray[Any], attributes: Mapping[str, Any]) -> None:
    layer.name = attributes["name"]
    layer.visible = attributes["visible"]
    _set_window(layer, data, attributes)


def _set_window(layer: Image, data: NDArray[Any], attributes: Mapping[str, Any]) -> None:
    if tuple(layer.contrast_limits) == tuple(attributes["contrast_limits"]):
        return
    layer.contrast_limits_range = (
        min(float(data.min()), attributes["contrast_limits"][0]),
        max(float(data.max()), attributes["contrast_limits"][1]),
    )
    layer.contrast_limits = attributes["contrast_limits"]


def release_earlier_layers(viewer: Viewer) -> None:
    """Release layers of an earlier exam of the same name: they stay, but belong to no case."""
    for layer in earlier_layers(viewer):
        layer.metadata = {"breastseg": {"grid": note_of(layer).get("grid")}}
        layer.name = f"{layer.name} (earlier)"


# Masks


def tumor_layer(viewer: Viewer, case_id: str | None) -> Labels | None:
    """The Labels layer "<case> tumor" of a case."""
    return None if case_id is None else find_layer(viewer, "tumor", case_id)


def find_layer(viewer: Viewer, role: str, case_id: str | None = None) -> Any:
    """The lowest layer of a role ("tumor", "box", ...) of a case, or of any; None without one."""
    for layer in viewer.layers:
        note = note_of(layer)
        if note.get("role") == role and case_id in (None, note.get("case_id")):
            return layer
    return None


def placement(layer: Any) -> dict[str, Any]:
    """Where a layer lies in the world, to lay another one exactly on it."""
    return {name: getattr(layer, name) for name in _PLACEMENT}


def show_labels(viewer: Viewer, source: Source, label_map: LabelMap) -> Labels:
    """Show a mask as "<case> tumor"; an existing layer is edited, as one undo step.

    The array is copied: painting must not change a prediction.
    """
    layer = tumor_layer(viewer, source.case_id)
    if layer is not None and volume_of(layer).shape == label_map.data.shape:
        edit_labels(layer, label_map.data)
        return layer
    if layer is not None:
        viewer.layers.remove(layer.name)
    under = first_layer(viewer, source)
    data = label_map.data.copy()
    note = {
        "case_id": source.case_id,
        "fingerprint": source.fingerprint,
        "role": "tumor",
        "grid": label_map.grid,
    }
    where = placement_of_grid(label_map.grid)
    if source.is_foreign:
        where = placement_on(under, min(under.ndim, 3))
        data = data[0] if under.ndim == 2 else data
    layer = viewer.add_labels(
        data,
        name=f"{source.case_id} tumor",
        opacity=0.5,
        colormap=label_colors(_COLORS),
        metadata={"breastseg": note},
        **where,
    )
    keep_brush_to(layer, TUMOR)
    return layer


def keep_brush_to(layer: Labels, *labels: int) -> None:
    """Keep other labels off the brush: napari's M, =, - and the label's field choose any number.

    In a mask a 2 would be read as "not reviewed"; lesions are told apart where they are measured.
    """

    def keep(event: object = None) -> None:
        if layer.selected_label not in (BACKGROUND, *labels):
            layer.selected_label = labels[0]

    layer.events.selected_label.connect(keep)


def label_colors(colors: Mapping[int, str]) -> Any:
    """A napari colormap that gives each label its own color."""
    from napari.utils.colormaps import DirectLabelColormap

    named: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    for label, color in colors.items():
        named[label] = color
    return DirectLabelColormap(color_dict=named)


def volume_of(layer: Labels) -> NDArray[Any]:
    """A Labels layer's array as (Z, Y, X); a view."""
    data: NDArray[Any] = np.asarray(layer.data)
    return data[None] if data.ndim == 2 else data


def grid_of(layer: Labels) -> Grid:
    """A mask's grid; one without spacing where none was noted."""
    return grid_noted(layer) or Grid(volume_of(layer).shape)


def edit_labels(layer: Labels, wanted: NDArray[Any]) -> int:
    """Change a mask to `wanted` (Z, Y, X) as one undo step; returns the voxels changed."""
    # Setting `layer.data` would leave an undo history that belongs to other voxels.
    now = volume_of(layer)
    # Slice by slice: an edit touches few of an exam's slices.
    slices = [z for z in range(len(now)) if not np.array_equal(now[z], wanted[z])]
    z, y, x = np.nonzero(now[slices] != wanted[slices])
    z = np.asarray(slices, int)[z]
    values = wanted[z, y, x]
    changed = (y, x) if layer.ndim == 2 else (z, y, x)
    count = int(y.size)
    if count:
        with layer.block_history():
            layer.data_setitem(changed, values)
    return count


def apply_edit(layer: Labels, edit: Edit) -> None:
    """Change the voxels of an edit, as one undo step."""
    if edit.count:
        with layer.block_history():
            layer.data_setitem(edit.voxels[-layer.ndim :], edit.after)


def placement_on(under: Any, ndim: int) -> dict[str, Any]:
    """Where a layer of `ndim` axes lies exactly on another, which may hold phases besides."""
    where = placement(under)
    if ndim == under.ndim:
        return where
    # A 4D layer holds phases; a mask has the axes of one phase.
    return {
        **_unmoved(ndim),
        "scale": tuple(where["scale"])[-ndim:],
        "translate": tuple(where["translate"])[-ndim:],
        "units": tuple(where["units"])[-ndim:],
        "axis_labels": tuple(where["axis_labels"])[-ndim:],
    }


def _note(exam: Exam, role: str, mark: str) -> dict[str, Any]:
    return {
        "fingerprint": mark,
        "case_id": exam.case_id,
        "role": role,
        "grid": exam.grid,
        "time_s": exam.times_s.get(role),
    }


_UNIT_NAMES = {"mm": "millimeter", "pixel": "pixel"}
