"""The exams of a `predict` run, one after another: segmented, or drafted again from corrections.

Loads torch when called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import formats
from ..core.errors import InputError
from ..core.progress import drain
from ._console import note, run, say

if TYPE_CHECKING:
    from ..clicks.prompts import Click
    from ..core.volume import Exam, LabelMap
    from ..model.checkpoint import Checkpoint
    from ..predict.prediction import Prediction
    from ..training.corrections import Corrections

__all__ = [
    "Segmented",
    "clicking",
    "clicks_of",
    "corrected_masks",
    "reading_ahead",
    "redrafting",
    "segmenting",
    "slice_numbers",
    "unforeseen",
]


@dataclass(frozen=True, eq=False)
class Segmented:
    """A case of the run, segmented."""

    exam: Exam
    prediction: Prediction

    told: dict[str, Any] = field(default_factory=dict)
    """What the row of the case says beside what every row says."""


Made = Iterator[tuple["formats.CaseFiles", Segmented | InputError]]
"""Each case with what became of it."""


def segmenting(
    members: Sequence[Checkpoint],
    cases: Sequence[formats.CaseFiles],
    how: dict[str, Any],
    *,
    uncertainty: bool,
    quiet: bool,
) -> Made:
    """Each case segmented.

    Parameters
    ----------
    members : sequence of Checkpoint
        The model first.
    cases : sequence of CaseFiles
    how : dict
        What `predict` takes.
    uncertainty : bool
        Tell what Dice all members expect.
    quiet : bool
        Show no progress.
    """
    from ..predict.prediction import predict
    from ..predict.uncertainty import predict_uncertain

    for case, exam in reading_ahead(cases, quiet=quiet):
        try:
            if isinstance(exam, InputError):
                raise exam
            if uncertainty:
                answer = run(predict_uncertain(members, exam, **how), quiet=quiet)
                told = {"predicted_dice": round(answer.predicted_dice, 4)}
                yield case, Segmented(exam, answer.prediction, told)
            else:
                yield case, Segmented(exam, run(predict(members[0], exam, **how), quiet=quiet))
        except InputError as error:
            yield case, error
        except Exception as error:
            if len(cases) == 1:
                raise
            yield case, unforeseen(case, error)


def unforeseen(case: formats.CaseFiles, error: Exception, doing: str = "segment") -> InputError:
    """What the row of a case says on which the program failed: it stops no other."""
    return InputError(
        f"Expected to {doing} case {case.case_id}",
        # Its text may hold a header's value; its kind does not.
        f"found a fault of the program ({type(error).__name__})",
        "Run the command on this exam alone, and report what it then says",
    )


def reading_ahead(
    cases: Sequence[formats.CaseFiles], *, quiet: bool
) -> Iterator[tuple[formats.CaseFiles, Exam | InputError]]:
    """Each case as read, or why it could not be; the next is read while one is worked on.

    Two exams are in memory at most.
    """

    def read(case: formats.CaseFiles) -> tuple[Exam | InputError, list[str]]:
        messages: list[str] = []
        try:
            exam = drain(
                formats.reading_exam(case),
                lambda progress: messages.append(progress.message) if progress.message else None,
            )
        except InputError as error:
            return error, messages
        except Exception as error:
            return unforeseen(case, error), messages
        return exam, messages

    with ThreadPoolExecutor(1, "reading") as reader:
        coming: Future[tuple[Exam | InputError, list[str]]] | None = None
        for number, case in enumerate(cases):
            found: Exam | InputError
            if coming is None:  # nothing to do meanwhile: the first one shows its progress
                try:
                    found = run(formats.reading_exam(case), quiet=quiet)
                except InputError as error:
                    found = error
                except Exception as error:
                    if len(cases) == 1:
                        raise
                    found = unforeseen(case, error)
            else:
                found, messages = coming.result()
                for message in messages:
                    say(message)
            if number + 1 < len(cases):
                coming = reader.submit(read, cases[number + 1])
            yield case, found
            del found


def clicks_of(text: Sequence[str], exam: Exam, *, is_lesion: bool = True) -> list[Click]:
    """Clicks that a person writes: slice, row and column from 1, or x, y and z in mm.

    Raises
    ------
    InputError
        If they cannot be read, or are in mm where the exam has no place in space.
    """
    import numpy as np

    from ..clicks.prompts import Click

    found = []
    for one in text:
        is_mm = one.strip().endswith("mm")
        try:
            a, b, c = (float(part) for part in one.strip().removesuffix("mm").split(","))
        except ValueError:
            raise InputError(
                "Expected a click as slice,row,column from 1, or as x,y,zmm",
                f"found '{one}'",
                "Give for example --click 31,120,98 or --click -52.5,31,12mm",
            ) from None
        if is_mm:
            if not exam.grid.has_orientation:
                raise InputError(
                    "Expected a click as slice,row,column",
                    "found mm, and an exam whose place in the patient is not known",
                    "Count slice, row and column from 1",
                )
            inverse = np.linalg.inv(exam.grid.affine)
            z, y, x = (round(float(v)) for v in (inverse @ (a, b, c, 1.0))[:3])
        else:
            z, y, x = (round(v) - 1 for v in (a, b, c))
        found.append(Click((z, y, x), is_lesion))
    return found


def clicking(
    checkpoint: Checkpoint,
    case: formats.CaseFiles,
    inside: Sequence[str],
    outside: Sequence[str],
    *,
    only_enhancing: bool,
    quiet: bool,
) -> Made:
    """One exam, outlined where it is clicked.

    Parameters
    ----------
    checkpoint : Checkpoint
        A click network.
    case : CaseFiles
    inside, outside : sequence of str
        Clicks on the lesion and beside it, as `clicks_of` reads them.
    only_enhancing : bool
        Mark the tissue that enhances alone.
    quiet : bool
        Show no progress.
    """
    import time

    import numpy as np

    from ..clicks.asking import outlined
    from ..core.volume import LabelMap, Volume
    from ..predict.prediction import Prediction

    try:
        exam = run(formats.reading_exam(case), quiet=quiet)
        said = clicks_of(inside, exam) + clicks_of(outside, exam, is_lesion=False)
        started = time.perf_counter()
        outline = run(outlined(checkpoint, exam, said, only_enhancing=only_enhancing), quiet=quiet)
        probability = np.zeros(exam.grid.shape, np.float32)
        for z, values in outline.probabilities.items():
            probability[z] = values
        prediction = Prediction(
            probability=Volume(probability, exam.grid),
            label_map=LabelMap(outline.mask.astype(np.uint8), exam.grid),
            threshold=0.5,
            phases=checkpoint.spec.require(exam, checkpoint.info.name),
            device="cpu",
            model=checkpoint.info.identity,
            seconds=time.perf_counter() - started,
        )
        yield case, Segmented(exam, prediction, {"clicks": len(said)})
    except InputError as error:
        yield case, error


def corrected_masks(like: Sequence[Path], cases: Sequence[formats.CaseFiles]) -> dict[str, Path]:
    """The corrected mask of each case that has one, by case id.

    Parameters
    ----------
    like : sequence of Path
        Files, or folders of files, called after their cases; a single mask beside a single exam
        may have any name.
    cases : sequence of CaseFiles

    Raises
    ------
    InputError
        If a mask belongs to none of the cases, or two belong to one.
    """
    files = [file for path in like for file in _files(path)]
    if len(files) == 1 and len(cases) == 1:
        return {cases[0].case_id: files[0]}
    by_name = {case.case_id.casefold(): case.case_id for case in cases}
    masks: dict[str, Path] = {}
    for file in files:
        case_id = by_name.get(formats.case_name(file).casefold())
        if case_id is None or case_id in masks:
            raise InputError(
                "Expected corrected masks called after the exams, one each",
                f"found {file.name}, which "
                + ("is the second of its exam" if case_id else "is called after none of them"),
                "Give the mask of P7.png the name P7.png or P7.nii.gz",
            )
        masks[case_id] = file
    return masks


def slice_numbers(text: str) -> list[int]:
    """Slices, counted from 0, of numbers that a person writes, counted from 1.

    Examples
    --------
    >>> slice_numbers("12, 14-16")
    [11, 13, 14, 15]
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            numbers += range(int(first) - 1, int(last or first))
        except ValueError:
            raise InputError(
                "Expected numbers of slices, such as 12,14-16",
                f"found '{part.strip()}'",
                "Count slices from 1",
            ) from None
    return numbers


def redrafting(
    checkpoint: Checkpoint,
    cases: Sequence[formats.CaseFiles],
    masks: Mapping[str, Path],
    how: dict[str, Any],
    *,
    reviewed: Sequence[int] | None,
    tumor: Collection[int] | None = None,
    quiet: bool,
) -> Made:
    """Each case drafted again: volumes by themselves, single slices of the run together.

    Parameters
    ----------
    checkpoint : Checkpoint
    cases : sequence of CaseFiles
    masks : mapping of str to Path
        From `corrected_masks`.
    how : dict
        What `predict` takes.
    reviewed : sequence of int or None
        Slices of the masks that are right, counted from 0; None: all that are not `ignore`.
    tumor : collection of int, optional
        Labels of the masks that are tumor; see `formats.read_label_map`.
    quiet : bool
        Show no progress.
    """
    slices: list[tuple[formats.CaseFiles, Exam, LabelMap | None]] = []
    for case in cases:
        try:
            exam = run(formats.reading_exam(case), quiet=quiet)
            path = masks.get(case.case_id)
            mask = None
            if path is not None:
                mask = formats.read_label_map(path, exam=exam, tumor=tumor, tell=note)
            if exam.grid.shape[0] == 1:
                slices.append((case, exam, mask))
                continue
            if mask is None:
                raise InputError(
                    f"Expected a corrected mask of exam {case.case_id}",
                    "found none among those given with --like",
                    f"Add one called {case.case_id}.nii.gz, or leave the exam out",
                )
            yield from _together(checkpoint, [(case, exam, mask)], how, reviewed, quiet)
        except InputError as error:
            yield case, error
    if slices:
        try:
            yield from _together(checkpoint, slices, how, None, quiet)
        except InputError as error:
            for case, _, _ in slices:
                yield case, error


def _together(
    checkpoint: Checkpoint,
    members: Sequence[tuple[formats.CaseFiles, Exam, LabelMap | None]],
    how: dict[str, Any],
    reviewed: Sequence[int] | None,
    quiet: bool,
) -> list[tuple[formats.CaseFiles, Segmented]]:
    """Exams that learn from each other."""
    from ..predict.prediction import predict
    from ..training.corrections import Corrections
    from ..training.exam_learning import ExamLearner
    from ..training.redrafted import redrafted_prediction

    exams = [exam for _, exam, _ in members]
    drafts = [run(predict(checkpoint, exam, **how), quiet=quiet) for exam in exams]
    corrections: list[Corrections] = [
        Corrections.nothing(draft.label_map.grid.shape, draft.label_map)
        if mask is None
        else Corrections.of_mask(mask, draft.label_map, reviewed)
        for (_, _, mask), draft in zip(members, drafts, strict=True)
    ]
    learner = ExamLearner(checkpoint, exams, drafts=drafts, device=how["device"])
    redrafts = run(learner.adapt(corrections), quiet=quiet)
    done = []
    for (case, exam, _), draft, redraft in zip(members, drafts, redrafts, strict=True):
        job = redrafted_prediction(checkpoint, exam, draft, redraft)
        told = {
            "learned_from_slices": redraft.learned_from,
            "redrafted_slices": [z + 1 for z in redraft.changed],
        }
        done.append((case, Segmented(exam, run(job, quiet=quiet), told)))
    return done


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(
            "Expected a corrected mask, or a folder of them, after --like",
            f"found nothing at {Path(*path.parts[-2:])}",
            "Check the path",
        )
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
