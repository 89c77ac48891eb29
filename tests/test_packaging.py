"""napari finds the plugin, from the built wheel and from an editable install alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FOUND = """
import json
from npe2 import PluginManager
manager = PluginManager.instance()
manager.discover()
manifest = manager.get_manifest("napari-breastseg")
found = manifest.contributions
from importlib import import_module
for command in found.commands:
    module, _, name = command.python_name.partition(":")
    assert callable(getattr(import_module(module), name)), command.python_name
from napari_breastseg.cli.demo import read_sample
import napari_breastseg
exam, truth = read_sample()
print(json.dumps({
    "place": napari_breastseg.__file__,
    "commands": sorted(c.id.partition(".")[2] for c in found.commands),
    "readers": sorted(p for r in found.readers for p in r.filename_patterns),
    "reads_folders": [r.accepts_directories for r in found.readers],
    "writers": [w.filename_extensions for w in found.writers],
    "samples": [(s.key, s.display_name) for s in found.sample_data],
    "widgets": [w.display_name for w in found.widgets],
    "menus": {menu: [i.command for i in items] for menu, items in found.menus.items()},
    "phases": list(exam.phases),
    "tumor": int(truth.tumor.sum()),
}))
"""


def found_by(python: Path, folder: Path) -> dict[str, object]:
    done = subprocess.run(
        [python, "-W", "ignore", "-c", FOUND],
        cwd=folder,
        capture_output=True,
        text=True,
        # What PYTHONPATH names would be found before the wheel.
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        | {"QT_QPA_PLATFORM": "offscreen"},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def clean_python(wheel, tmp_path_factory):
    """An environment with the wheel, and the dependencies linked in, but not this checkout."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    asked = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    site = Path(asked.stdout.strip())
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "napari_breastseg" not in entry.name and "editable" not in entry.name:
            (site / entry.name).symlink_to(entry)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        check=True,
    )
    return python


def test_the_wheel_holds_the_package_the_manifest_and_the_sample_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    for wanted in (
        "napari_breastseg/napari.yaml",
        "napari_breastseg/py.typed",
        "napari_breastseg/sample_data/SAMPLE_001_0000.nii.gz",
        "napari_breastseg/sample_data/truth/SAMPLE_001.nii.gz",
        "napari_breastseg/weights/starter/model.json",
        "napari_breastseg/weights/starter/weights.safetensors",
        "napari_breastseg/weights/starter/MODEL_CARD.md",
        "napari_breastseg/weights/starter/failures.png",
        "napari_breastseg/weights/clicks/model.json",
        "napari_breastseg/weights/clicks/weights.safetensors",
        "napari_breastseg/weights/clicks/MODEL_CARD.md",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "docs"))]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_the_wheel_and_an_editable_install_offer_the_same(clean_python, tmp_path):
    from_wheel = found_by(clean_python, tmp_path)
    editable = found_by(Path(sys.executable), tmp_path)
    assert str(ROOT) not in str(from_wheel.pop("place"))
    editable.pop("place")
    assert from_wheel == editable
    assert {"open_panel", "get_reader", "write_label_map", "open_sample"} <= set(
        from_wheel["commands"]
    )
    assert "*.nii.gz" in from_wheel["readers"]
    assert from_wheel["reads_folders"] == [True]
    assert from_wheel["writers"] == [[".nii.gz", ".nii", ".nrrd", ".png"]]
    assert from_wheel["samples"] == [["phantom", "Synthetic breast DCE exam"]]
    assert from_wheel["widgets"] == ["Breast MRI", "Segment tumor"]
    assert from_wheel["menus"]["napari/layers/segment"] == ["napari-breastseg.segment_with_panel"]
    assert from_wheel["phases"] == ["pre", "post1", "post2", "post3"]
    assert from_wheel["tumor"] > 0
