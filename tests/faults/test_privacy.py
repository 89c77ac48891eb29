"""A token in every element, file and folder name of an exam reaches nothing written or printed."""

from __future__ import annotations

import gzip
import logging
import os
import random
import shutil
import socket
import sys
import tempfile
import warnings
import zipfile
import zlib
from base64 import b64encode
from hashlib import sha256

import numpy as np
import pytest
from planted import NAME, PATIENT_ID, TOKEN, leaks, refuse_network, tokens_in, write_planted_exam
from pydicom import dcmread

from napari_breastseg import formats
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import LabelMap
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec, build

SCRIBBLES = min(200, int(os.environ.get("BREASTSEG_FAULTS", "4")))


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    """The folder of an exam that names its patient everywhere."""
    return write_planted_exam(tmp_path_factory.mktemp("given") / f"{TOKEN} Brandt")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that is all a program may write to: home, temporary files, results; no network."""
    for name in ("HOME", "BREASTSEG_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TMPDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(socket.socket, "connect", refuse_network)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_network)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path


@pytest.fixture
def said(monkeypatch, capfd):
    """Run a command line, keep what it prints, logs and warns, and expect it to end well."""
    from napari_breastseg.cli import main

    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record):
            heard.append(f"log: {record.getMessage()}\n{record.exc_text or ''}")

    ear, root = Ear(logging.DEBUG), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [*root.handlers, ear])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    # Its search for fonts is thousands of lines.
    monkeypatch.setattr(logging.getLogger("matplotlib"), "level", logging.INFO)

    def call(*words, expected=(None, 0)):
        monkeypatch.setattr(sys, "argv", ["napari-breastseg", *map(str, words)])
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(SystemExit) as stop:
                main()
        captured = capfd.readouterr()
        heard.append(f"{captured.out}{captured.err}")
        heard.extend(f"warning: {one.message}" for one in warned)
        if stop.value.code not in expected:
            raise AssertionError(heard[-3:])

    call.heard = heard
    return call


@pytest.fixture
def model(place):
    spec = ModelSpec(inputs=("pre", "post1"), features=(4, 8), patch_size=(32, 32))
    folder = place / "model"
    checkpoint.save(folder, build(spec).state_dict(), checkpoint.ModelInfo(name="two", spec=spec))
    return folder


def few_steps(dataset, output):
    """Train as `train` does, but without the synthetic exams that it makes first."""
    from napari_breastseg.dataset import Dataset
    from napari_breastseg.training import DatasetCase, TrainConfig, train

    held = Dataset.open(dataset)
    cases = [
        DatasetCase(held, r.case_id, r.patient_id) for r in held.cases() if r.status == "accepted"
    ]
    spec = ModelSpec(inputs=("pre", "post1"), features=(4, 8), patch_size=(32, 32))
    config = TrainConfig(steps=2, batch_size=2, save_every=1, device="cpu")
    drain(train(cases[:2], output, spec=spec, config=config, validation=cases[2:]))


def spoken(heard):
    """Lines that hold a planted value."""
    return [line[:300] for text in heard for line in text.splitlines() if tokens_in(line)]


def a_mask(exam):
    grid = formats.open_exam(exam).grid
    data = np.zeros(grid.shape, np.uint8)
    data[1:3, 10:20, 10:20] = 1
    return LabelMap(data, grid)


def test_the_whole_loop_on_the_command_line_leaves_no_trace(exam, place, model, said):
    formats.write_label_map(place / "mask.nii.gz", a_mask(exam))
    common = ("--model", model, "--device", "cpu")
    predicted = ("predict", exam, *common, "--output")
    said(*predicted, "a", "--prob", "--csv", "a.csv", "--table", "t.csv")
    said(*predicted, "b", "--json", "--uncertainty", "--table", "u.csv")
    said(*predicted, "c", "--dry-run")
    for more in (["--dry-run"], ["--table", "v.csv"], ["--resume", "--part", "1/1"]):
        said("report", exam, "--masks", "a", "--output", "reports", *more)
    for ending in ("csv", "json", "pdf"):
        said("report", exam, "--mask", "../mask.nii.gz", "--output", f"r.{ending}")
    said("report", exam, "--mask", "../mask.nii.gz", "--prior", "r.json", "--json")
    for number in range(3):
        words = (
            "dataset",
            "add",
            "D",
            exam,
            "--patient-id",
            f"P{number}",
            "--case-id",
            f"C{number}",
        )
        said(*words, "--mask", "../mask.nii.gz", "--annotator", "AB")
    said("dataset", "add", "D", exam, "--patient-id", "P1", "--json")
    said("dataset", "draft", "D", *common)
    said("dataset", "check", "D")
    said("dataset", "status", "D", "--json")
    said("dataset", "export", "D", "bids", "--format", "bids")
    said("dataset", "export", "D", "nnunet", "--format", "nnunet")
    few_steps(place / "out" / "D", place / "out" / "trained")
    said(
        "evaluate",
        "D",
        "--model",
        "trained",
        "--output",
        "scores",
        "--split",
        "all",
        "--include-trained",
        "--device",
        "cpu",
    )
    said("models", "import", "trained", "--json")
    said("models", "show", "trained")
    written = [path for path in place.rglob("*") if path.is_file()]
    endings = {"".join(path.suffixes[-1:]) for path in written}
    assert endings >= {".pdf", ".png", ".json", ".csv", ".gz", ".safetensors", ".jsonl"}
    assert any("tfevents" in path.name for path in written)
    assert spoken(said.heard) == []
    assert leaks([place]) == {}


def overwritten(path, keyword, value):
    """Bytes of a value where another stood, however wrong."""
    data = dcmread(path)
    element = data[keyword]
    element.VR, element._value = "UN", value.encode()
    data.save_as(path)


def breakages(folder, chance):
    """Ways to break an exam."""
    files = sorted(folder.rglob("*.dcm"))
    one = files[chance.randrange(len(files))]
    for keyword in ("Rows", "PixelSpacing", "ImagePositionPatient", "BitsAllocated", "Modality"):
        yield keyword, lambda k=keyword: overwritten(one, k, f"{TOKEN} 1 ")
    for keyword in ("ImageOrientationPatient", "SOPClassUID", "PhotometricInterpretation"):
        yield keyword, lambda k=keyword: [overwritten(file, k, f"{TOKEN} 1 ") for file in files]
    yield "cut off", lambda: one.write_bytes(one.read_bytes()[:-1000])
    yield "headers alone", lambda: [file.write_bytes(file.read_bytes()[:3000]) for file in files]
    yield "text", lambda: [file.write_bytes(f"{NAME} {PATIENT_ID}".encode()) for file in files]
    yield "one phase unlike", lambda: shutil.rmtree(files[0].parent)
    yield "a slice missing", files[1].unlink
    yield "no files", lambda: [file.unlink() for file in files]
    for _ in range(SCRIBBLES):
        yield "bytes set", lambda: scribble(files[chance.randrange(len(files))], chance)


def scribble(path, chance, *, start=132, most=1 << 30, count=200):
    """Set bytes of a file at random."""
    raw = bytearray(path.read_bytes())
    for _ in range(count):
        raw[chance.randrange(start, min(most, len(raw)))] = chance.randrange(256)
    path.write_bytes(raw)


def test_a_broken_exam_is_refused_without_a_word_of_it(exam, place, model, said):
    chance = random.Random(0)
    names = [name for name, _ in breakages(exam, random.Random(0))]
    common = ("--model", model, "--device", "cpu")
    mask = place / "mask.nii.gz"
    formats.write_label_map(mask, a_mask(exam))
    refused, tried = 0, range(0, len(names), 1 if "BREASTSEG_FAULTS" in os.environ else 4)
    for number in tried:
        folder = place / str(number) / f"{TOKEN} Brandt"
        shutil.copytree(exam, folder)
        list(breakages(folder, chance))[number][1]()
        heard = len(said.heard)
        ends = {"expected": (None, 0, 1, 2)}
        said("predict", folder, *common, "--output", f"o{number}", **ends)
        said("dataset", "add", f"D{number}", folder, "--patient-id", "P1", "--json", **ends)
        said("export-seg", folder, mask, "--output", "seg.dcm", **ends)
        refused += "Expected" in "".join(said.heard[heard:])
        shutil.rmtree(folder)
    assert refused > len(tried) / 2
    assert spoken(said.heard) == []
    assert leaks([place], besides=[place / "out" / "seg.dcm"]) == {}


# What a SEG carries of its exam by design; SECURITY.md lists it.
CARRIED = {
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"),
    *("PositionReferenceIndicator", "ContributingEquipmentSequence.Manufacturer"),
    *("SourceImageSequence.ReferencedSOPInstanceUID", "ReferencedSeriesSequence.SeriesInstanceUID"),
    "ReferencedSeriesSequence.ReferencedInstanceSequence.ReferencedSOPInstanceUID",
    "PerFrameFunctionalGroupsSequence.DerivationImageSequence.SourceImageSequence."
    "ReferencedSOPInstanceUID",
}
MARKED = {"PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"}


def carried(data, above=""):
    """Where a data set holds planted values."""
    for element in data:
        name = above + (element.keyword or str(element.tag))
        if element.VR == "SQ":
            for item in element.value:
                yield from carried(item, f"{name}.")
        elif tokens_in(bytes(element.value) if isinstance(element.value, bytes) else str(element)):
            yield name


@pytest.mark.parametrize("is_pseudonym", [False, True])
def test_a_seg_carries_what_files_it_with_its_images_and_no_more(exam, tmp_path, is_pseudonym):
    if is_pseudonym:
        exam = shutil.copytree(exam, tmp_path / "exam")
        for path in exam.rglob("*.dcm"):
            data = dcmread(path)
            data.PatientIdentityRemoved = "YES"
            data.save_as(path)
    (case,) = formats.find_cases(exam)
    formats.write_seg(tmp_path / "seg.dcm", a_mask(exam), case.dicom)
    seg = dcmread(tmp_path / "seg.dcm")
    found = set(carried(seg)) | set(carried(seg.file_meta))
    assert {name for name in found if name.split(".")[0] not in MARKED} == CARRIED
    assert {name for name in MARKED if name in seg} == (MARKED if is_pseudonym else set())
    assert not tokens_in(seg.preamble)
    assert seg.PatientName == NAME


def marked_files(folder):
    """Images of the other formats, with the token wherever their headers hold text."""
    import nibabel
    import nrrd
    import tifffile
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    image = np.random.default_rng(1).integers(20, 90, (4, 48, 40)).astype(np.int16)
    image[:, 10:20, 10:20] += 100
    text = f"{NAME} {PATIENT_ID}"
    nifti = nibabel.Nifti1Image(image.T, np.diag([0.7, 0.7, 3.0, 1.0]))
    nifti.header["descrip"], nifti.header["aux_file"] = text, TOKEN
    nifti.header["db_name"], nifti.header["intent_name"] = TOKEN, TOKEN
    nifti.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", text.encode()))
    nibabel.save(nifti, folder / "N1.nii.gz")
    header = {"content": text, "PatientName": text, "space directions": np.diag([0.7, 0.7, 3.0])}
    nrrd.write(
        str(folder / "N2.nrrd"), image.T, header | {"space": "RAS", "space origin": [0, 0, 0]}
    )
    plane = image[2].astype(np.uint8)
    tags = [(33432, "s", 0, text, True), (269, "s", 0, text, True)]
    tifffile.imwrite(folder / "N3.tif", plane, description=text, extratags=tags, software=TOKEN)
    chunks = PngInfo()
    chunks.add_text("Patient", text)
    chunks.add_text("Comment", text * 9, zip=True)
    chunks.add_itxt("Name", text, zip=True)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = text, text
    Image.fromarray(plane).save(folder / "N4.png", pnginfo=chunks, exif=exif)
    Image.fromarray(plane).save(folder / "N5.jpg", comment=text.encode(), exif=exif)
    return sorted(folder.glob("N*"))


def test_headers_of_other_formats_go_no_further(place, said):
    given = place.parent / f"{place.name}-given"
    given.mkdir()
    files = marked_files(given)
    said.heard.clear()  # Pillow logs what it writes
    assert len(leaks([given])) == len(files)
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32))
    info = checkpoint.ModelInfo(name="one", spec=spec)
    checkpoint.save(place / "one", build(spec).state_dict(), info)
    said("predict", *files, "--model", "../one", "--device", "cpu", "--output", "o", "--prob")
    said("dataset", "add", "D", *files[:2], "--patient-id", "P1")
    said("dataset", "add", "E", *files[2:], "--patient-id", "P1")
    masks = [file for file in (place / "out" / "o").iterdir() if "_prob" not in file.name]
    assert len(masks) == len(files)
    for file in files:
        mask = next(path for path in masks if path.name.startswith(file.name[:2]))
        for ending in ("pdf", "json"):
            said("report", file, "--mask", mask, "--output", f"{file.name}.{ending}")
    chance = random.Random(0)
    damaged = []
    for number in range(SCRIBBLES):
        for file in files:
            damaged.append(shutil.copy(file, given / f"d{number}{file.name}"))
            scribble(damaged[-1], chance, start=4, most=1000, count=20)
    said("predict", *damaged, "--model", "../one", "--output", "d", expected=(None, 0, 1, 2))
    assert spoken(said.heard) == []
    assert leaks([place]) == {}


def test_the_search_finds_a_token_in_every_packing(tmp_path):
    text = f"of {NAME}".encode()
    twice = gzip.compress(gzip.compress(text))
    stream = b"%PDF-1.4\nstream\n" + zlib.compress(text) + b"endstream"
    hexed = b"%PDF-1.4\n<FEFF" + NAME.encode("utf-16-be").hex().encode() + b">"
    png = b"\x89PNG\r\n\x1a\n" + b"zTXtName\0\0" + zlib.compress(text)
    digest = sha256(PATIENT_ID.encode()).hexdigest().encode()
    forms = [text, text.upper(), NAME.encode("utf-16-le"), NAME.encode("utf-16-be"), stream, hexed]
    forms += [png, gzip.compress(text), twice, text.hex().encode(), b"born 17.05.1961", digest]
    forms += [b64encode(before + text) for before in (b"", b"a", b"ab")]
    for number, content in enumerate(forms):
        (tmp_path / f"{number}.bin").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", text)
    named = tmp_path / TOKEN.lower()
    named.mkdir()
    (tmp_path / "clean").write_bytes(b"nothing of the kind")
    found = leaks([tmp_path])
    assert set(found) == {*(f"{n}.bin" for n in range(len(forms))), "packed.zip", named.name}
    assert leaks([tmp_path], besides=[tmp_path]) == {}
