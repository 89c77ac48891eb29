"""Correction tools in the Correct tab: what to work on, one button and one key for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.region import Region
from ...core.volume import Exam, LabelMap
from ...imaging import correction
from ...imaging.correction import Edit, Scope
from ...predict.prediction import Prediction
from ..canvas.layers import apply_edit, grid_of, tumor_layer, volume_of
from ..canvas.mouse_tools import MouseTools, voxel_of
from ..canvas.scribble_layer import ScribbleLayer
from ..canvas.view import add_box, box_region, current_slice, has_box
from ..parts.fields import button, heading, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, as_job, errors_shown, show_info
from ..state.session import Draft, Session
from ..state.sources import exam_of
from .tool_list import BUTTONS, IN_HAND, SCOPES

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["ToolSection"]


class ToolSection(QWidget):
    """Scope, distance, and the tools."""

    edited = Signal(object)
    """An `Edit` has been made in the mask, as one undo step."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._pressed: tuple[int, int, int] | None = None
        self._maps: tuple[Any, str, Any] | None = None
        self._written: dict[tuple[int, int], NDArray[Any]] = {}
        self.runner = JobRunner(self)
        self.mouse = MouseTools(viewer, self)
        self.scribbles = ScribbleLayer(viewer, session)
        self.predict_in: Callable[[Region], Callable[[], Job[Prediction]]] | None = None
        """Gives what predicts a region; the dock says with which model."""

        self.scope = QComboBox()
        for kind in SCOPES:
            self.scope.addItem(f"work on {kind}", kind)
        self.scope.setProperty(
            "help",
            "What tools work on (H goes on). 'lesion' is the one under the mouse for a key, the "
            "one last clicked for a button, else the nearest in the slice",
        )
        self.scope.setToolTip(self.scope.property("help"))
        self.distance = QDoubleSpinBox()
        self.distance.setRange(0.1, 50.0)
        self.distance.setValue(1.0)
        self.distance.setSingleStep(0.5)
        self.distance.setPrefix("by ")
        self.distance.setToolTip("For Grow, Shrink and Smooth")
        self.tolerance = QSpinBox()
        self.tolerance.setRange(0, 100)
        self.tolerance.setPrefix("tolerance ")
        self.tolerance.setSuffix(" %")
        self.tolerance.setValue(40)
        self.tolerance.setToolTip(
            "How far below the click: 50 % is half way down to its surroundings"
        )
        self.level = QSpinBox()
        self.level.setRange(0, 500)
        self.level.setPrefix("level ")
        self.level.setSuffix(" %")
        self.level.setValue(70)
        self.level.setToolTip(
            "Threshold brush: enhancement in %; where there is no phase before contrast, "
            "brightness in % of the exam's range"
        )
        self.beside = QSpinBox()
        self.beside.setRange(0, 500)
        self.beside.setValue(5)
        self.beside.setPrefix("± ")
        self.beside.setSuffix(" slices")
        self.beside.setToolTip("How many slices on both sides of the rectangle the box takes in")
        self.box_button = button("Draw box", self.draw_box, "Drag a rectangle on the image")
        self.line = note()
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setSpacing(3)
        for place, (name, text, tooltip, key) in enumerate(BUTTONS):
            made = button(text, partial(self.act, name, by_key=False), tooltip, key)
            made.setCheckable(name in IN_HAND or name == "scribble")
            self.buttons[name] = made
            grid.addWidget(made, place // 2, place % 2)
        box_row = QHBoxLayout()
        box_row.addWidget(self.box_button)
        box_row.addWidget(self.beside, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Tools"))
        fields = QGridLayout()
        fields.setSpacing(3)
        for place, field in enumerate((self.scope, self.distance, self.tolerance, self.level)):
            fields.addWidget(field, place // 2, place % 2)
        column.addLayout(fields)
        column.addLayout(box_row)
        column.addLayout(grid)
        column.addWidget(JobBar(self.runner, "Shift-X"))
        column.addWidget(self.line)
        self.tolerance.valueChanged.connect(lambda value: self.mouse.set_tolerance(value / 100))
        self.mouse.toleranceChanged.connect(
            lambda value: self.tolerance.setValue(round(100 * value))
        )
        self.mouse.changed.connect(self._show_hand)
        self.mouse.edited.connect(self._note)
        self.scribbles.changed.connect(self._show_hand)
        viewer.mouse_drag_callbacks.append(self._note_press)
        session.source_changed.connect(lambda _: self._forget())
        session.draft_changed.connect(self.reset_choices)
        self.runner.started.connect(lambda _: self.reset_choices())
        self.runner.ended.connect(lambda _: self.reset_choices())
        self.reset_choices()

    # What there is to do

    def act(self, name: str, *, by_key: bool = True) -> None:
        """Use a tool: by key on the lesion under the mouse, by button on the one last clicked."""
        with errors_shown():
            try:
                if why_not := self.why_not(name):
                    raise InputError("Expected a mask to correct", why_not, "Then try again")
                layer = tumor_layer(self._viewer, self._session.case_id)
                assert layer is not None  # `why_not` said so
                self._session.effort.touch()
                if name in IN_HAND:
                    self._take_in_hand(name, layer)
                else:
                    getattr(self, f"_{name}")(layer, self._at(layer, by_key))
            finally:
                self._show_hand()

    def why_not(self, name: str) -> str:
        """Why a tool cannot be used now; empty when it can."""
        if self.runner.is_running:
            return "Busy; wait or cancel"
        if self._session.source is None:
            return "Open an exam first"
        if tumor_layer(self._viewer, self._session.case_id) is None:
            return "No mask to correct: segment first, or start correcting"
        if name == "settle" and self.scribbles.layer is None:
            return "Scribble in or out first"
        is_hidden = self._session.is_draft_hidden and self._session.draft is not None
        if name in ("revert", "predict_box") and is_hidden:
            return "The draft is hidden; show it first (F9)"
        if name == "revert" and self._session.draft is None:
            return "No draft to go back to"
        return ""

    @property
    def why_not_done(self) -> str:
        """Why the mask is not what it is meant to be yet; empty when it is."""
        if self.runner.is_running:
            return "A tool is at work; wait or cancel"
        if self.scribbles.layer is not None:
            return "Settle the scribbles first (Q), or remove their layer"
        return ""

    def next_scope(self) -> None:
        """Work on the next of lesion, slice, box and volume."""
        self.scope.setCurrentIndex((self.scope.currentIndex() + 1) % len(SCOPES))
        show_info(f"Tools work on: {self.scope.currentData()}")

    def draw_box(self) -> None:
        """Take the rectangle tool."""
        if self._session.source is not None:
            self.mouse.put_down()
            add_box(self._viewer, self._session.source)

    def reset_choices(self, event: object = None) -> None:
        """Bring buttons up to date with the viewer."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is None:
            self.mouse.put_down()
        for name, made in self.buttons.items():
            set_ready(made, self.why_not(name))
        set_ready(self.box_button, "" if self._session.source else "Open an exam first")
        unit = "mm" if layer is None else correction.unit_of(grid_of(layer))
        self.distance.setSuffix(f" {unit}")
        self.line.setText(
            "Pixel size is not known: distances are in pixels." if unit == "px" else ""
        )

    def put_down(self) -> None:
        """Let go of the mouse and of the viewer's callbacks."""
        self.mouse.put_down()
        if self._note_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._note_press)

    # Tools of the mouse

    def _take_in_hand(self, name: str, layer: Labels) -> None:
        tool = IN_HAND[name]
        if self.mouse.name == tool:
            self.mouse.put_down()
            layer.mode = "paint"
            return
        if name == "grow_click":
            values = self._map("growth", correction.growth_map)
            self.mouse.pick_up(tool, layer, values=values, grow_axis=self._grow_axis)
        elif name == "threshold_brush":
            values = self._map("percent", correction.percent_map)
            self.mouse.pick_up(
                tool, layer, values=values, axis=self._axis, level=lambda: float(self.level.value())
            )
        else:
            self.mouse.pick_up(tool, layer, act=lambda voxel: self._click(name, voxel))

    def _click(self, name: str, voxel: tuple[int, int, int]) -> None:
        with errors_shown():
            layer = tumor_layer(self._viewer, self._session.case_id)
            if layer is not None:
                scope = self._scope(layer, voxel)
                if scope.kind == "volume":
                    scope = Scope("lesion", scope.axis, scope.index, voxel)
                tool = correction.keep_lesion if name == "keep" else correction.drop_lesion
                title = "Keeping one lesion" if name == "keep" else "Dropping a lesion"
                self._edit(title, layer, scope, lambda label_map: tool(label_map, scope))

    def _scribble(self, layer: Labels, at: object) -> None:
        self.mouse.put_down()
        self.scribbles.start_or_switch(layer)

    def _settle(self, layer: Labels, at: object) -> None:
        marks = self.scribbles.marks()
        values = self._map("growth", correction.growth_map)
        axis = self._axis()
        self._edit(
            "Settling scribbles",
            layer,
            None,
            lambda label_map: correction.apply_scribbles(label_map, values, marks, axis=axis),
            then=lambda: self.scribbles.remove(layer),
        )

    # Tools that act at once

    def _fill_holes(self, layer: Labels, at: Any) -> None:
        scope = self._scope(layer, at)
        self._edit("Filling", layer, scope, lambda lm: correction.fill_holes(lm, scope))

    def _smooth(self, layer: Labels, at: Any) -> None:
        scope, distance = self._scope(layer, at), self.distance.value()
        self._edit("Smoothing", layer, scope, lambda lm: correction.smooth(lm, scope, distance))

    def _enlarge(self, layer: Labels, at: Any) -> None:
        scope, distance = self._scope(layer, at), self.distance.value()
        self._edit("Growing", layer, scope, lambda lm: correction.grow(lm, scope, distance))

    def _shrink(self, layer: Labels, at: Any) -> None:
        scope, distance = self._scope(layer, at), -self.distance.value()
        self._edit("Shrinking", layer, scope, lambda lm: correction.grow(lm, scope, distance))

    def _revert(self, layer: Labels, at: Any) -> None:
        scope, draft = self._scope(layer, at), self._session.draft
        assert draft is not None  # `why_not` said so
        self._edit(
            "Reverting", layer, scope, lambda lm: correction.revert(lm, draft.label_map, scope)
        )

    def _copy_next(self, layer: Labels, at: Any) -> None:
        self._copy(layer, at, 1)

    def _copy_previous(self, layer: Labels, at: Any) -> None:
        self._copy(layer, at, -1)

    def _copy(self, layer: Labels, at: Any, step: int) -> None:
        scope = self._scope(layer, at)
        if volume_of(layer).shape[scope.axis] == 1:
            raise InputError("Expected an exam of several slices", "this is one", "Open a volume")
        mark = None
        if scope.kind == "lesion":
            voxel = correction.nearest_tumor(volume_of(layer), scope)
            y, x = (place for axis, place in enumerate(voxel) if axis != scope.axis)
            mark = (y, x)
        flat = Scope("slice", scope.axis, scope.index)
        self._edit(
            "Copying",
            layer,
            flat,
            lambda lm: correction.copy_slice(lm, scope.index, step, axis=scope.axis, at=mark),
        )
        dim = scope.axis + self._viewer.dims.ndim - 3
        self._viewer.dims.set_current_step(dim, self._viewer.dims.current_step[dim] + step)

    def _interpolate(self, layer: Labels, at: Any) -> None:
        scope = self._scope(layer, None if self.scope.currentData() == "volume" else at)
        axis, index, is_all = scope.axis, scope.index, scope.kind == "volume"
        draft = None if self._session.is_draft_hidden else self._session.draft
        drafted = None if draft is None else draft.label_map.data
        written = {i: plane for (a, i), plane in self._written.items() if a == axis}
        between: list[tuple[int, int]] = []

        def work(label_map: LabelMap) -> Edit:
            edited = correction.edited_slices(label_map.data, drafted, axis=axis, written=written)
            found = correction.gaps(edited) if is_all else correction.gap_around(edited, index)
            if not found:
                raise InputError(
                    "Expected two edited slices with others between them",
                    f"edited are {_listed(edited)}",
                    "Correct a slice some way on, then interpolate from a slice between"
                    if not is_all
                    else "Correct a slice some way on, then interpolate",
                )
            between.extend(found)
            return correction.interpolate(label_map, found, axis=axis)

        def keep() -> None:
            planes = np.moveaxis(volume_of(layer), axis, 0)
            for first, last in between:
                for i in range(first + 1, last):
                    self._written[axis, i] = planes[i].copy()

        self._edit("Interpolating", layer, None, work, then=keep)

    def _predict_box(self, layer: Labels, at: object) -> None:
        source = self._session.source
        assert source is not None  # `why_not` said so
        if self.predict_in is None or not has_box(self._viewer, source):
            self.draw_box()
            show_info("Drag a rectangle around the finding, then press again.")
            return
        exam = self._exam()
        region = box_region(self._viewer, source, exam, self.beside.value())
        make_job = self.predict_in(region)
        draft, grid = self._session.draft, exam.grid
        labels = volume_of(layer).copy()
        before = np.zeros_like(labels) if draft is None else draft.label_map.data

        def work() -> Job[tuple[Edit, Draft]]:
            prediction = yield from make_job()
            yield Progress("Keeping corrections", 0, 0)
            edit, redraft = correction.merge_prediction(
                labels, before, prediction.label_map.data, region
            )
            newer = LabelMap(redraft.applied(before), grid)
            return edit, Draft(source.case_id, newer, prediction.model)

        def take(found: tuple[Edit, Draft]) -> None:
            if self._take(layer, found[0]):
                self._session.keep_draft(found[1], source=source)

        self.runner.start("Predicting in the box", work, on_result=take)

    # Edits

    def _edit(
        self,
        title: str,
        layer: Labels,
        scope: Scope | None,
        work: Callable[[LabelMap], Edit],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Find an edit, in a thread unless it stays within a slice, and make it."""
        labels, grid = volume_of(layer), grid_of(layer)
        if scope is not None and (grid.shape[0] == 1 or scope.kind == "slice"):
            if self._take(layer, work(LabelMap(labels, grid))):
                then()
            return
        copied = labels.copy()
        self.runner.start(
            title,
            lambda: as_job(title, lambda: work(LabelMap(copied, grid))),
            on_result=lambda edit: self._take(layer, edit) and then(),
        )

    def _take(self, layer: Labels, edit: Edit) -> bool:
        """Make an edit as one undo step; whether it still could be made."""
        if layer != tumor_layer(self._viewer, self._session.case_id):
            show_info("The case was left meanwhile; nothing was done.")
            return False
        if not edit.fits(volume_of(layer)):
            show_info("The mask was changed meanwhile; nothing was done. Try again.")
            return False
        if not edit.count:
            show_info("There was nothing to change.")
        apply_edit(layer, edit)
        self._note(edit)
        return True

    def _note(self, edit: Edit) -> None:
        self.edited.emit(edit)

    # Where and what

    def _scope(self, layer: Labels, at: tuple[int, int, int] | None) -> Scope:
        kind = self.scope.currentData()
        source = self._session.source
        assert source is not None  # `why_not` said so
        if self._viewer.dims.ndisplay == 3 and kind != "volume":
            raise InputError(
                "Expected a slice in sight", "the viewer shows the exam in 3D", "Switch to 2D"
            )
        axis, index = current_slice(self._viewer, source) or (0, 0)
        box = None
        if kind == "box":
            box = box_region(self._viewer, source, self._exam(), self.beside.value())
        if at is not None:
            z, y, x = (index if place == axis else value for place, value in enumerate(at))
            at = (z, y, x)
        return Scope(kind, axis, index, at, box)

    def _at(self, layer: Labels, by_key: bool) -> tuple[int, int, int] | None:
        """The voxel meant: under the mouse for a key, last pressed on for a button."""
        if by_key:
            return voxel_of(layer, self._viewer.cursor.position)
        return self._pressed

    def _axis(self) -> int:
        return (current_slice(self._viewer, self._session.source) or (0, 0))[0]

    def _grow_axis(self) -> int | None:
        return self._axis() if self.scope.currentData() == "slice" else None

    def _exam(self) -> Exam:
        source = self._session.source
        assert source is not None  # `why_not` said so
        return exam_of(self._viewer, source, self._session.roles)

    def _map(self, name: str, make: Callable[[Exam], Any]) -> Any:
        """A map of the exam at work; the last one is kept."""
        source = self._session.source
        if self._maps is None or self._maps[:2] != (source, name):
            self._maps = (source, name, make(self._exam()))
        return self._maps[2]

    def _note_press(self, viewer: object, event: Any) -> None:
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None and len(event.dims_displayed) == 2:
            self._pressed = voxel_of(layer, event.position) or self._pressed

    def _forget(self) -> None:
        self.mouse.put_down()
        self._pressed, self._maps, self._written = None, None, {}
        self.reset_choices()

    def _show_hand(self) -> None:
        for name, made in self.buttons.items():
            if name in IN_HAND:
                made.setChecked(self.mouse.name == IN_HAND[name])
        scribble = self.buttons["scribble"]
        scribble.setChecked(self.scribbles.layer is not None)
        scribble.setText(self.scribbles.button_text)
        set_ready(self.buttons["settle"], self.why_not("settle"))


def _listed(slices: Sequence[int]) -> str:
    if not slices:
        return "none"
    shown = ", ".join(str(index + 1) for index in slices[:8])
    return f"slices {shown}{' ...' if len(slices) > 8 else ''}"
