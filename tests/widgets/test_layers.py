"""Exams and masks as napari layers and back, on a viewer model without a window."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.imaging.correction import Edit
from napari_breastseg.widgets import manifest
from napari_breastseg.widgets.canvas.layers import (
    apply_edit,
    edit_labels,
    image_tuples,
    release_earlier_layers,
    show_exam,
    show_labels,
    tumor_layer,
    volume_of,
)
from napari_breastseg.widgets.state.sources import (
    Source,
    exam_of,
    fingerprint,
    is_open,
    key_of,
    layer_of,
    sources,
)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def set_on_disk(sphere_exam: tuple[Exam, LabelMap], tmp_path: Path) -> Path:
    exam, _ = sphere_exam
    for number, volume in enumerate(exam.phases.values()):
        formats.write_volume(tmp_path / f"P001_{number:04d}.nii.gz", volume)
    return tmp_path


def test_the_reader_gives_all_phases_of_a_set_once(set_on_disk: Path, viewer: ViewerModel) -> None:
    files = [str(path) for path in sorted(set_on_disk.glob("*.nii.gz"))]
    reader = manifest.get_reader(files)
    tuples = reader(files)
    assert [attributes["name"] for _, attributes, _ in tuples] == ["P001 pre", "P001 post1"]
    for data, attributes, kind in tuples:
        layer = viewer._add_layer_from_data(data, attributes, kind)[0]
        assert np.allclose(layer.scale, (3.0, 0.7, 0.7))
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    limits = {tuple(attributes["contrast_limits"]) for _, attributes, _ in tuples}
    ((low, high),) = limits
    post = tuples[1][0]
    assert post.min() <= low < np.median(post) < high < post.max()
    assert [attributes["visible"] for _, attributes, _ in tuples] == [False, True]


def test_a_4d_file_opens_as_phases(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path, viewer: ViewerModel
) -> None:
    nibabel = pytest.importorskip("nibabel")
    exam, _ = sphere_exam
    data = np.stack([v.data.T for v in exam.phases.values()] * 2, axis=-1)
    affine = exam.grid.affine[:, [2, 1, 0, 3]]
    nibabel.Nifti1Image(data, affine).to_filename(tmp_path / "DYN.nii.gz")
    tuples = manifest.get_reader(str(tmp_path / "DYN.nii.gz"))(str(tmp_path / "DYN.nii.gz"))
    names = [attributes["name"] for _, attributes, _ in tuples]
    assert names == ["DYN pre", "DYN post1", "DYN post2", "DYN post3"]


def test_a_color_picture_is_refused_with_advice(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    path = str(tmp_path / "rgb.png")
    iio.imwrite(path, rgb)
    with pytest.raises(InputError, match=r"found 3 channels that differ.*pre,post1,post2"):
        manifest.get_reader(path)(path)


def test_a_folder_without_images_is_left_to_other_readers(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert manifest.get_reader(str(tmp_path)) is None


def test_one_bad_file_stops_no_other(
    set_on_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    folder = str(set_on_disk)
    tuples = manifest.get_reader(folder)(folder)
    assert len(tuples) == 2


def test_the_sample_opens(viewer: ViewerModel) -> None:
    tuples = manifest.open_sample()
    assert tuples[0][1]["name"].endswith(" pre")
    assert tuples[0][1]["metadata"]["breastseg"]["grid"].has_orientation


def test_a_mask_is_written_on_its_exams_grid(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path, viewer: ViewerModel
) -> None:
    exam, truth = sphere_exam
    show_exam(viewer, exam)
    layer = show_labels(viewer, sources(viewer)[0], truth)
    path = str(tmp_path / "mask.nii.gz")
    assert manifest.write_labels(path, layer.data, {"metadata": layer.metadata}) == [path]
    read = formats.read_label_map(Path(path), exam=exam)
    assert np.array_equal(read.data, truth.data)


def test_a_layer_of_another_reader_is_written_on_its_own_scale(tmp_path: Path) -> None:
    labels = np.zeros((6, 7), np.int64)
    labels[2, 3] = 1
    path = tmp_path / "mask.nii.gz"
    manifest.write_labels(str(path), labels, {"scale": (0.5, 0.5), "units": ("mm", "mm")})
    read = formats.read_label_map(path)
    assert read.grid.shape == (1, 6, 7)
    assert read.grid.spacing_mm == (1.0, 0.5, 0.5)
    assert not read.grid.has_orientation
    assert read.data[0, 2, 3] == 1


def test_the_next_case_reuses_the_image_layers(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel
) -> None:
    exam, truth = sphere_exam
    show_exam(viewer, exam)
    show_labels(viewer, sources(viewer)[0], truth)
    before = {layer.name: layer for layer in viewer.layers}
    affine = np.diag([2.0, 0.5, 0.5, 1.0])
    smaller = Grid((5, 20, 24), affine)
    data = np.random.default_rng(1).normal(50, 5, smaller.shape)
    other = Exam("P002", {"pre": Volume(data, smaller), "post1": Volume(data + 3, smaller)})
    show_exam(viewer, other, instead_of="P001")
    assert [layer.name for layer in viewer.layers] == ["P002 pre", "P002 post1"]
    assert viewer.layers["P002 pre"] is before["P001 pre"]
    assert np.allclose(viewer.layers["P002 pre"].scale, (2.0, 0.5, 0.5))
    assert exam_of(viewer, sources(viewer)[0]).grid is smaller
    assert tumor_layer(viewer, "P001") is None  # its undo history belonged to P001


def test_a_case_without_spacing_gets_new_layers(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel
) -> None:
    exam, _ = sphere_exam
    show_exam(viewer, exam)
    bare = Grid((1, 20, 24))
    data = np.random.default_rng(1).normal(50, 5, bare.shape)
    show_exam(viewer, Exam("S1", {"post1": Volume(data, bare)}), instead_of="P001")
    (layer,) = viewer.layers
    assert [str(unit) for unit in layer.units] == ["pixel"] * 3


def test_exams_of_one_name_are_told_apart_by_their_voxels(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel
) -> None:
    exam, truth = sphere_exam
    show_exam(viewer, exam)
    (first,) = sources(viewer)
    show_labels(viewer, first, truth)
    volumes = {role: Volume(v.data.astype(np.float64), v.grid) for role, v in exam.phases.items()}
    assert fingerprint(Exam("P001", volumes)) == first.fingerprint  # as a dataset keeps it
    changed = exam.phases["post1"].data.copy()
    changed[5, 6, 7] += 1
    other = Exam("P001", {"post1": Volume(changed, exam.grid)})
    for data, attributes, kind in image_tuples(other):  # as napari adds what a reader gives
        viewer._add_layer_from_data(data, attributes, kind)
    (second,) = sources(viewer)
    assert not second.is_same_exam(first)
    assert not is_open(viewer, second.__class__("P001", "P001", first.layers, False, "else"))
    assert np.array_equal(exam_of(viewer, second).phases["post1"].data, changed)
    assert list(exam_of(viewer, second).phases) == ["post1"]  # no phase of the first
    release_earlier_layers(viewer)
    assert [s.case_id for s in sources(viewer)] == ["P001"]
    assert tumor_layer(viewer, "P001") is None
    mask = viewer.layers["P001 tumor (earlier)"]
    assert np.array_equal(mask.data, truth.data)


def test_painting_leaves_the_prediction_alone(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel
) -> None:
    exam, truth = sphere_exam
    show_exam(viewer, exam)
    layer = show_labels(viewer, sources(viewer)[0], truth)
    layer.data[0, 0, 0] = 1
    assert truth.data[0, 0, 0] == 0


def test_an_edit_is_one_undo_step_over_all_slices(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel
) -> None:
    exam, truth = sphere_exam
    show_exam(viewer, exam)
    layer = show_labels(viewer, sources(viewer)[0], truth)
    wanted = np.zeros_like(truth.data)
    wanted[2:4, 5:9, 5:9] = 1
    count = edit_labels(layer, wanted)
    assert count == np.count_nonzero(wanted != truth.data)
    assert np.array_equal(layer.data, wanted)
    layer.undo()
    assert np.array_equal(layer.data, truth.data)
    layer.redo()
    assert np.array_equal(layer.data, wanted)
    assert edit_labels(layer, wanted) == 0


def test_foreign_layers_are_offered_and_become_exams(viewer: ViewerModel) -> None:
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((30, 40)), name="IM 12.dcm")
    viewer.add_image(rng.random((3, 5, 30, 40)), name="dynamic", scale=(1, 2, 0.5, 0.5))
    viewer.add_image(rng.random((30, 40, 3)), name="photo", rgb=True)
    flat, dynamic, photo = sources(viewer)
    assert (flat.case_id, flat.is_foreign) == ("IM_12_dcm", True)
    exam = exam_of(viewer, flat)
    assert exam.grid.shape == (1, 30, 40)
    assert exam.grid.spacing_mm is None
    exam = exam_of(viewer, dynamic)
    assert list(exam.phases) == ["pre", "post1", "post2"]
    assert exam.grid.spacing_mm == (2.0, 0.5, 0.5)
    assert not exam.grid.has_orientation
    with pytest.raises(InputError, match=r"grey image in layer 'photo'; found red, green and blue"):
        exam_of(viewer, photo)


def test_roles_join_foreign_layers_to_one_exam(viewer: ViewerModel) -> None:
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((30, 40)), name="a")
    viewer.add_image(rng.random((30, 40)), name="b")
    a, b = (key_of(layer) for layer in viewer.layers)
    exam = exam_of(viewer, sources(viewer)[1], {"pre": b, "post1": a})
    assert np.array_equal(exam.phases["pre"].data[0], viewer.layers["b"].data)


def test_a_new_name_makes_no_other_exam(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel
) -> None:
    show_exam(viewer, sphere_exam[0])
    viewer.add_image(np.random.default_rng(0).random((30, 40)), name="scan one")
    before = sources(viewer)
    for layer in viewer.layers:
        layer.name = f"called {layer.name}"
    after = sources(viewer)
    assert after[0] == before[0]  # ours do not show their layers' names
    assert [one.title for one in after] == [before[0].title, "called scan one (image layer)"]
    for old, new in zip(before, after, strict=True):
        assert new.is_same_exam(old)
        assert is_open(viewer, old)
        assert exam_of(viewer, old).grid.shape == exam_of(viewer, new).grid.shape


def test_no_two_layers_of_other_readers_make_one_case(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel
) -> None:
    for name in ("a b", "a-b", "a.b", "P001"):
        viewer.add_image(np.random.default_rng(0).random((30, 40)), name=name)
    given = [one.case_id for one in sources(viewer)]
    assert given == ["a_b", "a-b", "a_b_2", "P001"]
    viewer.layers.remove("a b")  # the others keep their ids
    assert [one.case_id for one in sources(viewer)] == given[1:]
    copied = viewer.add_image(viewer.layers["a.b"].data, metadata=viewer.layers["a.b"].metadata)
    copied.name = "a.b copy"
    assert sources(viewer)[-1].case_id == "a_b_copy"
    show_exam(viewer, sphere_exam[0])
    assert [one.case_id for one in sources(viewer)] == [
        "P001",
        "a-b",
        "a_b_2",
        "P001_2",
        "a_b_copy",
    ]
    assert layer_of(viewer, sources(viewer)[3].layers["post1"]) == viewer.layers["P001"]


def test_a_mask_of_a_foreign_layer_lies_on_it(viewer: ViewerModel) -> None:
    viewer.add_image(
        np.random.default_rng(0).random((30, 40)), name="a", scale=(2, 2), translate=(5, 7)
    )
    (source,) = sources(viewer)
    mask = LabelMap(np.ones((1, 30, 40), np.uint8), Grid((1, 30, 40)))
    layer = show_labels(viewer, source, mask)
    assert layer.data.shape == (30, 40)
    assert np.array_equal(layer.extent.world, viewer.layers["a"].extent.world)


def test_a_layer_that_is_gone_is_named(viewer: ViewerModel) -> None:
    source = Source("P001", "P001", {"post1": "no such layer"})
    with pytest.raises(InputError, match=r"a layer for phase post1 of P001.*it is gone.*Choose"):
        exam_of(viewer, source)


def test_an_edit_fits_masks_of_two_and_three_axes(viewer: ViewerModel) -> None:
    viewer.add_image(np.random.default_rng(0).random((30, 40)), name="flat")
    viewer.add_image(np.random.default_rng(0).random((3, 30, 40)), name="thick")
    for source, depth in zip(sources(viewer), (1, 3), strict=True):
        mask = LabelMap(np.zeros((depth, 30, 40), np.uint8), Grid((depth, 30, 40)))
        layer = show_labels(viewer, source, mask)
        box = (slice(0, depth), slice(4, 8), slice(5, 9))
        wanted = mask.data.copy()
        wanted[box] = 1
        apply_edit(layer, Edit.within(mask.data, box, wanted[box]))
        assert np.array_equal(volume_of(layer), wanted)
        layer.undo()
        assert not layer.data.any()


@pytest.mark.parametrize("key", ["new_label", "increase_label_id", "decrease_label_id"])
def test_the_brush_of_a_mask_holds_tumor_and_background_only(
    sphere_exam: tuple[Exam, LabelMap], viewer: ViewerModel, key: str
) -> None:
    from napari.layers.labels import _labels_key_bindings as bindings

    exam, truth = sphere_exam
    show_exam(viewer, exam)
    layer = show_labels(viewer, sources(viewer)[0], truth)
    layer.selected_label = 1
    for _ in range(3):
        getattr(bindings, key)(layer)
        assert layer.selected_label in (0, 1)
    for label in (2, 3, 7):
        layer.selected_label = label
        assert layer.selected_label == 1
    layer.selected_label = 0
    assert layer.selected_label == 0
    other = viewer.add_labels(np.zeros((4, 5, 6), np.uint8))
    other.selected_label = 3  # another program's layer is left alone
    assert other.selected_label == 3


def test_labels_of_another_layer_are_written_as_they_are_and_asked_about(tmp_path: Path) -> None:
    labels = np.zeros((3, 6, 7), np.int64)
    labels[1, 2, 3], labels[1, 4, 4] = 1, 2
    for name in ("mask.nii.gz", "mask.tif"):
        path = tmp_path / name
        manifest.write_labels(str(path), labels, {"scale": (2, 0.5, 0.5), "units": ("mm",) * 3})
        with pytest.raises(InputError, match=r"label 1 \(1 voxels\) and label 2"):
            formats.read_label_map(path)
        assert formats.read_label_map(path, tumor={1, 2}).tumor.sum() == 2


def test_a_mask_of_ours_keeps_what_was_not_reviewed(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path, viewer: ViewerModel
) -> None:
    exam, truth = sphere_exam
    labels = truth.data.copy()
    labels[0] = 2
    show_exam(viewer, exam)
    layer = show_labels(viewer, sources(viewer)[0], LabelMap(labels, exam.grid))
    path = tmp_path / "mask.nii.gz"
    manifest.write_labels(str(path), layer.data, {"metadata": layer.metadata})
    assert np.array_equal(formats.read_label_map(path, exam=exam).data, labels)
