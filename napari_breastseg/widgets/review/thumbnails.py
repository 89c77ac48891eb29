"""Thumbnails of a worklist's cases with their masks outlined, made as they scroll into view.

Made in a thread, a few at a time, the ones asked for last first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QImage

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.volume import Exam, LabelMap
from ...dataset import Dataset, WorklistRow
from ...imaging.intensity import intensity_window
from ...imaging.pictures import shown_role
from ..canvas.orientation import radiological_order, screen_orientation
from ..parts.jobs import JobRunner
from .read_outlines import OTHER, OUTLINE, draw_outline, read_outlines

__all__ = ["OUTLINE", "SIDE", "Thumbnail", "Thumbnails", "thumbnail"]

SIDE = 136
"""Longer side in pixels: two fit into a dock as wide as it opens."""

_AT_ONCE = 6
_KEPT = 100
"""More than fit on a screen, 5.5 MB."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A case's picture, and the mask it shows."""

    case_id: str
    changed_s: float
    image: QImage | None
    """None when the case cannot be read."""

    mask: LabelMap | None
    """What an Accept of this picture accepts; None for volumes and for cases without a mask."""

    z: int = 0
    is_blinded: bool = False
    """Whether it was made for a reader who may not see the first outline."""

    agreement: str = ""
    """Of a case read twice: who, and their Dice."""

    reads_changed_s: float = 0.0
    """When the readers' outlines changed last before it was made."""


class Thumbnails(QObject):
    """The pictures made so far."""

    made = Signal(object)
    """Case ids of new pictures, and of those that were forgotten."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runner = JobRunner(self)
        self._dataset: Dataset | None = None
        self._annotator = ""
        self._hides_drafts = False
        self._kept: dict[str, Thumbnail] = {}
        self._wanted: dict[str, WorklistRow] = {}
        self.runner.ended.connect(lambda outcome: None if outcome == "done" else self._start())

    def set_dataset(
        self, dataset: Dataset | None, annotator: str, hides_drafts: bool = False
    ) -> None:
        """Forget the pictures of another folder, and what this reader may not see in them."""
        folder = None if dataset is None else dataset.folder
        before = None if self._dataset is None else self._dataset.folder
        asked_for = (folder, annotator, hides_drafts)
        is_other = asked_for != (before, self._annotator, self._hides_drafts)
        self._dataset, self._annotator, self._hides_drafts = dataset, annotator, hides_drafts
        if is_other:
            forgotten, self._kept, self._wanted = list(self._kept), {}, {}
            self.made.emit(forgotten)

    def get(self, row: WorklistRow) -> Thumbnail | None:
        """A case's picture as it is now; one that is missing is made soon."""
        kept = self._kept.get(row.case_id)
        made_of = None if kept is None else (kept.changed_s, kept.is_blinded, kept.reads_changed_s)
        # A second read changes no record.
        if made_of == (row.changed_s, row.is_blinded, row.reads_changed_s):
            return kept
        if row.case_id not in self._wanted:
            self._wanted[row.case_id] = row
            self._start()
        return kept

    def _start(self) -> None:
        if self.runner.is_running or self._dataset is None or not self._wanted:
            return
        rows = [self._wanted[case_id] for case_id in list(self._wanted)[::-1][:_AT_ONCE]]
        for row in rows:
            del self._wanted[row.case_id]
        dataset, annotator, hides_drafts = self._dataset, self._annotator, self._hides_drafts
        asked_for = (dataset, annotator, hides_drafts)
        self.runner.start(
            "Drawing thumbnails",
            lambda: _making(dataset, rows, annotator, hides_drafts),
            on_result=lambda made: self._on_made(made, asked_for),
        )

    def _on_made(self, made: list[Thumbnail], asked_for: tuple[Dataset, str, bool]) -> None:
        # Another reader may not see what the one before was allowed to.
        if asked_for == (self._dataset, self._annotator, self._hides_drafts):
            self._keep(made)
        else:
            self._start()

    def _keep(self, made: list[Thumbnail]) -> None:
        for one in made:
            self._kept.pop(one.case_id, None)
            self._kept[one.case_id] = one
        for case_id in list(self._kept)[:-_KEPT]:
            del self._kept[case_id]
        self.made.emit([one.case_id for one in made])
        self._start()


def _making(
    dataset: Dataset, rows: list[WorklistRow], annotator: str, hides_drafts: bool
) -> Job[list[Thumbnail]]:
    made: list[Thumbnail] = []
    for row in rows:
        yield Progress("Drawing", len(made), len(rows))
        try:
            made.append(thumbnail(dataset, row, annotator, hides_drafts))
        except InputError:
            made.append(
                Thumbnail(
                    row.case_id,
                    row.changed_s,
                    None,
                    None,
                    is_blinded=row.is_blinded,
                    reads_changed_s=row.reads_changed_s,
                )
            )
    return made


def thumbnail(
    dataset: Dataset, row: WorklistRow, annotator: str, hides_drafts: bool = False
) -> Thumbnail:
    """Picture of a case's slice with the most tumor, outlined as this reader may see it."""
    workspace = dataset.workspace(row.case_id, annotator)
    exam = workspace.exam(row.case_id)
    mask = workspace.recover(row.case_id)
    if mask is None and not (hides_drafts and workspace.case(row.case_id).kept_mask is None):
        mask = workspace.kept_map(row.case_id)
    order = radiological_order(exam.grid)
    both = read_outlines(dataset, row)
    tumor = None if mask is None else mask.tumor
    outlines = [] if tumor is None else [(tumor, OUTLINE)]
    if both is not None:
        tumor = both.first | both.second
        outlines = [(both.first, OUTLINE), (both.second, OTHER)]
    z = exam.grid.shape[order[0]] // 2
    if tumor is not None and tumor.any():
        z = int(np.argmax(tumor.sum(axis=(order[1], order[2]))))
    picture = _picture(exam, outlines, order, z)
    height, width, _ = picture.shape
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    shown = mask if row.n_slices == 1 else None
    words = "" if both is None else both.words
    return Thumbnail(
        row.case_id, row.changed_s, image, shown, z, row.is_blinded, words, row.reads_changed_s
    )


def _picture(
    exam: Exam,
    outlines: Sequence[tuple[NDArray[np.bool_], tuple[int, int, int]]],
    order: tuple[int, int, int],
    z: int,
) -> NDArray[np.uint8]:
    """Colors (Y, X, 3) of one slice, turned as the window turns it."""
    from skimage.transform import resize

    volume = exam.phases[shown_role(exam)]
    plane = volume.data.transpose(order)[z].astype(np.float32)
    low, high = intensity_window([plane], (0.5, 99.7))
    grey = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
    sizes = np.array(plane.shape) * np.array(exam.grid.voxel_size)[list(order[1:])]
    shape = tuple(int(max(8, round(SIDE * size / sizes.max()))) for size in sizes)
    grey = resize(grey, shape, order=1, anti_aliasing=True)
    colors = np.repeat((255 * grey).astype(np.uint8)[..., None], 3, axis=2)
    for tumor, color in outlines:
        marked = tumor.transpose(order)[z].astype(np.float32)
        draw_outline(colors, resize(marked, shape, order=1) >= 0.5, color)
    view = screen_orientation(exam.grid, order)
    if view is not None and view.vertical == "up":
        colors = colors[::-1]
    if view is not None and view.horizontal == "left":
        colors = colors[:, ::-1]
    return np.ascontiguousarray(colors)
