"""`Dataset`: the annotated dataset folder, which opens in nnU-Net v2 and MONAI as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.progress import Job, drain
from . import (
    case_folder,
    checking,
    exporting,
    importing,
    lifecycle,
    nnunet_folder,
    opening,
    renaming,
)
from .cases import Cases
from .derived import LABELS, Split, splits, test_cases
from .effort import Effort
from .records import CaseRecord
from .summaries import CaseSummary, efforts
from .worklist import WorklistRow, worklist

__all__ = ["Dataset", "import_csv"]


class Dataset(Cases):
    """An annotated dataset folder: its cases, and the folder as a whole.

    Made by `create`, `open` or `open_or_create`.
    """

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
    def channels(self) -> tuple[str, ...]:
        """Channel roles in the order of the file numbers; empty before the first case."""
        return self._store.channels

    @property
    def id(self) -> str:
        """What tells the dataset from others of its name."""
        return self._store.id

    @property
    def labels(self) -> dict[str, int]:
        """Label names and their values: background 0, tumor 1, ignore 2."""
        return dict(LABELS)

    def summaries(self) -> list[CaseSummary]:
        """`cases` in short: for thousands of them a fraction of the time."""
        return self._store.summaries()

    def known_summaries(self) -> list[CaseSummary]:
        """`summaries` as they were when this `Dataset` last looked at the folder.

        For a window, which must not wait for thousands of files; what is written here counts.
        """
        return self._store.catalog.known()

    def known_notes(self) -> list[str]:
        """`notes` as they were when this `Dataset` last looked at the folder."""
        return checking.known_notes(self._store)

    def efforts(self) -> list[Effort]:
        """What each accepted case cost, in the order in which they were accepted."""
        return efforts(self.summaries())

    def worklist(self, reader: str = "") -> list[WorklistRow]:
        """A row for each case as `reader` may see it, in the order in which patients entered."""
        return worklist(self._store, reader)

    def rename(self, case_id: str, new_id: str) -> CaseRecord:
        """Give a case another id: record, images, masks, history and reads, or nothing of them.

        Parameters
        ----------
        case_id, new_id : str
            As it is called, and as it will be.

        Raises
        ------
        InputError
            When the new id is taken or no file name on every system, or somebody has the case
            open; nothing is changed then.
        """
        return renaming.rename(self._store, case_id, new_id)

    def import_csv(
        self,
        csv: Path,
        tumor: Collection[int] | None = None,
        phases: Sequence[str] | None = None,
    ) -> Job[importing.ImportResult]:
        """Import the cases a CSV file lists; run again, it takes up where it was.

        In place of the file a folder with `images` and `segmentations` will do, or an nnU-Net raw
        folder; see `read_case_folder` and `read_nnunet_folder`.

        Parameters
        ----------
        csv : Path
        tumor : collection of int, optional
            Labels of the masks that are tumor; see `formats.read_label_map`.
        phases : sequence of str, optional
            Roles of an nnU-Net folder's channels in order, where their names leave it open.

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
        return (yield from importing.import_table(self._store, _read_table(csv, phases), tumor))

    def check(self, repair: bool = False) -> list[checking.Finding]:
        """What is wrong with the folder: files, hashes, grids, labels, splits, leftovers.

        Parameters
        ----------
        repair : bool
            Also rebuild derived files and remove leftover temporary files.
        """
        return drain(self.checking(repair))

    def checking(self, repair: bool = False) -> Job[list[checking.Finding]]:
        """`check` as a job, which tells what it finds at once.

        Yields
        ------
        Checked
            One per case, with its findings.
        """
        return (yield from checking.checking(self._store, repair))

    def rebuild(self) -> list[Path]:
        """Write dataset.json, splits_final.json and datalist.json anew where they differ."""
        return self._store.rebuild()

    def status(self) -> dict[str, Any]:
        """Counts of cases and patients, folds, locks and what to know, ready for JSON."""
        return checking.status(self._store)

    def notes(self) -> list[str]:
        """Sentences on what to know before it is used: cases left out, masks changed outside."""
        return checking.store_notes(self._store)

    def changed_masks(self) -> frozenset[str]:
        """Cases whose accepted mask's file another program has changed since.

        Such a mask teaches nothing until a reader has accepted it.
        """
        return frozenset(self._store.changed_masks())

    def is_mask_changed(self, case_id: str) -> bool:
        """Whether another program has changed the accepted mask of one case."""
        return self._store.is_mask_changed(self._store.case(case_id))

    def accept_changed(self, reader: str) -> list[str]:
        """Accept the masks that another program changed, as those of `reader`; their case ids."""
        changed = sorted(self.changed_masks())
        for case_id in changed:
            lifecycle.accept_changed(self._store, case_id, reader)
        return changed

    def splits(self) -> list[Split]:
        """Folds by patient over the accepted, unlocked cases, as in splits_final.json."""
        return splits(self.summaries())

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
        return tuple(record.case_id for record in test_cases(self.summaries()))

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


def _read_table(path: Path, phases: Sequence[str] | None) -> importing.CaseTable:
    path = Path(path)
    if nnunet_folder.is_nnunet_folder(path):
        return nnunet_folder.read_nnunet_folder(path, phases)
    if phases is not None:
        raise InputError(
            "Expected an nnU-Net folder to go with --phases",
            f"found {path.name}",
            "A table's image columns and the files' names say which phase is which",
        )
    return case_folder.read_case_folder(path) if path.is_dir() else importing.read_table(path)


def import_csv(
    csv: Path,
    folder: Path,
    tumor: Collection[int] | None = None,
    phases: Sequence[str] | None = None,
) -> Job[importing.ImportResult]:
    """Import the cases of a CSV file into the dataset at `folder`, making it when it is not there.

    The table is read first: an unfit one leaves no folder behind. See `Dataset.import_csv`.
    """
    table = _read_table(csv, phases)
    return (yield from importing.import_table(opening.open_or_create_store(folder), table, tumor))
