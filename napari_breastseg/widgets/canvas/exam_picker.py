"""The current exam: chosen in a list, by a click on one of its layers, or by opening one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy

from ..parts.jobs import show_info
from ..state.current_exam import current_exam, exam_of_layer
from ..state.session import Session
from ..state.sources import Source, earlier_layers, note_of, opened_twice, sources
from .layers import release_earlier_layers, tumor_layer

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ExamPicker"]


class ExamPicker(QComboBox):
    """Lists a viewer's exams and image layers, and keeps the session's source in step with them.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    save_work : callable
        Saves unsaved work on the current case at once, before another exam takes its place.
    close_case : callable
        Saves the work on the current case and gives it back.
    """

    layers_changed = Signal()
    """Layers came, went or were renamed."""

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        *,
        save_work: Callable[[], object],
        close_case: Callable[[], object],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._save_work = save_work
        self._close_case = close_case
        self._exams: list[Source] = []
        self._is_over = False
        # By then all layers of a file are there.
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._close_copies)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.activated.connect(self._on_picked)

    def follow(self) -> None:
        """Follow the viewer's layers.

        Called after all others that follow them: napari tells the last one first, and the others
        ask the session what is current.
        """
        layers = self._viewer.layers
        layers.events.inserted.connect(self._on_inserted)
        for event in (layers.events.removed, layers.events.renamed):
            event.connect(self._on_layers)
        layers.selection.events.active.connect(self._on_active)
        self._on_inserted()

    def reset_choices(self) -> None:
        """List what is in the viewer now; the current exam stays while it is there."""
        self._exams = sources(self._viewer)
        active = self._viewer.layers.selection.active
        exam = current_exam(self._exams, self._session.case_id, active)
        self._show(exam)
        self._session.source = exam

    def choose(self, case_id: str) -> None:
        """Make an exam of the viewer the current one."""
        for exam in self._exams:
            if exam.case_id == case_id:
                self._work_on(exam)
                return

    def stop(self) -> None:
        """Follow the viewer no longer."""
        self._is_over = True

    def _work_on(self, exam: Source) -> None:
        if exam == self._session.source:
            return
        if exam.case_id != self._session.case_id:
            # In this thread: the case is left below, and what waits to be written with it.
            self._save_work()
        self._session.source = exam
        self._show(exam)

    def _show(self, current: Source | None) -> None:
        self.clear()
        for exam in self._exams:
            self.addItem(exam.title)
        if not self._exams:
            self.addItem("no exam open")
        self.setEnabled(bool(self._exams))
        if current is not None:
            self.setCurrentIndex(self._exams.index(current))
        title = f"{current.title}: " if current is not None else ""
        self.setToolTip(f"{title}the current exam or image layer, which all steps work on")

    def _on_picked(self, index: int) -> None:
        if 0 <= index < len(self._exams):
            self._work_on(self._exams[index])

    def _on_layers(self, event: object = None) -> None:
        if not self._is_over:
            self.layers_changed.emit()

    def _on_inserted(self, event: object = None) -> None:
        if self._is_over:
            return
        earlier = earlier_layers(self._viewer)
        if any(note_of(layer).get("case_id") == self._session.case_id for layer in earlier):
            self._close_case()  # another reader brought an exam of its name
        if earlier:
            name = note_of(earlier[0]).get("case_id")
            release_earlier_layers(self._viewer)
            show_info(
                f"Another exam called '{name}' was opened. The layers of the one before stay as "
                "'(earlier)', but are saved no longer."
            )
        elif opened_twice(self._viewer):
            self._soon.start()
        self.layers_changed.emit()

    def _close_copies(self) -> None:
        """Close what was opened over the same exam: it would hide the mask that is painted."""
        twice = [] if self._is_over else opened_twice(self._viewer)
        if not twice:
            return
        case_id = note_of(twice[0])["case_id"]
        for layer in twice:
            self._viewer.layers.remove(layer)
        drawn = tumor_layer(self._viewer, case_id)
        shown = [layer for layer in self._viewer.layers if layer.visible]
        self._viewer.layers.selection.active = drawn or (shown[-1] if shown else None)
        show_info(f"{case_id} is open already; it was not opened a second time.")

    def _on_active(self, event: object = None) -> None:
        if self._is_over:
            return
        exam = exam_of_layer(self._viewer.layers.selection.active, self._exams)
        if exam is not None:
            self._work_on(exam)
