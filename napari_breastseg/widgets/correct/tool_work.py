"""What each correction tool does to the mask: one method per tool that acts at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.region import Region
from ...core.volume import LabelMap
from ...imaging import correction
from ...imaging.correction import Edit, Scope
from ...predict.prediction import Prediction
from ..canvas.layers import volume_of
from ..canvas.view import box_region, has_box
from ..parts.jobs import show_info
from ..state.drafts import Draft
from ..state.interpolating import Interpolation
from ..state.session import Session
from .tool_edits import ToolEdits
from .tool_settings import ToolSettings
from .tool_target import ToolTarget, Voxel

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["ToolWork"]


class ToolWork:
    """The tools, by name: each takes the mask's layer and the voxel meant, or None.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    settings : ToolSettings
    target : ToolTarget
    edits : ToolEdits
    draw_box : callable
        Puts the rectangle tool in hand.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        settings: ToolSettings,
        target: ToolTarget,
        edits: ToolEdits,
        draw_box: Callable[[], object],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._settings = settings
        self._target = target
        self._edits = edits
        self._draw_box = draw_box
        self._interpolation = Interpolation()
        self.predict_in: Callable[[Region], Callable[[], Job[Prediction]]] | None = None
        """Gives what predicts a region; the dock says with which model."""

    def forget(self) -> None:
        """Forget what was interpolated: another exam is shown."""
        self._interpolation.forget()

    def keep(self, layer: Labels, at: Voxel) -> None:
        """Remove all lesions but the one at a voxel."""
        scope = self._clicked(at)
        self._make("Keeping one lesion", layer, scope, lambda lm: correction.keep_lesion(lm, scope))

    def drop(self, layer: Labels, at: Voxel) -> None:
        """Remove the lesion at a voxel."""
        scope = self._clicked(at)
        self._make("Dropping a lesion", layer, scope, lambda lm: correction.drop_lesion(lm, scope))

    def fill_holes(self, layer: Labels, at: Voxel | None) -> None:
        """Fill what tumor encloses."""
        scope = self._target.scope(at)
        self._make("Filling", layer, scope, lambda lm: correction.fill_holes(lm, scope))

    def smooth(self, layer: Labels, at: Voxel | None) -> None:
        """Smooth the outline."""
        scope, distance = self._target.scope(at), self._settings.distance.value()
        self._make("Smoothing", layer, scope, lambda lm: correction.smooth(lm, scope, distance))

    def enlarge(self, layer: Labels, at: Voxel | None) -> None:
        """Grow the tumor by the distance."""
        scope, distance = self._target.scope(at), self._settings.distance.value()
        self._make("Growing", layer, scope, lambda lm: correction.grow(lm, scope, distance))

    def shrink(self, layer: Labels, at: Voxel | None) -> None:
        """Shrink the tumor by the distance."""
        scope, distance = self._target.scope(at), -self._settings.distance.value()
        self._make("Shrinking", layer, scope, lambda lm: correction.grow(lm, scope, distance))

    def revert(self, layer: Labels, at: Voxel | None) -> None:
        """Go back to the draft."""
        scope, draft = self._target.scope(at), self._session.draft
        assert draft is not None  # else the tool is not ready
        drafted = draft.label_map
        self._make("Reverting", layer, scope, lambda lm: correction.revert(lm, drafted, scope))

    def drop_small(self, layer: Labels, at: Voxel | None) -> None:
        """Remove the marks under a size, from the whole mask."""
        least = self._settings.least.value()
        dropped = "Dropping small marks"
        self._make(dropped, layer, None, lambda lm: correction.drop_small(lm, least))

    def copy_next(self, layer: Labels, at: Voxel | None) -> None:
        """Copy the tumor to the next slice."""
        self._copy(layer, at, 1)

    def copy_previous(self, layer: Labels, at: Voxel | None) -> None:
        """Copy the tumor to the previous slice."""
        self._copy(layer, at, -1)

    def interpolate(self, layer: Labels, at: Voxel | None) -> None:
        """Redraw the slices between edited ones."""
        is_all = self._settings.kind == "volume"
        scope = self._target.scope(None if is_all else at)
        draft = None if self._session.drafts.is_hidden else self._session.draft
        drafted = None if draft is None else draft.label_map.data
        axis, index = scope.axis, None if is_all else scope.index
        filled: list[tuple[int, int]] = []

        def find(label_map: LabelMap) -> Edit:
            edit, gaps = self._interpolation.edit(label_map, drafted, axis=axis, index=index)
            filled.extend(gaps)
            return edit

        self._make(
            "Interpolating",
            layer,
            None,
            find,
            then=lambda: self._interpolation.note_filled(volume_of(layer), filled, axis=axis),
        )

    def predict_box(self, layer: Labels, at: Voxel | None) -> None:
        """Run the model in the box, keeping corrections."""
        source, session = self._target.source, self._session
        if self.predict_in is None or not has_box(self._viewer, source):
            self._draw_box()
            show_info("Drag a rectangle around the lesion, then press again.")
            return
        exam = self._target.exam
        region = box_region(self._viewer, source, exam, self._settings.beside.value())
        make_job = self.predict_in(region)
        draft, grid = session.draft, exam.grid
        labels = volume_of(layer).copy()
        before = np.zeros_like(labels) if draft is None else draft.label_map.data

        def find() -> Job[tuple[Edit, Draft]]:
            prediction = yield from make_job()
            yield Progress("Keeping corrections", 0, 0)
            edit, redraft = correction.merge_prediction(
                labels, before, prediction.label_map.data, region
            )
            newer = LabelMap(redraft.applied(before), grid)
            return edit, Draft(source.case_id, newer, prediction.model)

        def make(found: tuple[Edit, Draft]) -> None:
            if self._edits.apply(layer, found[0]):
                session.drafts.keep(found[1], source=source)

        self._edits.runner.start("Predicting in the box", find, on_result=make)

    def _make(
        self,
        title: str,
        layer: Labels,
        scope: Scope | None,
        find: Callable[[LabelMap], Edit],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self._edits.make(title, layer, scope, find, then)

    def _clicked(self, at: Voxel) -> Scope:
        scope = self._target.scope(at)
        return Scope("lesion", scope.axis, scope.index, at) if scope.kind == "volume" else scope

    def _copy(self, layer: Labels, at: Voxel | None, step: int) -> None:
        scope = self._target.scope(at)
        labels = volume_of(layer)
        if labels.shape[scope.axis] == 1:
            raise InputError("Expected an exam of several slices", "it has one", "Open a volume")
        lesion = None
        if scope.kind == "lesion":
            voxel = correction.nearest_tumor(labels, scope)
            y, x = (place for axis, place in enumerate(voxel) if axis != scope.axis)
            lesion = (y, x)
        self._make(
            "Copying",
            layer,
            Scope("slice", scope.axis, scope.index),
            lambda lm: correction.copy_slice(lm, scope.index, step, axis=scope.axis, at=lesion),
        )
        dims = self._viewer.dims
        dim = scope.axis + dims.ndim - 3
        dims.set_current_step(dim, dims.current_step[dim] + step)
