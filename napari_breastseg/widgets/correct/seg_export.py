"""Exporting the mask of an exam opened from DICOM as a DICOM SEG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.volume import Exam, LabelMap
from ...lesions.seg import exporting_seg
from ..parts.fields import ask_where, button, set_ready
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.measuring import origin_of_mask, seg_text, why_no_seg
from ..state.session import Session

__all__ = ["SegExport"]


class SegExport(QWidget):
    """A button that asks for a file and writes the mask there.

    Parameters
    ----------
    session : Session
    runner : JobRunner
    exam_and_mask : callable
        Gives the exam and its mask as they are now.
    why_no_measure : callable
        Says why there is nothing to export; empty when there is.
    """

    def __init__(
        self,
        session: Session,
        runner: JobRunner,
        exam_and_mask: Callable[[], tuple[Exam, LabelMap]],
        why_no_measure: Callable[[], str],
    ) -> None:
        super().__init__()
        self._session = session
        self._runner = runner
        self._exam_and_mask = exam_and_mask
        self._why_no_measure = why_no_measure
        self.button = button(
            "Export DICOM SEG…",
            self.export,
            "Write the mask for the archive. The file identifies the patient, as the exam does",
            "Ctrl-Shift-D",
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.button)

    def export(self) -> None:
        """Ask for a file and write the mask as it is now as a DICOM SEG of its exam."""
        with errors_shown():
            if why_not := self._why_not():
                raise InputError("Expected a mask of a DICOM exam", why_not, "Then export")
            if (path := self._ask_path()) is None:
                return
            exam, label_map = self._exam_and_mask()
            dicom, draft = self._session.dicom(exam.case_id), self._session.draft
            assert dicom is not None  # `_why_not` said so
            origin = origin_of_mask(None if draft is None else draft.model)
            self._runner.start(
                "Writing the DICOM SEG",
                lambda: exporting_seg(path, dicom, label_map, exam=exam, **origin),
                on_result=lambda written: show_info(seg_text(path, written)),
            )

    def reset_choices(self) -> None:
        """Bring the button up to date."""
        set_ready(self.button, self._why_not())

    def _ask_path(self) -> Path | None:
        return ask_where(
            self,
            "Export the mask as a DICOM SEG, which identifies the patient",
            f"{self._session.case_id}_tumor.dcm",
            "DICOM SEG (*.dcm)",
        )

    def _why_not(self) -> str:
        is_dicom = self._session.dicom(self._session.case_id) is not None
        return why_no_seg(self._why_no_measure(), is_dicom=is_dicom)
