"""Offers work that was kept on this computer when its exam is opened again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

from ...core.volume import Grid, LabelMap
from ..canvas.layers import show_labels, tumor_layer, volume_of
from ..canvas.view import go_to_tumor
from ..parts import fields as _fields
from ..parts.jobs import JobRunner, as_job
from ..state.session import Session, is_same
from ..state.sources import Source, exam_of
from ..state.unfinished import has_unfinished, unfinished_map, was_kept_here
from .mask_places import Places

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["UnfinishedWork"]


class UnfinishedWork(QObject):
    """Asks whether to go on with the mask of an exam that no dataset holds.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    is_opening : callable
        Whether a case of a dataset is being opened, which brings its own mask.
    parent : QWidget
        Over which it is asked.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        *,
        is_opening: Callable[[], bool],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._is_opening = is_opening
        self._parent = parent
        self._places = Places(viewer, session)
        self._looked_at: Source | None = None
        self.runner = JobRunner(self)
        # When all of an exam's layers are there, and whoever opened it has said what for.
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._look)
        session.source_changed.connect(self._on_source)

    def _on_source(self, source: Source | None) -> None:
        if source is not None and not source.is_same_exam(self._looked_at):
            self._soon.start()
        self._looked_at = source

    def _look(self) -> None:
        source = self._session.source
        if source is None or not self._is_free or self.runner.is_running or not has_unfinished():
            return
        mark, viewer, session = self._places.mark_of(source), self._viewer, self._session
        title = "Looking for unfinished work"

        def look() -> tuple[LabelMap | None, bool]:
            grid: Grid = exam_of(viewer, source, session.roles).grid
            fingerprint = mark()
            return unfinished_map(fingerprint, grid), was_kept_here(fingerprint)

        self.runner.start(
            title, lambda: as_job(title, look), on_result=lambda found: self._offer(source, *found)
        )

    @property
    def _is_free(self) -> bool:
        return self._session.record is None and not self._is_opening()

    def _offer(self, source: Source, kept: LabelMap | None, is_own: bool) -> None:
        if kept is None or not self._is_free or not source.is_same_exam(self._session.source):
            return
        layer = tumor_layer(self._viewer, source.case_id)
        if layer is not None and (is_own or is_same(volume_of(layer), kept.data)):
            return
        if _fields.ask(
            self._parent,
            "Unfinished work found",
            f"Work on {source.case_id} that is in no dataset was kept on this computer.\n"
            "Continue with it?",
            "Continue with it",
            "Leave it",
        ):
            show_labels(self._viewer, source, kept)
            go_to_tumor(self._viewer, source, kept.data)
