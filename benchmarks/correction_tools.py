"""How long each correction tool takes on an exam of 160 x 512 x 512 voxels.

Usage: ``.venv/bin/python benchmarks/correction_tools.py``. Prints the table and keeps it in
benchmarks/results/correction_tools.md. Two masks: lesions in both breasts, 25 mL in all; and one
lesion of 100 mL. Every figure is the median of five turns; the ratio is to the distance transform
of the whole volume in the same run. No data is needed. A few minutes on two cores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
from _common import RESULTS, machine, today
from numpy.typing import NDArray
from scipy import ndimage

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.imaging import correction
from napari_breastseg.imaging.correction import Scope

GRID = Grid((160, 512, 512), np.diag([1.1, 0.7, 0.7, 1.0]))
TURNS = 5
LIMITS_MS = {"slice": 200.0, "volume": 2000.0}
USUAL = (((70, 200, 120), 16.0), ((90, 250, 380), 12.0), ((40, 300, 150), 6.0))
LARGE = (((80, 240, 130), 28.8),)


def lesions(balls: tuple[tuple[tuple[int, int, int], float], ...], seed: int) -> NDArray[np.bool_]:
    """Balls (center in voxels, radius in mm) with an uneven surface and holes."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(GRID.shape, bool)
    for center, radius in balls:
        reach = [int(radius * 1.4 / step) + 2 for step in (1.1, 0.7, 0.7)]
        box = tuple(slice(c - r, c + r + 1) for c, r in zip(center, reach, strict=True))
        offsets = np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij", sparse=True)
        far = np.sqrt(sum((o * s) ** 2 for o, s in zip(offsets, (1.1, 0.7, 0.7), strict=True)))
        rough = ndimage.gaussian_filter(rng.standard_normal(far.shape), 4)
        mask[box] |= far <= radius * (1 + 0.15 * rough / rough.std())
        mask[center] = False  # a hole to fill
    return mask


def exam_of(mask: NDArray[np.bool_], seed: int) -> Exam:
    rng = np.random.default_rng(seed)
    pre = rng.normal(100, 10, GRID.shape).astype(np.int16)
    post = pre + rng.normal(10, 10, GRID.shape).astype(np.int16)
    post[mask] += 120
    return Exam("SPEED", {"pre": Volume(pre, GRID), "post1": Volume(post, GRID)})


def tools(
    mask: NDArray[np.bool_], exam: Exam, at: tuple[int, int, int]
) -> list[tuple[str, str, Callable[[], object]]]:
    """Name, what it works on, and the tool."""
    label_map = LabelMap(mask.astype(np.uint8), GRID)
    labels = label_map.data
    draft_mask = np.roll(mask, 4, axis=2)
    draft = LabelMap(draft_mask.astype(np.uint8), GRID)
    growth, percent = correction.growth_map(exam), correction.percent_map(exam)
    z, y, x = at
    scopes = {
        "slice": Scope("slice", 0, z, at),
        "lesion": Scope("lesion", 0, z, at),
        "volume": Scope("volume", 0, z, at),
    }
    worked = draft.data.copy()  # every eighth slice is corrected
    worked[::8] = labels[::8]
    edited = correction.edited_slices(worked, draft.data)
    found: list[tuple[str, str, Callable[[], object]]] = []
    for kind, scope in scopes.items():
        found += [
            ("fill holes", kind, lambda s=scope: correction.fill_holes(label_map, s)),
            ("smooth by 1 mm", kind, lambda s=scope: correction.smooth(label_map, s, 1.0)),
            ("grow by 2 mm", kind, lambda s=scope: correction.grow(label_map, s, 2.0)),
            ("shrink by 2 mm", kind, lambda s=scope: correction.grow(label_map, s, -2.0)),
            ("back to the draft", kind, lambda s=scope: correction.revert(label_map, draft, s)),
        ]
    one = (slice(z, z + 1), slice(y - 60, y + 60), slice(x - 60, x + 60))
    box = (slice(z - 30, z + 30), slice(y - 60, y + 60), slice(x - 60, x + 60))
    clicked = correction.Growth(growth, GRID, at)
    found += [
        ("threshold brush, a dab", "slice", lambda: correction.threshold_dab(
            labels, percent, 70, (z, y, x), (z, y, x + 8), 7.0, spacing=(1.1, 0.7, 0.7))),
        ("copy to the next slice", "slice", lambda: correction.copy_slice(label_map, z, 1)),
        ("grow from a click", "slice", lambda: correction.Growth(
            growth, GRID, at, axis=0).edit(draft.data, 0.5)),
        ("grow from a click", "volume", lambda: correction.Growth(
            growth, GRID, at).edit(draft.data, 0.5)),
        ("the same, a turn of the wheel", "volume", lambda: clicked.mask(0.55)),
        ("keep a lesion", "slice", lambda: correction.keep_lesion(label_map, scopes["slice"])),
        ("keep a lesion", "volume", lambda: correction.keep_lesion(label_map, scopes["lesion"])),
        ("drop a lesion", "volume", lambda: correction.drop_lesion(label_map, scopes["lesion"])),
        ("find edited slices", "volume", lambda: correction.edited_slices(worked, draft.data)),
        ("interpolate, every 8th edited", "volume", lambda: correction.interpolate(
            LabelMap(worked, GRID), correction.gaps(edited))),
        ("merge a prediction", "slice", lambda: correction.merge_prediction(
            labels, draft.data, worked, one)),
        ("merge a prediction", "volume", lambda: correction.merge_prediction(
            labels, draft.data, worked, box)),
    ]  # fmt: skip
    return found


def milliseconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(TURNS):
        start = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - start))
    return float(np.median(taken))


def main() -> None:
    usual, large = lesions(USUAL, 0), lesions(LARGE, 1)
    start = time.perf_counter()
    ndimage.distance_transform_edt(~usual, sampling=GRID.spacing_mm)
    reference = 1000 * (time.perf_counter() - start)
    measured: dict[tuple[str, str], dict[str, float]] = {}
    sizes = {}
    for name, mask, at in (("usual", usual, (70, 205, 124)), ("large", large, (80, 245, 134))):
        sizes[name] = float(np.count_nonzero(mask) * (GRID.voxel_ml or 0))
        for tool, kind, work in tools(mask, exam_of(mask, 2), at):
            measured.setdefault((tool, kind), {})[name] = milliseconds(work)
    keep(measured, sizes, reference)


def keep(
    measured: dict[tuple[str, str], dict[str, float]], sizes: dict[str, float], reference: float
) -> None:
    slow = []
    lines = [
        "# Correction tools: time",
        "",
        f"{today()}, {machine()}. `benchmarks/correction_tools.py`. An exam of {GRID.describe()};",
        f"lesions in both breasts ({sizes['usual']:.0f} mL in all), or one of "
        f"{sizes['large']:.0f} mL. Medians of {TURNS}; ratios are to the distance transform of",
        f"the whole volume, {reference:,.0f} ms in the same run. Aims: 200 ms on a slice, 2 s on a",
        "lesion or the volume. *Predict in box* adds the network's own time.",
        "",
        "| tool | on | usual, ms | ratio | large, ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for (tool, kind), taken in sorted(measured.items(), key=lambda item: item[0][1] != "slice"):
        limit = LIMITS_MS["slice" if kind == "slice" else "volume"]
        cells = [f"{taken[n]:.1f} | {taken[n] / reference:.4f}" for n in ("usual", "large")]
        lines.append(f"| {tool} | {kind} | {' | '.join(cells)} |")
        slow += [f"{tool} ({kind}, {n})" for n in ("usual", "large") if taken[n] > limit]
    lines += ["", f"Slower than aimed at: {', '.join(slow) or 'none'}."]
    text = "\n".join(lines) + "\n"
    print(text)
    (RESULTS / "correction_tools.md").write_text(text)
    rows = [{"tool": tool, "on": kind, "ms": taken} for (tool, kind), taken in measured.items()]
    record = {"date": today(), "machine": machine(), "reference_ms": reference, "rows": rows}
    (RESULTS / "correction_tools.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
