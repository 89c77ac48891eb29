"""Which layer of another reader is which phase: asked when the model needs several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSizePolicy, QWidget

from ..state.drafting import needed_phases, phase_layers
from ..state.session import Session

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
            name = source.layers["post1"]
            is_asked = name in self._viewer.layers and self._viewer.layers[name].ndim < 4
        self.setVisible(bool(is_asked))
        self.fields = {}
        if not is_asked or source is None:
            return
        while self._form.rowCount():
            self._form.removeRow(0)
        names = self._names_like(source.layers["post1"])
        for phase, wanted in phase_layers(source, phases, self._session.roles).items():
            field = QComboBox()
            field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            field.addItem("choose its layer", None)
            for name in names:
                field.addItem(name, name)
            field.setCurrentIndex(max(0, field.findData(wanted)))
            field.currentIndexChanged.connect(self._on_chosen)
            self._form.addRow(phase, field)
            self.fields[phase] = field

    @property
    def chosen(self) -> dict[str, str | None]:
        """Phase to layer name, None where none is chosen; empty while nothing is asked."""
        return {phase: field.currentData() for phase, field in self.fields.items()}

    def value(self) -> dict[str, str] | None:
        """Phase to layer name for a foreign layer; None where the exam's own layers say it."""
        source = self._session.source
        if source is None or not source.is_foreign:
            return None
        phases = needed_phases(self._session.model)
        if len(phases) == 1:
            return {phases[0]: source.layers["post1"]}
        if not self.fields:
            return None
        return {phase: name for phase, name in self.chosen.items() if name is not None}

    def _names_like(self, name: str) -> list[str]:
        """Grey image layers of the same shape."""
        shape = self._viewer.layers[name].data.shape
        return [
            layer.name
            for layer in self._viewer.layers
            if layer.__class__.__name__ == "Image" and layer.data.shape == shape and not layer.rgb
        ]

    def _on_chosen(self, event: object = None) -> None:
        self._session.choose_roles({p: name for p, name in self.chosen.items() if name})
        self.changed.emit()
