"""A chip for each picture of the current exam: its phases, each at its time, and its maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from ..parts.fields import set_ready
from ..state.opening import phase_time_words
from ..state.session import Session
from ..state.sources import Source, key_of, layer_of, note_of
from .maps import MAP_CHIPS, map_layer

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["PictureChips"]

_MOST_IN_ROW, _MARGIN, _LETTER = 6, 6, 20
_CHIP = "QPushButton { font-size: 11px; padding: 2px; }"
_ON_CANVAS = (
    "QPushButton { font-size: 11px; padding: 1px 5px; color: #ddd; background: #2b2b2b; }"
    "QPushButton:checked { color: white; background: #0072b2; }"
    "QPushButton:disabled { color: #777; }"
)


class PictureChips(QWidget):
    """Names, and times from the injection or the first post; the one on the screen is pressed.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    why_no_maps : callable
        Says why there can be no maps; empty when there can.
    is_on_canvas : bool
        Whether they stand on the picture: small, one below the other, without times.
    """

    phase_wanted = Signal(object)
    """The layer of a phase is to be shown."""

    map_wanted = Signal(str)
    """A map is to be shown, by its name: "sub1", "PE1", "SER" or "MIP sub1"."""

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        why_no_maps: Callable[[], str],
        *,
        is_on_canvas: bool = False,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._why_no_maps = why_no_maps
        self._is_on_canvas = is_on_canvas
        self.chips: dict[str, QPushButton] = {}
        """Role or map to its chip, in the order shown."""

        self._followed: set[str] = set()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(3)
        session.source_changed.connect(self.reset_choices)
        viewer.layers.events.inserted.connect(self.refresh)
        self.reset_choices(None)

    def reset_choices(self, source: Source | None) -> None:
        """Make the chips of an exam."""
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().deleteLater()
        self.chips = {}
        roles = {} if source is None else (self._session.roles or source.layers)
        for role, key in roles.items():
            layer = layer_of(self._viewer, key)
            if layer is None:
                continue
            time_s = note_of(layer).get("time_s")
            at = "" if time_s is None or self._is_on_canvas else f"\n{phase_time_words(time_s)}"
            chip = self._add(role, f"{role}{at}", "Show this phase (W: the next one)")
            chip.clicked.connect(lambda _, key=key: self._want_phase(key))
        for chip_name, (name, tip) in MAP_CHIPS.items() if roles else ():
            chip = self._add(name, chip_name, tip)
            chip.clicked.connect(lambda _, name=name: self.map_wanted.emit(name))
        self._lay_out()
        self.setVisible(bool(roles) and not (self._is_on_canvas and self.parent() is None))
        self.adjustSize()
        self.refresh()

    def _lay_out(self) -> None:
        rows = -(-len(self.chips) // _MOST_IN_ROW)
        if self._is_on_canvas:
            rows = self._rows_on_canvas()
        columns = -(-len(self.chips) // max(rows, 1))
        for place, chip in enumerate(self.chips.values()):
            self._grid.addWidget(chip, place // columns, place % columns)
            chip.show()  # at once: what is hidden has no size

    def _rows_on_canvas(self) -> int:
        """As many as end above the letter in the middle of the edge, which they would cover."""
        canvas = self.parentWidget()
        if canvas is None or not self.chips:
            return len(self.chips)
        height = next(iter(self.chips.values())).sizeHint().height() + self._grid.spacing()
        above = canvas.height() // 2 - 2 * _MARGIN - _LETTER
        return min(max(above // height, 1), len(self.chips))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stand in more columns where the canvas becomes lower."""
        if event.type() == QEvent.Type.Resize and watched is self.parentWidget():
            self._lay_out()
            self.adjustSize()
        return False

    def stand_on(self, canvas: QWidget) -> None:
        """Stand in the canvas's upper left corner."""
        self.setParent(canvas)
        canvas.installEventFilter(self)
        self.move(_MARGIN, _MARGIN)
        self.reset_choices(self._session.source)

    def refresh(self, event: object = None) -> None:
        """Press the chip of what is on the screen."""
        source = self._session.source
        if source is None:
            return
        layers = dict(self._session.roles or source.layers)
        why_not = self._why_no_maps()
        for name, chip in self.chips.items():
            is_map = name not in layers
            layer = (
                map_layer(self._viewer, source, name)
                if is_map
                else layer_of(self._viewer, layers[name])
            )
            if layer is not None and key_of(layer) not in self._followed:
                self._followed.add(key_of(layer))
                layer.events.visible.connect(self.refresh)
            chip.setChecked(layer is not None and bool(layer.visible))
            if is_map:
                few = name == "SER" and sum(role.startswith("post") for role in layers) < 2
                too_few = "SER needs a second post-contrast phase" if few else ""
                set_ready(chip, why_not or too_few)

    def _want_phase(self, key: str) -> None:
        layer = layer_of(self._viewer, key)  # a chip that held it would keep it for ever
        if layer is not None:
            self.phase_wanted.emit(layer)

    def _add(self, name: str, text: str, tip: str) -> QPushButton:
        chip = QPushButton(text)
        chip.setCheckable(True)
        chip.setProperty("help", tip)
        chip.setToolTip(tip)
        chip.setStyleSheet(_ON_CANVAS if self._is_on_canvas else _CHIP)
        chip.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys are the canvas's
        chip.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        chip.clicked.connect(self.refresh)  # a press is answered by the picture, not by the press
        self.chips[name] = chip
        return chip
