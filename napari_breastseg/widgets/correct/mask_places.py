"""Where the current mask is kept until it is accepted: in the dataset, or on this computer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..canvas.layers import grid_of, volume_of
from ..parts.jobs import errors_shown
from ..state.case_rules import would_be_lost
from ..state.recovery import InDataset, OnThisComputer, Place
from ..state.session import Session
from ..state.sources import Source, exam_of, fingerprint
from ..state.unfinished import forget_unfinished, has_unfinished

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["Places"]


class Places:
    """Finds the place of the current exam's mask.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._marks: dict[tuple[str, ...], str] = {}

    def of(self, layer: Labels, *, is_edited: bool) -> Place | None:
        """Where a mask is kept; None where it holds nothing of the reader's.

        Parameters
        ----------
        layer : napari.layers.Labels
            The current exam's mask.
        is_edited : bool
            Whether it was edited while no dataset held it.
        """
        session, source = self._session, self._session.source
        if source is None:
            return None
        if session.record is not None and session.workspace is not None:
            return InDataset(session.workspace, session.record, self.mark_of(source))
        if not is_edited:
            return None
        if would_be_lost(volume_of(layer), session.draft):
            return OnThisComputer(self.mark_of(source), grid_of(layer))
        if has_unfinished():  # what was kept has been undone
            with errors_shown():
                forget_unfinished(self.mark_of(source)())
        return None

    def mark_of(self, source: Source) -> Callable[[], str]:
        """Gives the fingerprint of an exam; of a layer of another reader it is taken once."""
        if not source.is_foreign:
            return lambda: source.fingerprint

        def taken() -> str:
            key = tuple(source.layers.values())
            if key not in self._marks:
                self._marks[key] = fingerprint(exam_of(self._viewer, source))
            return self._marks[key]

        return taken
