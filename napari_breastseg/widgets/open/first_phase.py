"""The first phase of an exam, shown while the others are read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...core.progress import Progress
from ...core.volume import Exam
from ...formats import PhaseRead
from ...imaging.intensity import intensity_window
from ..canvas.layers import find_layer, placement_of_grid
from ..canvas.orientation import show_radiologically
from ..parts.jobs import JobRunner

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["FirstPhase", "with_window"]

ROLE = "reading"


@dataclass(frozen=True)
class _PhaseReady(PhaseRead):
    """A phase with its grey window."""

    limits: tuple[float, float] = (0.0, 1.0)


def with_window(progress: Progress) -> Progress:
    """In the thread that reads: the first phase of several with its grey window."""
    if isinstance(progress, PhaseRead) and progress.volume is not None:
        if progress.done != 1 or progress.total < 2:
            return replace(progress, volume=None)  # nobody waits for it
        with suppress(InputError):  # said once all is read
            limits = intensity_window([progress.volume.data], (0.5, 99.7))
            return _PhaseReady(**{**vars(progress), "limits": limits})
    return progress


class FirstPhase:
    """A layer that is no exam's until all is read; it then becomes one of the exam's phases.

    Parameters
    ----------
    viewer : napari.Viewer
    runner : JobRunner
        Of the reading.
    """

    def __init__(self, viewer: Viewer, runner: JobRunner) -> None:
        self._viewer = viewer
        runner.ended.connect(self._on_ended)

    def show(self, progress: Progress) -> None:
        """Show a phase in an empty viewer; what the reader has on the screen stays."""
        if not isinstance(progress, _PhaseReady) or len(self._viewer.layers):
            return
        volume = progress.volume
        assert volume is not None  # for the type checker: it has a window
        show_radiologically(self._viewer)
        self._viewer.add_image(
            volume.data,
            name="reading the other phases",
            contrast_limits=progress.limits,
            colormap="gray",
            metadata={"breastseg": {"role": ROLE}},
            **placement_of_grid(volume.grid),
        )
        dims = self._viewer.dims
        middle = [(bounds.start + bounds.stop) / 2 for bounds in dims.range]
        dims.set_point(range(dims.ndim), middle)

    def hand_over(self, exam: Exam) -> None:
        """Make the layer one of the exam's: swapping its voxels is faster than a new layer."""
        layer = find_layer(self._viewer, ROLE)
        if layer is not None:
            same = [role for role, one in exam.phases.items() if one.data is layer.data]
            role = next(iter([*same, *exam.phases]))
            layer.metadata = {"breastseg": {"case_id": exam.case_id, "role": role}}

    def take_down(self) -> None:
        """Remove the layer: the exam could not be read, or something is asked first."""
        layer = find_layer(self._viewer, ROLE)
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _on_ended(self, outcome: str) -> None:
        if outcome != "done":
            self.take_down()
