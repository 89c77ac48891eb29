"""Correction tools in the Correct step: their settings, and one button and one key for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.progress import Job
from ...core.region import Region
from ...imaging import correction
from ...predict.prediction import Prediction
from ..canvas.growing import Growing, Tolerance
from ..canvas.layers import grid_of, tumor_layer
from ..canvas.mouse_tools import MouseTool, MouseTools
from ..canvas.threshold_brush import ThresholdBrush
from ..canvas.view import add_box
from ..parts.fields import button, heading, note, set_ready
from ..parts.glyphs import GLYPHS, GlyphButton
from ..parts.job_bar import JobBar
from ..parts.jobs import errors_shown, show_info
from ..state.session import Session
from ..state.tool_rules import ToolSituation, unfinished, why_no_tool
from .smart_clicks import SmartClicks
from .tool_edits import ToolEdits
from .tool_list import BUTTONS, EDITS, HANDS, IN_HAND
from .tool_options import ToolOptions
from .tool_settings import ToolSettings
from .tool_target import ToolTarget, Voxel
from .tool_work import ToolWork

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["ToolSection"]


class ToolSection(QWidget):
    """Settings, and the tools."""

    edited = Signal(object)
    """An `Edit` has been made in the mask, as one undo step."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.settings = ToolSettings()
        self.mouse = MouseTools(viewer, self)
        self._tolerance = Tolerance(self)
        self._edits = ToolEdits(viewer, session, self)
        self.runner = self._edits.runner
        self._target = ToolTarget(viewer, session, self.settings)
        self._work = ToolWork(
            viewer,
            session,
            self.settings,
            self._target,
            self._edits,
            self.draw_box,
        )
        only_enhancing = self.settings.only_enhancing.isChecked
        self.clicks = SmartClicks(viewer, session, self._target, self._edits, only_enhancing)
        self.box_button = self._signed("box", "Draw box", "Drag a rectangle on the image", "")
        self.box_button.clicked.connect(lambda: self.draw_box())
        self.line = note()
        self.buttons: dict[str, QPushButton] = {}
        for name, text, tooltip, key in BUTTONS:
            act = partial(self.act, name, by_key=False)
            if name in GLYPHS:
                made = self.buttons[name] = self._signed(name, text, tooltip, key)
                made.clicked.connect(lambda _=False, act=act: act())
            else:
                made = self.buttons[name] = button(text, act, tooltip, key)
            made.setCheckable(name in IN_HAND)
        self.options = ToolOptions(
            {
                "smart_click": [self.settings.only_enhancing],
                "grow_click": [self.settings.tolerance],
                "threshold_brush": [self.settings.level],
                "box": [self.settings.beside, self.buttons["predict_box"]],
            }
        )
        self.whole_mask = QHBoxLayout()
        self.whole_mask.setSpacing(3)
        self.whole_mask.addWidget(self.buttons["revert"], 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(heading("Tools"))
        column.addLayout(_row(*(self.buttons[name] for name in HANDS), self.box_button))
        column.addWidget(self.options)
        column.addWidget(self.settings)
        column.addLayout(_row(*(self.buttons[name] for name in EDITS)))
        column.addLayout(self.whole_mask)
        column.addLayout(_row(self.buttons["drop_small"], self.settings.least))
        column.addWidget(JobBar(self.runner, "Ctrl-Shift-X"))
        column.addWidget(self.line)
        tolerance = self.settings.tolerance
        tolerance.valueChanged.connect(lambda value: self._tolerance.set(value / 100))
        self._tolerance.changed.connect(lambda value: tolerance.setValue(round(100 * value)))
        self.mouse.changed.connect(self._show_tool_in_hand)
        self.mouse.edited.connect(self.edited)
        self._edits.edited.connect(self.edited)
        session.source_changed.connect(lambda _: self._forget())
        session.drafts.changed.connect(self.reset_choices)
        self.runner.started.connect(lambda _: self.reset_choices())
        self.runner.ended.connect(lambda _: self.reset_choices())
        self.reset_choices()

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
                    self._pick_up(name, layer)
                    return
                getattr(self._work, name)(layer, self._target.voxel(layer, by_key=by_key))
            finally:
                self._show_tool_in_hand()

    def predict_with(self, predict_in: Callable[[Region], Callable[[], Job[Prediction]]]) -> None:
        """Predict in the box with what this gives for a region."""
        self._work.predict_in = predict_in

    def why_not(self, name: str) -> str:
        """Why a tool cannot be used now; empty when it can."""
        return why_no_tool(name, self._situation())

    @property
    def unfinished(self) -> str:
        """What is still to be done to the mask before it can be accepted; empty when nothing."""
        return unfinished(self._situation())

    def next_scope(self) -> None:
        """Choose the next of lesion, slice, box and volume."""
        self.settings.next_scope()
        show_info(f"Tool scope: {self.settings.kind}")

    def draw_box(self) -> None:
        """Take the rectangle tool."""
        if self._session.source is not None:
            self.mouse.put_down()
            add_box(self._viewer, self._session.source)
            self.options.show_tool("box")

    def reset_choices(self, event: object = None) -> None:
        """Bring buttons up to date with the viewer."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is None:
            self.mouse.put_down()
        situation = self._situation()
        for name, made in self.buttons.items():
            set_ready(made, why_no_tool(name, situation))
        set_ready(self.box_button, "" if self._session.source else "Open an exam first")
        unit = "mm" if layer is None else correction.unit_of(grid_of(layer))
        self.settings.set_unit(unit)
        self.line.setText("Pixel size is unknown: distances are in pixels." if unit == "px" else "")

    def put_down(self) -> None:
        """Let go of the mouse and of the viewer's callbacks."""
        self.mouse.put_down()
        self._target.put_down()

    def _situation(self) -> ToolSituation:
        session = self._session
        return ToolSituation(
            is_busy=self.runner.is_running,
            has_exam=session.source is not None,
            has_mask=tumor_layer(self._viewer, session.case_id) is not None,
            has_draft=session.draft is not None,
            is_draft_hidden=session.drafts.is_hidden,
        )

    def _pick_up(self, name: str, layer: Labels) -> None:
        """Make a mouse tool active, or put it down and return to the brush."""
        if self.mouse.name == name:
            self.mouse.put_down()
            layer.mode = "paint"
        else:
            self.mouse.pick_up(name, self._mouse_tool(name, layer), layer)

    def _mouse_tool(self, name: str, layer: Labels) -> MouseTool:
        target, level = self._target, self.settings.level
        if name == "smart_click":
            return self.clicks.tool(layer)
        if name == "grow_click":
            values = target.map("growth", correction.growth_map)
            return Growing(self._viewer, self._tolerance, values, lambda: target.grow_axis)
        if name == "threshold_brush":
            values = target.map("percent", correction.percent_map)
            return ThresholdBrush(
                self._viewer, values, lambda: target.axis, lambda: float(level.value())
            )
        return MouseTool(lambda voxel: self._click(name, voxel))

    def _click(self, name: str, voxel: Voxel) -> None:
        with errors_shown():
            layer = tumor_layer(self._viewer, self._session.case_id)
            if layer is not None:
                getattr(self._work, name)(layer, voxel)

    def _forget(self) -> None:
        self.mouse.put_down()
        self._target.forget()
        self._work.forget()
        self.clicks.forget()
        self.reset_choices()

    def _show_tool_in_hand(self) -> None:
        for name, made in self.buttons.items():
            if name in IN_HAND:
                made.setChecked(self.mouse.name == name)
        self.options.show_tool(self.mouse.name)

    def _signed(self, name: str, text: str, tooltip: str, key: str) -> GlyphButton:
        """A button with a sign; its tooltip begins with the tool's name."""
        made = GlyphButton(name, text)
        made.setProperty("help", f"{text}: {tooltip}" + (f" ({key})" if key else ""))
        made.setToolTip(made.property("help"))
        made.setAccessibleName(text)
        return made


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(3)
    for widget in widgets:
        row.addWidget(widget, 1)
    return row
