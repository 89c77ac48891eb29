"""A token in every element, file and folder name of an exam is in nothing the window leaves."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from planted import TOKEN, leaks, refuse_network, tokens_in, write_planted_exam
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QLineEdit

from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import edit_labels
from napari_breastseg.widgets.correct import export_form


def texts_on_screen(window: SimpleNamespace) -> list[str]:
    """What widgets of the window show and say when pointed at."""
    found = [window.viewer.title, *(layer.name for layer in window.viewer.layers)]
    found += [str(layer.metadata.get("case_id", "")) for layer in window.viewer.layers]
    for widget in QApplication.allWidgets():
        found += [widget.toolTip(), widget.statusTip(), widget.windowTitle()]
        if isinstance(widget, QLabel | QAbstractButton | QLineEdit):
            found.append(widget.text())
        if isinstance(widget, QComboBox):
            found += [widget.itemText(row) for row in range(widget.count())]
    return found


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the window may write to; it has no network."""
    for name in ("HOME", "BREASTSEG_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
        (tmp_path / name.lower()).mkdir()
    monkeypatch.chdir(tmp_path / "tmpdir")
    monkeypatch.setattr(socket.socket, "connect", refuse_network)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_network)
    return tmp_path


def test_the_window_leaves_no_trace_of_an_exam_that_names_its_patient(
    own_folders: Path,
    window: SimpleNamespace,
    idle: Callable[..., None],
    settle: Callable[[], None],
    two_phase_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = write_planted_exam(tmp_path_factory.mktemp("given") / f"{TOKEN} Brandt")
    viewer, dock = window.viewer, window.dock
    correct, segment = dock.correct_panel, dock.segment_panel
    viewer.open(str(given), plugin="napari-breastseg")  # what a drop calls
    settle()
    case_id = dock.session.case_id
    assert case_id.startswith("exam-")
    segment.model.value = two_phase_model
    segment.device.value = "cpu"
    dock.segment()
    settle()
    layer = viewer.layers[f"{case_id} tumor"]
    correct.folder.setValue(own_folders / "set")
    correct.open_dataset()
    settle()
    assert not tokens_in(correct.patient.text())  # a pseudonym is proposed
    assert correct.patient.text()
    correct.annotator.setText("AB")
    dock.take_brush()
    settle()
    mask = np.zeros_like(layer.data)
    mask[1:3, 10:20, 10:20] = 1
    edit_labels(layer, mask)
    correct.autosave.save_now()
    settle()
    assert Dataset.open(own_folders / "set").recover(case_id) is not None
    dock.toggle_rest()
    dock.accept()
    settle()
    assert Dataset.open(own_folders / "set").case(case_id).status == "accepted"
    dock.measure_lesions()
    settle()
    for name in ("list", "train", "correct", "open"):
        dock.show_tab(name.capitalize())
        settle()
    layer.save(str(own_folders / "mask.nii.gz"), plugin="napari-breastseg")
    viewer.screenshot(str(own_folders / "view.png"), canvas_only=False, flash=False)
    target = own_folders / "seg" / "tumor.dcm"
    target.parent.mkdir()
    monkeypatch.setattr(export_form, "ask_where", lambda *_: target)
    dock.export_seg()
    settle()
    assert target.is_file()
    # Where it was opened from is the user's own choice; nothing else on the screen names anybody.
    shown = {text for text in texts_on_screen(window) if tokens_in(text)}
    assert {text for text in shown if str(given) not in text} == set()
    said = capfd.readouterr()
    messages = [str(note.message) for note in window.told]
    assert [text for text in (said.out, said.err, caplog.text, *messages) if tokens_in(text)] == []
    dock.close_case()
    settle()
    written = [path for path in own_folders.rglob("*") if path.is_file()]
    assert len(written) > 12
    settings = own_folders / "breastseg_home" / "window.json"
    assert leaks([own_folders], besides=[target, settings]) == {}
    # Where the exams opened last lie, for the owner alone.
    remembered = json.loads(settings.read_text())
    assert {key for key, text in remembered.items() if tokens_in(text)} == {"recent_exams"}
    if os.name == "posix":
        assert stat.S_IMODE(settings.stat().st_mode) == 0o600
