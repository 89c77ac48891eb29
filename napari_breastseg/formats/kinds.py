"""The kind of a file, by the ending of its name and by its first bytes.

A new format is added here (an ending, a signature) and in `exams.READERS`. Loads no image library.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..core.errors import InputError
from ..core.reading import open_regular
from .dicom import has_dicom_head, is_dicom

__all__ = [
    "came_with_dicom",
    "ending_of",
    "kind_of_name",
    "may_be_dicom",
    "packed_among",
    "require_content",
    "say_what_was_seen",
    "spoken_name",
    "stem_of",
]

NIFTI = "nifti"
NRRD = "nrrd"
SLICE = "slice"
DICOM = "dicom"

_ENDINGS = {
    ".nii.gz": NIFTI,
    ".nii": NIFTI,
    ".nrrd": NRRD,
    ".nhdr": NRRD,
    ".png": SLICE,
    ".jpg": SLICE,
    ".jpeg": SLICE,
    ".tif": SLICE,
    ".tiff": SLICE,
}
_UNREADABLE_ENDINGS = {
    ".dcm": "DICOM",
    ".ima": "DICOM",
    ".hdr": "Analyze or NIfTI pair",
    ".img": "Analyze or NIfTI pair",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".mgz": "FreeSurfer",
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz"), "archive"),
    ".gz": "gzip-compressed file",
}
_ARCHIVES = (b"PK\x03\x04", b"7z\xbc\xaf", b"Rar!")
_PACKED = ("archive", "gzip-compressed file")
_UNPACK = "Unpack it, and open the folder or file that comes out"
_READABLE = "a NIfTI (.nii, .nii.gz) or NRRD file, a PNG, JPEG or TIFF slice, or DICOM files"
_SLICES = 3
"""DICOM files that make a folder one of slices."""
_CONVERT = "Convert it to NIfTI (.nii.gz) first"


def ending_of(path: Path) -> str:
    """Ending of a file's name as written; ".nii.gz" counts as one, "" if there is none."""
    name = path.name
    for ending in _ENDINGS:  # ".nii.gz" is listed before any single ending could match
        if name.lower().endswith(ending):
            return name[-len(ending) :]
    return path.suffix


def stem_of(path: Path) -> str:
    """A file's name without its ending."""
    return path.name.removesuffix(ending_of(path))


def kind_of_name(path: Path) -> str | None:
    """Kind by the ending of a file's name: "nifti", "nrrd" or "slice"; None for other endings."""
    return _ENDINGS.get(ending_of(path).lower())


def may_be_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, or, if damaged, by the ending of its name."""
    if kind_of_name(path) is not None:
        return False
    return _UNREADABLE_ENDINGS.get(path.suffix.lower()) == "DICOM" or is_dicom(path)


def came_with_dicom(seen: Iterable[Path], of_dicom: Iterable[Path]) -> set[Path]:
    """Pictures and reports that came with DICOM files and are no exams.

    Viewers write key images, logos and reports beside the slices of a series or on a disk with a
    DICOMDIR. Pictures that merely share a folder with one or two DICOM files are exams like them.

    Parameters
    ----------
    seen, of_dicom : iterable of Path
        All files of a folder, at any depth, and those that may be DICOM.
    """
    counts: Counter[Path] = Counter()
    for file in of_dicom:
        counts[file.parent] += _SLICES if file.name.upper() == "DICOMDIR" else 1
    holders = {folder for folder, count in counts.items() if count >= _SLICES}
    return {
        file
        for file in seen
        if (kind_of_name(file) == SLICE or file.suffix.lower() == ".pdf")
        and not holders.isdisjoint({file.parent, *file.parent.parents})
    }


def spoken_name(path: Path) -> str:
    """A file's name as a message may show it: DICOM files may be named after a patient.

    Examples
    --------
    >>> spoken_name(Path("P001_0000.nii")), spoken_name(Path("DOE_JANE.dcm"))
    ('P001_0000.nii', 'the DICOM file')
    """
    is_dicom = _UNREADABLE_ENDINGS.get(path.suffix.lower()) == "DICOM"
    is_dicom |= path.name.lower().endswith(".dcm.gz")
    return "the DICOM file" if is_dicom else path.name


def require_content(path: Path) -> str:
    """Kind of a readable file ("nifti", "nrrd", "slice", "dicom"), by its first bytes.

    Raises
    ------
    InputError
        If the file is missing, empty, of an unsupported format, or not what its name says.
    """
    promised = kind_of_name(path)
    try:
        with open_regular(path) as file:
            head = file.read(544)
    except OSError as error:
        raise InputError(
            f"Expected {spoken_name(path)} to be readable",
            f"found the system error '{error.strerror or error}'",
            "Check the path, and that you have permission to read it",
        ) from error
    if not head:
        raise InputError(
            f"Expected {_READABLE}",
            f"found that {spoken_name(path)} is empty (0 bytes)",
            "Export or copy it again",
        )
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
        raise InputError(f"Expected {_READABLE}", "found an archive of packed files", _UNPACK)
    is_gzip = head[:2] == b"\x1f\x8b"
    found = _format_of(_gunzipped_head(path) if is_gzip else head)
    if found == "DICOM":
        if is_gzip or promised is not None:
            raise InputError(
                "Expected uncompressed DICOM files whose names claim no other kind",
                "found a gzip-compressed one"
                if is_gzip
                else f"found one named as a {promised} file",
                "Unpack it with gunzip" if is_gzip else "Rename it to end in .dcm",
            )
        return DICOM
    if found is None and may_be_dicom(path):
        raise InputError(
            f"Expected {_READABLE}",
            "found a DICOM file that does not begin as one",
            "Export or copy it again; this copy is damaged or wrongly named",
        )
    if found is None and promised is None:
        found = _UNREADABLE_ENDINGS.get(path.suffix.lower())
        raise InputError(
            f"Expected {_READABLE}",
            f"found that {spoken_name(path)} is "
            + ("a file of another kind" if found is None else _called(found)),
            "Choose an image file" if found is None else _way_on(found),
        )
    kind = {"NIfTI": NIFTI, "NRRD": NRRD}.get(str(found), SLICE)
    if found is None:
        raise InputError(
            f"Expected {_READABLE}",
            f"found that {path.name} begins like no image format",
            "Export the image again; this file is damaged or wrongly named",
        )
    if kind != promised or (kind != NIFTI and is_gzip):
        raise InputError(
            f"Expected the name of {path.name} to match its content",
            f"found that it holds {found}",
            f"Rename it to end in {_natural_ending(found, is_gzip)}",
        )
    if kind == NIFTI and is_gzip != ending_of(path).lower().endswith(".gz"):
        raise InputError(
            f"Expected {path.name} {'un' if is_gzip else 'gzip-'}compressed, as its name says",
            f"found it {'gzip-compressed' if is_gzip else 'not gzip-compressed'}",
            f"Rename it to end in {_natural_ending(found, is_gzip)}",
        )
    return kind


def packed_among(files: Iterable[Path]) -> str:
    """How many archives and compressed files are among others, as a message says it; "" if none.

    Examples
    --------
    >>> packed_among([Path("a.zip"), Path("P1.nii.gz"), Path("b.tar"), Path("IM1.dcm.gz")])
    '2 archives, 1 gzip-compressed file'
    """
    found = Counter(
        kind
        for path in files
        if kind_of_name(path) is None
        and (kind := _UNREADABLE_ENDINGS.get(path.suffix.lower())) in _PACKED
    )
    return ", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in found.most_common())


def say_what_was_seen(files: Iterable[Path]) -> InputError:
    """Error for a folder with nothing readable: what it holds and what to do."""
    seen: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    for path in files:
        found = _UNREADABLE_ENDINGS.get(path.suffix.lower())
        unread.update([found] if found else [])
        seen[found or path.suffix.lower() or "without ending"] += 1
    came = ", ".join(f"{count} {name}" for name, count in seen.most_common(6))
    main = unread.most_common(1)
    return InputError(
        f"Expected a folder with {_READABLE}",
        f"found {came} and nothing else" if came else "found an empty folder",
        _way_on(main[0][0]) if main else "Choose the folder that holds images",
    )


def _called(found: str) -> str:
    return f"a {found}" if found.endswith("file") else f"a{'n' * (found[0] in 'Aa')} {found} file"


def _way_on(found: str) -> str:
    return _UNPACK if found in _PACKED else _CONVERT


def _format_of(head: bytes) -> str | None:
    if has_dicom_head(head):
        return "DICOM"
    if head[:4] == b"NRRD":
        return "NRRD"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if head[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return "NIfTI"
    return None


def _gunzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(544)
    except (OSError, EOFError, zlib.error):
        return b""


def _natural_ending(found: str, is_gzip: bool) -> str:
    if found == "NIfTI":
        return ".nii.gz" if is_gzip else ".nii"
    return {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "NRRD": ".nrrd"}[found] + (
        " after unpacking it with gunzip" if is_gzip else ""
    )
