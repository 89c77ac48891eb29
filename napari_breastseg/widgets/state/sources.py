"""What in a viewer can be segmented, and the exam its layers make.

A layer made by this package carries its case, role and grid in ``layer.metadata["breastseg"]``;
layers of other readers are taken as they are. Layers are known by napari's own id of them: a name
is the reader's to change. Loads no torch and no Qt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.volume import SAME_VOXELS, Exam, Grid, Volume, phase_order, require_numbers

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

__all__ = [
    "Source",
    "case_id_of",
    "earlier_layers",
    "exam_of",
    "fingerprint",
    "first_layer",
    "grid_noted",
    "is_open",
    "key_of",
    "layer_of",
    "note_of",
    "opened_twice",
    "plain_grid",
    "shape_of",
    "sources",
]

_CASE_ID = "breastseg case"
"""In the metadata of another reader's layer: the case id it was given, and its key."""

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
    """Key of the layer (`key_of`) by role; a foreign one's is "post1" until the user says so."""

    is_foreign: bool = False
    fingerprint: str = ""
    """Tells exams of one name apart, see `fingerprint`; empty for a foreign layer."""

    def is_same_exam(self, other: Source | None) -> bool:
        """Whether another source is this exam, with whichever layers."""
        mine = (self.case_id, self.fingerprint)
        return other is not None and mine == (other.case_id, other.fingerprint)


def key_of(layer: Any) -> str:
    """What a layer is known by as long as it lives, whatever it is called."""
    return str(layer.unique_id)


def layer_of(viewer: Viewer, key: str) -> Any:
    """The layer of a key; None once it is gone."""
    return next((layer for layer in viewer.layers if key_of(layer) == key), None)


def first_layer(viewer: Viewer, source: Source) -> Any:
    """The layer of a source's first phase; None once it is gone."""
    return layer_of(viewer, next(iter(source.layers.values())))


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
    """Exams and image layers of other readers, in the order of the layer list."""
    from napari.layers import Image

    exams: dict[str, dict[str, str]] = {}
    newest = _newest(viewer)
    others: list[Image] = []
    for layer in viewer.layers:
        if not isinstance(layer, Image):
            continue
        note = note_of(layer)
        if note.get("role") and note.get("case_id"):
            if note.get("fingerprint", "") != newest[note["case_id"]]:
                continue
            exams.setdefault(note["case_id"], {}).setdefault(note["role"], key_of(layer))
        elif not note:
            others.append(layer)
    ours = []
    for case_id, layers in exams.items():
        roles = sorted(layers, key=phase_order)
        title = f"{case_id} ({', '.join(roles) if len(roles) < 3 else f'{len(roles)} phases'})"
        layers = {role: layers[role] for role in roles}
        ours.append(Source(case_id, title, layers, fingerprint=newest[case_id]))
    return ours + _foreign(others, set(exams))


def _foreign(layers: Sequence[Image], taken: set[str]) -> list[Source]:
    """Sources of layers of other readers, each under the case id that it was first given.

    An id comes from the layer's name. It is kept with the layer, so that a new name makes no other
    case of it, and is no other source's.
    """
    found = []
    for layer in layers:
        key, case_id = key_of(layer), case_id_of(layer)
        if case_id is None or case_id in taken:
            case_id = _free_id(_id_of(layer.name), taken)
        layer.metadata[_CASE_ID] = {"case_id": case_id, "layer": key}
        taken.add(case_id)
        found.append(Source(case_id, f"{layer.name} (image layer)", {"post1": key}, True))
    return found


def case_id_of(layer: Any) -> str | None:
    """The case id that another reader's layer was given; None before, and for other layers."""
    kept = layer.metadata.get(_CASE_ID, {})
    # A copy of a layer brings what was kept with it, but is another layer.
    return kept["case_id"] if kept.get("layer") == key_of(layer) else None


def _free_id(wanted: str, taken: set[str]) -> str:
    numbered = (f"{wanted}_{number}" for number in count(2))
    return wanted if wanted not in taken else next(one for one in numbered if one not in taken)


def is_open(viewer: Viewer, source: Source) -> bool:
    """Whether all layers of a source are in the viewer, and still hold that exam."""
    found = [layer_of(viewer, key) for key in source.layers.values()]
    return all(
        layer is not None and note_of(layer).get("fingerprint", "") == source.fingerprint
        for layer in found
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


def opened_twice(viewer: Viewer) -> list[Any]:
    """Phases of an exam that lie over the same phases: its file was opened once more.

    Copies that the reader made of a layer, as napari's Duplicate does, are not among them.
    """
    known: set[tuple[str, str, str]] = set()
    found = []
    for layer in viewer.layers:
        note = note_of(layer)
        case_id, role, mark = (note.get(name, "") for name in ("case_id", "role", "fingerprint"))
        if not (case_id and mark and (role == "pre" or role.startswith("post"))):
            continue
        if (case_id, role, mark) in known and " copy" not in layer.name:
            found.append(layer)
        known.add((case_id, role, mark))
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
        Role to the layer's key, for layers of other readers.

    Raises
    ------
    InputError
        If a layer is gone, has colors or axes this package does not know or values that are no
        numbers, or they do not share a grid.
    """
    chosen = dict(roles or source.layers)
    phases: dict[str, Volume] = {}
    first: Image | None = None
    times_s: dict[str, float] = {}
    for role, key in chosen.items():
        if (layer := layer_of(viewer, key)) is None:
            raise InputError(
                f"Expected a layer for phase {role} of {source.case_id}",
                "it is gone",
                "Choose the exam again",
            )
        note = note_of(layer)
        if source.is_foreign and first is not None:
            _require_together(first, layer)
        first = layer if first is None else first
        phases |= _volumes(layer, role)
        if note.get("time_s") is not None:
            times_s[role] = note["time_s"]
    return Exam(source.case_id, phases, times_s)


def _require_together(first: Image, other: Image) -> None:
    """Raise if two layers of other readers, to be phases of one exam, do not lie together."""
    shape = shape_of(first)
    if shape != shape_of(other):
        return  # told when the exam is made
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(len(shape), -1).T
    there = [first.world_to_data(other.data_to_world(corner)) for corner in corners]
    apart = float(np.abs(np.asarray(there) - corners).max())
    if apart > SAME_VOXELS:
        raise InputError(
            f"Expected layer '{other.name}' to lie on layer '{first.name}'",
            f"found it {apart:.2g} voxels away",
            "Move it back, or resample it onto the other one",
        )


def shape_of(layer: Any) -> tuple[int, ...]:
    """Voxels of an image or mask along its axes: without colors, at full resolution."""
    return tuple(int(n) for n in layer.data.shape[: layer.ndim])


def _volumes(layer: Image, role: str) -> dict[str, Volume]:
    data = _grey(layer)
    grid = grid_noted(layer)
    volumes = data[None] if data.ndim == 3 else data[None, None] if data.ndim == 2 else data
    if grid is None or grid.shape != volumes.shape[1:]:
        grid = plain_grid(volumes.shape[1:], tuple(layer.scale), layer.units)
    if len(volumes) == 1:
        return {role: Volume(volumes[0], grid)}
    names = ["pre", *(f"post{number}" for number in range(1, len(volumes)))]
    return {name: Volume(one, grid) for name, one in zip(names, volumes, strict=True)}


def _grey(layer: Image) -> NDArray[Any]:
    """A layer's grey values at full resolution.

    As of files: colors that are equal are grey, values that are no numbers are refused.
    """
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    if layer.rgb:
        red = data[..., 0]
        if not all(np.array_equal(red, data[..., color]) for color in (1, 2)):
            raise InputError(
                f"Expected a grey image in layer '{layer.name}'",
                "found red, green and blue that differ",
                "Convert it to grey; or, if its colors are phases, open its file in the Open step "
                "and name them under More, such as pre,post1,post2",
            )
        data = red
    if data.ndim not in (2, 3, 4):
        raise InputError(
            f"Expected an image of 2 to 4 axes in layer '{layer.name}'",
            f"found {data.ndim}",
            "Open one exam at a time, with its phases along the first axis",
        )
    if data.dtype.kind not in "biuf":
        raise InputError(
            f"Expected real grey values in layer '{layer.name}'",
            f"found {data.dtype}",
            "Export the magnitude image",
        )
    if not note_of(layer):  # ours were looked through when they were read
        require_numbers(data, f"layer '{layer.name}'")
    return data


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
