"""What is exported of an exam and where to: its report, and its mask as a DICOM SEG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from magicgui.widgets import ComboBox, Container, FileEdit
from qtpy.QtWidgets import QWidget

from ...core.errors import InputError
from ...core.volume import Exam, LabelMap
from ...lesions.seg import exporting_seg
from ..parts.fields import ask_where, set_ready
from ..parts.forms import keep_between_starts, push
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.measuring import origin_of_mask, seg_text, why_no_seg
from ..state.session import Session

__all__ = ["ExportForm"]

_KINDS = {"pdf": "One page (*.pdf)", "csv": "Table (*.csv)", "json": "Everything (*.json)"}


class ExportForm(Container):
    """Kind of the report and folder, kept between starts; a button that writes the DICOM SEG.

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
        self._session = session
        self._runner = runner
        self._exam_and_mask = exam_and_mask
        self._why_no_measure = why_no_measure
        self.kind = ComboBox(
            name="kind",
            label="Report as",
            choices=[(title, ending) for ending, title in _KINDS.items()],
            tooltip="What *Export report* proposes",
        )
        self.folder = FileEdit(
            name="folder",
            label="Export to",
            mode="d",
            nullable=True,
            tooltip="Where exports are proposed: the folder chosen last",
        )
        self.seg_button = push(
            "Export DICOM SEG…",
            self.export_seg,
            "Write the mask for the archive. The file identifies the patient, as the exam does",
            "Ctrl-Shift-D",
        )
        super().__init__(widgets=[self.kind, self.folder, self.seg_button])
        self.margins = (0, 0, 0, 0)
        keep_between_starts("export", (self.kind, self.folder))

    def ask_report(self, parent: QWidget) -> Path | None:
        """Ask where to write the report; None if the reader cancels."""
        kinds = sorted(_KINDS, key=lambda ending: ending != self.kind.value)
        return self._ask(
            parent,
            "Export the lesion report",
            f"{self._session.case_id}_lesions.{self.kind.value}",
            ";;".join(_KINDS[ending] for ending in kinds),
        )

    def export_seg(self) -> None:
        """Ask for a file and write the mask as it is now as a DICOM SEG of its exam."""
        with errors_shown():
            if why_not := self._why_not():
                raise InputError("Expected a mask of a DICOM exam", why_not, "Then export")
            path = self._ask(
                self.native,
                "Export the mask as a DICOM SEG, which identifies the patient",
                f"{self._session.case_id}_tumor.dcm",
                "DICOM SEG (*.dcm)",
            )
            if path is None:
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

    def reset_choices(self, *_: object) -> None:
        """Bring the button up to date."""
        set_ready(self.seg_button, self._why_not())

    def _ask(self, parent: QWidget, title: str, name: str, kinds: str) -> Path | None:
        folder = self.folder.value
        is_there = folder is not None and folder != Path() and folder.is_dir()
        path = ask_where(parent, title, str(folder / name) if is_there else name, kinds)
        if path is not None:
            self.folder.value = path.parent
        return path

    def _why_not(self) -> str:
        is_dicom = self._session.dicom(self._session.case_id) is not None
        return why_no_seg(self._why_no_measure(), is_dicom=is_dicom)
