"""Nothing that names a patient leaves a DICOM folder: not in names, messages, JSON or files."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import STUDY, slice_dataset, write_exam, write_series
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, keyword_for_tag

from napari_breastseg import formats
from napari_breastseg.cli import main
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Grid, LabelMap
from napari_breastseg.formats.dicom.identity import Identity, identity_of
from napari_breastseg.formats.dicom.privacy import KEY_FILE, case_id_of
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec, build

NAME = "Zebrowska^Quirina"
PATIENT = "QX99887"
ACCESSION = "ACC5544"
BIRTH = "19610517"
VISIT = "20240229"
PLANTED = f"{NAME} {PATIENT} {ACCESSION} {BIRTH}"
SECRETS = ("zebrowska", "quirina", "qx99887", "acc5544", "19610517", "17051961", "20240229", STUDY)

# Every text element of the dictionary, whoever would write there; groups of files left alone.
TEXTS = [
    keyword_for_tag(tag)
    for tag, (vr, *_, retired, _) in DicomDictionary.items()
    if vr in ("LO", "SH", "PN", "LT", "ST", "UT", "UC") and not retired and tag >> 16 >= 8
]
ELEMENTS: dict[str, Any] = {
    **{keyword: PLANTED[:16] if keyword == "StudyID" else PLANTED for keyword in TEXTS if keyword},
    "PatientName": NAME,
    "PatientID": PATIENT,
    "AccessionNumber": ACCESSION,
    "PatientBirthDate": BIRTH,
    "StudyDate": VISIT,
    "AcquisitionDate": VISIT,
    "FrameOfReferenceUID": STUDY + ".77",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ZEBROWSKA"],
}


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder whose name, files and headers name a patient; it holds one exam."""
    folder = tmp_path / "exams" / f"Quirina {PATIENT}"
    write_exam(folder, **ELEMENTS)
    rename(folder)
    return folder


def rename(folder: Path) -> None:
    for number, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        path.rename(path.with_name(f"ZEBROWSKA_{ACCESSION}_{STUDY}.{number}.dcm"))
    for path in [p for p in folder.iterdir() if p.is_dir()]:
        path.rename(path.with_name(f"{path.name} {BIRTH} zebrowska"))


def assert_silent(text: str) -> None:
    found = [secret for secret in SECRETS if secret in text.lower()]
    assert not found, text


@pytest.fixture
def heard() -> Any:
    """Everything that was logged, at any level."""
    records: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    keeper, root = Keeper(logging.DEBUG), logging.getLogger()
    level = root.level
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    yield records
    root.removeHandler(keeper)
    root.setLevel(level)


@pytest.fixture
def run(monkeypatch: Any, capfd: Any) -> Callable[..., tuple[int, str]]:
    def call(*words: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["napari-breastseg", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfd.readouterr()
        return stop.value.code or 0, captured.out + captured.err

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    spec = ModelSpec(inputs=("pre", "post1"), features=(4, 8), patch_size=(32, 32))
    folder = tmp_path / "model"
    checkpoint.save(folder, build(spec).state_dict(), checkpoint.ModelInfo(name="two", spec=spec))
    return folder


def test_a_planted_exam_opens_under_a_keyed_pseudonym(planted: Path, heard: list[str]) -> None:
    (case,) = formats.find_cases(planted)
    exam = formats.read_exam(case)
    assert list(exam.phases) == ["pre", "post1", "post2"]
    assert exam.case_id.startswith("exam-")
    assert len(exam.case_id) == len("exam-") + 10
    assert case.dicom is not None
    rows = [(row.handle, row.role, row.why, row.stack.description) for row in case.dicom.rows]
    assert_silent(" ".join([repr(exam), repr(rows), repr(case.dicom), case.place, *heard]))
    moved = planted.rename(planted.parent / f"{BIRTH} again")
    assert formats.open_exam(moved).case_id == exam.case_id  # the same exam, wherever it lies
    plain = moved.rename(moved.parent / "reader study 12")
    assert formats.open_exam(plain).case_id == "reader_study_12"


def contents(path: Path) -> str:
    import gzip

    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.name.endswith(".gz") else raw).decode("latin-1")


def broken(folder: Path, kind: str) -> None:
    elements = ELEMENTS | {"AcquisitionTime": "100000"}
    if kind == "mosaic":
        elements["ImageType"] = ["ORIGINAL", "PRIMARY", "M", "MOSAIC", "ZEBROWSKA"]
    if kind == "gap":
        elements["position"] = lambda z: (0.0, 0.0, (0.0, 1.0, 3.0, 4.0)[z])
    paths = write_series(folder, 2, 1000, **elements)
    if kind == "question":
        write_series(folder, 3, 2000, **elements)
    if kind == "pixels cut short":
        paths[0].write_bytes(paths[0].read_bytes()[:-20])
    if kind == "headers cut short":
        for path in paths:
            path.write_bytes(path.read_bytes()[:400])
    if kind == "no DICOM":
        for path in paths:
            path.write_bytes(PLANTED.encode())
    rename(folder)


KINDS = ["mosaic", "gap", "question", "pixels cut short", "headers cut short", "no DICOM"]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_say_nothing(
    kind: str, model: Path, run: Any, heard: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "exams" / f"{NAME} {PATIENT}"
    broken(folder, kind)
    one = next(path for path in folder.rglob("*") if path.is_file())
    code, said = run("predict", folder, one, "--output", tmp_path / "o", "--model", model)
    if kind in ("question", "gap"):  # one slice of such a series is a slice like others
        one = folder
    code, as_json = run("predict", folder, "--output", tmp_path / "o", "--model", model, "--json")
    assert code == 2
    assert "  Expected" in as_json
    assert_silent(said + as_json + " ".join(heard))
    with pytest.raises(InputError) as raised:
        formats.read_exam(formats.find_cases(folder)[0])
    assert_silent(str(raised.value))
    dataset = tmp_path / "Dataset502_Test"
    _, added = run("dataset", "add", dataset, folder, one, "--patient-id", "P1", "--json")
    assert_silent(added)


def seg_inputs(folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A mask of the planted exam and a SEG to write, both of names that name nobody."""
    exam = formats.open_exam(folder)
    data = np.zeros(exam.grid.shape, np.uint8)
    data[1, 2:4, 1:3] = 1
    formats.write_label_map(tmp_path / "mask.nii.gz", LabelMap(data, exam.grid))
    return tmp_path / "mask.nii.gz", tmp_path / "seg" / "tumor.dcm"


def test_a_seg_is_the_only_output_that_names_the_patient(
    planted: Path, run: Any, heard: list[str], tmp_path: Path
) -> None:
    mask, seg = seg_inputs(planted, tmp_path)
    code, said = run("export-seg", planted, mask, "--output", seg)
    assert code == 0, said
    code, as_json = run("export-seg", planted, mask, "--output", seg, "--json")
    assert code == 0
    written = dcmread(seg)
    assert (str(written.PatientName), written.PatientID) == (NAME, PATIENT)
    assert (written.PatientBirthDate, written.AccessionNumber) == (BIRTH, ACCESSION)
    assert written.StudyInstanceUID == STUDY
    assert written.SegmentSequence[0].SegmentLabel == "Lesion"
    dataset = tmp_path / "Dataset503_Test"
    words = ("dataset", "add", dataset, planted, "--patient-id", "P1", "--mask", seg, "--json")
    code, added = run(*words)
    assert code == 0, added
    table = tmp_path / "cases.csv"
    table.write_text(f"case_id,patient_id,image,mask\nC2,P2,{planted},{seg}\n")
    code, imported = run("dataset", "import", table, dataset, "--json")
    assert code == 0, imported
    for number, format in enumerate(("nnunet", "bids")):
        code, exported = run(
            "dataset", "export", dataset, tmp_path / f"e{number}", "--format", format
        )
        assert code == 0, exported
        added += exported
    assert_silent(said + as_json + added + imported + " ".join(heard))
    outputs = [dataset, tmp_path / "e0", tmp_path / "e1", Path(os.environ["BREASTSEG_HOME"])]
    files = [path for folder in outputs for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    uids = {str(f.get("SeriesInstanceUID")) for f in map(dcmread, planted.rglob("*.dcm"))}
    uids |= {str(written.SeriesInstanceUID), str(written.SOPInstanceUID)}
    for path in files:
        assert_silent(path.name + contents(path))
        assert not [uid for uid in uids if uid in contents(path)]


def test_errors_of_export_seg_say_nothing(
    planted: Path, run: Any, heard: list[str], tmp_path: Path
) -> None:
    mask, seg = seg_inputs(planted, tmp_path)
    other = tmp_path / "other.nii.gz"
    small = LabelMap(np.ones((2, 3, 4), np.uint8), Grid((2, 3, 4), np.eye(4)))
    formats.write_label_map(other, small)
    one = next(planted.rglob("*.dcm"))
    calls = [
        (planted, other, seg),
        (planted, one, seg),
        (planted, mask, one),
        (planted, mask, seg.with_suffix(".nii")),
        (planted.parent, planted, seg),
        (mask, mask, seg),
    ]
    for kind in set(KINDS) - {"pixels cut short"}:  # a SEG takes no pixels of its source
        folder = tmp_path / "more" / f"{NAME} {PATIENT} {kind.replace(' ', '')}"
        broken(folder, kind)
        calls.append((folder, mask, seg))
    for exam, drawn, out in calls:
        for flags in ((), ("--json",)):
            code, said = run("export-seg", exam, drawn, "--output", out, *flags)
            assert code == 2, (exam, said)
            assert "  Expected" in said
            assert_silent(said + " ".join(heard))
    for path in planted.rglob("*.dcm"):  # no frame of reference: refused by its keyword only
        data = dcmread(path)
        del data.FrameOfReferenceUID
        data.save_as(path)
    code, said = run("export-seg", planted, mask, "--output", seg)
    assert code == 2
    assert "FrameOfReferenceUID" in said
    assert_silent(said + " ".join(heard))


def test_the_key_is_made_once_and_is_the_owners_alone(planted: Path, tmp_path: Path) -> None:
    first = formats.open_exam(planted).case_id
    key = Path(os.environ["BREASTSEG_HOME"]) / KEY_FILE
    assert len(key.read_bytes()) == 32
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    kept = key.read_bytes()
    assert formats.open_exam(planted).case_id == first
    assert key.read_bytes() == kept
    key.unlink()
    assert formats.open_exam(planted).case_id != first
    key.write_bytes(b"short")
    with pytest.raises(InputError, match=r"pseudonym key of 32 bytes.*found 5 bytes in .*Restore"):
        formats.open_exam(planted)


def test_a_disk_without_hard_links_keeps_a_key_too(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    first = formats.open_exam(planted).case_id
    assert formats.open_exam(planted).case_id == first
    assert [p.name for p in Path(os.environ["BREASTSEG_HOME"]).iterdir()] == [KEY_FILE]


def test_a_key_that_cannot_be_kept_is_said(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BREASTSEG_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"keep the pseudonym key.*Set BREASTSEG_HOME to a fol"):
        formats.open_exam(planted)


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("reader study 12", True),
        ("P017", True),
        ("zebrowska-mri", False),
        ("ŻEBROWSKA", False),
        ("QX-99887", False),
        ("17.05.1961", False),
        ("610517", False),
        ("29-02-2024", False),
        ("scan " + ACCESSION, False),
        ("1.2.826.0.1.3680043.8.498.1", False),
        ("...", False),
    ],
)
def test_names_that_hold_identity_values_give_way(name: str, is_kept: bool) -> None:
    data = slice_dataset(np.zeros((2, 2), np.uint16), (0, 0, 0))
    data.PatientName, data.PatientID, data.AccessionNumber = NAME, PATIENT, ACCESSION
    data.PatientBirthDate, data.StudyDate = BIRTH, VISIT
    case_id = case_id_of(name, identity_of(data), "a study")
    assert (case_id == name.replace(" ", "_")) is is_kept
    assert case_id.startswith("exam-") is not is_kept


def test_short_values_count_as_words_only() -> None:
    li = Identity(frozenset({"li", "7"}))
    assert li.is_in("MRI of Li")
    assert li.is_in("exam_7")
    assert not li.is_in("slices 17")


def identity(name: str = "", patient_id: str = "", **elements: str) -> Identity:
    data = slice_dataset(np.zeros((2, 2), np.uint16), (0, 0, 0))
    data.PatientName, data.PatientID = name, patient_id
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = ""
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return identity_of(data)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Li^Wei", "WeiLi_MRI"),
        ("Li^Wei", "weili_mri"),
        ("Li^Wei", "LIWEI2"),
        ("Ng^Kim Anh", "KimAnhNg2"),
        ("Ng^Kim Anh", "anh-kim"),
        ("Ng^Kim Anh", "mri-NgKim"),
        ("Müller", "Mueller_MR1"),
        ("Mueller^Ute", "Müller MR1"),
        ("MUELLER", "muller2"),
        ("Sørensen^Pål", "soerensen_1"),
        ("Strauß", "STRAUSS"),
        ("Łuczak", "Luczak_post"),
        ("Håkonsen", "haakonsen"),
        ("Doe^J", "JDoe_MRI"),
        ("Doe^Jane", "doej_2"),
        ("Lee^An", "leemri"),
        ("Lee^An", "MRLee"),
        ("O'Brien^Siobhán", "siobhan"),
        ("Garcia Lopez^Ana", "LopezGarcia"),
        ("Yamada^Tarou=山田^太郎", "山田_1"),
    ],
)
def test_a_name_is_found_in_any_order_case_and_spelling(name: str, folder: str) -> None:
    assert identity(name).is_in(folder)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Li^Wei", "clinic_lisbon"),
        ("Li^An", "brilliant_study"),
        ("Ng^Kim", "scanning_kimberley"),
        ("East^Anna", "BreastMRI_12"),
        ("Lee^An", "leeds_anatomy"),
        ("Doe^J", "does_it_work"),
        ("Anonymous", "anonymous_3"),
        ("Patient^12", "patient_7"),
        ("Müller", "multi_center"),
    ],
)
def test_a_folder_that_holds_no_part_of_the_name_stays_readable(name: str, folder: str) -> None:
    assert not identity(name).is_in(folder)
    assert case_id_of(folder, identity(name), "a study") == folder


@pytest.mark.parametrize(
    ("patient_id", "folder", "is_found"),
    [
        ("0004711", "4711_MRI", True),
        ("4711", "0004711", True),
        ("P0004711", "p4711 pre", True),
        ("00-04-711", "exam 4711", True),
        ("00123", "123_MRI", True),
        ("000042", "42_mri", True),
        ("R2-017", "study_17", False),
        ("0004711", "14711_MRI", False),
        ("0004711", "47_11", True),
        ("BREAST2019", "cohort_2019", False),
        ("0001", "visit_1", False),
        ("ANONYMIZED", "anonymized_exam", False),
    ],
)
def test_an_id_is_found_with_and_without_leading_zeros(
    patient_id: str, folder: str, is_found: bool
) -> None:
    assert identity("", patient_id).is_in(folder) is is_found


@pytest.mark.parametrize(
    ("folder", "is_found"),
    [
        ("17.5.1961", True),
        ("1961-5-17 MRI", True),
        ("17May1961", True),
        ("5_17_61", True),
        ("MR 1705 1961", True),
        ("17.5.1962", False),
        ("visit 5 of 17", False),
    ],
)
def test_a_date_is_found_in_any_order(folder: str, is_found: bool) -> None:
    assert identity(PatientBirthDate="19610517").is_in(folder) is is_found


def test_single_files_of_one_study_are_told_apart_without_a_name(
    run: Any, model: Path, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", 2, 1000, PatientName=NAME, PatientID=PATIENT)
    named = [path.rename(path.with_name(f"zebrowska_{n}.dcm")) for n, path in enumerate(paths[:2])]
    plain = paths[2].rename(paths[2].with_name("IM0003.dcm"))
    ids = [formats.find_cases(path)[0].case_id for path in (*named, plain)]
    assert ids[0].startswith("exam-")
    assert len(set(ids)) == 3
    assert ids[2] == "IM0003"


def test_a_folder_of_pseudonyms_keeps_its_name_unless_it_holds_a_date(tmp_path: Path) -> None:
    elements = {"PatientName": "Breast^R017", "PatientID": "R017", "StudyDate": VISIT}
    for name, kept in (("R017", True), (f"R017-{VISIT}", False)):
        folder = tmp_path / name
        write_exam(folder, PatientIdentityRemoved="YES", **elements)
        assert (formats.open_exam(folder).case_id == name) is kept
    folder = tmp_path / "again" / "R017"
    write_exam(folder, **elements)
    assert formats.open_exam(folder).case_id.startswith("exam-")
