"""`doctor` names what is missing on this machine, and how to mend it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest

doctor = import_module("napari_breastseg.cli.doctor")


def checks_of(stdout):
    return {check["what"]: check for check in json.loads(stdout)["checks"]}


def test_doctor_reports_what_is_here(run, monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda _: ["numpy>=2.0", "onnx>=1; extra == 'x'"])
    code, stdout, _ = run("doctor", "--json")
    assert code == 0
    states = {what: check["state"] for what, check in checks_of(stdout).items()}
    assert states["torch"] == "ok"
    assert states["model"] == "ok"
    assert "onnx" not in states


def test_doctor_names_what_is_missing_and_its_mend(run, monkeypatch, tmp_path):
    wanted = ["nibabel>=99", "no-such-library>=1.0", "numpy>=2.0"]
    monkeypatch.setattr(doctor, "requires", lambda _: wanted)
    monkeypatch.setitem(sys.modules, "torch", None)  # as where one of its own libraries is missing
    monkeypatch.setattr("napari_breastseg.model.checkpoint.load", lambda _: import_module("torch"))
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    (tmp_path / "file").touch()
    monkeypatch.setenv("BREASTSEG_HOME", str(tmp_path / "file" / "home"))
    code, stdout, _ = run("doctor", "--json")
    assert code == 1
    found = checks_of(stdout)
    assert found["no-such-library"]["mend"] == "pip install no-such-library"
    assert found["nibabel"]["mend"] == "pip install 'nibabel>=99'"
    assert "it cannot be loaded" in found["torch"]["found"]
    assert found["torch"]["mend"] == "pip install --force-reinstall torch"
    assert found["device"]["mend"] == "mend torch first"
    assert found["model"]["state"] == "problem"
    assert found["settings and models"]["mend"].startswith("set BREASTSEG_HOME to a folder you may")
    if sys.platform.startswith("linux"):
        assert "xvfb-run" in found["window"]["mend"]
    assert found["numpy"]["state"] == "ok"


@pytest.mark.parametrize(
    ("said", "code", "found", "mend"),
    [
        ("screen context seen", 0, "Qt and OpenGL can open one", ""),
        ("screen context", 0, "through EGL", "PYOPENGL_PLATFORM=egl"),
        ("screen", 0, "there is no OpenGL", "libgl1-mesa-dri"),
        ("screen", -11, "there is no OpenGL", "libgl1-mesa-dri"),
        ("", -6, "could not load the Qt platform plugin", "README, Installation"),
    ],
)
def test_doctor_says_why_no_window_can_draw(run, monkeypatch, said, code, found, mend):
    error = "warning\ncould not load the Qt platform plugin\n"
    answer = subprocess.CompletedProcess([], code, stdout=said, stderr=error)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setenv("DISPLAY", ":9")
    check = checks_of(run("doctor", "--json")[1])["window"]
    assert found in check["found"]
    assert mend in check["mend"]
