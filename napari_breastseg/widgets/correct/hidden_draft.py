"""Reading without sight of the draft: it is made, and shown when the reader asks for it.

The reader's own mask is never overwritten: where there is one, the draft is shown as changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..canvas.layers import edit_labels, show_labels, tumor_layer, volume_of
from ..canvas.view import go_to_tumor
from ..parts.fields import button, note
from ..parts.jobs import show_info
from ..state.session import Session

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["HiddenDraft"]


class HiddenDraft(QWidget):
    """A button that shows the hidden draft, and the time at which it was shown.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    show_changes : callable
        Shows the reader's mask and the draft as differences.
    """

    def __init__(
        self, viewer: Viewer, session: Session, show_changes: Callable[[], object]
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._show_changes = show_changes
        self.button = button(
            "Show the draft",
            self.reveal,
            "An empty mask becomes the draft, as one undo step. A mask you have drawn stays as it "
            "is, and the changes are shown",
            "F9",
        )
        self.line = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.button)
        column.addWidget(self.line)
        session.drafts.changed.connect(self._refresh)
        session.source_changed.connect(self._refresh)
        self._refresh()

    def reveal(self) -> None:
        """Show the draft that is hidden."""
        session, source = self._session, self._session.source
        draft = session.draft
        if not session.drafts.is_hidden or draft is None or source is None:
            show_info("There is no hidden draft.")
            return
        session.drafts.reveal()
        layer = tumor_layer(self._viewer, source.case_id)
        if layer is None:
            layer = show_labels(self._viewer, source, draft.label_map)
        elif volume_of(layer).any():
            self._show_changes()
        else:
            edit_labels(layer, draft.label_map.data)
        go_to_tumor(self._viewer, source, draft.label_map.data)

    def _refresh(self, event: object = None) -> None:
        session = self._session
        is_hidden = session.drafts.is_hidden and session.draft is not None
        after_s = session.drafts.revealed_after_s
        self.button.setVisible(is_hidden)
        self.line.setText("" if after_s is None else f"Draft shown after {after_s:.0f} s.")
        self.line.setVisible(after_s is not None)
        self.setVisible(is_hidden or after_s is not None)
