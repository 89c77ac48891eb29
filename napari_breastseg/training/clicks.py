"""Fine-tuning the click network on the masks that readers accepted, beside a training.

It learns the reader's outline, and from the places where readers clicked and where they kept or
dropped a finding. What is tuned is kept only where simulated clicks on patients it did not learn
from come out better: a reader never gets a worse one. Imports torch when called; no Qt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..clicks.learning import SIDES, ExampleSlice, example, sitting
from ..clicks.lesion import ClickReader
from ..clicks.prompts import Place, Prompts
from ..clicks.simulated import click_on_largest_error
from ..core.atomic import write_text
from ..core.overlap import dice
from ..core.progress import Job, Progress
from ..core.volume import IGNORE, TUMOR
from ..dataset import Decision
from ..imaging.preprocessing import is_available
from ..model import checkpoint as checkpoints
from ..model.card import model_card
from ..model.checkpoint import CARD_FILE, OWN_CLICKS, Checkpoint, TrainingRecord
from ..model.mixing import mixed
from .cases import DatasetCase
from .config import TrainConfig, learning_rate
from .loss import segmentation_loss
from .ranks import rank_of_environment
from .steps import average_into, keep_norm_statistics

if TYPE_CHECKING:
    import torch

__all__ = ["BATCH", "ClickTuning", "can_tune_clicks", "click_steps", "tune_clicks"]

MOST_STEPS, STEPS_A_STEP = 120, 3
"""At most so many steps, and so many for each step of the model it goes with."""

BATCH = 8
RATE = 5e-4
BASE_SHARE = 0.35
"""Of the network before in what is saved, as in the site's model."""

SLICES = 24
"""Slices with tumor learned from in an exam, and half as many without; spread over it."""

TESTED = 4
"""Slices clicked in each exam of a patient left out."""

CLICKS = 3

_STAGE = "Fine-tuning the smart click"


@dataclass(frozen=True)
class ClickTuning:
    """What fine-tuning the click network brought on patients it did not learn from."""

    before: tuple[float, ...]
    """Mean Dice over patients after 1, 2 and 3 simulated clicks, with the network before."""

    after: tuple[float, ...]

    @property
    def is_better(self) -> bool:
        """Whether the fine-tuned network is the one that is kept."""
        return float(np.mean(self.after)) > float(np.mean(self.before))

    def describe(self) -> str:
        """What became of it, in a sentence.

        Examples
        --------
        >>> ClickTuning((0.75, 0.8, 0.82), (0.84, 0.86, 0.88)).describe()
        'One smart click: mean Dice 0.75 before, 0.84 fine-tuned.'
        """
        line = f"One smart click: mean Dice {self.before[0]:.2f} before, {self.after[0]:.2f}"
        return f"{line} fine-tuned{'.' if self.is_better else '; it stays as it was.'}"


def can_tune_clicks(
    base: Checkpoint, learned: Sequence[DatasetCase], held_out: Sequence[DatasetCase]
) -> bool:
    """Whether the click network of a model can be fine-tuned on these cases.

    It takes their channels; patients are left out to decide, and tumor was accepted of them and of
    others.
    """
    patients = {case.patient_id for case in learned}
    inputs = checkpoints.read_info(base.clicks).spec.inputs
    datasets = {case.dataset.folder: case.dataset for case in (*learned, *held_out)}.values()
    return (
        rank_of_environment() == 0  # of several processes one does it
        and all(any(is_available(i, one.channels) for i in inputs) for one in datasets)
        and all(case.patient_id not in patients for case in held_out)
        and all(any(_tumor_voxels(case) for case in cases) for cases in (learned, held_out))
    )


def click_steps(steps: int) -> int:
    """Steps of the click network beside so many of the model.

    Examples
    --------
    >>> [click_steps(n) for n in (2, 30, 200)]
    [6, 90, 120]
    """
    return min(MOST_STEPS, STEPS_A_STEP * steps)


def _tumor_voxels(case: DatasetCase) -> int:
    accepted = case.dataset.case(case.case_id).accepted
    return 0 if accepted is None else accepted.tumor_voxels


def tune_clicks(
    learned: Sequence[DatasetCase],
    held_out: Sequence[DatasetCase],
    base: Checkpoint,
    output: Path,
    *,
    steps: int = MOST_STEPS,
    seed: int = 0,
) -> Job[ClickTuning | None]:
    """Fine-tune a click network; write it beside the trained model if it got better.

    `can_tune_clicks` says whether these cases allow it.

    Parameters
    ----------
    learned : sequence of DatasetCase
    held_out : sequence of DatasetCase
        Of other patients: what they show decides.
    base : Checkpoint
        The click network so far.
    output : Path
        Checkpoint folder of the trained model.
    steps, seed : int

    Yields
    ------
    Progress

    Returns
    -------
    ClickTuning or None
        None where no slice with tumor was reviewed as a whole, of those learned from or left out.
    """
    before = yield from _clicked(base, held_out)
    slices: dict[str, list[ExampleSlice]] = {}
    for number, case in enumerate(learned):
        yield Progress(_STAGE, number, len(learned))
        slices.setdefault(case.patient_id, []).extend(_slices_of(case, base))
    patients = [own for own in slices.values() if own]
    if not before or not any(bool(one.truth.any()) for own in patients for one in own):
        return None
    network = yield from _tuned(base, patients, steps, seed)
    cases, people = [case.case_id for case in learned], sorted(slices)
    record = TrainingRecord(
        datasets=sorted({case.dataset.name for case in learned}),
        training_cases=cases,
        inherited_cases=sorted(base.info.training.known_cases - {*cases}),
        validation_cases=[case.case_id for case in held_out],
        patients=people,
        inherited_patients=sorted(base.info.training.known_patients - {*people}),
        steps=steps,
        seed=seed,
    )
    info = base.info.model_copy(update={"training": record, "parent": base.info.identity})
    after = yield from _clicked(Checkpoint(info, network), held_out)
    tuning = ClickTuning(before, after)
    if tuning.is_better:
        metrics = {f"dice_{n}_clicks": round(value, 4) for n, value in enumerate(after, 1)}
        folder = output / OWN_CLICKS
        info = info.model_copy(update={"metrics": metrics})
        info = checkpoints.save(folder, network.state_dict(), info, half=True)
        write_text(folder / CARD_FILE, model_card(info, base.card))
    return tuning


def _tuned(
    base: Checkpoint, patients: Sequence[Sequence[ExampleSlice]], steps: int, seed: int
) -> Job[torch.nn.Module]:
    """The network after so many steps, averaged with the one before."""
    from copy import deepcopy

    import torch

    config = TrainConfig(steps=steps, learning_rate=RATE, schedule="one-cycle")
    network, averaged = deepcopy(base.network).train(), deepcopy(base.network).eval()
    keep_norm_statistics(network)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        rng = np.random.default_rng((seed, step))
        side = int(rng.choice(list(SIDES), p=list(SIDES.values())))
        chosen = [patients[int(rng.integers(len(patients)))] for _ in range(BATCH)]
        examples = [example(own, base.spec, rng, side) for own in chosen]
        inputs, truth = sitting(averaged, examples, int(rng.integers(CLICKS)), rng)
        loss = segmentation_loss(network(inputs), truth, dice_over_batch=False)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average_into(averaged, network, 0.95, step + 1)
        yield Progress(_STAGE, step + 1, steps, {"loss": float(loss.detach())})
    return mixed(averaged, base.network, BASE_SHARE)


def _slices_of(case: DatasetCase, base: Checkpoint) -> Iterator[ExampleSlice]:
    """Reviewed slices of a case: with tumor, and where tumor was taken for seen."""
    exam, labels, draft = case.exam(), case.label_map().data, case.draft()
    reader = ClickReader(base, exam)
    said = _said(case)
    is_reviewed = (labels != IGNORE).all((1, 2))
    has_tumor = (labels == TUMOR).any((1, 2)) & is_reviewed
    was_taken = np.zeros(len(labels), bool)
    was_taken[list(said)] = True
    if draft is not None:
        was_taken |= draft.tumor.any((1, 2))
    for wanted, most in ((has_tumor, SLICES), (was_taken & is_reviewed & ~has_tumor, SLICES // 2)):
        for z in _spread(np.flatnonzero(wanted), most):
            beside = labels[z - 1 if z else min(1, len(labels) - 1)]
            yield ExampleSlice(
                case.patient_id,
                reader.phases(z),
                reader.roles,
                _share(labels[z] == TUMOR),
                None if draft is None else _share(draft.data[z] == TUMOR),
                _share(beside == TUMOR) if len(labels) > 1 else None,
                float(np.sqrt(np.prod(reader.pixel_mm))),
                is_drawn=True,
                said=said.get(z, ()),
            )


def _share(mask: NDArray[np.bool_]) -> torch.Tensor:
    import torch

    return torch.from_numpy(mask.astype(np.float16))


def _spread(places: NDArray[Any], most: int) -> list[int]:
    """At most so many of them, evenly spread."""
    if len(places) <= most:
        return [int(place) for place in places]
    chosen = np.round(np.linspace(0, len(places) - 1, most)).astype(int)
    return [int(place) for place in places[chosen]]


def _said(case: DatasetCase) -> dict[int, tuple[tuple[Place, bool], ...]]:
    """What readers said of places, by slice: clicks, and findings that were kept or dropped."""
    record = case.dataset.case(case.case_id)
    said = [(one.voxel, one.is_lesion) for one in record.clicks]
    for one in record.findings:
        if one.decision is not Decision.NONE:
            z, y, x = (round(v) for v in one.center_voxel)
            said.append(((z, y, x), one.decision is Decision.KEPT))
    found: dict[int, tuple[tuple[Place, bool], ...]] = {}
    for (z, y, x), is_lesion in said:
        if z < record.grid.shape[0]:  # a center of mass may round to one past the last slice
            found[z] = (*found.get(z, ()), ((float(y), float(x)), is_lesion))
    return found


def _clicked(model: Checkpoint, cases: Sequence[DatasetCase]) -> Job[tuple[float, ...]]:
    """Mean Dice over patients after each simulated click from nothing, where there is tumor."""
    dices: dict[str, list[list[float]]] = {}
    for number, case in enumerate(cases):
        yield Progress("Trying the smart click", number, len(cases))
        labels = case.label_map().data
        shown = np.flatnonzero((labels == TUMOR).any((1, 2)) & (labels != IGNORE).all((1, 2)))
        reader = ClickReader(model, case.exam()) if len(shown) else None
        for z in _spread(shown, TESTED):
            assert reader is not None  # there are slices to click in
            truth = labels[z] == TUMOR
            mask, prompts, row = np.zeros_like(truth), Prompts(), []
            for _ in range(CLICKS):
                said = click_on_largest_error(mask, truth)
                if said is not None:
                    prompts = prompts.with_click(*said)
                    mask = reader.answer(z, prompts, mask).mask
                row.append(dice(mask, truth))
            dices.setdefault(case.patient_id, []).append(row)
    if not dices:
        return ()
    return tuple(float(v) for v in np.mean([np.mean(rows, 0) for rows in dices.values()], 0))
