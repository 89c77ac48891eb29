"""The eleven calls for scripts: importable by name, lazily, doing what docs/scripting.md shows."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_files import NEEDED, write_exam

import napari_breastseg
from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.home import SAMPLE, sample_folder
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scripting.md"
CALLS = [name for name in napari_breastseg.__all__ if name != "__version__"]


def small_sample(folder: Path) -> Path:
    """A few slices of the sample exam with part of its tumor, as files of the same names."""
    full = sample_folder()
    exam = formats.open_exam(full / f"{SAMPLE}_0000.nii.gz")
    truth = formats.read_label_map(full / "truth" / f"{SAMPLE}.nii.gz", exam=exam)
    largest = int(np.argmax(truth.tumor.sum(axis=(1, 2))))
    start = max(0, largest - 3)
    affine = exam.grid.affine.copy()
    affine[:3, 3] += start * affine[:3, 0]
    for number, volume in enumerate(exam.phases.values()):
        part = volume.data[start : start + 6]
        grid = Grid(part.shape, affine)
        formats.write_volume(folder / f"{SAMPLE}_{number:04d}.nii.gz", Volume(part, grid))
    return folder


def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_exam(tmp_path / "dicom" / "P1", **NEEDED)
    monkeypatch.setattr("napari_breastseg.core.home.sample_folder", lambda: small_sample(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "SAMPLE_001 ['pre', 'post1', 'post2', 'post3']" in said
    assert "5 locked patients" in said  # why nothing was promoted
    exam = formats.open_exam(Path("dicom/P1"))
    drawn = formats.read_label_map(tmp_path / "P1-seg.dcm", exam=exam)
    assert np.flatnonzero(drawn.data).size == 3
    assert (tmp_path / "my-model" / "weights.safetensors").is_file()
    assert (tmp_path / "SAMPLE_001.csv").read_text(encoding="utf-8").startswith("case_id,lesion,")
    kept = Dataset.open(tmp_path / "Dataset501_BreastTumor").label_map("SAMPLE_001")
    assert not kept.data[:2].any()
    assert kept.tumor.any()
    again = formats.read_label_map(tmp_path / "SAMPLE_001_again.nii.gz")
    assert not again.data[:2].any()
    assert again.tumor.any()


def test_the_page_names_every_call_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)\(", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(CALLS)
    assert len(CALLS) == 12


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_typed_and_documented(name: str) -> None:
    call = getattr(napari_breastseg, name)
    signature = inspect.signature(call)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter
    text = inspect.getdoc(call)
    assert text is not None
    assert "Raises\n------" in text


def test_importing_the_package_loads_neither_torch_nor_qt_nor_numpy() -> None:
    script = (
        "import sys, napari_breastseg as nb\n"
        "assert 'numpy' not in sys.modules\n"
        "nb.open_exam, nb.draft, nb.train\n"
        "heavy = {'torch', 'monai', 'qtpy', 'napari', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'accept' in dir(nb)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'segment'"):
        _ = napari_breastseg.segment


def test_accept_takes_a_known_case_again_and_refuses_another_of_its_name(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "Dataset501", tuple(exam.phases))
    dataset.add(exam, patient_id="P001")
    record = napari_breastseg.accept(
        dataset, exam, truth, patient_id="P001", reader="AB", reviewed_slices=[0, 1, 2]
    )
    assert record.accepted is not None
    assert record.accepted.reviewed_slices == (0, 1, 2)
    assert len(dataset.cases()) == 1
    brighter = {
        role: type(volume)(volume.data + 1, volume.grid) for role, volume in exam.phases.items()
    }
    other = Exam(exam.case_id, brighter)
    with pytest.raises(InputError, match=r"another exam of that name: phase pre differs"):
        napari_breastseg.accept(dataset, other, truth, patient_id="P001", reader="AB")
    affine = np.array(exam.grid.affine)
    affine[:3, 3] += 0.5
    moved = Grid(exam.grid.shape, affine)
    with pytest.raises(InputError, match="at another position"):
        napari_breastseg.accept(
            dataset,
            exam,
            LabelMap(truth.data, moved),
            patient_id="P001",
            reader="AB",
        )


def test_a_wrong_model_is_told_by_name(sphere_exam: tuple[Exam, LabelMap]) -> None:
    with pytest.raises(InputError, match="found 'site-b'; registered: none"):
        napari_breastseg.draft(sphere_exam[0], model="site-b")
