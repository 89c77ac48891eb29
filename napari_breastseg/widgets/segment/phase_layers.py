"""Which layer of another reader is which phase: asked when the model needs several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSizePolicy, QWidget

from ..state.drafting import needed_phases, phase_layers
from ..state.session import Session
from ..state.sources import key_of, layer_of, shape_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["PhaseLayers"]


class PhaseLayers(QWidget):
    """One row for each phase the model needs, while the current exam is a foreign layer.

    The choice is kept in the session: the same layers make the exam that is corrected.
    """

    changed = Signal()
    """Another layer was chosen."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self.fields: dict[str, QComboBox] = {}
        """Phase to the field that holds its layer; empty while nothing is asked."""

    def reset_choices(self) -> None:
        """Ask for what the model needs of the layers there are now."""
        source = self._session.source
        phases = needed_phases(self._session.model)
        is_asked = source is not None and source.is_foreign and len(phases) > 1
        if is_asked and source is not None:  # a layer of four axes brings its phases itself
            layer = layer_of(self._viewer, source.layers["post1"])
            is_asked = layer is not None and layer.ndim < 4
        self.setVisible(bool(is_asked))
        self.fields = {}
        if not is_asked or source is None:
            return
        while self._form.rowCount():
            self._form.removeRow(0)
        layers = self._layers_like(source.layers["post1"])
        for phase, wanted in phase_layers(source, phases, self._session.roles).items():
            field = QComboBox()
            field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            field.addItem("choose its layer", None)
            for layer in layers:
                field.addItem(layer.name, key_of(layer))
            field.setCurrentIndex(max(0, field.findData(wanted)))
            field.currentIndexChanged.connect(self._on_chosen)
            self._form.addRow(phase, field)
            self.fields[phase] = field

    @property
    def chosen(self) -> dict[str, str | None]:
        """Phase to the key of its layer, None where none is chosen; empty if nothing is asked."""
        return {phase: field.currentData() for phase, field in self.fields.items()}

    def value(self) -> dict[str, str] | None:
        """Phase to the key of its layer; None where the exam's own layers say it."""
        source = self._session.source
        if source is None or not source.is_foreign:
            return None
        phases = needed_phases(self._session.model)
        if len(phases) == 1:
            return {phases[0]: source.layers["post1"]}
        if not self.fields:
            return None
        return {phase: key for phase, key in self.chosen.items() if key is not None}

    def _layers_like(self, key: str) -> list[Any]:
        """Image layers of the same shape."""
        shape = shape_of(layer_of(self._viewer, key))
        return [
            layer
            for layer in self._viewer.layers
            if layer.__class__.__name__ == "Image" and shape_of(layer) == shape
        ]

    def _on_chosen(self, event: object = None) -> None:
        self._session.choose_roles({p: key for p, key in self.chosen.items() if key})
        self.changed.emit()
