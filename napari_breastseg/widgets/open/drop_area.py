"""Where an exam is dropped or chosen, and the exams opened last."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from ..parts.fields import button
from ..parts.forms import push
from ..state.opening import recent_exams

__all__ = ["DropArea", "RecentExams"]

_HEIGHT = 96


class DropArea(QFrame):
    """A large area that takes a dropped exam; a click asks for its folder, or for a file."""

    chosen = Signal(object)
    """The `Path` dropped or chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self.setMinimumHeight(_HEIGHT)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setObjectName("dropArea")
        self.setStyleSheet(
            "#dropArea { border: 2px dashed palette(mid); border-radius: 6px; }"
            "#dropArea:hover { border-color: palette(highlight); }"
        )
        self.setToolTip(
            "DICOM, NIfTI, NRRD, PNG, JPEG or TIFF, or a folder of them. You can also drop it "
            "anywhere on the window."
        )
        words = QLabel("<b>Drop an exam here</b><br>or click to choose its folder")
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        words.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.file_button = push("Choose a file…", self.ask_file, "NIfTI, NRRD, a picture")
        column = QVBoxLayout(self)
        column.addWidget(words, 1)
        column.addWidget(self.file_button.native, 0, Qt.AlignmentFlag.AlignCenter)

    def ask_folder(self) -> None:
        """Ask for a folder."""
        self._take(str(QFileDialog.getExistingDirectory(self, "Folder of the exam")))

    def ask_file(self) -> None:
        """Ask for a file."""
        self._take(str(QFileDialog.getOpenFileName(self, "File of the exam")[0]))

    def mouseReleaseEvent(self, event: QEvent) -> None:
        """Ask for a folder when the area is clicked."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.ask_folder()

    def dragEnterEvent(self, event: QEvent) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QEvent) -> None:
        """Open the first of what was dropped."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.chosen.emit(paths[0])

    def _take(self, text: str) -> None:
        if text:
            self.chosen.emit(Path(text))


class RecentExams(QWidget):
    """A button for each exam opened last, by its case id: a path may name a patient."""

    chosen = Signal(object)
    """The `Path` of the exam."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self.reset_choices()

    def reset_choices(self) -> None:
        """List them anew."""
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().deleteLater()
        recent = recent_exams()
        for place, (case_id, path) in enumerate(recent):
            one = button(case_id, partial(self.chosen.emit, path), f"Open {case_id} again")
            self._grid.addWidget(one, place // 2, place % 2)
        self.setVisible(bool(recent))
