"""On which device a job runs."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox

__all__ = ["DevicePicker"]

_DEVICES = ("auto", "cpu", "cuda", "mps")


class DevicePicker(QComboBox):
    """A list of devices by torch's names; "auto" is the graphics card if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.addItems(_DEVICES)
        self.setToolTip("auto uses the graphics card if there is one")

    def value(self) -> str:
        """The device chosen."""
        return self.currentText()
