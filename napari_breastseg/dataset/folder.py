"""`Dataset`: the annotated dataset folder, from a case's entry to its accepted mask.

The folder opens in nnU-Net v2 and MONAI as it is. Imports no Qt, no napari, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .. import formats
from ..core.errors import InputError
from ..core.progress import Job
from ..core.volume import Exam, LabelMap
from ..lesions import Lesion, LesionReport
from . import (
    case_folder,
    checking,
    exporting,
    importing,
    masks,
    opening,
    work,
)
from .derived import LABELS, Split, splits, test_cases
from .locking import LockNote
from .reads import Reads
from .records import CaseRecord, FlagReason, Status, require_word
from .store import Store
from .worklist import WorklistRow, worklist

__all__ = ["Dataset", "import_csv"]


class Dataset:
    """An annotated dataset folder.

    Made by `create`, `open` or `open_or_create`. Holds no cases in memory: every call reads
    what is on disk, so that two programs may work on one folder.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def create(cls, folder: Path, channels: Sequence[str] = (), name: str | None = None) -> Dataset:
        """Make a new, empty dataset folder.

        Parameters
        ----------
        folder : Path
            A folder that does not exist or is empty.
        channels : sequence of str
            Channel roles, such as ("pre", "post1"); without them the first case fixes them.
        name : str, optional
            The folder's name when not given.

        Raises
        ------
        InputError
            When there is something in the folder; nothing is touched.
        """
        return cls(opening.create_store(folder, channels, name))

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Open a dataset folder; what a crash cut off is finished or undone.

        Raises
        ------
        InputError
            When there is no folder, or one made by something else; nothing is touched.
        """
        return cls(opening.open_store(folder))

    @classmethod
    def open_or_create(cls, folder: Path) -> Dataset:
        """Open the dataset at `folder`, or make one where there is nothing yet."""
        return cls(opening.open_or_create_store(folder))

    @property
    def folder(self) -> Path:
        """The dataset folder."""
        return self._store.layout.folder

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self._store.name

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel roles in the order of the file numbers; empty before the first case."""
        return self._store.channels

    @property
    def labels(self) -> dict[str, int]:
        """Label names and their values: background 0, tumor 1, ignore 2."""
        return dict(LABELS)

    # Reading

    def cases(self) -> list[CaseRecord]:
        """Records of all cases, in the order in which their patients entered."""
        return self._store.cases()

    def case(self, case_id: str) -> CaseRecord:
        """Record of one case; InputError when there is none."""
        return self._store.case(case_id)

    def exam(self, case_id: str) -> Exam:
        """Images of a case by channel role."""
        record = self.case(case_id)
        files = [self._store.layout.image(case_id, i) for i in range(len(record.channels))]
        found = formats.case_from_files(case_id, files, phases=record.channels)
        return Exam(case_id, formats.read_exam(found).phases, record.times_s)

    def label_map(self, case_id: str) -> LabelMap:
        """Accepted mask of a case, with `ignore` where nobody looked.

        Raises
        ------
        InputError
            When the case is not accepted.
        """
        record = self.case(case_id)
        if not record.is_accepted:
            raise InputError(
                f"Expected an accepted mask of case {case_id}",
                f"found status '{record.status.value}'",
                "Accept the case first, or choose an accepted one",
            )
        return masks.read_label_map(self._store.layout.label(case_id), record)

    def draft(self, case_id: str) -> LabelMap | None:
        """The model's untouched prediction, None when there is none."""
        return masks.read_draft(self._store, self.case(case_id))

    def recover(self, case_id: str) -> LabelMap | None:
        """Work in progress newer than what was accepted last, None when there is none."""
        record = self.case(case_id)
        path = self._store.layout.autosave(case_id)
        if not path.exists():
            return None
        # The mask's own time: the record changes for other reasons too.
        label = self._store.layout.label(case_id)
        is_older = label.exists() and path.stat().st_mtime_ns <= label.stat().st_mtime_ns
        if record.is_accepted and is_older:
            return None
        return masks.read_label_map(path, record)

    def working_map(self, case_id: str) -> LabelMap | None:
        """Where correcting goes on: the autosave, else `kept_map`."""
        recovered = self.recover(case_id)
        return self.kept_map(case_id) if recovered is None else recovered

    def kept_map(self, case_id: str) -> LabelMap | None:
        """The accepted mask, else the one a reopened case goes on from, else the draft, or None."""
        record = self.case(case_id)
        if record.is_accepted:
            return self.label_map(case_id)
        earlier = record.goes_on_from
        if earlier is None and record.draft is None and record.history:
            earlier = record.history[-1].history_file
        if earlier is not None:
            return masks.read_label_map(self._store.layout.history(case_id) / earlier, record)
        return self.draft(case_id)

    @property
    def reads(self) -> Reads:
        """What several readers made of one case."""
        return Reads(self._store)

    def worklist(self, reader: str = "") -> list[WorklistRow]:
        """A row for each case as `reader` may see it, in the order in which patients entered."""
        return worklist(self._store, reader)

    # Work on a case

    def lock(self, case_id: str, owner: str) -> AbstractContextManager[None]:
        """Hold a case while it is open for correction.

        Parameters
        ----------
        case_id : str
            The case.
        owner : str
            Who holds it, as others will read it.

        Raises
        ------
        InputError
            On entering, when somebody else holds it: with owner and time.
        """
        self.case(case_id)
        return self._store.locks.case(case_id, require_word(owner, "an owner"))

    def lock_holder(self, case_id: str) -> LockNote | None:
        """Who else holds a case now, None when nobody does."""
        return self._store.locks.holder(case_id)

    def last_lock(self, case_id: str) -> LockNote | None:
        """Who holds a case, or held it when the program ended unasked; None after a clean end."""
        return self._store.locks.note(case_id)

    def add(
        self, exam: Exam, *, patient_id: str, visit: str | None = None, case_id: str | None = None
    ) -> CaseRecord:
        """Enter an exam as a new case.

        Parameters
        ----------
        exam : Exam
            Its phases must include the dataset's channels; the first case fixes those.
        patient_id : str
            A pseudonym. A patient's first case settles the patient's role for good.
        visit : str, optional
            Which of the patient's visits, such as "T1".
        case_id : str, optional
            `exam.case_id` when not given.

        Raises
        ------
        InputError
            When a channel is missing, the id is taken or unfit, or a voxel is not finite.
        """
        if visit is not None:
            require_word(visit, "a visit")
        case_id = exam.case_id if case_id is None else case_id
        record = work.enter(self._store, exam, case_id=case_id, patient_id=patient_id, visit=visit)
        self._store.rebuild()
        return record

    def save_draft(
        self,
        case_id: str,
        label_map: LabelMap,
        *,
        model: str,
        predicted_dice: float | None = None,
    ) -> CaseRecord:
        """Keep a model's untouched prediction, for comparison with what will be accepted.

        Parameters
        ----------
        case_id : str
            The case.
        label_map : LabelMap
            0 background, 1 tumor, on the case's grid.
        model : str
            Name of the model that made it.
        predicted_dice : float, optional
            Dice it expects of its draft, 0 to 1: the worklist shows the least certain cases first.

        Raises
        ------
        InputError
            When the grid is not the case's, or the case is accepted or flagged.
        """
        require_word(model, "a model name")
        return work.save_draft(self._store, case_id, label_map, model, predicted_dice)

    def autosave(self, case_id: str, label_map: LabelMap) -> None:
        """Keep work in progress, for `recover`; an accepted mask stays what it is."""
        work.autosave(self._store, case_id, label_map)

    def accept(
        self,
        case_id: str,
        label_map: LabelMap,
        *,
        reviewed_slices: Sequence[int] | None,
        annotator: str,
        seconds: float,
        strokes: int | None = None,
    ) -> CaseRecord:
        """Accept a mask; an earlier accepted one moves into the case's history.

        Parameters
        ----------
        case_id : str
            The case.
        label_map : LabelMap
            0 background, 1 tumor, 2 ignore, on the case's grid; it may hold no tumor at all.
        reviewed_slices : sequence of int, or None
            Indices along Z of the slices looked at; the others are written as `ignore`. None:
            all were, and a slice that was wholly `ignore` counts as clear.
        annotator : str
            Who accepts.
        seconds : float
            Time spent on the case in this sitting.
        strokes : int, optional
            Edits made in this sitting, one per undo step.

        Raises
        ------
        InputError
            When the grid or a label is not the case's, the case is flagged, or it is locked by
            somebody else; nothing is changed then.
        """
        require_word(annotator, "an annotator")
        if not (math.isfinite(seconds) and seconds >= 0):
            raise InputError(
                "Expected the time spent on a case in seconds, 0 or more",
                f"found {seconds}",
                "Give the time in seconds",
            )
        return work.replace_mask(
            self._store,
            case_id,
            label_map,
            reviewed_slices=reviewed_slices,
            annotator=annotator,
            seconds=seconds,
            strokes=strokes,
        )

    def note_work(self, case_id: str, *, seconds: float, strokes: int) -> CaseRecord:
        """Add a sitting that ended without an accepted mask to what the case has cost."""
        return work.note_work(self._store, case_id, seconds, strokes)

    def note_lesions(self, case_id: str, lesions: Sequence[Lesion]) -> CaseRecord:
        """Keep which lesion of a case has which id, for the next time they are measured."""
        return work.note_lesions(self._store, case_id, lesions)

    def lesions(self, case_id: str) -> LesionReport:
        """The lesions of a case as last measured, good for their ids and places only."""
        return LesionReport.remembered(
            case_id,
            [
                Lesion(one.id, one.voxels, center_voxel=one.center_voxel, box=one.box)
                for one in self.case(case_id).lesions
            ],
        )

    def flag(self, case_id: str, reason: FlagReason | str) -> CaseRecord:
        """Set a case aside; an accepted mask moves into its history.

        Raises
        ------
        InputError
            When the reason is not one of the list.
        """
        try:
            reason = FlagReason(reason)
        except ValueError:
            raise InputError(
                f"Expected one of these reasons: {', '.join(FlagReason)}",
                "found another text",
                "Choose the closest one; free text could name a patient and is not kept",
            ) from None
        update = {"status": Status.FLAGGED, "flag_reason": reason}
        return work.withdraw(self._store, case_id, update, "flagging")

    def reopen(self, case_id: str) -> CaseRecord:
        """Take up an accepted or flagged case again; an accepted mask moves into its history.

        Raises
        ------
        InputError
            When the case is neither accepted nor flagged.
        """
        self.case(case_id)
        with self._store.writing(case_id, "reopening"):
            record = self.case(case_id)
            if record.status not in (Status.ACCEPTED, Status.FLAGGED):
                raise InputError(
                    f"Expected case {case_id} to be accepted or flagged to reopen it",
                    f"found status '{record.status.value}'",
                    "Continue with the case as it is",
                )
            update = {"status": Status.IN_PROGRESS, "flag_reason": None}
            return work.withdraw(self._store, case_id, update, "reopening")

    def undo_accept(self, case_id: str) -> CaseRecord:
        """Take the last acceptance of a case back; its mask moves into the history.

        Work goes on from the mask accepted before, or from this one when it was the first.

        Raises
        ------
        InputError
            When the case is not accepted.
        """
        self.case(case_id)
        with self._store.writing(case_id, "undoing"):
            record = self.case(case_id)
            if record.accepted is None:
                raise InputError(
                    f"Expected case {case_id} to be accepted to undo that",
                    f"found status '{record.status.value}'",
                    "Continue with the case as it is",
                )
            update: dict[str, Any] = {"status": Status.IN_PROGRESS}
            if record.history and record.history[-1].history_file:
                update["goes_on_from"] = record.history[-1].history_file
            return work.withdraw(self._store, case_id, update, "undoing")

    # The folder as a whole

    def import_csv(self, csv: Path) -> Job[importing.ImportResult]:
        """Import the cases a CSV file lists; run again, it takes up where it was.

        In place of the file a folder with `images` and `segmentations` will do; see
        `read_case_folder`.

        Yields
        ------
        Progress
            One per case.

        Returns
        -------
        ImportResult
            Case ids imported, updated and skipped, and what was wrong with the others.

        Raises
        ------
        InputError
            When the table itself is unfit: columns, duplicate ids, channels. Nothing is changed.
        """
        return (yield from importing.import_table(self._store, _read_table(csv)))

    def check(self, repair: bool = False) -> list[checking.Finding]:
        """What is wrong with the folder: files, hashes, grids, labels, splits, leftovers.

        Parameters
        ----------
        repair : bool
            Also rebuild derived files and remove leftover temporary files.
        """
        return checking.check(self._store, repair)

    def rebuild(self) -> list[Path]:
        """Write dataset.json, splits_final.json and datalist.json anew where they differ."""
        return self._store.rebuild()

    def status(self) -> dict[str, Any]:
        """Counts of cases and patients, folds, locks and what to know, ready for JSON."""
        return checking.status(self._store)

    def splits(self) -> list[Split]:
        """Folds by patient over the accepted, unlocked cases, as in splits_final.json."""
        return splits(self.cases())

    def split(self, fold: int) -> Split:
        """Training and validation cases of one fold.

        Parameters
        ----------
        fold : int
            Position in splits_final.json, from 0.

        Raises
        ------
        InputError
            When there is no such fold, or no accepted case at all.
        """
        all_splits = self.splits()
        if not 0 <= fold < len(all_splits):
            raise InputError(
                f"Expected a fold from 0 to {len(all_splits) - 1}"
                if all_splits
                else "Expected accepted cases to train on",
                f"found fold {fold}"
                if all_splits
                else f"found none in dataset {self.name} outside the locked patients",
                "Choose one of these folds, or accept cases of further patients"
                if all_splits
                else "Accept or import cases first",
            )
        return all_splits[fold]

    def locked(self) -> tuple[str, ...]:
        """Ids of the accepted cases of patients locked for testing."""
        return tuple(record.case_id for record in test_cases(self.cases()))

    def export(self, dest: Path, format: str = "nnunet") -> Job[Path]:
        """Copy the accepted cases into a new folder for other tools.

        Parameters
        ----------
        dest : Path
            A folder to make.
        format : {"nnunet", "bids"}
            An nnU-Net v2 raw folder, locked patients as test cases; or BIDS derivatives.

        Raises
        ------
        InputError
            When `dest` is this folder, lies in it, or holds anything; or nothing is accepted.
        """
        return (yield from exporting.export(self._store, Path(dest), format))


def _read_table(path: Path) -> importing.CaseTable:
    is_folder = Path(path).is_dir()
    return case_folder.read_case_folder(path) if is_folder else importing.read_table(path)


def import_csv(csv: Path, folder: Path) -> Job[importing.ImportResult]:
    """Import the cases of a CSV file into the dataset at `folder`, making it when it is not there.

    The table is read first: an unfit one leaves no folder behind. See `Dataset.import_csv`.
    """
    table = _read_table(csv)
    return (yield from importing.import_table(opening.open_or_create_store(folder), table))
