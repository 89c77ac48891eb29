"""`Cases`: what is kept of each case in a dataset folder, and what readers do to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..core.volume import Exam, LabelMap
from ..lesions import Lesion, LesionReport
from . import lifecycle, masks, new_case
from .finding_record import FindingRecord
from .identifiers import require_word
from .images import read_exam
from .locking import LockNote
from .reads import Reads
from .records import CaseRecord, ClickRecord, FlagReason
from .redraft_record import RedraftRecord
from .staging import Review
from .store import Store, after_commit
from .workspace import Workspace

__all__ = ["Cases"]


class Cases:
    """The cases of a dataset folder; a `Workspace` for the reader who reads a case first.

    Every call looks at the disk, so that two programs may work on one folder.
    """

    is_second_read = False

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def folder(self) -> Path:
        """The dataset folder."""
        return self._store.layout.folder

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self._store.name

    def cases(self) -> list[CaseRecord]:
        """Records of all cases, in the order in which their patients entered."""
        return self._store.cases()

    def case(self, case_id: str) -> CaseRecord:
        """Record of one case; InputError when there is none."""
        return self._store.case(case_id)

    def exam(self, case_id: str) -> Exam:
        """Images of a case by channel role."""
        return read_exam(self._store.layout, self.case(case_id))

    def label_map(self, case_id: str) -> LabelMap:
        """Accepted mask of a case, with `ignore` in the slices that were not reviewed.

        Raises
        ------
        InputError
            When the case is not accepted.
        """
        return masks.read_accepted(self._store, self.case(case_id))

    def draft(self, case_id: str) -> LabelMap | None:
        """The model's untouched prediction, None when there is none."""
        return masks.read_draft(self._store, self.case(case_id))

    def recover(self, case_id: str) -> LabelMap | None:
        """Unfinished work, newer than what was accepted last; None when there is none."""
        return masks.read_unfinished(self._store, self.case(case_id))

    def kept_map(self, case_id: str) -> LabelMap | None:
        """The accepted mask, else the one a reopened case goes on from, else the draft, or None."""
        return masks.read_kept(self._store, self.case(case_id))

    def working_map(self, case_id: str) -> LabelMap | None:
        """Where correcting goes on: the autosave, else `kept_map`."""
        recovered = self.recover(case_id)
        return self.kept_map(case_id) if recovered is None else recovered

    @property
    def reads(self) -> Reads:
        """Who is asked for second reads, and what several readers made of one case."""
        return Reads(self._store)

    def workspace(self, case_id: str, reader: str) -> Workspace:
        """Where `reader` works on a case: here, or in a second read that hides the first."""
        if self.reads.is_blinded(self.case(case_id), reader):
            return self.reads.second_read(case_id, reader)
        return self

    def lock(self, case_id: str, owner: str) -> AbstractContextManager[None]:
        """Hold a case while it is open; work left unfinished in it is then its owner's.

        Parameters
        ----------
        case_id, owner : str
            The case, and who holds it, as others will read it.

        Raises
        ------
        InputError
            On entering, when somebody else holds it: with owner and time.
        """
        self.case(case_id)
        return lifecycle.sitting(self._store, case_id, require_word(owner, "an owner"))

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
            A pseudonym. The patient's first case decides the role of all of them.
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
        name = exam.case_id if case_id is None else case_id
        record = new_case.enter(self._store, exam, case_id=name, patient_id=patient_id, visit=visit)
        with after_commit(name):
            self._store.rebuild()
        return record

    def save_draft(
        self,
        case_id: str,
        label_map: LabelMap,
        *,
        model: str,
        predicted_dice: float | None = None,
        learned_from: tuple[str, ...] = (),
    ) -> CaseRecord:
        """Keep a model's untouched prediction, for comparison with what will be accepted.

        Parameters
        ----------
        case_id, model : str
            The case, and the name of the model that made it.
        label_map : LabelMap
            0 background, 1 tumor, on the case's grid.
        predicted_dice : float, optional
            Dice it expects of its draft: the worklist shows the least certain cases first.
        learned_from : tuple of str
            Accepted cases of the patient that it learned from for this draft alone.

        Raises
        ------
        InputError
            When the grid is not the case's, or the case is accepted or flagged.
        """
        require_word(model, "a model name")
        return lifecycle.save_draft(
            self._store, case_id, label_map, model, predicted_dice, learned_from
        )

    def autosave(self, case_id: str, label_map: LabelMap) -> None:
        """Keep work in progress, for `recover`; an accepted mask stays what it is."""
        lifecycle.autosave(self._store, case_id, label_map)

    def accept(
        self,
        case_id: str,
        label_map: LabelMap,
        *,
        reviewed_slices: Sequence[int] | None,
        annotator: str,
        seconds: float,
        strokes: int | None = None,
        findings: Sequence[FindingRecord] = (),
        clicks: Sequence[ClickRecord] = (),
        redraft: RedraftRecord | None = None,
    ) -> CaseRecord:
        """Accept a mask; an earlier accepted one moves into the case's history.

        Parameters
        ----------
        case_id, annotator : str
            The case, and who accepts.
        label_map : LabelMap
            0 background, 1 tumor, 2 ignore, on the case's grid; it may hold no tumor at all.
        reviewed_slices : sequence of int, or None
            Indices along Z of the slices reviewed; the others are written as `ignore`. None:
            all were, and a slice that was wholly `ignore` counts as clear.
        seconds : float
        strokes : int, optional
            Time spent on the case in this sitting, and edits made, one per undo step.
        findings : sequence of FindingRecord
            What the model found, with decisions. Without any, those kept of the same draft stay.
        clicks, redraft
            What was said by smart clicks, and drafted again from the reader's own corrections.

        Raises
        ------
        InputError
            When the grid or a label is not the case's, the case is flagged, or it is locked by
            somebody else; nothing is changed then.
        """
        what = tuple(findings), tuple(clicks), redraft
        review = Review(annotator, reviewed_slices, seconds, strokes, *what)
        return lifecycle.accept(self._store, case_id, label_map, review)

    def note_work(self, case_id: str, *, seconds: float, strokes: int) -> CaseRecord:
        """Add a sitting that ended without an accepted mask to what the case has cost."""
        return lifecycle.note_work(self._store, case_id, seconds, strokes)

    def note_lesions(self, case_id: str, lesions: Sequence[Lesion]) -> CaseRecord:
        """Keep which lesion of a case has which id, for the next time they are measured."""
        return lifecycle.note_lesions(self._store, case_id, lesions)

    def lesions(self, case_id: str) -> LesionReport:
        """The lesions of a case as last measured, good for their ids and places only."""
        known = [
            Lesion(one.id, one.voxels, center_voxel=one.center_voxel, box=one.box)
            for one in self.case(case_id).lesions
        ]
        return LesionReport.remembered(case_id, known)

    def flag(self, case_id: str, reason: FlagReason | str) -> CaseRecord:
        """Set a case aside; an accepted mask moves into its history.

        Raises
        ------
        InputError
            When the reason is not one of the list.
        """
        return lifecycle.flag(self._store, case_id, reason)

    def reopen(self, case_id: str) -> CaseRecord:
        """Take up an accepted or flagged case again; an accepted mask moves into its history.

        Raises
        ------
        InputError
            When the case is neither accepted nor flagged.
        """
        return lifecycle.reopen(self._store, case_id)

    def undo_accept(self, case_id: str) -> CaseRecord:
        """Take the last acceptance of a case back; its mask moves into the history.

        Work goes on from the mask accepted before, or from this one when it was the first.

        Raises
        ------
        InputError
            When the case is not accepted.
        """
        return lifecycle.undo_accept(self._store, case_id)
