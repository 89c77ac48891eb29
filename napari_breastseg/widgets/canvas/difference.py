"""The layer "<case> difference": what was added to the draft and what was removed from it.

Only the current slice is compared, so that painting on a large exam stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.volume import TUMOR
from ..parts import colors as _colors
from ..state.session import Session
from ..state.sources import note_of
from .layers import find_layer, label_colors, placement, tumor_layer, volume_of
from .view import current_slice

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ADDED_COLOR", "REMOVED_COLOR", "Difference"]

ADDED, REMOVED = 1, 2
ADDED_COLOR, REMOVED_COLOR = _colors.ADDED, _colors.REMOVED


class Difference:
    """Shows and hides the difference layer and keeps it up to date."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self._viewer = viewer
        self._session = session

    @property
    def why_not(self) -> str:
        """Why there is nothing to compare; empty when there is something."""
        if self._session.drafts.is_hidden:
            return "The draft is hidden; show it first"
        if self._session.draft is None:
            return "There is no draft to compare with: segment first"
        if tumor_layer(self._viewer, self._session.case_id) is None:
            return "There is no mask to compare with the draft"
        return ""

    def show(self, is_shown: bool) -> None:
        """Add or remove the layer."""
        self._remove()
        if is_shown and not self.why_not:
            active = self._viewer.layers.selection.active
            mask = tumor_layer(self._viewer, self._session.case_id)
            assert mask is not None  # `why_not` was empty
            layer = self._viewer.add_labels(
                np.zeros(mask.data.shape, np.uint8),
                name=f"{self._session.case_id} difference",
                opacity=0.9,
                colormap=label_colors({ADDED: ADDED_COLOR, REMOVED: REMOVED_COLOR}),
                metadata={"breastseg": note_of(mask) | {"role": "difference"}},
                **placement(mask),
            )
            layer.editable = False
            self._viewer.layers.selection.active = active  # the brush stays active
            self.refresh()

    def refresh(self) -> None:
        """Compare the current slice again."""
        layer, draft = self._layer(), self._session.draft
        mask = tumor_layer(self._viewer, self._session.case_id)
        if layer is None or draft is None or mask is None:
            return
        labels, out = volume_of(mask), volume_of(layer)
        if draft.label_map.data.shape != labels.shape:
            return
        seen = current_slice(self._viewer, self._session.source)
        part: Any = (slice(None),) * 3
        if seen is not None:
            axis, index = seen
            part = tuple(index if a == axis else slice(None) for a in range(3))
        now, then = labels[part] == TUMOR, draft.label_map.tumor[part]
        out[part] = np.where(now & ~then, ADDED, np.where(then & ~now, REMOVED, 0))
        layer.refresh()

    def _layer(self) -> Any:
        case_id = self._session.case_id
        return None if case_id is None else find_layer(self._viewer, "difference", case_id)

    def _remove(self) -> None:
        for layer in list(self._viewer.layers):
            if note_of(layer).get("role") == "difference":
                self._viewer.layers.remove(layer.name)
