"""Accepted slices of a patient draft the patient's other slices again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, Status
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.predict.drafting import draft_cases
from napari_breastseg.training.patient_slices import LEARNED, PatientSlices


def one_slice(case_id: str, seed: int) -> tuple[Exam, LabelMap]:
    """Noise with a bright disk that is tumor, and a brighter one that is not."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((64, 64))
    tumor = (y - 20) ** 2 + (x - 20 - seed) ** 2 < 49
    other = (y - 46) ** 2 + (x - 44) ** 2 < 36
    image = 60 + rng.normal(0, 4, (64, 64)) + 80 * tumor + 150 * other
    grid = Grid((1, 64, 64))
    exam = Exam(case_id, {"post1": Volume(image[None].astype(np.float32), grid)})
    return exam, LabelMap(tumor[None].astype(np.uint8), grid)


@pytest.fixture
def checkpoint() -> Checkpoint:
    """Fresh weights."""
    import torch

    torch.manual_seed(0)
    spec = ModelSpec(inputs=("post1",), features=(8, 16), patch_size=(64, 64))
    return Checkpoint(ModelInfo(name="fresh", spec=spec, weights_sha256="a" * 64), build(spec))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three slices of A and one of B, all drafted as nothing."""
    made = Dataset.create(tmp_path / "set", ["post1"])
    for seed, (case_id, patient) in enumerate((("A1", "A"), ("A2", "A"), ("A3", "A"), ("B1", "B"))):
        exam, truth = one_slice(case_id, seed)
        made.add(exam, patient_id=patient)
        made.save_draft(case_id, LabelMap(np.zeros_like(truth.data), truth.grid), model="m@1")
    return made


def accept(dataset: Dataset, case_id: str, seed: int) -> Any:
    return dataset.accept(
        case_id, one_slice(case_id, seed)[1], reviewed_slices=None, annotator="AB", seconds=1
    )


def test_untouched_slices_of_the_patient_get_a_draft_that_says_what_it_learned_from(
    dataset: Dataset, checkpoint: Checkpoint
) -> None:
    accept(dataset, "A1", 0)
    slices = PatientSlices(dataset, checkpoint, "A", device="cpu")
    for stage in ("features", "adapted"):
        redrafts = drain(slices.draft(stage))
        assert set(redrafts) == {"A2", "A3"}
        assert {one.stage for one in redrafts.values()} == {stage}
        assert {one.learned_from for one in redrafts.values()} == {1}
    dataset.autosave("A3", one_slice("A3", 2)[1])  # a reader has begun with it meanwhile
    assert slices.keep(redrafts) == ("A2",)
    record = dataset.case("A2")
    assert record.status is Status.DRAFTED
    assert record.draft is not None
    assert (record.draft.model, record.draft.learned_from) == (
        f"{checkpoint.info.identity}{LEARNED}",
        ("A1",),
    )
    np.testing.assert_array_equal(dataset.draft("A2").data, redrafts["A2"].label_map.data)
    for case_id in ("A3", "B1"):
        assert dataset.case(case_id).draft.model == "m@1"
    # Neither saving it again from the window nor drafting the rest takes that away.
    again = dataset.save_draft("A2", dataset.draft("A2"), model=record.draft.model)
    assert again.draft == record.draft
    drafted = drain(draft_cases(dataset, [checkpoint], device="cpu"))
    assert set(drafted.predicted_dice) == {"B1"}
    assert accept(dataset, "A2", 1).accepted.model.endswith(LEARNED)


def test_a_patient_without_accepted_or_without_waiting_slices_is_refused(
    dataset: Dataset, checkpoint: Checkpoint
) -> None:
    with pytest.raises(Exception, match="untouched draft; found 0 and 3"):
        PatientSlices(dataset, checkpoint, "A")
    accept(dataset, "B1", 3)
    with pytest.raises(Exception, match="untouched draft; found 1 and 0"):
        PatientSlices(dataset, checkpoint, "B")
