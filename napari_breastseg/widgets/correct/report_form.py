"""What a lesion report is asked for: the level of functional tumor, and the prior visit."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import Container, FileEdit, SpinBox

from ...lesions import PE_THRESHOLD_PERCENT
from ..parts.forms import keep_between_starts

__all__ = ["ReportForm"]


class ReportForm(Container):
    """Fields of the report; the level is kept between starts, the prior visit is the exam's own."""

    def __init__(self) -> None:
        self.pe_threshold = SpinBox(
            name="pe_threshold",
            label="FTV from, %",
            min=10,
            max=300,
            value=round(PE_THRESHOLD_PERCENT),
            tooltip="Early enhancement above which a voxel counts as functional tumor",
        )
        self.prior = FileEdit(
            name="prior",
            label="Prior visit",
            mode="r",
            filter="*.json",
            nullable=True,
            tooltip="Report (.json) of the prior visit",
        )
        super().__init__(widgets=[self.pe_threshold, self.prior])
        self.margins = (0, 0, 0, 0)
        keep_between_starts("report", (self.pe_threshold,))

    @property
    def prior_report(self) -> Path | None:
        """The file of the prior visit; None without one."""
        path = self.prior.value
        return None if path is None or path == Path() else Path(path)
