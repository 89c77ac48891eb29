"""What is done with a case once it is segmented: measured, written, told in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import formats
from ..core.errors import InputError
from ._console import run
from ._planning import Planned, why_of
from ._results import done_row
from ._table import looking

if TYPE_CHECKING:
    from ._segmented import Segmented

__all__ = ["Finishing", "behind"]

Row = dict[str, Any]


def behind(
    made: Iterable[tuple[formats.CaseFiles, Segmented | InputError]],
    finish: Callable[[formats.CaseFiles, Segmented | InputError], Row],
) -> Iterator[Row]:
    """The row of each case, in order; one is finished while the next is segmented.

    What `finish` raises comes out in the place of its row, and ends the run.
    """
    with ThreadPoolExecutor(1, "writing") as writer:
        before: Future[Row] | None = None
        for files, outcome in made:
            if before is not None:
                yield before.result()
            before = writer.submit(finish, files, outcome)
            del outcome
        if before is not None:
            yield before.result()


@dataclass(frozen=True)
class Finishing:
    """What the run wants of each case beside its mask."""

    prob: bool
    """Write the probabilities too."""

    is_measured: bool
    """Say where each finding lies, its diameter and curve."""

    is_looked_at: bool
    """Say the view, the sides and what to look at first."""

    breasts: bool | None
    """What `predict` was asked."""

    quiet: bool
    """Show no progress."""

    def row(self, one: Planned, outcome: Segmented) -> dict[str, Any]:
        """Write a case's mask, and give its row.

        Raises
        ------
        InputError
            If it cannot be measured.
        StorageError
            If a file cannot be written.
        """
        from ..lesions import measure_lesions

        exam, prediction = outcome.exam, outcome.prediction
        report = None
        if prediction.findings is not None and self.is_measured:
            job = measure_lesions(
                exam,
                prediction.label_map,
                breasts=prediction.breasts,
                findings=prediction.findings,
            )
            report = run(job, quiet=self.quiet)
        looked: dict[str, Any] = {}
        if self.is_looked_at:
            is_searched = prediction.findings is not None and self.breasts is None
            is_trusted = not is_searched or prediction.breasts is not None
            job_of_looking = looking(exam, report, is_region_trusted=is_trusted)
            looked = run(job_of_looking, quiet=self.quiet) | {"why": why_of(one.case)}
        formats.write_label_map(one.mask, prediction.label_map)
        if self.prob:
            formats.write_volume(one.probability, prediction.probability)
        row = done_row(
            one.case,
            prediction,
            source=one.source,
            mask=one.mask,
            probability=one.probability if self.prob else None,
            times_s=exam.times_s,
            report=report,
        )
        return row | outcome.told | looked
