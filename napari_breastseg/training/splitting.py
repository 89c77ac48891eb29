"""Who is learned from, held out and left alone, when several datasets are learned from at once.

Imports no Qt and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import InputError
from ..dataset import Dataset
from .cases import DatasetCase

__all__ = ["split_by_patient"]


def split_by_patient(
    datasets: Sequence[Dataset], fold: int | None
) -> tuple[list[DatasetCase], list[DatasetCase]]:
    """Cases to learn from and cases held out; all cases of a patient go the same way.

    Cases whose mask another program changed since it was accepted are left out.
    A patient locked in one of the datasets is left out of all, one held out in one is held out
    in all, whatever case ids and visits they have there.

    Parameters
    ----------
    datasets : sequence of Dataset
    fold : int or None
        Fold held out; None learns from every unlocked patient.

    Returns
    -------
    learned, held_out : list of DatasetCase
        With a single patient in all, both hold the same cases.

    Raises
    ------
    InputError
        If a dataset has no accepted case outside its locked patients, or no such fold.
    """
    locked: set[str] = set()
    held: set[str] = set()
    usable: list[DatasetCase] = []
    for dataset in datasets:
        records = {record.case_id: record for record in dataset.cases()}
        locked |= {record.patient_id for record in records.values() if record.is_locked}
        # Every case of fold 0 is in one of its two lists, so together they are all there is.
        split = dataset.split(fold or 0)
        if fold is not None and split.train != split.val:
            held |= {records[case_id].patient_id for case_id in split.val}
        changed = dataset.changed_masks()  # by another program: nobody accepted what is there now
        usable += [
            DatasetCase(dataset, case_id, records[case_id].patient_id)
            for case_id in dict.fromkeys((*split.train, *split.val))
            if case_id not in changed
        ]
    usable = [case for case in usable if case.patient_id not in locked]
    if not usable:
        raise InputError(
            "Expected accepted cases to train on, with the masks that were accepted",
            "found that another program changed the masks of all of them since",
            "Look at the masks in the Correct step and accept them",
        )
    learned = [case for case in usable if case.patient_id not in held]
    if not learned:
        raise InputError(
            "Expected patients to train on besides those held out and those locked for testing",
            f"found {len(usable)} cases of patients who are held out in one of the datasets",
            "Choose another fold, or hold out none",
        )
    if fold is None:
        return learned, []
    return learned, [case for case in usable if case.patient_id in held] or learned
