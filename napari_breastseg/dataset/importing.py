"""Cases from a CSV file: one row per case, resumable, one bad row stopping no other.

A row that is already in the dataset with the same files is skipped; a changed mask replaces the
imported one, which moves into the history; changed images are refused, because masks and drafts
hang on them. Imports `errors`, `progress`, `formats`, and of this package `masks`, `work`, `store`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .. import formats
from ..core.errors import InputError, StorageError
from ..core.progress import Job, Progress
from ..core.reading import is_regular
from ..core.volume import Exam
from .csv_rows import read_rows
from .identifiers import require_case_id, require_pseudonym
from .layout import sha256
from .lifecycle import accept, require_no_unfinished
from .new_case import IMPORTED, enter
from .records import CaseRecord, Status
from .staging import Review
from .store import Store

__all__ = ["CaseRow", "CaseTable", "ImportFailure", "ImportResult", "import_table", "read_table"]

_FIRST_CHANNEL = re.compile(r"_0000(?=(\.\w+)+$)")
_IMAGE_COLUMN = re.compile(r"image(?:_(\d{4}))?")


@dataclass(frozen=True)
class ImportFailure:
    """A row that could not be imported."""

    row: int
    """Line in the CSV file, the header being 1."""
    case_id: str
    """Empty when the row's case id cannot be used."""
    message: str


@dataclass(frozen=True)
class ImportResult:
    """What became of the rows of a CSV file."""

    imported: tuple[str, ...]
    """Case ids new in the dataset."""
    updated: tuple[str, ...]
    """Case ids whose mask is new or was replaced."""
    skipped: tuple[str, ...]
    """Case ids that were there already, with the same files."""
    failures: tuple[ImportFailure, ...]


@dataclass(frozen=True)
class CaseRow:
    """One row, its paths resolved."""

    number: int
    case_id: str
    patient_id: str
    images: Mapping[str, Path]
    """By column name, in channel order; a column left empty is absent."""
    mask: Path | None
    spacing: str


@dataclass(frozen=True)
class CaseTable:
    """A CSV file that passed as a whole, with the failures seen before any work."""

    rows: tuple[CaseRow, ...]
    image_columns: tuple[str, ...]
    failures: tuple[ImportFailure, ...]
    named_roles: tuple[str, ...] | None = None
    """Role of each image column, where something else than its number says it."""

    @property
    def roles(self) -> tuple[str, ...] | None:
        """Role of each image column; None when one file per case says itself what it holds."""
        if self.named_roles is not None:
            return self.named_roles
        if len(self.image_columns) == 1 and self.image_columns[0] in ("image", "image_0000"):
            return None
        numbers = [int(column.removeprefix("image_")) for column in self.image_columns]
        return tuple(f"post{number}" if number else "pre" for number in numbers)


def read_table(path: Path) -> CaseTable:
    """Read and judge a CSV file of cases, before anything is written.

    Raises
    ------
    InputError
        With all problems of the table together: missing columns, duplicate case ids, no rows,
        no image file at all where the table says.
    """
    path = Path(path)
    header, lines = read_rows(path)
    image_columns = tuple(sorted(column for column in header if _IMAGE_COLUMN.fullmatch(column)))
    problems = [
        f"column {column} is missing"
        for column in ("case_id", "patient_id")
        if column not in header
    ]
    if not image_columns:
        problems.append("column image (or image_0000, image_0001, ...) is missing")
    elif "image" in image_columns and len(image_columns) > 1:
        problems.append("there are both a column image and numbered ones")
    if "mask" not in header:
        problems.append("column mask is missing")

    def resolved(text: str) -> Path:
        try:
            return path.parent / Path(text).expanduser()
        except RuntimeError:  # ~ and the name of nobody
            return path.parent / text

    rows, failures = [], []
    for number, cells in lines:
        if not any(cells.values()):
            continue
        row = CaseRow(
            number,
            cells.get("case_id", ""),
            cells.get("patient_id", ""),
            {column: resolved(cells[column]) for column in image_columns if cells[column]},
            resolved(cells["mask"]) if cells.get("mask") else None,
            cells.get("spacing_mm", ""),
        )
        try:
            _require_sound(row, image_columns)
        except InputError as error:
            failures.append(_failure(row, error))
        rows.append(row)
    counts = Counter(row.case_id.lower() for row in rows if row.case_id)
    problems += [
        f"case id {_shown(case_id)} stands in {n} rows" for case_id, n in counts.items() if n > 1
    ]
    if not rows and not problems:
        problems.append("it has no rows below its header")
    if rows and not problems and not any(_exists(p) for row in rows for p in row.images.values()):
        problems.append(
            "none of its image files exists; paths are absolute or relative to the CSV file"
        )
    if problems:
        raise InputError(
            f"Expected columns case_id, patient_id, image and mask, a case per row, in {path.name}",
            f"found that {'; '.join(problems)}",
            "Correct the table and import it again; nothing was changed. For a case "
            "without a mask leave the cell empty",
        )
    return CaseTable(tuple(rows), image_columns, tuple(failures))


def import_table(
    store: Store, table: CaseTable, tumor: Collection[int] | None = None
) -> Job[ImportResult]:
    """Import the rows of a table into a dataset; see `Dataset.import_csv`."""
    _require_roles(store, table)
    failed = {failure.row: failure for failure in table.failures}
    done: dict[str, list[str]] = {"imported": [], "updated": [], "skipped": []}
    known = {record.case_id: record for record in store.cases()}
    total = len(table.rows)
    yield Progress("Importing", 0, total, message=_summary(table))
    try:
        for index, row in enumerate(table.rows, start=1):
            message = ""
            if row.number not in failed:
                told: list[str] = []
                try:
                    before = known.get(row.case_id)
                    outcome = _import_row(store, row, table, before, tumor, told.append)
                except StorageError as error:  # a full disk fails every row alike
                    raise _stopped(error) from error
                except (InputError, OSError) as error:
                    failed[row.number] = _failure(row, error)
                else:
                    done[outcome].append(row.case_id)
                message = f"{row.case_id}: {told[0]}" if told else ""
            if row.number in failed:
                message = failed[row.number].message
            yield Progress("Importing", index, total, message=message)
    finally:  # also when cancelled: what is in stays in
        _rebuild(store)
    return ImportResult(
        tuple(done["imported"]),
        tuple(done["updated"]),
        tuple(done["skipped"]),
        tuple(failed[number] for number in sorted(failed)),
    )


def _stopped(error: StorageError) -> StorageError:
    """The error of one row, as one of the whole import."""
    fix = "Free disk space, then import again: cases that are in are kept, and passed over"
    return StorageError(error.expected, error.found, fix)


def _rebuild(store: Store) -> None:
    try:
        store.rebuild()
    except StorageError as error:
        raise _stopped(error) from error


def _import_row(
    store: Store,
    row: CaseRow,
    table: CaseTable,
    known: CaseRecord | None,
    tumor: Collection[int] | None,
    tell: Callable[[str], None],
) -> str:
    sources = {column: sha256(path) for column, path in row.images.items()}
    if row.mask is not None:
        sources["mask"] = sha256(row.mask)
    if known is not None:
        return _import_again(store, row, sources, known, tumor, tell)
    exam = _read_exam(row, table, store)
    mask = None
    if row.mask is not None:
        mask = formats.read_label_map(
            row.mask, grid=exam.grid, case_id=row.case_id, tumor=tumor, tell=tell
        )
    enter(
        store,
        exam,
        case_id=row.case_id,
        patient_id=row.patient_id,
        imported_mask=mask,
        source_sha256=sources,
    )
    return "imported"


def _import_again(
    store: Store,
    row: CaseRow,
    sources: dict[str, str],
    known: CaseRecord,
    tumor: Collection[int] | None,
    tell: Callable[[str], None],
) -> str:
    images = {column: digest for column, digest in sources.items() if column != "mask"}
    recorded = {column: d for column, d in known.source_sha256.items() if column != "mask"}
    changed = [
        what
        for what, differs in (
            ("images", images != recorded),
            ("patient", row.patient_id != known.patient_id),
            ("spacing", _contradicts(_spacing(row), known.grid.grid.spacing_mm)),
        )
        if differs
    ]
    if changed:
        raise InputError(
            f"Expected case {known.case_id} unchanged since its import",
            f"found changed {' and '.join(changed)}"
            if recorded
            else "found a case that was not imported",
            "Import it under another case_id; masks and splits depend on what a case was",
        )
    if row.mask is None or sources["mask"] == known.source_sha256.get("mask"):
        return "skipped"
    if known.status not in (Status.NEW, Status.DRAFTED) and not (
        known.accepted is not None and known.accepted.is_imported
    ):
        raise InputError(
            f"Expected case {known.case_id} untouched since its import, to replace its mask",
            f"found status '{known.status.value}'"
            + (" with a mask corrected here" if known.is_accepted else ""),
            "Open the case and correct it there, or import it under another case_id",
        )
    require_no_unfinished(store, known, "to replace its imported mask")
    label_map = formats.read_label_map(
        row.mask, grid=known.grid.grid, case_id=known.case_id, tumor=tumor, tell=tell
    )
    review = Review(IMPORTED, label_map.reviewed_slices)
    accept(store, known.case_id, label_map, review, source_sha256=sources["mask"])
    return "updated"


def _read_exam(row: CaseRow, table: CaseTable, store: Store) -> Exam:
    """Images of a row; the channels of a color slice are the dataset's when it has as many."""
    files = formats.case_from_files(
        row.case_id, list(row.images.values()), phases=table.roles, spacing_mm=_spacing(row)
    )
    try:
        return formats.read_exam(files)
    except formats.UnnamedChannelsError as error:
        if error.count == len(store.channels):
            return formats.read_exam(replace(files, roles=store.channels))
        roles = ",".join(["pre", *(f"post{number}" for number in range(1, error.count))])
        raise InputError(
            error.expected,
            f"{error.found}, and dataset {store.name} names "
            + (", ".join(store.channels) or "no channels"),
            f"Make a new dataset with `dataset init DATASET --channels {roles}` first, each name "
            "saying which phase that channel holds, and import into it; or save the image as grey",
        ) from None


def _require_sound(row: CaseRow, image_columns: tuple[str, ...]) -> None:
    require_case_id(row.case_id)
    require_pseudonym(row.patient_id)
    missing = [column for column in image_columns if column not in row.images]
    if missing:
        raise InputError(
            f"Expected a file for every image column of case {row.case_id}",
            f"found an empty cell in column {', '.join(missing)}",
            "Fill in the cell or delete the row",
        )
    files = dict(row.images) | ({} if row.mask is None else {"mask": row.mask})
    absent = [column for column, path in files.items() if not _exists(path)]
    if absent:
        raise InputError(
            f"Expected the files of case {row.case_id} to exist",
            f"found no file at the path in column {', '.join(absent)}",
            "Correct the path; it is absolute or relative to the CSV file",
        )
    odd = [name for name, path in files.items() if not (path.is_dir() or is_regular(path))]
    if odd:
        raise InputError(
            f"Expected image files or folders for case {row.case_id}",
            f"found a pipe or a device in column {', '.join(odd)}",
            "Correct the path",
        )
    if len(row.images) == 1:
        _require_no_sibling(row)
    _spacing(row)


def _require_no_sibling(row: CaseRow) -> None:
    """Refuse the first of several channels alone: it would be taken for the one after contrast."""
    (path,) = row.images.values()
    second = path.with_name(_FIRST_CHANNEL.sub("_0001", path.name))
    if second.name != path.name and second.exists():
        raise InputError(
            f"Expected every phase of case {row.case_id}, or an image that stands alone",
            f"found {path.name} with {second.name} beside it",
            "List the phases in columns image_0000, image_0001, ...; to import only the "
            "post-contrast phase, give that file",
        )


def _require_roles(store: Store, table: CaseTable) -> None:
    missing = [role for role in store.channels if role not in (table.roles or store.channels)]
    if missing:
        raise InputError(
            f"Expected the channels of dataset {store.name}, {', '.join(store.channels)}, "
            "for every case",
            f"found {', '.join(table.roles or ())} in the table",
            "Add image columns, or import into another dataset folder; nothing was changed",
        )


def _spacing(row: CaseRow) -> list[float] | None:
    """The numbers of `spacing_mm`: one in-plane, (y, x) or (z, y, x)."""
    parts = re.findall(r"[^\s,;x×()\[\]]+", row.spacing)
    if not parts:
        return None
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2, 3) or not all(math.isfinite(n) and n > 0 for n in numbers):
        raise InputError(
            f"Expected spacing_mm of case {row.case_id} as one in-plane number or three "
            "(z y x), all above 0",
            "found another value",
            "Correct the cell, for example 0.7 or 3 0.7 0.7",
        )
    return numbers


def _contradicts(asked: list[float] | None, has: tuple[float, float, float] | None) -> bool:
    if asked is None:
        return False
    if has is None:
        return True
    wanted = asked * 2 if len(asked) == 1 else asked
    return any(abs(a - b) > 0.01 * b for a, b in zip(reversed(wanted), reversed(has), strict=False))


def _failure(row: CaseRow, error: Exception) -> ImportFailure:
    if isinstance(error, OSError):  # its text would name the whole path
        error = InputError(
            f"Expected the files of case {row.case_id} to be readable",
            f"found the system error '{error.strerror or 'unknown'}'",
            "Check that you have permission to read them",
        )
    return ImportFailure(row.number, _usable_id(row.case_id), f"Row {row.number}: {error}")


def _usable_id(case_id: str) -> str:
    try:
        return require_case_id(case_id)
    except InputError:
        return ""


def _shown(case_id: str) -> str:
    return _usable_id(case_id) or "(unfit for a file name)"


def _summary(table: CaseTable) -> str:
    if not table.failures:
        return ""
    return (
        f"{len(table.failures)} of {len(table.rows)} cases cannot be imported as the table stands"
    )


def _exists(path: Path) -> bool:
    """Whether there is something at a path; a name that no system allows leads nowhere."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
