"""Smart clicks on the mask: answered beside the window while the button is down, then taken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...clicks.lesion import ClickReader
from ...clicks.prompts import Prompts
from ...core.progress import Job, Progress
from ...core.volume import BACKGROUND, TUMOR, Exam
from ...dataset import ClickRecord
from ...imaging.correction import Edit
from ...model.checkpoint import CLICKS, Checkpoint, clicks_of
from ..canvas.layers import grid_of, tumor_layer, volume_of
from ..canvas.smart_click import SmartClick
from ..parts.beside import beside_the_window
from ..parts.jobs import JobRunner, show_info
from ..state.click_memory import ClickMemory
from ..state.session import Session
from .tool_edits import ToolEdits
from .tool_target import ToolTarget

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["SmartClicks"]

_TITLE = "Outlining the lesion"


class SmartClicks:
    """Asks the click network what is meant, and makes one edit of each click.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    target : ToolTarget
    edits : ToolEdits
    only_enhancing : callable
        Whether only what enhances is asked for.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        target: ToolTarget,
        edits: ToolEdits,
        only_enhancing: Callable[[], bool],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._target = target
        self._edits = edits
        self._only_enhancing = only_enhancing
        self.looking = JobRunner(edits)
        """Runs what is shown while the button is down."""

        self.load: Callable[[Path], Checkpoint] = _load
        """Gives the click network; called in the worker's thread."""

        self._tool: SmartClick | None = None
        self._memory: ClickMemory | None = None
        self._reader: tuple[tuple[Any, ...], ClickReader] | None = None
        self._wanted: tuple[int, Prompts] | None = None

    def tool(self, layer: Labels) -> SmartClick:
        """The tool for the mouse; the network is made ready meanwhile."""
        self._tool = SmartClick(self._viewer, self._look, self._take, lambda: self._target.axis)
        exam = self._target.exam

        def job() -> Job[None]:
            yield Progress("Preparing", 0, 0)
            self._reader_of(exam)

        self.looking.start("Preparing", lambda: beside_the_window(job), on_result=self._next_look)
        return self._tool

    def forget(self) -> None:
        """Forget what was said: another exam is shown."""
        self.looking.cancel()
        self._tool = self._memory = self._reader = self._wanted = None

    def know(self) -> None:
        """Take the mask as it is for one that no hand has corrected."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if self._memory is not None and layer is not None:
            self._memory.know(volume_of(layer))

    def _memory_of(self, layer: Labels) -> ClickMemory:
        if self._memory is None:
            self._memory = ClickMemory(grid_of(layer).spacing_mm or (1.0, 1.0, 1.0))
            draft = self._session.draft
            if draft is not None and draft.label_map.data.shape == volume_of(layer).shape:
                self._memory.know(draft.label_map.data)
        return self._memory

    def _look(self, z: int, prompts: Prompts) -> None:
        """Ask for what to show; while an answer is awaited only the newest question is kept."""
        self._wanted = z, replace(prompts, only_enhancing=self._only_enhancing())
        if not self.looking.is_running:
            self._next_look()

    def _next_look(self, _: object = None) -> None:
        wanted, self._wanted = self._wanted, None
        layer = tumor_layer(self._viewer, self._session.case_id)
        if wanted is None or layer is None or self._tool is None:
            return
        z, prompts = wanted
        labels, exam, tool = volume_of(layer), self._target.exam, self._tool
        said = self._memory_of(layer).with_prompts({z: prompts}, labels)[z]
        mask = labels[z] == TUMOR

        def job() -> Job[Any]:
            yield Progress(_TITLE, 0, 0)
            return self._reader_of(exam).answer(z, said, mask).mask

        def show(found: Any) -> None:
            tool.show(z, found)
            self._next_look()

        self.looking.start(_TITLE, lambda: beside_the_window(job), on_result=show)

    def _take(self, new: dict[int, Prompts]) -> None:
        """Outline what is meant by what is said now of slices along z, and make the edit."""
        self._wanted = None
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is None:
            return
        labels, exam = volume_of(layer).copy(), self._target.exam
        only_enhancing = self._only_enhancing()
        new = {z: replace(said, only_enhancing=only_enhancing) for z, said in new.items()}
        memory = self._memory_of(layer)
        said, kept = memory.with_prompts(new, labels), memory.corrected(labels)
        # A click in a slice corrected by hand means that slice; a drag across it and others, those.
        at = set(new) - kept or set(new)
        kept -= at
        axis = 0 if len(labels) == 1 else self._target.grow_axis

        def job() -> Job[Edit | None]:
            reader, mask = self._reader_of(exam), labels == TUMOR
            if axis == 0:
                yield Progress(_TITLE, 0, 0)
                answers = {z: reader.answer(z, said[z], mask[z]) for z in sorted(at)}
                found, is_empty = mask, all(answer.is_empty for answer in answers.values())
                for z, answer in answers.items():
                    found[z] = answer.mask
            else:
                outline = yield from reader.outline(said, at, mask, kept)
                found, is_empty = outline.mask, outline.is_empty
                if axis is not None:
                    found = _in_plane(mask, found, axis, new)
            if is_empty:
                return None
            wanted = np.where(found, TUMOR, np.where(labels == TUMOR, BACKGROUND, labels))
            everything = tuple(slice(0, size) for size in labels.shape)
            return Edit.within(labels, everything, wanted)  # type: ignore[arg-type]

        def make(edit: Edit | None) -> None:
            if edit is None:
                show_info(
                    f"Nothing enhances at the click in {_numbers(new)}; the mask is as it was. "
                    "Click in the middle of the lesion, or draw it."
                )
            elif self._edits.apply(layer, edit):
                memory.note(said, volume_of(layer), kept)
                self._session.effort.clicks += _clicks(new, labels.shape)

        self._edits.runner.start(_TITLE, lambda: beside_the_window(job), on_result=make)

    def _reader_of(self, exam: Exam) -> ClickReader:
        """In the worker's thread: the reader of an exam, made anew for other images."""
        images = (np.asarray(image.data) for image in exam.phases.values())
        model = self._session.model
        folder = CLICKS if model is None else clicks_of(model)
        key = (folder, *(image.__array_interface__["data"] for image in images))
        if self._reader is None or self._reader[0] != key:
            self._reader = key, ClickReader(self.load(folder), exam)
        return self._reader[1]


def _numbers(slices: Collection[int]) -> str:
    """Slices that follow each other, numbered as a person reads them."""
    first, last = min(slices) + 1, max(slices) + 1
    return f"slice {first}" if first == last else f"slices {first} to {last}"


def _in_plane(
    mask: NDArray[np.bool_], found: NDArray[np.bool_], axis: int, said: Mapping[int, Prompts]
) -> NDArray[np.bool_]:
    """What was found in the slice across y (1) or x (2) in which this was said; the mask beyond."""
    one = next(iter(said.values()))
    index = round((*one.inside, *one.outside)[0][axis - 1])
    seen = (slice(None),) * axis + (index,)
    within = mask.copy()
    within[seen] = found[seen]
    return within


def _clicks(said: Mapping[int, Prompts], shape: tuple[int, ...]) -> list[ClickRecord]:
    """The places of prompts, as they are kept with the case."""
    found = []
    for z, prompts in said.items():
        for places, is_lesion in ((prompts.inside, True), (prompts.outside, False)):
            for place in places:
                y, x = np.clip(np.round(place).astype(int), 0, np.array(shape[1:]) - 1)
                found.append(ClickRecord(voxel=(z, int(y), int(x)), is_lesion=is_lesion))
    return found


def _load(folder: Path) -> Checkpoint:
    """In the worker's thread: torch is loaded here."""
    from ...model import checkpoint

    return checkpoint.load(folder)
