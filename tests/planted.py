"""Exams that carry a token wherever a file can carry text, and a search for it in what is written.

A token stands in every element of the DICOM dictionary, as its type allows: names, free text,
dates, numbers, bytes, UIDs; in private elements and nested sequences; and in the headers and text
chunks of the other formats. `leaks` looks for it in files of any kind, plain, packed and encoded.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dicom_files import slice_dataset, voxels
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, keyword_for_tag

TOKEN = "QUIXZAV"
NUMBER = 739148261
DECIMAL = 7391.48261
DATE = "19610517"
TIME = "031731.778899"
AGE = "937Y"
ROOT = f"1.2.826.0.1.3680043.8.498.{NUMBER}"
NAME = f"{TOKEN}BRANDT^Wilhelmina"
PATIENT_ID = f"{TOKEN}4711"
ACCESSION = f"{TOKEN}ACC"
STUDY = f"{ROOT}.1"

_PLAIN = (
    *(TOKEN, "Wilhelmina", str(NUMBER), str(DECIMAL), TIME[:11], "03:17:31", "11851.77", AGE),
    *(DATE, "1961-05-17", "1961/05/17", "17051961", "05171961", "17.05.1961", "17/05/1961"),
)
_HASHED = (NAME, NAME.replace("^", " "), PATIENT_ID, ACCESSION, STUDY, DATE)

# What decides how a file is read stays as a scanner writes it.
_READ = {
    *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "DiffusionBValue", "TriggerTime"),
    *("SpacingBetweenSlices", "SpecificCharacterSet", "PatientIdentityRemoved"),
    *("EchoPlanarPulseSequence", "PixelPaddingValue", "TemporalPositionIdentifier"),
    *("NumberOfTemporalPositions", "TemporalPositionTimeOffset", "EchoPulseSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("AcquisitionTime", "LossyImageCompression"),
}
_NUMBERS = {
    **{"FD": ("<d", DECIMAL), "FL": ("<f", DECIMAL), "US": ("<H", 7391), "SS": ("<h", 7391)},
    **{"UL": ("<I", NUMBER), "SL": ("<i", NUMBER), "UV": ("<Q", NUMBER), "SV": ("<q", NUMBER)},
    **{"OD": ("<d", DECIMAL), "OF": ("<f", DECIMAL), "AT": ("<HH", 0x5155, 0x4958)},
}
_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
_NESTED = {0x00081155: "UI", 0x00100010: "PN", 0x00081030: "LO", 0x0040A160: "UT"}


def encoded(tag: int, vr: str, value: bytes) -> bytes:
    """An element in explicit little endian."""
    value += (b" " if vr not in ("UI", "OB", "UN") else b"\0") * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    length = struct.pack("<xxI" if vr in _LONG else "<H", len(value))
    return head + length + value


def planted_value(vr: str, number: int, depth: int = 0) -> bytes:
    """What stands in an element of a value representation; most end in the element's number."""
    if vr in _NUMBERS:
        return struct.pack(*_NUMBERS[vr])
    if vr == "SQ":
        parts = {tag: (kind, planted_value(kind, number)) for tag, kind in _NESTED.items()}
        if depth < 2:
            parts[0x00401101] = ("SQ", planted_value("SQ", number, depth + 1))
        item = b"".join(encoded(tag, *parts[tag]) for tag in sorted(parts))
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    text = f"{TOKEN}{number:08X}"
    special = {"PN": f"{text}^Wilhelmina", "DA": DATE, "TM": TIME, "DT": DATE + TIME, "AS": AGE}
    special |= {"DS": str(DECIMAL), "IS": str(NUMBER), "UI": f"{ROOT}.{number}"}
    special |= {"UR": f"https://{text.lower()}.example", "OL": text.ljust(16), "OV": text.ljust(16)}
    return special.get(vr, text).encode()


def every_element() -> dict[int, tuple[str, bytes]]:
    """Every element of the dictionary, retired ones too, and private ones: tag to (VR, value)."""
    elements: dict[int, tuple[str, bytes]] = {}
    for tag, (vrs, *_) in DicomDictionary.items():
        vr = vrs.split(" or ")[0]
        is_wanted = tag >> 16 >= 8 and tag >> 16 != 0x7FE0 and vr != "NONE"
        if is_wanted and keyword_for_tag(tag) not in _READ:
            elements[tag] = (vr, planted_value(vr, tag))
    kinds = sorted({vr for vr, _ in elements.values()})
    for block, group in enumerate((0x0009, 0x0029, 0x2005)):
        elements[group << 16 | 0x10] = ("LO", f"{TOKEN} MAKER {block}".encode())
        for number, vr in enumerate(kinds):
            elements[group << 16 | 0x1080 + number] = (vr, planted_value(vr, block << 8 | number))
    return elements | {
        0x00100010: ("PN", NAME.encode()),
        0x00100020: ("LO", PATIENT_ID.encode()),
        0x00080050: ("SH", ACCESSION.encode()),
        0x0008103E: ("LO", f"dyn {NAME}".encode()),
    }


def write_planted_exam(folder: Path, count: int = 4, size: tuple[int, int] = (48, 40)) -> Path:
    """An exam of two phases whose every element, file and folder names a patient."""
    elements = every_element()
    for phase in range(2):
        place = folder / f"{TOKEN}_{ROOT}.{phase}"
        place.mkdir(parents=True)
        for z, plane in enumerate(voxels(count, 1000 * (1 + phase), size)):
            data = _slice(plane, z, phase)
            # By hand, as pydicom takes seconds for thousands of elements.
            own = {e.tag: (e.VR, e.value) for e in _raw(data)}
            body = elements | own
            path = place / f"{NAME} {DATE} {z}.dcm"
            path.write_bytes(
                _head(data) + b"".join(encoded(tag, *body[tag]) for tag in sorted(body))
            )
    return folder


def _slice(plane: Any, z: int, phase: int) -> Any:
    own: dict[str, Any] = {
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": f"{ROOT}.2.{phase}",
        "FrameOfReferenceUID": f"{ROOT}.3",
        "SOPInstanceUID": f"{ROOT}.4.{phase}.{z}",
        "SeriesNumber": 5 + phase,
        "InstanceNumber": z + 1,
        "AcquisitionTime": f"03173{phase}.778899",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", TOKEN],
    }
    data = slice_dataset(plane, (-10.0, -20.0, 30.0 + 2.0 * z), **own)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.SourceApplicationEntityTitle = TOKEN
    data.preamble = TOKEN.encode().ljust(128, b"\0")
    return data


def _saved(data: Any) -> bytes:
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _raw(data: Any) -> list[Any]:
    """The elements of a data set as they are written."""
    read = dcmread(io.BytesIO(_saved(data)))
    return [read.get_item(tag) for tag in read.keys()]  # noqa: SIM118


def _head(data: Any) -> bytes:
    """The preamble and the meta information."""
    whole = _saved(data)
    return whole[: 144 + int.from_bytes(whole[140:144], "little")]


def refuse_network(*_: Any) -> None:
    """Stands for whatever looks up a name or opens a connection."""
    raise AssertionError("a connection was asked for")


# The search


def _needles() -> dict[bytes, str]:
    needles = {word.lower().encode(): word for word in _PLAIN}
    for word in (TOKEN, TOKEN.lower(), "Wilhelmina"):
        needles[word.encode().hex().encode()] = f"{word} in hexadecimal"
        for start in range(3):  # base64 depends on where in three bytes a word begins
            coded = base64.b64encode(b"x" * start + word.encode())[-(-start * 4 // 3) :]
            needles[coded.rstrip(b"=")[:-1].lower()] = f"{word} in base64"
    for value in _HASHED:
        for form in {value, value.lower(), value.upper()}:
            for kind in ("md5", "sha1", "sha256"):
                digest = hashlib.new(kind, form.encode()).hexdigest()[:10]
                needles[digest.encode()] = f"{kind} of {value}, without a key"
    return needles


NEEDLES = _needles()
_ANY = re.compile(b"|".join(map(re.escape, sorted(NEEDLES, key=len, reverse=True))))


def tokens_in(content: bytes | str, found: set[str] | None = None, depth: int = 3) -> set[str]:
    """What of the planted values is in some text or bytes, packed and encoded parts unpacked."""
    found = set() if found is None else found
    raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
    for form in {raw.lower(), raw.replace(b"\0", b"").lower()}:  # UTF-16, too
        found.update(NEEDLES[match] for match in _ANY.findall(form))
    if depth and isinstance(content, bytes):
        for part in _parts(raw):
            tokens_in(part, found, depth - 1)
    return found


def _parts(raw: bytes) -> Iterator[bytes]:
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    if raw[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if raw[:5] == b"%PDF-":
        for match in re.finditer(rb"stream\r?\n(.*?)endstream", raw, re.DOTALL):
            yield _inflated(match[1])
        for match in re.finditer(rb"<([0-9A-Fa-f\s]{8,})>", raw):
            digits = re.sub(rb"\s", b"", match[1])
            yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
    if raw[:4] == b"\x89PNG":
        for match in re.finditer(rb"(?:zTXt|iTXt|iCCP|eXIf)(.{1,2000})", raw, re.DOTALL):
            for start in re.finditer(b"\x78[\x01\x5e\x9c\xda]", match[1]):
                yield _inflated(match[1][start.start() :])


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed)
    except zlib.error:
        return b""


def leaks(folders: Iterable[Path], *, besides: Iterable[Path] = ()) -> dict[str, set[str]]:
    """Files below some folders that hold a planted value, in their name or within."""
    passed = [path.resolve() for path in besides]
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if any(path.resolve().is_relative_to(one) for one in passed):
                continue
            values = tokens_in(str(path.relative_to(folder)))
            if path.is_file():
                values |= tokens_in(path.read_bytes())
            if values:
                found[str(path.relative_to(folder))] = values
    return found
