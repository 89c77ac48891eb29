"""Segment the tumor of an exam in a viewer, from a script: the call that the form is made of."""

# Annotations are read when they are written: magicgui makes fields of them.

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import InputError
from ...core.progress import Job, Progress, drain
from ...core.region import Region
from ...core.volume import Exam, LabelMap
from ...model.checkpoint import Checkpoint
from ...predict.prediction import Prediction
from ...registry.models import Registry
from ..canvas.layers import show_labels, tumor_layer, volume_of
from ..canvas.view import box_region, go_to_tumor, slice_region
from ..parts.forms import Device, Model
from ..state.drafting import Part, needed_phases, with_region
from ..state.sources import Source, exam_of, key_of, sources

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["predicting", "region_of", "segment_tumor"]


def segment_tumor(
    viewer: "napari.viewer.Viewer",
    exam: Source | None = None,
    *,
    part: Part = "breasts",
    threshold: float = 0.5,
    model: Model | None = None,
    beside: int = 5,
    device: Device = "auto",
    mirror: bool = False,
) -> "napari.layers.Labels":
    """A model's outline of the tumor, as the layer "<case> tumor" of the viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    exam : Source or napari.layers.Image, optional
        One of its exams, or an image layer; by default the only one, or the one of the active
        layer.
    part : str
        "breasts", "whole", "slice" (the one on the screen) or "box" (the rectangle drawn last).
    threshold : float
        Probability from which a voxel is tumor, 0 to 1.
    model : Path or str, optional
        Checkpoint folder, registered name or "starter"; by default the default model.
    beside : int
        Slices on each side of a box.
    device : str
        auto, cpu, cuda or mps.
    mirror : bool
        Average with the mirrored image.

    Returns
    -------
    napari.layers.Labels
        0 background, 1 tumor. Outside a slice or box it stays as it was.

    Raises
    ------
    InputError
        If there is no such exam or model, or the exam lacks a phase the model needs.
    """
    source = exam if isinstance(exam, Source) else _source_of(viewer, exam)
    folder = Registry().chosen(model)
    phases = needed_phases(folder)
    roles = {phases[0]: source.layers["post1"]} if source.is_foreign and len(phases) == 1 else None
    shown = exam_of(viewer, source, roles)
    region = region_of(viewer, source, shown, part, beside)
    job = predicting(
        folder,
        shown,
        region,
        threshold=threshold,
        device=device,
        mirror=mirror,
        breasts_only=None if part == "breasts" else False,
    )
    prediction = drain(job)
    before = tumor_layer(viewer, source.case_id)
    mask = None if before is None else volume_of(before)
    labels = with_region(mask, prediction.label_map.data, region)
    show_labels(viewer, source, LabelMap(labels, prediction.label_map.grid))
    go_to_tumor(viewer, source, np.asarray(labels))
    return tumor_layer(viewer, source.case_id)


def region_of(
    viewer: "napari.viewer.Viewer", source: Source, exam: Exam, part: Part, beside: int
) -> Region | None:
    """The voxels of a part of an exam, None for all of them.

    Raises
    ------
    InputError
        If it is a box and none is drawn, or a slice and none is shown.
    """
    if part == "slice":
        return slice_region(viewer, source, exam)
    return box_region(viewer, source, exam, beside) if part == "box" else None


def predicting(
    folder: Path,
    exam: Exam,
    region: Region | None,
    loaded: dict[tuple[Path, str], Checkpoint] | None = None,
    **settings: Any,
) -> Job[Prediction]:
    """Load a model, unless it is the one in `loaded`, and predict; torch is loaded here."""
    yield Progress("Loading the model", 0, 0)
    from ...model import checkpoint
    from ...predict import prediction

    loaded = {} if loaded is None else loaded
    key = folder, checkpoint.read_info(folder).weights_sha256
    if key not in loaded:
        loaded.clear()
        loaded[key] = checkpoint.load(folder)
    return (yield from prediction.predict(loaded[key], exam, region=region, **settings))


def _source_of(viewer: "napari.viewer.Viewer", layer: Any) -> Source:
    """The exam of a layer; without one, of the active layer, or the only exam."""
    known = sources(viewer)
    wanted = viewer.layers.selection.active if layer is None else layer
    for one in known:
        if wanted is not None and key_of(wanted) in one.layers.values():
            return one
    if layer is None and len(known) == 1:
        return known[0]
    raise InputError(
        "Expected one exam to segment",
        f"found {len(known)} in the viewer" if layer is None else "that layer is no image of it",
        "Open one, or name the image layer",
    )
