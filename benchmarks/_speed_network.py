"""Rows of speed.py about the network: beside MONAI, nnU-Net, the origin, a convolution."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from _common import test_data
from _speed_row import AT_LEAST, AT_MOST, figure, row, seconds

__all__ = ["convolution", "origin", "training", "whole"]

ORIGIN_SIDE, ORIGIN_STEP, ORIGIN_WEIGHTS = 48, 5, 471_010
ORIGIN_MEASURED = 192
"""Windows of a slice that are measured; all cost the same."""


def _dice(first: Any, second: Any) -> float:
    both = float((first & second).sum())
    return round(2 * both / max(1.0, float(first.sum() + second.sum())), 4)


def whole(times: int, count: int) -> Iterator[dict[str, Any]]:
    """A whole exam, all that `predict` does, beside what others need for the network alone.

    The others see `count` of the slices, among them those of the largest lesion, and are scaled to
    all of them: their time grows with the slices.
    """
    import torch

    from napari_breastseg.core.progress import drain
    from napari_breastseg.core.region import whole as everything
    from napari_breastseg.formats import open_exam
    from napari_breastseg.imaging.preprocessing import prepare, stack_inputs
    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict.passes import ONE_VIEW, tumor_probability
    from napari_breastseg.predict.prediction import predict

    model, exam = load(STARTER), open_exam(test_data() / "duke_dicom")
    spec, depth = model.spec, exam.grid.shape[0]
    drain(predict(model, exam, device="cpu", region=(slice(0, 1), *everything(exam)[1:])))
    made: Any = None

    def ours() -> None:
        nonlocal made
        made = drain(predict(model, exam, device="cpu"))

    first = seconds(ours)
    busiest = np.argsort(-made.probability.data.sum(axis=(1, 2)), kind="stable")
    near = sorted(int(z) for z in busiest[: max(1, count // 2)])
    far = [z for z in np.linspace(0, depth - 1, count, dtype=int).tolist() if z not in near]
    chosen = sorted([*near, *far[: count - len(near)]])
    roles = spec.require(exam, model.info.name)
    ready = prepare(exam, roles, spacing_mm=spec.spacing_mm, percentiles=spec.percentiles)
    slices = stack_inputs(ready.phases[:, chosen], ready.roles, spec.inputs).transpose(0, 1)
    slices = slices.contiguous()
    del ready
    marks: dict[str, Any] = {}

    def by_ours() -> None:
        marks["ours"] = torch.cat(
            [tumor_probability(model.fast_network, spec, one[None], ONE_VIEW) for one in slices]
        )

    def by_monai() -> None:
        from monai.inferers import SlidingWindowInferer

        infer = SlidingWindowInferer(spec.patch_size)
        with torch.no_grad():
            logits = torch.cat([infer(one[None], model.network) for one in slices])  # type: ignore[arg-type]
        marks["monai"] = logits.softmax(1)[:, 1]

    nnunet, way = _nnunet(model.network, slices, spec.divisor)

    def by_nnunet() -> None:
        marks["nnunet"] = nnunet()

    by_ours()
    for name, work, what in (
        ("monai", by_monai, "MONAI's SlidingWindowInferer at its defaults, same network"),
        ("nnunet", by_nnunet, way),
    ):
        pairs = []
        for number in range(times):
            ours_s = first if number == 0 and name == "monai" else seconds(ours)
            pairs.append((seconds(work) * depth / len(chosen), ours_s))
        dice = _dice(marks[name] >= 0.5, marks["ours"] >= 0.5)
        note = f"of {len(chosen)} slices, scaled; Dice to our marks there {dice}"
        yield row(
            f"whole exam, {depth} x {exam.grid.shape[1]} x {exam.grid.shape[2]}: {what}",
            "all of `predict`",
            f"4 {AT_LEAST}",
            pairs,
            note,
        )


def _nnunet(network: Any, slices: Any, divisor: int) -> tuple[Callable[[], Any], str]:
    """Tumor probability (slice, Y, X) as nnU-Net v2 makes it in 2D: whole-slice patch, mirrored."""
    import torch

    size = tuple(-(-n // divisor) * divisor for n in slices.shape[2:])
    try:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    except ImportError:
        return (lambda: _as_nnunet(network, slices, size)), "nnU-Net v2's way, written out"

    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=True,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    heads = SimpleNamespace(num_segmentation_heads=2)
    predictor.manual_initialization(
        network,
        SimpleNamespace(get_label_manager=lambda _: heads),
        SimpleNamespace(patch_size=size),
        None,
        {},
        "",
        (0, 1),
    )

    def run() -> Any:
        volume = slices.transpose(0, 1)
        logits = predictor.predict_sliding_window_return_logits(volume)
        return logits.float().softmax(0)[1]

    return run, "nnU-Net v2's predictor, same network"


def _as_nnunet(network: Any, slices: Any, size: tuple[int, ...]) -> Any:
    """Its algorithm: a patch as large as the slice, Gaussian weights, mean over four mirrorings."""
    import torch
    from monai.inferers import SlidingWindowInferer

    infer = SlidingWindowInferer(size, overlap=0.5, mode="gaussian")
    made = []
    with torch.no_grad():
        for one in slices:
            views = [(), (-1,), (-2,), (-2, -1)]
            seen = [infer(one[None].flip(v), network).flip(v) for v in views]
            made.append(torch.stack(seen).mean(0).softmax(1)[0, 1])
    return torch.stack(made)


def origin(times: int) -> Iterator[dict[str, Any]]:
    """A clinic slice, file to mask, beside the patch U-Net of the project's origin."""
    import torch
    from torch import nn

    from napari_breastseg.core.progress import drain
    from napari_breastseg.formats import open_exam, write_label_map
    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict.prediction import predict

    def double(before: int, after: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv2d(after, after, 3, padding=1),
            nn.ReLU(),
        )

    class PatchUNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = double(1, 32), double(32, 64), double(64, 128)
            self.d, self.e = double(192, 64), double(96, 32)
            self.head = nn.Conv2d(32, 2, 1)

        def forward(self, x: Any) -> Any:
            from torch.nn.functional import interpolate, max_pool2d

            a = self.a(x)
            b = self.b(max_pool2d(a, 2))
            c = self.c(max_pool2d(b, 2))
            d = self.d(torch.cat([interpolate(c, scale_factor=2), b], 1))
            e = self.e(torch.cat([interpolate(d, scale_factor=2), a], 1))
            return self.head(e).softmax(1)

    network = PatchUNet().eval()
    count = sum(weight.numel() for weight in network.parameters())
    if count != ORIGIN_WEIGHTS:
        raise AssertionError(count)
    path = min((test_data() / "clinic_slices").rglob("*.png"))
    model = load(STARTER)
    side = open_exam(path, phases=["post1"]).grid.shape[1]
    windows = ((side - ORIGIN_SIDE) // ORIGIN_STEP + 2) ** 2
    patches = torch.rand(ORIGIN_MEASURED, 1, ORIGIN_SIDE, ORIGIN_SIDE)

    def theirs() -> None:
        with torch.no_grad():
            for batch in patches.split(32):
                network(batch)

    with tempfile.TemporaryDirectory() as folder:

        def ours() -> None:
            exam = open_exam(path, phases=["post1"])
            made = drain(predict(model, exam, device="cpu"))
            write_label_map(Path(folder) / "mask.png", made.label_map)

        ours()
        theirs()
        scale = windows / ORIGIN_MEASURED
        pairs = [(seconds(theirs) * scale, seconds(ours)) for _ in range(max(5, times))]
    yield row(
        f"a clinic slice, {side} x {side}, as the project's origin: U-Net of {count:,} weights, "
        f"{windows:,} windows",
        "file to mask by `predict`",
        f"300 {AT_LEAST}",
        pairs,
        f"{ORIGIN_MEASURED} windows measured, scaled",
    )


def convolution(times: int) -> Iterator[dict[str, Any]]:
    """Arithmetic of the network per second beside the best 3 x 3 convolution."""
    import torch
    from torch import nn

    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict.passes import ONE_VIEW, tumor_probability

    model = load(STARTER)
    spec, network = model.spec, model.fast_network
    one = torch.rand(1, spec.in_channels, 448, 448)
    total = 0

    def count(module: Any, given: Any, made: Any) -> None:
        nonlocal total
        per_output = module.weight[0].numel() if isinstance(module, nn.Conv2d) else 0
        if isinstance(module, nn.ConvTranspose2d):  # each input pixel meets all its weights
            total += 2 * given[0].shape[-1] * given[0].shape[-2] * module.weight.numel()
        total += 2 * made[0].numel() * per_output

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]

    def ours() -> None:
        tumor_probability(network, spec, one, ONE_VIEW)

    ours()
    for hook in hooks:
        hook.remove()
    ours()
    layers = []
    for channels, side in ((32, 224), (64, 112), (64, 224), (96, 112), (128, 56), (256, 56)):
        layer = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
        image = torch.rand(1, channels, side, side).to(memory_format=torch.channels_last)
        layers.append((layer, image, 2 * 9 * channels**2 * side**2))

    def best() -> float:
        rates = []
        with torch.no_grad():
            for layer, image, work in layers:
                layer(image)
                spent = seconds(lambda: [layer(image) for _ in range(8)]) / 8  # noqa: B023
                rates.append(work / spent)
        return max(rates)

    ratios = []
    for _ in range(max(5, times)):
        spent = min(seconds(ours) for _ in range(3))
        ratios.append(total / spent / best())
    yield figure(
        "the network on a slice, arithmetic per second",
        "the best 3 x 3 convolution",
        f"0.7 {AT_LEAST}",
        round(float(np.median(ratios)), 2),
        ratios=[round(one, 2) for one in ratios],
        gflop=round(total / 1e9, 2),
    )


STEPS = 16
"""Training steps measured, after a few to warm up."""


def training(times: int) -> Iterator[dict[str, Any]]:
    """A step of a training run beside a bare loop over one batch of the same size."""
    import torch

    from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.model.unet import build, place
    from napari_breastseg.training import TrainConfig, train
    from napari_breastseg.training.loss import segmentation_loss

    spec = load(STARTER).spec
    chance = np.random.default_rng(0)
    grid = Grid((8, 320, 320), np.diag([2.0, 0.714, 0.714, 1.0]))
    labels = np.zeros(grid.shape, np.uint8)
    labels[2:6, 140:170, 100:140] = 1
    phases = {
        role: Volume((chance.normal(300, 40, grid.shape) + rise * labels).astype(np.float32), grid)
        for role, rise in (("pre", 0), ("post1", 200))
    }
    exam, truth = Exam("phantom", phases), LabelMap(labels, grid)
    case = SimpleNamespace(
        case_id="phantom", patient_id="phantom", exam=lambda: exam, label_map=lambda: truth
    )
    config = TrainConfig(steps=STEPS + 4, device="cpu", save_every=1000)
    channels, sides = spec.in_channels, spec.patch_size
    inputs = torch.rand(config.batch_size, channels, *sides)
    targets = (torch.rand(config.batch_size, *sides) > 0.95).long()

    def bare() -> float:
        network = build(spec)
        layout = place(network.train(), torch.device("cpu"), spec.dims)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        spent = []
        for _ in range(STEPS + 4):
            started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            logits = network(inputs.to(memory_format=layout))
            segmentation_loss(logits, targets, dice_over_batch=True).backward()
            optimizer.step()
            spent.append(time.perf_counter() - started)
        return float(np.median(spent[4:]))

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            job = train([case], Path(folder) / "run", spec=spec, config=config)
            spent, before = [], time.perf_counter()
            for progress in job:
                now = time.perf_counter()
                if progress.stage == "Training":
                    spent.append(now - before)
                before = now
        return float(np.median(spent[4:]))

    pairs = [(ours(), bare()) for _ in range(times)]
    yield row(
        f"a training step, {config.batch_size} patches of {sides[0]} x {sides[1]}",
        "a bare loop over one batch",
        f"1.1 {AT_MOST}",
        pairs,
    )
