"""What in a viewer can be segmented, and the exam its layers make.

A layer made by this package carries its case, role and grid in ``layer.metadata["breastseg"]``;
layers of other readers are taken as they are. Loads no torch and no Qt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import InputError
from ...core.volume import Exam, Grid, Volume, phase_order

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

__all__ = [
    "Source",
    "earlier_layers",
    "exam_of",
    "fingerprint",
    "grid_noted",
    "is_open",
    "note_of",
    "plain_grid",
    "sources",
]

_MM_PER_UNIT = {"millimeter": 1.0, "micrometer": 1e-3, "centimeter": 10.0, "meter": 1e3}


def note_of(layer: Any) -> dict[str, Any]:
    """What this package wrote about a layer; empty for layers of other readers."""
    note = layer.metadata.get("breastseg")
    return note if isinstance(note, dict) else {}


def grid_noted(layer: Any) -> Grid | None:
    """The grid this package wrote about a layer; None for layers of other readers."""
    grid = note_of(layer).get("grid")
    return grid if isinstance(grid, Grid) else None


@dataclass(frozen=True)
class Source:
    """Something in the viewer that can be segmented: an exam, or a layer of another reader."""

    case_id: str
    title: str
    """What the user reads."""

    layers: Mapping[str, str]
    """Layer name by role; the role of a foreign layer is "post1" until the user says so."""

    is_foreign: bool = False
    fingerprint: str = ""
    """Tells exams of one name apart, see `fingerprint`; empty for a foreign layer."""

    def is_same_exam(self, other: Source | None) -> bool:
        """Whether another source is this exam, with whichever layers."""
        mine = (self.case_id, self.fingerprint)
        return other is not None and mine == (other.case_id, other.fingerprint)


def fingerprint(exam: Exam) -> str:
    """Hash of an exam's voxels and grid: a case id is a file's name, and two exams may share it."""
    digest = hashlib.blake2b(digest_size=16)
    grid = exam.grid
    affine = np.round(grid.affine, 3) + 0.0  # no -0: files keep affines in single precision
    digest.update(f"{grid.shape} {grid.has_spacing} {affine.tolist()}".encode())
    for role, volume in exam.phases.items():
        digest.update(role.encode())
        for plane in volume.data:
            # Single precision is what a dataset keeps of an exam.
            digest.update(np.ascontiguousarray(plane, np.float32).data)
    return digest.hexdigest()


def sources(viewer: Viewer) -> list[Source]:
    """Exams and foreign image layers of a viewer, in the order of its layer list."""
    from napari.layers import Image

    exams: dict[str, dict[str, str]] = {}
    newest = _newest(viewer)
    foreign: list[Source] = []
    for layer in viewer.layers:
        if not isinstance(layer, Image):
            continue
        note = note_of(layer)
        if note.get("role") and note.get("case_id"):
            if note.get("fingerprint", "") != newest[note["case_id"]]:
                continue
            exams.setdefault(note["case_id"], {})[note["role"]] = layer.name
        elif not note and not layer.rgb and not layer.multiscale:
            title = f"{layer.name} (image layer)"
            foreign.append(Source(_id_of(layer.name), title, {"post1": layer.name}, True))
    ours = []
    for case_id, layers in exams.items():
        roles = sorted(layers, key=phase_order)
        title = f"{case_id} ({', '.join(roles) if len(roles) < 3 else f'{len(roles)} phases'})"
        layers = {role: layers[role] for role in roles}
        ours.append(Source(case_id, title, layers, fingerprint=newest[case_id]))
    return ours + foreign


def is_open(viewer: Viewer, source: Source) -> bool:
    """Whether all layers of a source are in the viewer, and still hold that exam."""
    names = source.layers.values()
    return all(
        name in viewer.layers
        and note_of(viewer.layers[name]).get("fingerprint", "") == source.fingerprint
        for name in names
    )


def earlier_layers(viewer: Viewer) -> list[Any]:
    """Layers, masks included, of exams that another exam of the same name came after."""
    newest = _newest(viewer)
    found = []
    for layer in viewer.layers:
        note = note_of(layer)
        case_id = note.get("case_id")
        if case_id in newest and note.get("fingerprint", "") != newest[case_id]:
            found.append(layer)
    return found


def _newest(viewer: Viewer) -> dict[str, str]:
    """Fingerprint of each case's last image layer: napari adds new ones at the end."""
    from napari.layers import Image

    notes = [note_of(layer) for layer in viewer.layers if isinstance(layer, Image)]
    return {n["case_id"]: n.get("fingerprint", "") for n in notes if n.get("case_id")}


def exam_of(viewer: Viewer, source: Source, roles: Mapping[str, str] | None = None) -> Exam:
    """Exam made of the layers as they are now; nothing is copied.

    Parameters
    ----------
    viewer : napari.Viewer
    source : Source
    roles : mapping of str to str, optional
        Role to layer name, for layers of other readers.

    Raises
    ------
    InputError
        If a layer is gone, has axes this package does not know, or they do not share a grid.
    """
    chosen = dict(roles or source.layers)
    phases: dict[str, Volume] = {}
    times_s: dict[str, float] = {}
    for role, name in chosen.items():
        if name not in viewer.layers:
            raise InputError(
                f"Expected layer '{name}' for phase {role}", "it is gone", "Choose the exam again"
            )
        layer = viewer.layers[name]
        note = note_of(layer)
        phases |= _volumes(layer, role)
        if note.get("time_s") is not None:
            times_s[role] = note["time_s"]
    return Exam(source.case_id, phases, times_s)


def _volumes(layer: Image, role: str) -> dict[str, Volume]:
    data = np.asarray(layer.data)
    if layer.rgb or layer.multiscale or data.ndim not in (2, 3, 4):
        raise InputError(
            f"Expected a grey image of 2 to 4 axes in layer '{layer.name}'",
            "it is a color image" if layer.rgb else f"it has {data.ndim} axes",
            "Convert it to grey, or open the file through the Open tab",
        )
    grid = grid_noted(layer)
    volumes = data[None] if data.ndim == 3 else data[None, None] if data.ndim == 2 else data
    if grid is None or grid.shape != volumes.shape[1:]:
        grid = plain_grid(volumes.shape[1:], tuple(layer.scale), layer.units)
    if len(volumes) == 1:
        return {role: Volume(volumes[0], grid)}
    names = ["pre", *(f"post{number}" for number in range(1, len(volumes)))]
    return {name: Volume(one, grid) for name, one in zip(names, volumes, strict=True)}


def plain_grid(shape: Sequence[int], scale: Any, units: Any) -> Grid:
    """Grid of a layer that nobody noted one for: the layer's scale, no orientation."""
    z, y, x = (int(n) for n in shape)
    sizes = [abs(float(s)) for s in (scale if scale is not None else ())][-3:]
    sizes = [1.0] * (3 - len(sizes)) + sizes
    names = [str(unit) for unit in (units if units is not None else ())][-3:]
    factors = [_MM_PER_UNIT.get(name) for name in names]
    is_known = bool(factors) and None not in factors
    if is_known:
        last = [factor or 1.0 for factor in factors]
        sizes = [s * f for s, f in zip(sizes, [1.0] * (3 - len(last)) + last, strict=True)]
    # Readers that give a scale without a unit mean mm; a scale of 1 says nothing.
    has_spacing = is_known or any(size != 1.0 for size in sizes)
    return Grid((z, y, x), np.diag([*sizes, 1.0]), has_spacing, has_orientation=False)


def _id_of(name: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")
    return cleaned[:100] or "layer"
