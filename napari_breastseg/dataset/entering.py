"""The case of an exam in a dataset: the one that is known, or a new one."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from ..core.volume import Exam
from .folder import Dataset
from .records import CaseRecord

__all__ = ["enter_exam"]


def enter_exam(dataset: Dataset, exam: Exam, *, patient_id: str = "") -> CaseRecord:
    """Enter an exam into a dataset unless it is there already.

    Parameters
    ----------
    dataset : Dataset
    exam : Exam
    patient_id : str
        A pseudonym; may be left empty for a case the dataset knows.

    Returns
    -------
    CaseRecord

    Raises
    ------
    InputError
        If the dataset knows the case with another grid, patient or voxels, or a channel is
        missing.
    """
    if all(one.case_id != exam.case_id for one in dataset.summaries()):
        return dataset.add(exam, patient_id=patient_id)
    record = dataset.case(exam.case_id)
    if not record.grid.grid.matches(exam.grid):
        raise InputError(
            f"Expected exam {exam.case_id} on the grid dataset {dataset.name} has for it, "
            f"{record.grid.grid.describe()}",
            f"found {exam.grid.describe()}",
            "Open the case from the dataset, or give the other exam another file name",
        )
    if role := _other_phase(exam, dataset.exam(exam.case_id)):
        raise InputError(
            f"Expected the exam that dataset {dataset.name} knows as case {exam.case_id}",
            f"found another exam of that name: phase {role} differs",
            "Give the other exam's file another name, or open the case from the dataset",
        )
    if patient_id and patient_id != record.patient_id:
        raise InputError(
            f"Expected the patient id with which case {exam.case_id} entered dataset "
            f"{dataset.name}",
            "found another one",
            "Leave the field empty for a case the dataset knows, or rename the exam's file",
        )
    return record


def _other_phase(exam: Exam, known: Exam) -> str:
    """The first channel of a case whose voxels are not the exam's; empty when all are."""
    for role, volume in known.phases.items():
        if role not in exam.phases:
            continue
        # A dataset keeps floating point numbers in single precision.
        for mine, its in zip(exam.phases[role].data, volume.data, strict=True):
            if not np.array_equal(np.asarray(mine, np.float32), np.asarray(its, np.float32)):
                return role
    return "" if any(role in exam.phases for role in known.phases) else next(iter(known.phases))
