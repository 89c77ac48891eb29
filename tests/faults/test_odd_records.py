"""Files of another shape than expected end in a three-part error, never in a traceback."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.dataset.nnunet_folder import read_nnunet_folder
from napari_breastseg.dataset.records import GridRecord
from napari_breastseg.lesions.report import read_report
from napari_breastseg.model.checkpoint import STARTER
from napari_breastseg.model.importing import import_model
from napari_breastseg.registry.models import Registry

GRID = Grid((4, 8, 9), np.diag([3.0, 0.7, 0.7, 1.0]))
DEEP = "[" * 5000 + "]" * 5000


def volume(seed=1):
    data = np.random.default_rng(seed).integers(0, 200, GRID.shape).astype(np.int16)
    return Volume(data, GRID)


@pytest.fixture
def dataset(tmp_path):
    dataset = Dataset.create(tmp_path / "D")
    dataset.add(Exam("K1", {"post1": volume()}), case_id="K1", patient_id="P1")
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1, 2, 3] = 1
    dataset.accept("K1", LabelMap(mask, GRID), reviewed_slices=None, annotator="AB", seconds=1.0)
    return dataset


def head(dataset, **changes):
    path = dataset.folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "channels", [["post1"], {"x": "post1"}, {"NaN": "post1"}, {"0": 5}, {"0": ["post1"]}]
)
def test_a_dataset_json_of_another_shape_is_made_again_from_the_records(dataset, channels):
    head(dataset, channel_names=channels)
    assert Dataset.open(dataset.folder).channels == ("post1",)
    assert json.loads((dataset.folder / "dataset.json").read_text())["channel_names"] == {
        "0": "post1"
    }


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 5000 + "1" + "}" * 5000, "NaN", ""])
def test_a_dataset_json_nested_without_end_is_made_again(dataset, text):
    (dataset.folder / "dataset.json").write_text(text)
    if text == "NaN":  # a value, but of other software
        with pytest.raises(InputError, match="made by other software"):
            Dataset.open(dataset.folder)
        return
    assert Dataset.open(dataset.folder).channels == ("post1",)


def change_record(dataset, **changes):
    path = dataset.folder / "cases" / "K1.json"
    record = json.loads(path.read_text())
    accepted = {k: v for k, v in changes.items() if k in record["accepted"]}
    record["accepted"] |= accepted
    record |= {k: v for k, v in changes.items() if k not in accepted}
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    "changes",
    [
        {"history_file": "a" * 300},
        {"history_file": "../../labelsTr/K0.nii.gz"},
        {"goes_on_from": "../../labelsTr/K0.nii.gz"},
        {"goes_on_from": "K0.nii.gz"},
        {"renamed_to": "K9"},
        {"renamed_to": "../../labelsTr/K2", "former_ids": ["K0"]},
        {"renamed_to": "K1", "former_ids": ["../labelsTr/K1"]},
        {"seconds_spent": "NaN"},
        {"grid": GridRecord.of(GRID).model_dump() | {"affine": np.diag([3, 1, 1, 0]).tolist()}},
    ],
)
def test_a_record_that_cannot_be_is_left_out_and_told(dataset, changes):
    change_record(dataset, **changes)
    reopened = Dataset.open(dataset.folder)
    assert reopened.cases() == []
    assert "unreadable_record" in {finding.what for finding in reopened.check()}


def test_a_record_that_calls_another_case_its_former_name_takes_nothing_from_it(dataset):
    dataset.add(Exam("K2", {"post1": volume(2)}), case_id="K2", patient_id="P2")
    change_record(dataset, renamed_to="K1", former_ids=["K2"])
    reopened = Dataset.open(dataset.folder)
    assert [record.case_id for record in reopened.cases()] == ["K1", "K2"]
    assert reopened.exam("K2").case_id == "K2"


def test_a_record_nested_without_end_is_left_out(dataset):
    (dataset.folder / "cases" / "K2.json").write_text(DEEP)
    assert [record.case_id for record in Dataset.open(dataset.folder).cases()] == ["K1"]


@pytest.mark.parametrize("cell", ["a" * 300 + ".png", "~nosuchuser/a.png", "a\0b.png"])
def test_a_table_with_an_impossible_path_is_refused(tmp_path, cell):
    path = tmp_path / "cases.csv"
    path.write_text(f"case_id,patient_id,image,mask\nK1,P1,{cell},\n")
    with pytest.raises(InputError, match="none of its image files exists"):
        drain(Dataset.create(tmp_path / "D").import_csv(path))


@pytest.mark.parametrize("header", ["case_id,patient_id,image,mask", "a" * 200_000])
def test_a_table_with_an_endless_cell_is_refused(tmp_path, header):
    path = tmp_path / "cases.csv"
    path.write_text(f"{header}\nK1,P1,{'a' * 200_000},\n")
    with pytest.raises(InputError, match="table of short cells"):
        drain(Dataset.create(tmp_path / "D").import_csv(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.jsonl", DEEP + "\n"),
        ("promoted", '{"name": "a", "earlier": 1.5}'),
        ("promoted", '{"name": "a", "event": "x"}'),
        ("promoted", DEEP),
        ("a/judgment.json", '{"event": "x", "judgment": 5}'),
        ("a/judgment.json", '{"event": {"time_utc": NaN}, "judgment": 5}'),
        ("a/registered.json", DEEP),
        ("a/registered.json", "5"),
    ],
)
def test_one_odd_file_keeps_no_other_model_from_being_registered(name, text):
    registry = Registry()
    registry.register(STARTER, "a")
    (registry.folder / name).write_text(text)
    assert registry.register(STARTER, "b").name == "b"
    assert registry.log()[-1]["name"] == "b"
    assert registry.judgment("a") is None
    if name == "promoted":
        with pytest.raises(InputError, match="could not be read"):
            registry.promoted()


def test_a_nifti_2_file_of_308_bytes_is_refused(tmp_path):
    (tmp_path / "P1.nii").write_bytes((540).to_bytes(4, "little") + b"n+2\0" + bytes(300))
    with pytest.raises(InputError, match=r"complete NIfTI file, P1\.nii"):
        formats.open_exam(tmp_path / "P1.nii")


def test_an_nrrd_file_with_two_spacings_for_three_axes_is_refused(tmp_path):
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nspacings: 1 1\nencoding: raw\n\n"
    (tmp_path / "P1.nrrd").write_bytes(header.encode() + bytes(range(64)))
    with pytest.raises(InputError, match=r"P1\.nrrd"):
        formats.open_exam(tmp_path / "P1.nrrd")


@pytest.mark.parametrize(
    ("metadata", "network"),
    [
        ([], {"_target_": "BasicUNet"}),
        ({"network_data_format": []}, {"_target_": "BasicUNet"}),
        ({"network_data_format": {"inputs": 5}}, {"_target_": "BasicUNet"}),
        (
            {"network_data_format": {"inputs": {"image": {"channel_def": [1]}}}},
            {"_target_": "UNet"},
        ),
        ({}, {"_target_": "BasicUNet", "spatial_dims": "two"}),
        ({}, {"_target_": "BasicUNet", "spatial_dims": 1e400}),
        ({"name": ["a"]}, {"_target_": "BasicUNet"}),
        ({"license": "x" * 5000}, {"_target_": "BasicUNet"}),
        ({}, 5),
    ],
)
def test_a_bundle_of_another_shape_is_refused(tmp_path, metadata, network):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps(metadata))
    config = {"network_def": network, "preprocessing": []}
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="Expected"):
        import_model(tmp_path, tmp_path / "made")


@pytest.mark.parametrize(
    "more",
    [
        {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": "wide"}},
        {"inferer": ["SlidingWindowInferer"]},
        {"postprocessing": {"transforms": 5}, "preprocessing": [{"_target_": 5}]},
    ],
)
def test_a_bundle_with_odd_parts_is_refused(tmp_path, more):
    (tmp_path / "configs").mkdir()
    channels = {"inputs": {"image": {"channel_def": {"0": "post1"}}}}
    metadata = json.dumps({"network_data_format": channels})
    (tmp_path / "configs" / "metadata.json").write_text(metadata)
    network = {"_target_": "BasicUNet", "spatial_dims": 2}
    config = {"network_def": network, "preprocessing": []} | more
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"problem in inferer|preprocessing by"):
        import_model(tmp_path, tmp_path / "made")


@pytest.mark.parametrize("value", [2e30, -3e38])
@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "tif"])
def test_values_of_no_image_are_refused(tmp_path, value, ending):
    data = volume().data.astype(np.float32)
    data[1, 2, 3] = value
    path = tmp_path / f"P1.{ending}"
    formats.write_volume(path, Volume(data, GRID))
    with pytest.raises(InputError, match="grey values of an MR image"):
        formats.open_exam(path)


@pytest.mark.parametrize("intercept", ["3e9", "1e300", "-3e9"])
def test_a_rescale_intercept_that_hides_the_signal_is_refused(tmp_path, intercept):
    from dicom_files import write_series

    write_series(tmp_path, 1, 100, RescaleSlope="1", RescaleIntercept=intercept)
    with pytest.raises(InputError, match="rescale slope and intercept of an MR image"):
        formats.open_exam(tmp_path)


def test_a_spacing_over_a_meter_is_refused(tmp_path):
    path = tmp_path / "P1.png"
    data = volume().data[:1].astype(np.uint8)
    formats.write_volume(path, Volume(data, Grid(data.shape)))
    with pytest.raises(InputError, match="size of a body"):
        formats.open_exam(path, spacing_mm=1500.0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DEEP, "not JSON"),
        ("5", "wrong"),
        ('{"case_id": "K", "spacing_mm": null, "lesions": [{"id": 5}]}', "value id"),
        (
            '{"case_id": "K", "spacing_mm": null, "lesions": [{"id": "index", "volume_px": 1, '
            '"center_mm": ["NaN", 2, 3]}]}',
            r"value center_mm\.0",
        ),
    ],
)
def test_a_report_of_another_shape_is_refused(tmp_path, text, found):
    (tmp_path / "prior.json").write_text(text)
    with pytest.raises(InputError, match=found):
        read_report(tmp_path / "prior.json")


def test_patients_of_another_shape_are_refused(tmp_path):
    folder = tmp_path / "raw"
    formats.write_volume(folder / "imagesTr" / "K1_0000.nii.gz", volume())
    (folder / "dataset.json").write_text('{"channel_names": {"0": "post1"}}')
    for content in (b"\xff\xfe", b"case_id,patient_id\nK1," + b"a" * 200_000):
        (folder / "patients.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"patients\.csv"):
            read_nnunet_folder(folder)
