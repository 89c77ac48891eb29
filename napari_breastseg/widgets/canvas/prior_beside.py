"""Which exam of the patient stands beside the current one: chosen, read, shown, let go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from ...core.progress import Job
from ...formats import CaseFiles, finding_cases
from ..parts import fields as _fields
from ..parts.jobs import JobRunner, as_job, show_info
from ..state.prior import (
    PriorExam,
    Visit,
    reading_case,
    reading_visit,
    visits_beside,
)
from ..state.session import Session
from ..state.sources import Source
from .layers import tumor_layer, volume_of
from .layouts import Layouts
from .prior_picture import PriorPicture
from .slice_picture import SlicePicture

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ...core.progress import Progress

__all__ = ["PriorBeside"]

_MEASURED_AFTER_MS = 300
_STEP = 0.01


class PriorBeside(QObject):
    """Chooses, reads and shows a prior exam.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    layouts : Layouts
        Puts the picture beside the canvas.
    parent : QWidget
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        layouts: Layouts,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._layouts = layouts
        self._dock = parent
        self.reader: Callable[[], str] = lambda: ""
        """Gives the reader's initials: an outline may have to be kept from a second reader."""

        self.runner = JobRunner(self)
        self.menu = QMenu(parent)
        self.shown: PriorPicture | None = None
        """The prior exam that was read last for the current exam."""

        self._soon = QTimer(self, singleShot=True, interval=_MEASURED_AFTER_MS)
        self._soon.timeout.connect(self._measure)
        session.source_changed.connect(self._forget)

    def toggle(self) -> None:
        """Layout: a prior exam of the patient beside this one."""
        if self.picture is not None:
            self._layouts.show_axial()
        elif self.shown is not None:
            self._show()
        else:
            self.choose()

    def choose(self) -> None:
        """Offer the patient's other exams in the dataset, and files."""
        source, dataset = self._session.source, self._session.dataset
        if source is None:
            show_info("Open an exam first.")
            return
        if dataset is None:
            self._offer([])
            return
        record = self._session.record
        patient = self._session.proposed_patient if record is None else record.patient_id
        self.runner.start(
            "Looking for other visits",
            lambda: as_job("Looking", lambda: visits_beside(dataset, source.case_id, patient)),
            on_result=self._offer,
        )

    @property
    def picture(self) -> SlicePicture | None:
        """The picture of the prior, while it is shown."""
        shown = self._layouts.pictures
        return shown[0] if len(shown) == 1 else None

    def measure_soon(self) -> None:
        """Measure the mask again, once the reader pauses."""
        if self.picture is not None:
            self._soon.start()

    # Choosing and reading

    def _offer(self, visits: list[Visit]) -> None:
        self.menu.clear()
        for visit in visits:
            self.menu.addAction(visit.words).triggered.connect(
                lambda _=False, visit=visit: self._read_visit(visit)
            )
        if not visits:
            none = "No other exam of this patient in the dataset"
            self.menu.addAction(none if self._session.dataset else "No dataset is open").setEnabled(
                False
            )
        self.menu.addSeparator()
        self.menu.addAction("Exam folder…").triggered.connect(lambda _=False: self._ask(True))
        self.menu.addAction("Exam file…").triggered.connect(lambda _=False: self._ask(False))
        if self.shown is not None:
            self.menu.addSeparator()
            words = "Close the prior exam" if self.picture is not None else "Show it again"
            self.menu.addAction(words).triggered.connect(lambda _=False: self.toggle())
        self._pop_up()

    def _pop_up(self) -> None:
        button = self._dock.findChild(QWidget, "prior_button")
        at = self._dock if button is None else button
        self.menu.popup(at.mapToGlobal(at.rect().bottomLeft()))

    def _ask(self, is_folder: bool) -> None:
        if is_folder:
            text = QFileDialog.getExistingDirectory(self._dock, "Folder of the prior exam")
        else:
            text = QFileDialog.getOpenFileName(self._dock, "File of the prior exam")[0]
        if text:
            self.read_file(Path(text))

    def _read_visit(self, visit: Visit) -> None:
        dataset, reader = self._session.dataset, self.reader()
        if dataset is not None:
            self._read(lambda: reading_visit(dataset, visit, reader), self._take)

    def read_file(self, path: Path) -> None:
        """Read an exam from a file or folder, and show it once it is known whose it is."""
        self.runner.start(
            "Looking for exams", lambda: finding_cases(path), on_result=self._take_cases
        )

    def _take_cases(self, cases: list[CaseFiles]) -> None:
        """Read the one that was found, or ask which, as of a folder with all of a patient's."""
        if len(cases) == 1:
            self._read_case(cases[0])
            return
        self.menu.clear()
        for case in cases:
            self.menu.addAction(case.case_id).triggered.connect(
                lambda _=False, case=case: self._read_case(case)
            )
        self._pop_up()

    def _read_case(self, case: CaseFiles) -> None:
        self._read(lambda: reading_case(case), self._take_file)

    def _read(self, job: Callable[[], Job[PriorExam]], take: Callable[[PriorExam], object]) -> None:
        source = self._session.source

        def arrive(prior: PriorExam) -> None:
            if source is not None and source.is_same_exam(self._session.source):
                take(prior)

        self._forget()
        if self.runner.start(
            "Reading the prior exam", job, on_result=arrive, on_progress=self._say
        ):
            show_info("Reading the prior exam…")

    def _say(self, progress: Progress) -> None:
        self._viewer.status = progress.stage

    def _take_file(self, prior: PriorExam) -> None:
        here = self._session.proposed_patient
        is_known = bool(prior.patient) and here != self._session.case_id
        if is_known and prior.patient == here:
            self._take(prior)
            return
        told = (
            "Its files name another patient than those of the current exam."
            if is_known
            else "The files do not say whose exam it is."
        )
        if _fields.ask(
            self._dock,
            "Is it the same patient?",
            f"{told} Only exams of one patient may be compared.",
            "Same patient: show it",
            "Do not show it",
        ):
            self._take(prior)

    # Showing

    def _take(self, prior: PriorExam) -> None:
        self.shown = PriorPicture(prior, self._layouts.present)
        self._show()

    def _show(self) -> None:
        if self.shown is not None:
            self._layouts.show_beside(self.shown.picture())
            self._measure()

    def _measure(self) -> None:
        mask = tumor_layer(self._viewer, self._session.case_id)
        if self.shown is not None:
            self.shown.compare(None if mask is None else volume_of(mask))
        if self.picture is not None:
            self.picture.follow()

    def _forget(self, source: Source | None = None) -> None:
        """Let go of a prior that belongs to another exam."""
        if self.picture is not None:
            self._layouts.show_axial()
        self.shown = None
