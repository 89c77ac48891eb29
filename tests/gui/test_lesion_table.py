"""Enhancement maps, alignment and the lesion table in a real window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from scipy import ndimage

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.imaging.breast_region import find_breasts
from napari_breastseg.lesions import measure_lesions
from napari_breastseg.lesions.report import write_report
from napari_breastseg.phantom import LesionSpec, PhantomExam, breast_phantom
from napari_breastseg.widgets.canvas.layers import edit_labels, show_exam, show_labels
from napari_breastseg.widgets.correct import export_form
from napari_breastseg.widgets.state.session import Draft
from napari_breastseg.widgets.state.settings import recall


@pytest.fixture(scope="module")
def phantom() -> PhantomExam:
    specs = (LesionSpec("round", 6.0, "III", "right"), LesionSpec("irregular", 2.0, "I", "left"))
    return breast_phantom(
        11,
        shape=(24, 128, 128),
        spacing_mm=(4.0, 2.6, 2.6),
        lesions=specs,
        motion_mm=0,
        case_id="P017",
    )


def told(window: SimpleNamespace, text: str) -> bool:
    return any(text in note.message for note in window.told)


def test_the_breasts_alone_are_segmented(
    window: SimpleNamespace,
    idle: Callable[..., None],
    phantom: PhantomExam,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nothing is held back: this model marks at random.
    monkeypatch.setattr("napari_breastseg.predict.prediction.score_of", lambda info: None)
    viewer, segment = window.viewer, window.dock.segment_panel
    show_exam(viewer, phantom.exam)
    segment.model.value = tiny_model
    segment.device.value = "cpu"
    segment.threshold.value = 0.05
    window.dock.show_tab("Segment")
    window.qtbot.mouseClick(segment.run_button.native, Qt.MouseButton.LeftButton)
    idle(segment.runner)
    mask = viewer.layers["P017 tumor"].data
    near = find_breasts(phantom.exam).near()
    assert mask[near].any()
    assert not mask[~near].any()

    # Where they are in doubt it is said, and nothing is left out
    thin = {
        role: Volume(volume.data[10:14], Grid((4, 128, 128), volume.grid.affine))
        for role, volume in phantom.exam.phases.items()
    }
    show_exam(viewer, Exam("THIN", thin), instead_of="P017")
    window.dock.segment()
    idle(segment.runner)
    assert told(window, "The whole exam is segmented: ")
    assert viewer.layers["THIN tumor"].data[:, 100:].any()


def test_the_table_leads_to_each_lesion(
    window: SimpleNamespace,
    idle: Callable[..., None],
    phantom: PhantomExam,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, dock = window.viewer, window.dock
    section = dock.correct_panel.lesions
    assert section.measure_button.toolTip() == "Open an exam first"
    show_exam(viewer, phantom.exam)
    assert section.measure_button.toolTip().endswith("there is no mask yet")
    mask = show_labels(viewer, dock.session.source, phantom.truth)
    viewer.layers.selection.active = mask
    window.qtbot.wait(50)

    # Measured through its key's action, in a thread, as the engine does
    dock.measure_lesions()
    assert section.runner.is_running
    assert section.report is None
    idle(section.runner)
    engine = drain(measure_lesions(phantom.exam, phantom.truth, breasts=find_breasts(phantom.exam)))
    assert [one.volume_ml for one in section.report.lesions] == [
        one.volume_ml for one in engine.lesions
    ]
    texts = [[section.table.item(row, column).text() for column in (0, 1, 5)] for row in range(3)]
    assert texts[:2] == [
        ["index", "R", "III"],
        ["left 1", "L", "I"],
    ]
    assert texts[2][0] == "total"
    assert list(section.plot.curves) == ["index", "left 1"]

    # Each row flies to its lesion, frames it, and leaves the brush's layer at hand
    for row, lesion in enumerate(section.report.lesions):
        section.table.selectRow(row)
        window.qtbot.wait(30)
        assert section.plot.chosen == lesion.id
        assert viewer.dims.current_step[0] == lesion.diameter_z
        z, y, x = lesion.center_voxel
        world = mask.data_to_world((z, y, x))
        assert viewer.scene.camera.center[1:] == pytest.approx(world[1:])
        assert len(viewer.layers["P017 lesion"].data) == np.diff(lesion.box[0])[0] + 1
        assert viewer.layers.selection.active == mask

    # The index erased and a third lesion painted: it is new, the other keeps its id
    labels = phantom.truth.data * (phantom.lesion_labels.data != 1)
    labels[2:4, 60:64, 80:84] = 1
    assert not section.outdated.isVisible()
    viewer.dims.set_current_step(0, 3)
    assert not section.outdated.isVisible()
    edit_labels(mask, labels)
    assert section.outdated.isVisible()
    dock.measure_lesions()
    idle(section.runner)
    assert not section.outdated.isVisible()
    assert [one.id for one in section.report.lesions] == ["left 1", "left 2"]

    # The export is of the mask as it is now
    path = tmp_path / "r.json"
    monkeypatch.setattr(export_form, "ask_where", lambda *_: path)
    mask.undo()
    assert section.outdated.isVisible()
    edit_labels(mask, phantom.truth.data * (phantom.lesion_labels.data != 1))
    dock.export_report()
    idle(section.runner)
    assert [one["id"] for one in json.loads(path.read_text())["lesions"]] == ["left 1"]
    assert section.table.rowCount() == 2
    assert told(window, "Wrote r.json")
    # Folder and kind are kept between starts, and proposed the next time.
    section.exports.kind.value = "csv"
    assert json.loads(recall("export.folder")) == str(tmp_path)
    assert json.loads(recall("export.kind")) == "csv"
    asked: list[str] = []

    def another(parent: object, title: str, name: str, kinds: str) -> Path:
        asked.extend((name, kinds))
        return tmp_path / "r.txt"

    monkeypatch.setattr(export_form, "ask_where", another)
    dock.export_report()
    assert told(window, "Expected a file name ending in")
    assert asked[0].startswith(str(tmp_path))
    assert asked[0].endswith("_lesions.csv")
    assert asked[1].startswith("Table (*.csv);;")

    # The prior visit had both lesions; a higher level leaves less functional tumor
    functional_ml = section.report.total.functional_ml
    prior = tmp_path / "prior.json"
    write_report(prior, drain(measure_lesions(phantom.exam, phantom.truth)))
    section.form.prior.value = prior
    section.form.pe_threshold.value = 300
    dock.measure_lesions()
    idle(section.runner)
    assert ("index", "gone") in [(change.id, change.status) for change in section.changes]
    assert "Since the prior visit: index gone" in section.line.text()
    assert section.report.total.functional_ml < functional_ml
    assert json.loads(recall("report.pe_threshold")) == 300  # for the next start

    # Another exam: nothing is left of this one
    # ... of other pixels: work on the same ones would be offered under any name
    other = Exam(
        "P018",
        {role: Volume(one.data + 1, one.grid) for role, one in phantom.exam.phases.items()},
    )
    show_exam(viewer, other, instead_of="P017")
    window.qtbot.wait(50)
    assert section.report is None
    assert not section.table.isVisible()
    assert "P017 lesion" not in viewer.layers


def test_maps_are_layers_and_alignment_keeps_the_mask_and_its_draft(
    window: SimpleNamespace, idle: Callable[..., None], phantom: PhantomExam
) -> None:
    viewer, dock = window.viewer, window.dock
    section = dock.open_panel.dce
    pre = phantom.exam.phases["pre"]
    shifted = ndimage.shift(pre.data.astype(np.float32), (0, 2.5, -1.5), order=1, mode="nearest")
    exam = Exam("P017", {**phantom.exam.phases, "pre": Volume(shifted, pre.grid)})
    show_exam(viewer, exam)
    mask = show_labels(viewer, dock.session.source, phantom.truth)
    dock.session.drafts.keep(Draft("P017", phantom.truth, "tiny@1"))
    viewer.layers.selection.active = mask

    dock.show_maps()
    idle(section.runner)
    names = [layer.name for layer in viewer.layers]
    assert names[-1] == "P017 tumor"  # maps never cover the mask
    assert set(names) >= {"P017 sub1", "P017 PE1", "P017 SER", "P017 MIP sub1"}
    post = exam.phases["post1"].data.astype(np.float32)
    assert np.array_equal(np.asarray(viewer.layers["P017 sub1"].data)[12], post[12] - shifted[12])
    assert viewer.layers["P017 sub1"].visible
    assert not viewer.layers["P017 PE1"].visible
    assert np.array_equal(viewer.layers["P017 sub1"].extent.world, mask.extent.world)
    assert "pre lies" in section.line.text()
    assert "align the phases" in section.line.text()
    # Maps are no phases: what can be segmented is the exam as before
    assert list(dock.session.source.layers) == ["pre", "post1", "post2", "post3"]
    assert viewer.layers.selection.active == mask
    window.qtbot.wait(100)

    before = dock.session.source
    dock.align()
    idle(section.runner)
    assert "align the phases" not in section.line.text()
    assert section.line.text().startswith("Aligned: pre. Less than a quarter voxel off, left as is")
    assert viewer.layers["P017 post2"].data is exam.phases["post2"].data
    aligned = viewer.layers["P017 pre"].data
    inside = (slice(3, -3), slice(10, -10), slice(10, -10))
    still = pre.data[inside].astype(float)
    assert np.abs(aligned[inside] - still).mean() < 0.5 * np.abs(shifted[inside] - still).mean()
    assert viewer.layers["P017 post1"].data is exam.phases["post1"].data
    assert dock.session.source.case_id == "P017"
    assert dock.session.source.fingerprint != before.fingerprint
    assert dock.session.draft.label_map is phantom.truth
    assert viewer.layers["P017 tumor"] == mask
    assert np.array_equal(np.asarray(viewer.layers["P017 sub1"].data)[12], post[12] - aligned[12])

    # What cannot be done says why
    one = Exam("P018", {"post1": exam.phases["post1"]})
    show_exam(viewer, one, instead_of="P017")
    window.qtbot.wait(50)
    assert not any(layer.name.startswith("P017") for layer in viewer.layers)
    assert section.maps_button.toolTip() == "Maps need a pre-contrast and a post-contrast phase"
    dock.show_maps()
    assert told(window, "Expected an exam with phases")


def test_alignment_can_be_canceled(
    window: SimpleNamespace, idle: Callable[..., None], phantom: PhantomExam
) -> None:
    show_exam(window.viewer, phantom.exam)
    section = window.dock.open_panel.dce
    outcomes: list[str] = []
    section.runner.ended.connect(outcomes.append)
    window.dock.align()
    window.dock.cancel()
    idle(section.runner)
    assert outcomes == ["canceled"]
    assert window.viewer.layers["P017 pre"].data is phantom.exam.phases["pre"].data


def test_phases_of_a_case_at_work_are_left_alone(
    window: SimpleNamespace, idle: Callable[..., None], phantom: PhantomExam, tmp_path: Path
) -> None:
    dock = window.dock
    show_exam(window.viewer, phantom.exam)
    dock.correct_panel.folder.setValue(tmp_path / "set")
    dock.correct_panel.open_dataset()
    idle(dock.correct_panel.runner)
    dock.correct_panel.patient.setText("A")
    dock.correct_panel.annotator.setText("AB")
    dock.take_brush()
    idle(dock.correct_panel.runner)
    assert "is being corrected" in dock.open_panel.dce.align_button.toolTip()
    dock.align()
    assert told(window, "is being corrected")
    assert not dock.open_panel.dce.runner.is_running
