"""Probability and label map lie on the exam's own grid, whole, by slice and by box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.imaging import preprocessing
from napari_breastseg.imaging.breast_region import find_breasts
from napari_breastseg.imaging.preprocessing import SliceSource
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
from napari_breastseg.model.unet import ModelSpec
from napari_breastseg.phantom import Tissue, breast_phantom
from napari_breastseg.predict import prediction
from napari_breastseg.predict.devices import choose_device
from napari_breastseg.predict.passes import SlicesSeen, slices_with_context
from napari_breastseg.predict.prediction import BREASTS_FIELD_MM, predict


class Bright(torch.nn.Module):
    """Calls bright what is above the middle of the first channel: an oracle without training."""

    def __init__(self, channel: int = 0) -> None:
        super().__init__()
        self.channel = channel
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = 20 * (x[:, self.channel : self.channel + 1] - 0.5)
        return torch.cat([-value, value], 1)


def oracle(channel=0, **fields):
    spec = ModelSpec(features=(4, 8), **{"patch_size": (32, 32), **fields})
    return Checkpoint(ModelInfo(name="oracle", spec=spec), Bright(channel).eval())


def test_the_enhancing_sphere_is_found_on_the_exams_grid(sphere_exam):
    exam, truth = sphere_exam
    prediction = drain(predict(oracle(inputs=("post1-pre", "post1")), exam, device="cpu"))
    assert prediction.label_map.grid is exam.grid
    assert prediction.phases == ("post1", "pre")
    np.testing.assert_array_equal(prediction.label_map.tumor, truth.tumor)
    assert prediction.probability.data.dtype == np.float32


def test_resampling_comes_back_to_the_exams_grid(sphere_exam):
    exam, truth = sphere_exam
    checkpoint = oracle(inputs=("post1-pre",), spacing_mm=(None, 1.0, 1.0))
    tumor = drain(predict(checkpoint, exam, device="cpu")).label_map.tumor
    dice = 2 * (tumor & truth.tumor).sum() / (tumor.sum() + truth.tumor.sum())
    assert tumor.shape == truth.grid.shape
    assert dice > 0.93


def test_three_dimensions_tile_by_tile_give_what_one_look_gives(sphere_exam):
    exam, truth = sphere_exam
    checkpoint = oracle(inputs=("post1-pre",), dims=3, patch_size=(8, 16, 16))
    prediction = drain(predict(checkpoint, exam, device="cpu"))
    np.testing.assert_array_equal(prediction.label_map.tumor, truth.tumor)


def test_a_patch_larger_than_the_exam_is_no_problem(sphere_exam):
    exam, truth = sphere_exam
    checkpoint = oracle(inputs=("post1-pre",), dims=3, patch_size=(32, 64, 64))
    prediction = drain(predict(checkpoint, exam, device="cpu"))
    np.testing.assert_array_equal(prediction.label_map.tumor, truth.tumor)


def test_a_slice_beyond_the_largest_side_goes_in_tiles(monkeypatch, sphere_exam):
    exam, truth = sphere_exam
    monkeypatch.setattr("napari_breastseg.predict.passes.MAX_SLICE_SIDE", 32)
    prediction = drain(predict(oracle(inputs=("post1-pre",)), exam, device="cpu"))
    np.testing.assert_array_equal(prediction.label_map.tumor, truth.tumor)


@pytest.mark.parametrize("dims", [2, 3])
def test_outside_the_region_nothing_is_marked(sphere_exam, dims):
    exam, _truth = sphere_exam
    size = {"patch_size": (8, 16, 16)} if dims == 3 else {}
    checkpoint = oracle(inputs=("post1-pre",), dims=dims, **size)
    region = (slice(5, 6), slice(10, 25), slice(0, 40))
    whole = drain(predict(checkpoint, exam, device="cpu")).label_map.tumor
    part = drain(predict(checkpoint, exam, device="cpu", region=region)).label_map.tumor
    expected = np.zeros_like(whole)
    expected[region] = whole[region]
    assert expected.any()
    np.testing.assert_array_equal(part, expected)


def test_a_region_outside_the_exam_is_refused(sphere_exam):
    exam, _ = sphere_exam
    region = (slice(50, 60), slice(0, 5), slice(0, 5))
    with pytest.raises(InputError, match="region inside exam P001"):
        drain(predict(oracle(), exam, region=region))


@pytest.fixture(scope="module")
def phantom():
    return breast_phantom(7, shape=(24, 128, 128), spacing_mm=(6.0, 2.7, 2.7))


def test_only_near_the_breasts_marks_no_heart(phantom):
    exam, near = phantom.exam, find_breasts(phantom.exam).near()
    checkpoint = oracle(inputs=("post1-pre", "post1"), percentiles=(0.5, 90.0))
    everywhere = drain(predict(checkpoint, exam, device="cpu", breasts_only=False))
    assert everywhere.breasts is None
    heart = phantom.anatomy.data == Tissue.HEART
    assert (everywhere.probability.data[heart] >= 0.5).mean() > 0.5
    found = drain(predict(checkpoint, exam, device="cpu"))
    assert not found.label_map.tumor[heart].any()
    np.testing.assert_array_equal(
        found.probability.data, np.where(near, everywhere.probability.data, 0)
    )
    assert found.label_map.tumor[phantom.truth.tumor].mean() > 0.5
    # Another threshold brings nothing back
    assert not found.at_threshold(0.01).tumor[~near].any()
    # A slice of it
    region = (slice(10, 11), slice(None), slice(None))
    part = drain(predict(checkpoint, exam, device="cpu", region=region, breasts_only=True))
    np.testing.assert_array_equal(part.probability.data[10], found.probability.data[10])
    assert not np.delete(part.label_map.tumor, 10, axis=0).any()


class Seeing(Bright):
    """Keeps the size of what it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = tuple(x.shape[2:])
        return super().forward(x)


def test_for_the_breasts_alone_a_model_sees_them_and_what_is_around(phantom, monkeypatch):
    seen = {}
    monkeypatch.setattr("napari_breastseg.model.checkpoint.folded", lambda network: network)
    for breasts_only in (False, True):
        network = Seeing().eval()
        model = Checkpoint(oracle().info, network)
        drain(predict(model, phantom.exam, device="cpu", breasts_only=breasts_only))
        seen[breasts_only] = network.seen
    assert seen[False] == (128, 128)
    box = np.ptp(np.argwhere(find_breasts(phantom.exam).near()), axis=0)[1:] + 1
    around = 2 * BREASTS_FIELD_MM / 2.7 + 1
    assert all(n <= s for n, s in zip(box, seen[True], strict=True))
    assert all(s <= min(128, n + around + 2) for n, s in zip(box, seen[True], strict=True))
    assert seen[True][0] < 128  # the back is left out


def test_breasts_that_cannot_be_found_are_no_silent_guess(phantom):
    volume = phantom.exam.phases["post1"]
    empty = Exam("P001", {"post1": Volume(np.zeros_like(volume.data), volume.grid)})
    with pytest.raises(InputError, match="Expected a body in the image to find the breasts"):
        drain(predict(oracle(), empty, device="cpu", breasts_only=True))


def test_breasts_in_doubt_leave_nothing_out_and_the_reason_is_told(phantom):
    volume = phantom.exam.phases["post1"]
    grid = Grid((4, *volume.grid.shape[1:]), volume.grid.affine)
    thin = Exam("P001", {"post1": Volume(volume.data[10:14], grid)})
    said = []
    checkpoint = oracle(inputs=("post1",))
    found = drain(predict(checkpoint, thin, device="cpu", breasts_only=True), said.append)
    everywhere = drain(predict(checkpoint, thin, device="cpu", breasts_only=False))
    np.testing.assert_array_equal(found.label_map.data, everywhere.label_map.data)
    messages = [one.message for one in said if one.message]
    assert messages == [
        "The whole exam is segmented: the field of view is only 24 mm in one direction"
    ]


def test_a_missing_phase_is_named_before_any_work(sphere_exam):
    exam, _ = sphere_exam
    with pytest.raises(InputError, match=r"phase post2 for model oracle; found pre, pos"):
        next(predict(oracle(inputs=("post2",)), exam))


def test_a_voxel_that_is_no_number_is_told_and_empties_no_mask(sphere_exam):
    exam, _ = sphere_exam
    data = exam.phases["post1"].data.astype(np.float32)
    data[0, 0, 0] = np.nan
    bad = Exam("P1", {**exam.phases, "post1": Volume(data, exam.grid)})
    with pytest.raises(InputError, match=r"in post1 of case P1; found 1 of .* NaN or infinite"):
        next(predict(oracle(), bad))


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(sphere_exam, threshold):
    with pytest.raises(InputError, match="threshold above 0"):
        next(predict(oracle(), sphere_exam[0], threshold=threshold))


def test_another_threshold_needs_no_second_run(sphere_exam):
    exam, _ = sphere_exam
    checkpoint = oracle(inputs=("post1",))
    prediction = drain(predict(checkpoint, exam, device="cpu"))
    strict = drain(predict(checkpoint, exam, device="cpu", threshold=0.9))
    np.testing.assert_array_equal(prediction.at_threshold(0.9).data, strict.label_map.data)


def test_mirroring_averages_both_views(sphere_exam):
    exam, truth = sphere_exam
    prediction = drain(predict(oracle(inputs=("post1-pre",)), exam, device="cpu", mirror=True))
    np.testing.assert_array_equal(prediction.label_map.tumor, truth.tumor)


class Small(Bright):
    """Calls everything tumor in what is smaller than it is told, and nothing else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = torch.full_like(x[:, :1], 20.0 if x.shape[-1] < self.channel else -20.0)
        return torch.cat([-value, value], 1)


def test_several_sizes_are_averaged_where_none_is_known(sphere_exam):
    exam, truth = sphere_exam
    grid = Grid(exam.grid.shape)
    exam = Exam("P", {role: Volume(volume.data, grid) for role, volume in exam.phases.items()})
    spec = {"inputs": ("post1-pre",), "scales": (1.0, 0.9, 0.8)}
    tumor = drain(predict(oracle(**spec), exam, device="cpu")).label_map.tumor
    assert 2 * (tumor & truth.tumor).sum() / (tumor.sum() + truth.tumor.sum()) > 0.95
    # One of three views answers yes; mirrored, two of six
    width = exam.grid.shape[2]
    below = Small(round(0.85 * width) // 2 * 2)
    for fields in ({}, {"mirrored": True}):
        checkpoint = Checkpoint(oracle(**spec, **fields).info, below.eval())
        probability = drain(predict(checkpoint, exam, device="cpu")).probability.data
        np.testing.assert_allclose(probability, 1 / 3, atol=1e-5)
        known = drain(predict(checkpoint, sphere_exam[0], device="cpu")).probability.data
        np.testing.assert_allclose(known, 0, atol=1e-5)


def test_what_one_thin_slice_alone_shows_is_smoothed_away():
    data = np.zeros((9, 32, 32), np.float32)
    data[:, 4:10, 4:10] = 1.0  # through all slices
    data[4, 20:26, 20:26] = 1.0  # in one
    grid = Grid(data.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    exam = Exam("P", {"post1": Volume(data, grid)})
    alone = drain(predict(oracle(), exam, device="cpu")).label_map.tumor
    joined = drain(predict(oracle(through_plane_mm=1.2), exam, device="cpu")).label_map.tumor
    assert alone[4, 22, 22]
    assert not joined[:, 20:26, 20:26].any()
    np.testing.assert_array_equal(joined[:, :16], alone[:, :16])
    # Thick slices see enough of a tumor each; one slice on its own has no neighbors to ask.
    thick = Grid(data.shape, np.diag([6.0, 1.0, 1.0, 1.0]))
    there = Exam("P", {"post1": Volume(data, thick)})
    kept = drain(predict(oracle(through_plane_mm=1.2), there, device="cpu")).label_map.tumor
    np.testing.assert_array_equal(kept, alone)
    region = (slice(4, 5), slice(0, 32), slice(0, 32))
    single = drain(predict(oracle(through_plane_mm=1.2), exam, device="cpu", region=region))
    np.testing.assert_array_equal(single.label_map.tumor[4], alone[4])


def test_neighbors_stand_in_order_and_ends_repeat():
    inputs = torch.arange(4.0).reshape(1, 4, 1, 1)
    batch = slices_with_context(inputs, [0, 2], 1)
    assert batch[:, :, 0, 0].tolist() == [[0, 0, 1], [1, 2, 3]]


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match=r"device 'cuda'.*found cpu"):
        choose_device("cuda")
    assert choose_device("auto").type in ("cpu", "mps")


def test_when_the_gpu_is_full_the_cpu_goes_on_and_says_so(monkeypatch, sphere_exam):
    exam, truth = sphere_exam
    from napari_breastseg.predict import prediction as module

    real = module.seen_slices
    asked = []

    def first_out_of_memory(network, spec, prepared, device, **how):
        asked.append(device.type)
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        yield from real(network, spec, prepared, device, **how)

    monkeypatch.setattr(module, "choose_device", lambda name: torch.device("meta"))
    monkeypatch.setattr(module, "seen_slices", first_out_of_memory)
    said = []
    result = drain(
        predict(oracle(inputs=("post1-pre",)), exam, device="cuda"),
        lambda progress: said.append(progress.message),
    )
    assert asked == ["meta", "cpu"]
    assert any("out of memory; continuing on the CPU" in message for message in said)
    assert result.device == "cpu"
    np.testing.assert_array_equal(result.label_map.tumor, truth.tumor)


def test_closing_the_job_between_batches_stops_it(monkeypatch):
    monkeypatch.setattr("napari_breastseg.predict.passes.BATCH_PIXELS", 1)
    rng = np.random.default_rng(0)
    exam = Exam("P", {"post1": Volume(rng.random((50, 16, 16)), Grid((50, 16, 16)))})
    seen = []
    checkpoint = oracle()
    forward = checkpoint.network.forward
    checkpoint.network.forward = lambda x: (seen.append(1), forward(x))[1]
    job = predict(checkpoint, exam, device="cpu")
    while len(seen) < 3:
        next(job)
    job.close()
    assert len(seen) == 3


def test_a_kept_probability_is_cut_as_the_whole_one() -> None:
    from napari_breastseg.lesions.findings import find
    from napari_breastseg.predict.thresholding import ProbabilitySteps, marked

    rng = np.random.default_rng(0)
    data = rng.random((6, 20, 20)).astype(np.float32) ** 3
    data[:, :, 9:11] = 0  # two findings that do not touch
    data[2:4, 2:15, 2:8] = 1
    volume = Volume(data, Grid(data.shape))
    grid = Grid(data.shape, np.diag([2.0, 1.0, 1.0, 1.0]))
    findings = drain(find(Volume(data, grid), Exam("P", {"post1": Volume(data, grid)})))
    held_back = replace(
        findings, findings=tuple(replace(f, is_shown=f.number == 1) for f in findings.findings)
    )
    assert len(held_back.weaker) >= 1
    for shown in (None, findings, held_back):
        kept = ProbabilitySteps.of(volume, shown)
        assert kept.steps.nbytes * 4 == data.nbytes
        for threshold in (0.01, 0.33, 0.5, 0.71, 1.0):
            wanted = marked(volume, threshold, shown)
            np.testing.assert_array_equal(kept.at_threshold(threshold).data, wanted.data)


@pytest.mark.parametrize("context", [0, 1])
def test_one_slice_is_prepared_alone_and_comes_out_as_in_the_whole(
    monkeypatch, sphere_exam, context
):
    exam, _truth = sphere_exam
    asked = []

    class Middle(Bright):
        def forward(self, x):
            return super().forward(x[:, 2 * context : 2 * context + 2].mean(1, keepdim=True))

    spec = oracle(inputs=("post1-pre", "post1"), context_slices=context).spec
    spec = spec.model_copy(update={"spacing_mm": (None, 1.0, 1.0)})
    checkpoint = Checkpoint(ModelInfo(name="oracle", spec=spec), Middle().eval())

    ready = SliceSource.phases_at

    def noted(source, slices):
        asked.append(list(slices))
        return ready(source, slices)

    monkeypatch.setattr(SliceSource, "phases_at", noted)
    z = exam.grid.shape[0] // 2
    region = (slice(z, z + 1), slice(None), slice(None))
    whole = drain(predict(checkpoint, exam, device="cpu")).probability.data
    part = drain(predict(checkpoint, exam, device="cpu", region=region)).probability.data
    assert asked[-1] == list(range(z - context, z + context + 1))
    assert sorted({n for some in asked for n in some}) == list(range(exam.grid.shape[0]))
    np.testing.assert_allclose(part[z], whole[z], atol=1e-6)
    assert whole[z].max() > 0.5
    assert not part[:z].any()
    assert not part[z + 1 :].any()


@pytest.mark.parametrize("breasts_only", [None, False])
def test_the_slice_in_sight_is_seen_first_then_outward(phantom, breasts_only):
    exam, first = phantom.exam, 9
    checkpoint = oracle(inputs=("post1-pre", "post1"), spacing_mm=(None, 3.0, 3.0))
    progress = []
    found = drain(
        predict(checkpoint, exam, device="cpu", breasts_only=breasts_only, first=first),
        progress.append,
    )
    seen = [one for one in progress if isinstance(one, SlicesSeen)]
    stages = [one.stage for one in progress]
    assert seen[0].slices == (first,)
    assert stages.index("First look") < stages.index("Preparing")
    assert "Finding the breasts" not in stages[: progress.index(seen[0])]
    order = [z for one in seen[1:] for z in one.slices]
    far = [abs(z - first) for z in order]
    assert order[0] == first
    assert far == sorted(far)
    assert len(set(order)) == len(order)
    for one in seen[1:]:
        np.testing.assert_allclose(
            one.probability, found.probability.data[list(one.slices)], atol=1e-5
        )
    as_ever = drain(predict(checkpoint, exam, device="cpu", breasts_only=breasts_only))
    np.testing.assert_allclose(found.probability.data, as_ever.probability.data, atol=1e-5)


def test_predicting_takes_little_more_memory_than_the_exam_and_its_probability(monkeypatch):
    import tracemalloc

    # A small exam: what does not grow with it is made as small.
    monkeypatch.setattr("napari_breastseg.lesions.evidence._SAMPLE", 2000)
    rng = np.random.default_rng(0)
    grid = Grid((40, 160, 160), np.diag([1.1, 0.75, 0.75, 1.0]))
    phases = {
        role: Volume(rng.integers(0, 40, grid.shape).astype(np.uint16), grid)
        for role in ("pre", "post1", "post2")
    }
    phases["post1"].data[12:18, 70:80, 70:80] += 400
    exam = Exam("P", phases)
    checkpoint = oracle(inputs=("post1-pre", "post1"), missing="zero", through_plane_mm=2.0)
    drain(predict(checkpoint, exam, device="cpu", breasts_only=False))  # imports have memory too
    tracemalloc.start()
    try:
        made = drain(predict(checkpoint, exam, device="cpu", breasts_only=False))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # numpy's arrays; torch holds a slice at a time, as its test of the slices asked for shows.
    assert made.label_map.tumor[15, 75, 75]
    assert peak < 2.2 * made.probability.data.nbytes


def test_a_slice_alone_costs_no_work_on_the_others(monkeypatch):
    rng = np.random.default_rng(0)
    grid = Grid((30, 64, 64), np.diag([2.0, 1.0, 1.0, 1.0]))
    data = rng.integers(0, 400, grid.shape).astype(np.uint16)
    exam = Exam("P", {"post1": Volume(data, grid)})
    checkpoint, windows, marks = oracle(), [], []
    real_window, real_marked = preprocessing.intensity_window, prediction.marked

    def counted(arrays, percentiles):
        windows.append(len(arrays))
        return real_window(arrays, percentiles)

    def seen(volume, *rest):
        marks.append(volume.data.shape)
        return real_marked(volume, *rest)

    monkeypatch.setattr(preprocessing, "intensity_window", counted)
    monkeypatch.setattr(prediction, "marked", seen)
    for z in (3, 4):
        region = (slice(z, z + 1), slice(0, 64), slice(8, 64))
        made = drain(predict(checkpoint, exam, device="cpu", region=region))
        assert made.probability.data[z, :, 8:].any()
        assert not made.probability.data[z, :, :8].any()
        np.testing.assert_array_equal(made.label_map.tumor, made.probability.data >= 0.5)
    assert windows == [1]
    assert marks == [(1, 64, 56)] * 2
