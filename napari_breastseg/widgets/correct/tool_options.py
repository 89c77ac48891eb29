"""What the tool in the hand can be told: its setting and how it is used, and no other's."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from ..parts.fields import note
from .tool_list import HINTS

__all__ = ["ToolOptions"]


class ToolOptions(QWidget):
    """One line of fields for one tool, above a line that says how it is used.

    Parameters
    ----------
    fields : mapping of str to sequence of QWidget
        Name of a tool to what belongs to it.
    """

    def __init__(self, fields: Mapping[str, list[QWidget]]) -> None:
        super().__init__()
        self._rows: dict[str, QWidget] = {}
        self.hint = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.hint)
        for name, widgets in fields.items():
            row = self._rows[name] = QWidget()
            inside = QHBoxLayout(row)
            inside.setContentsMargins(0, 0, 0, 0)
            inside.setSpacing(3)
            for widget in widgets:
                inside.addWidget(widget, 1)
            column.addWidget(row)
        self.show_tool("")

    def show_tool(self, name: str) -> None:
        """Show what belongs to a tool; "" for none of ours in the hand."""
        self.hint.setText(HINTS[name])
        for other, row in self._rows.items():
            row.setVisible(other == name)
