"""What the manifest names: reader, writer and sample of napari's own menus.

Loads no torch, and Qt only where a window is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import formats
from ..core.errors import InputError
from ..core.home import SAMPLE, sample_folder
from ..core.volume import TUMOR, Grid, LabelMap, Volume
from .canvas.layers import LayerTuple, image_tuples
from .state.sources import plain_grid

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["get_reader", "open_sample", "write_labels"]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerTuple]] | None:
    """Reader of exams for File > Open and drag and drop; None for what holds no exam.

    Parameters
    ----------
    path : str or sequence of str
        Files or folders.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    kinds = [formats.holds_exam(one) for one in paths]
    if not paths or any(one.is_dir() and not k for one, k in zip(paths, kinds, strict=True)):
        return None
    if "dicom" in kinds and current_window() is not None:
        return _open_in_dock
    return _read


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a mask, on its exam's grid when it has one.

    What the labels of another program's layer mean is not known here: they keep their numbers.

    Raises
    ------
    InputError, StorageError
        As `formats.write_label_map` does.
    """
    labels = np.asarray(data)
    if labels.ndim == 2:
        labels = labels[None]
    note = (attributes.get("metadata") or {}).get("breastseg") or {}
    grid = note.get("grid")
    if not isinstance(grid, Grid) or grid.shape != labels.shape:
        grid = plain_grid(labels.shape, attributes.get("scale"), attributes.get("units"))
    label_map = LabelMap(labels, grid)
    if note.get("role") == "tumor" or label_map.data.max(initial=0) <= TUMOR:
        formats.write_label_map(Path(path), label_map)
    else:
        formats.write_volume(Path(path), Volume(label_map.data, grid))
    return [path]


def open_sample() -> list[LayerTuple]:
    """The synthetic exam of the package, for File > Open Sample."""
    exam = formats.open_exam(sample_folder() / f"{SAMPLE}_0000.nii.gz")
    _follow_current_viewer()
    return image_tuples(exam)


def _read(path: str | Sequence[str]) -> list[LayerTuple]:
    paths = [path] if isinstance(path, str) else path
    tuples: list[LayerTuple] = []
    problems: list[InputError] = []
    done: set[tuple[Path, ...]] = set()
    for one in paths:
        for case in formats.find_cases(Path(one)):
            if case.files in done:  # two files of one set were dropped together
                continue
            done.add(case.files)
            try:
                tuples += image_tuples(formats.read_exam(case))
            except InputError as error:
                problems.append(error)
    if problems and not tuples:
        raise problems[0]
    if problems:
        from napari.utils.notifications import show_warning

        for problem in problems:
            show_warning(str(problem))
    _follow_current_viewer()
    return tuples


def _open_in_dock(path: str | Sequence[str]) -> list[LayerTuple]:
    """Hand DICOM to the Open step, which reads in a thread, asks, and can be canceled.

    It also keeps the path, whose name may be a patient's, out of the layers.
    """
    from .dock import dock_of

    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    dock = dock_of(current_window())
    dock.show_tab("Open")
    # One file of a series is rarely all that is wanted.
    dock.open_panel.open_dropped(paths[0] if paths[0].is_dir() else paths[0].parent)
    return cast("list[LayerTuple]", [(None,)])  # how napari is told that no layers come


def current_window() -> Viewer | None:
    """The current viewer, None where there is no window."""
    from napari import current_viewer

    return cast("Viewer | None", current_viewer())


def _follow_current_viewer() -> None:
    from .canvas.orientation import show_radiologically

    viewer = current_window()
    if viewer is not None:
        show_radiologically(viewer)
