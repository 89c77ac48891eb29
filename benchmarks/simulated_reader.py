"""Strokes and voxels to a Dice of 0.90, with each correction tool against the plain brush.

Usage: ``.venv/bin/python benchmarks/simulated_reader.py [--only slices|volumes|redrafts]``. Prints
the table and keeps it in benchmarks/results/simulated_reader.md. Real slices need the test data
folder (BREASTSEG_TEST_DATA); volumes are phantoms, cut to 40 pixels and 6 slices around the lesion.
Ten minutes on two quiet cores. Nothing is random.

The reader knows the reference. Each time it takes the action that puts the most voxels right per
stroke, net of those it makes wrong, until Dice is 0.90, nothing helps, or 100 strokes are made.

The plain brush: one stroke is a straight drag of a round brush in one slice, painting or erasing.
Of all places, 8 directions and 4 lengths up to 40 pixels the best one is taken. The brush has the
size that *Start correcting* puts in the hand (a fiftieth of the slice across). A second table lets
the reader take any of 4 sizes, radius 1 to 9 pixels, for every stroke and at no cost: a better
brush than any hand has. A hand does not place a stroke so well, but it may bend it.

With a tool the reader has the brush and that tool. A click and a key cost one stroke each; the
wheel costs nothing, since the hand is there already.
For interpolation the reader corrects every fourth slice of the lesion with the brush until the
slice has a Dice of 0.95, presses once, and goes on with the brush. Tools for lesions are tried on
the five largest. How a reader fares whose corrections are learned from is in
`_reading_redrafts.py`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from _common import RESULTS, machine, test_data, today
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_breastseg import formats
from napari_breastseg.clicks.lesion import ClickReader
from napari_breastseg.clicks.prompts import Prompts
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.imaging import correction
from napari_breastseg.imaging.correction import Edit, Scope
from napari_breastseg.model import checkpoint
from napari_breastseg.phantom import LesionSpec, PhantomExam, breast_phantom
from napari_breastseg.predict.prediction import predict

AIM, SLICE_AIM, MOST_STROKES = 0.90, 0.95, 100
ANY_SIZE = (1.0, 2.5, 5.0, 9.0)
LENGTHS = (0, 8, 20, 40)
ANGLES = tuple(np.pi * n / 8 for n in range(8))
TOLERANCES = (0.3, 0.5, 0.7)
LEVELS = (40.0, 60.0, 80.0)

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Action:
    """Something the reader may do."""

    edit: Edit
    cost: int
    gain: int
    """Voxels put right less voxels made wrong."""

    said: dict[int, Prompts] | None = None
    """Of a smart click: all that was said by then, slice by slice."""


@dataclass
class Case:
    """An exam, its reference, and where the reader starts."""

    name: str
    exam: Exam
    reference: Mask
    start: Labels
    draft: LabelMap
    width: tuple[int, int]
    """Of a whole slice, in pixels."""

    growth: object = None
    clicks: ClickReader | None = None
    percent: object = None
    box: tuple[slice, slice, slice] | None = None
    """Where it was cut from its exam."""


@dataclass
class Reading:
    """A mask on its way to the reference."""

    case: Case
    labels: Labels
    radii: tuple[float, ...]
    """Sizes of the brush, in pixels, that may be taken without a cost."""

    strokes: int = 0
    voxels: int = 0
    places: list[tuple[int, int, int]] | None = None
    strokes_by_slice: dict[tuple[int, bool, float], Action | None] = field(default_factory=dict)
    said: dict[int, Prompts] = field(default_factory=dict)
    """What smart clicks said of slices that nothing else has changed since."""

    @property
    def label_map(self) -> LabelMap:
        """The mask on its grid."""
        return LabelMap(self.labels, self.case.exam.grid)

    def lesions(self) -> list[tuple[int, int, int]]:
        """A voxel of each of the five largest lesions of the mask."""
        if self.places is None:
            numbers, count = ndimage.label(self.labels == 1, np.ones((3, 3, 3)))
            largest = np.argsort(-np.bincount(numbers.ravel())[1:], kind="stable")[:5] + 1
            first = ndimage.maximum_position(numbers > 0, numbers, largest) if count else []
            self.places = [(int(z), int(y), int(x)) for z, y, x in first]
        return self.places

    def dice(self) -> float:
        """Dice with the reference."""
        return dice(self.labels == 1, self.case.reference)

    def action(self, edit: Edit, cost: int) -> Action:
        """An edit with its cost and what it gains."""
        right = (edit.after == 1) == self.case.reference[edit.voxels]
        return Action(edit, cost, int(right.sum() - (~right).sum()))

    def seen(self) -> dict[tuple[int, bool, float], Action | None]:
        """The best stroke in each slice to begin with: found once for all tools."""
        list(brush(self))
        return dict(self.strokes_by_slice)

    def do(self, action: Action) -> None:
        """Make an edit and count it."""
        self.labels[action.edit.voxels] = action.edit.after
        self.places = None
        self.strokes += action.cost
        self.voxels += action.edit.count
        touched = set(np.unique(action.edit.voxels[0]).tolist())
        if action.said is None:
            self.said = {z: said for z, said in self.said.items() if z not in touched}
        else:
            self.said = action.said
        for key in [key for key in self.strokes_by_slice if key[0] in touched]:
            del self.strokes_by_slice[key]


def dice(a: Mask, b: Mask) -> float:
    both = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / both if both else 1.0


# The brush


@cache
def drags(
    shape: tuple[int, int], radii: tuple[float, ...]
) -> tuple[list[Mask], NDArray[np.complex64]]:
    """Every drag's footprint around the middle, and the transforms that correlate with them."""
    y, x = (np.arange(n) - n // 2 for n in shape)
    feet, transforms = [], []
    for radius in radii:
        for length in LENGTHS:
            for angle in ANGLES if length else ANGLES[:1]:
                way = np.array([np.sin(angle), np.cos(angle)])
                along = np.clip(y[:, None] * way[0] + x * way[1], -length / 2, length / 2)
                far = (y[:, None] - along * way[0]) ** 2 + (x - along * way[1]) ** 2
                foot = far <= radius**2
                moved = np.roll(foot, (-(shape[0] // 2), -(shape[1] // 2)), (0, 1))
                turned = fft.rfft2(moved.astype(np.float32)).conj()
                feet.append(foot)
                transforms.append(turned.astype(np.complex64))
    return feet, np.stack(transforms)


def best_stroke(reading: Reading, z: int, *, level: float = -np.inf) -> Action | None:
    """The drag in a slice that gains most; above a level only, for the threshold brush."""
    key = (z, False, level)
    if key not in reading.strokes_by_slice:
        reading.strokes_by_slice[key] = _best_stroke(reading, z, level)
    return reading.strokes_by_slice[key]


def _best_stroke(reading: Reading, z: int, level: float) -> Action | None:
    now, wanted = reading.labels[z] == 1, reading.case.reference[z]
    wrong = now != wanted
    if not wrong.any():
        return None
    places = np.argwhere(wrong)
    low = np.maximum(places.min(0) - 12, 0)
    high = np.minimum(places.max(0) + 13, wrong.shape)
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    may_paint: Mask = np.ones(now.shape, bool)
    if np.isfinite(level):
        may_paint = np.asarray(reading.case.percent[z]) >= level  # type: ignore[index]
    best: tuple[float, Mask, int] | None = None
    size = [int(part.stop - part.start) for part in box]
    shape = tuple(32 * (-(-(n + 60) // 32)) for n in size)
    for label in (1, 0):
        if label == 0 and np.isfinite(level):
            continue
        changes = (now != bool(label)) & may_paint
        worth = np.where(changes, np.where(wanted == bool(label), 1.0, -1.0), 0.0)[box]
        padded = np.zeros(shape, np.float32)
        padded[: size[0], : size[1]] = worth
        spectrum = fft.rfft2(padded)
        feet, transforms = drags(shape, reading.radii)  # type: ignore[arg-type]
        gains = fft.irfft2(spectrum * transforms, s=shape)[:, : size[0], : size[1]]
        highest = gains.reshape(len(feet), -1).max(axis=1)
        number = int(highest.argmax())
        gain = float(highest[number])
        if best is None or gain > best[0] + 0.5:
            place = np.unravel_index(int(gains[number].argmax()), gains[number].shape)
            moved = [int(p) - n // 2 for p, n in zip(place, shape, strict=True)]
            painted = np.zeros(now.shape, bool)
            ys, xs = np.nonzero(feet[number])
            ys, xs = ys + moved[0] + low[0], xs + moved[1] + low[1]
            kept = (ys >= 0) & (xs >= 0) & (ys < now.shape[0]) & (xs < now.shape[1])
            painted[ys[kept], xs[kept]] = True
            best = gain, painted & may_paint, label
    if best is None or best[0] < 0.5:
        return None
    plane = reading.labels[z].copy()
    plane[best[1]] = best[2]
    box3 = (slice(z, z + 1), slice(0, plane.shape[0]), slice(0, plane.shape[1]))
    return reading.action(Edit.within(reading.labels, box3, plane[None]), 1)


def brush(reading: Reading) -> Iterator[Action]:
    for z in range(len(reading.labels)):
        if (found := best_stroke(reading, z)) is not None:
            yield found


# The tools


def lacking(reading: Reading) -> tuple[int, int, int] | None:
    """The middle of the largest part that lacks: where a reader clicks."""
    return _middle(reading.case.reference & (reading.labels != 1))


def excess(reading: Reading) -> tuple[int, int, int] | None:
    return _middle((reading.labels == 1) & ~reading.case.reference)


def _middle(mask: Mask) -> tuple[int, int, int] | None:
    numbers, count = ndimage.label(mask)
    if not count:
        return None
    number = int(np.bincount(numbers.ravel())[1:].argmax()) + 1
    (box,) = ndimage.find_objects((numbers == number).astype(int))
    inner = np.pad(numbers[box] == number, 1)
    depth = ndimage.distance_transform_edt(inner)
    z, y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return tuple(int(p) - 1 + b.start for p, b in zip((z, y, x), box, strict=True))


def grow_click(reading: Reading) -> Iterator[Action]:
    if (at := lacking(reading)) is None:
        return
    for axis in (None, 0) if len(reading.labels) > 1 else (0,):
        growth = correction.Growth(
            reading.case.growth,
            reading.case.exam.grid,
            at,
            axis=axis,  # type: ignore[arg-type]
        )
        for tolerance in TOLERANCES:
            yield reading.action(growth.edit(reading.labels, tolerance), 1)


def threshold_brush(reading: Reading) -> Iterator[Action]:
    for level in LEVELS:
        for z in range(len(reading.labels)):
            if (found := best_stroke(reading, z, level=level)) is not None:
                yield found


def drop_and_keep(reading: Reading) -> Iterator[Action]:
    yield from _on_lesions(reading, correction.drop_lesion)
    if len(reading.lesions()) > 1:
        yield from _on_lesions(reading, correction.keep_lesion)


def _on_lesions(reading: Reading, tool: Callable[[LabelMap, Scope], Edit]) -> Iterator[Action]:
    for at in reading.lesions():
        yield reading.action(tool(reading.label_map, Scope("lesion", 0, at[0], at)), 1)


def fill_holes(reading: Reading) -> Iterator[Action]:
    yield from _on_lesions(reading, correction.fill_holes)


def smooth(reading: Reading) -> Iterator[Action]:
    for distance in (1.0, 2.0):
        yield from _on_lesions(reading, lambda lm, s, d=distance: correction.smooth(lm, s, d))


def grow_shrink(reading: Reading) -> Iterator[Action]:
    least = min((reading.case.exam.grid.spacing_mm or (1.0, 1.0, 1.0))[1:])
    for distance in (least, 2 * least, 3 * least):
        for signed in (distance, -distance):
            yield from _on_lesions(reading, lambda lm, s, d=signed: correction.grow(lm, s, d))


def smart_click(reading: Reading) -> Iterator[Action]:
    """A click on the lesion, or beside it, with the mask as it is."""
    case = reading.case
    if case.clicks is None:
        case.clicks = ClickReader(checkpoint.load(checkpoint.CLICKS), case.exam)
    tumor = reading.labels == 1
    for at, is_lesion in ((lacking(reading), True), (excess(reading), False)):
        if at is None:
            continue
        z, y, x = at
        prompts = reading.said.get(z, Prompts()).with_click((y, x), is_lesion)
        said = reading.said | {z: prompts}
        wanted = drain(case.clicks.outline(said, [z], tumor)).mask
        everything = tuple(slice(0, size) for size in wanted.shape)
        edit = Edit.within(reading.labels, everything, wanted.astype(np.uint8))  # type: ignore[arg-type]
        yield replace(reading.action(edit, 1), said=said)


def copy_slice(reading: Reading) -> Iterator[Action]:
    has_tumor = (reading.labels == 1).any(axis=(1, 2))
    for z in np.flatnonzero(has_tumor).tolist():
        for step in (1, -1):
            if 0 <= z + step < len(has_tumor):
                yield reading.action(correction.copy_slice(reading.label_map, z, step), 1)


def interpolate_first(reading: Reading) -> None:
    """Correct every fourth slice, press once."""
    numbers, _ = ndimage.label(reading.case.reference, np.ones((3, 3, 3)))
    for box in ndimage.find_objects(numbers):
        keys = sorted({*range(box[0].start, box[0].stop, 4), box[0].stop - 1})
        for z in keys:
            while dice(reading.labels[z] == 1, reading.case.reference[z]) < SLICE_AIM:
                stroke = best_stroke(reading, z)
                if stroke is None or reading.strokes >= MOST_STROKES:
                    break
                reading.do(stroke)
        edit = correction.interpolate(reading.label_map, correction.gaps(keys))
        reading.do(reading.action(edit, 1))


SLICE_TOOLS: dict[str, tuple[Callable[[Reading], Iterator[Action]], ...]] = {
    "plain brush": (),
    "smart click": (smart_click,),
    "grow from a click": (grow_click,),
    "threshold brush": (threshold_brush,),
    "keep or drop": (drop_and_keep,),
    "fill holes": (fill_holes,),
    "smooth": (smooth,),
    "grow or shrink": (grow_shrink,),
}
SLICE_TOOLS["all of these"] = tuple(tool for tools in SLICE_TOOLS.values() for tool in tools)
VOLUME_TOOLS = SLICE_TOOLS | {"copy to next": (copy_slice,)}
VOLUME_TOOLS["all of these"] = (*SLICE_TOOLS["all of these"], copy_slice)


def finish(reading: Reading, tools: tuple[Callable[[Reading], Iterator[Action]], ...]) -> None:
    while reading.dice() < AIM and reading.strokes < MOST_STROKES:
        best: Action | None = None
        for source in (brush, *tools):
            for action in source(reading):
                if action.gain > 0 and (
                    best is None or action.gain / action.cost > best.gain / best.cost
                ):
                    best = action
        if best is None:
            return
        reading.do(best)


# The cases


def drafted(model: checkpoint.Checkpoint, exam: Exam) -> LabelMap:
    return drain(predict(model, exam, device="cpu")).label_map


def case_of(
    name: str,
    exam: Exam,
    reference: Mask,
    draft: LabelMap,
    wide: tuple[int, int] | None = None,
) -> Case:
    width = wide or reference.shape[1:]
    case = Case(name, exam, reference, draft.data.copy(), draft, width)
    case.growth = np.asarray(correction.growth_map(exam), np.float32)
    case.percent = np.asarray(correction.percent_map(exam))
    return case


def slices(model: checkpoint.Checkpoint) -> Iterator[Case]:
    folder = test_data() / "clinic_slices"
    with (folder / "cases.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            exam = formats.open_exam(folder / row["image"])
            reference = formats.read_label_map(folder / row["mask"]).tumor
            yield case_of(row["case_id"], exam, reference, drafted(model, exam))


def volumes(model: checkpoint.Checkpoint) -> Iterator[Case]:
    for name, phantom in volume_phantoms():
        yield box_around(name, phantom.exam, phantom.truth.tumor, drafted(model, phantom.exam))


def volume_phantoms() -> Iterator[tuple[str, PhantomExam]]:
    kinds = ("irregular", "spiculated", "rim", "nonmass")
    for number, kind in enumerate(kinds):
        phantom = breast_phantom(
            910_000 + number,
            shape=(60, 288, 288),
            spacing_mm=(2.5, 1.2, 1.2),
            phases=("pre", "post1"),
            lesions=(LesionSpec(kind, 2.0 + 2.0 * number),),
        )
        yield f"{kind} {number}", phantom


def box_around(name: str, exam: Exam, reference: Mask, draft: LabelMap) -> Case:
    """The case cut to the lesion's surroundings; false marks farther off are left out."""
    places = np.argwhere(reference)
    more = np.array([6, 40, 40])
    low = np.maximum(places.min(0) - more, 0)
    high = np.minimum(places.max(0) + more + 1, reference.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    grid = Grid(reference[box].shape, exam.grid.affine)  # type: ignore[arg-type]
    phases = {role: Volume(volume.data[box], grid) for role, volume in exam.phases.items()}
    cut = LabelMap(draft.data[box].copy(), grid)
    case = case_of(name, Exam(exam.case_id, phases), reference[box], cut, reference.shape[1:])
    return replace(case, box=box)


def measure(
    cases: list[Case],
    tools: dict[str, tuple[Callable[[Reading], Iterator[Action]], ...]],
    radii: tuple[float, ...] | None,
) -> list[dict[str, object]]:
    rows = []
    for case in cases:
        size = max(2, round(min(case.width) / 50))  # as the window's brush is made ready
        first = Reading(case, case.start.copy(), radii or (size / 2,))
        for name, own in tools.items():
            reading = replace(first, labels=case.start.copy(), strokes_by_slice=first.seen())
            finish(reading, own)
            rows.append(row_of(case, name, reading))
        if len(case.start) > 1:
            reading = replace(first, labels=case.start.copy(), strokes_by_slice=first.seen())
            interpolate_first(reading)
            finish(reading, ())
            rows.append(row_of(case, "interpolate", reading))
        best = min((r for r in rows if r["case"] == case.name), key=lambda r: r["strokes"])
        print(case.name, f"{dice(case.start == 1, case.reference):.2f}", best, flush=True)
    return rows


def row_of(case: Case, tool: str, reading: Reading) -> dict[str, object]:
    return {
        "case": case.name,
        "tool": tool,
        "start": round(dice(case.start == 1, case.reference), 4),
        "strokes": reading.strokes,
        "voxels": reading.voxels,
        "dice": round(reading.dice(), 4),
    }


def table(rows: list[dict[str, object]], head: str) -> list[str]:
    lines = [
        f"| {head} | strokes: mean | median | most | voxels: mean | reached 0.90 |",
        "|---|---|---|---|---|---|",
    ]
    for tool in dict.fromkeys(str(row["tool"]) for row in rows):
        own = [row for row in rows if row["tool"] == tool]
        strokes = np.array([row["strokes"] for row in own], float)
        voxels = np.mean([row["voxels"] for row in own])
        reached = sum(float(row["dice"]) >= AIM for row in own)  # type: ignore[arg-type]
        name = "nothing else (plain brush)" if tool == "plain brush" else tool
        lines.append(
            f"| {name} | {strokes.mean():.2f} | {np.median(strokes):g} | {strokes.max():g} | "
            f"{voxels:,.0f} | {reached} of {len(own)} |"
        )
    return lines


def empty(case: Case) -> Case:
    """The same case without a draft."""
    nothing = np.zeros_like(case.start)
    return replace(case, start=nothing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("slices", "volumes", "redrafts"))
    only = parser.parse_args().only
    model = checkpoint.load(checkpoint.STARTER)
    parts: dict[str, dict[str, object]] = {}
    for kind, find, tools in (
        ("slices", slices, SLICE_TOOLS),
        ("volumes", volumes, VOLUME_TOOLS),
    ):
        if only not in (None, kind):
            continue
        cases = list(find(model))
        starts = {
            "from the starter's draft": [c for c in cases if dice(c.start == 1, c.reference) < AIM],
            "from an empty mask": [empty(case) for case in cases],
        }
        for start, chosen in starts.items():
            for brush_name, radii in (("", None), (", a brush of any size", ANY_SIZE)):
                if kind == "volumes" and radii is not None:
                    continue  # hours
                rows = measure(chosen, tools, radii)
                part = {"of": len(cases), "rows": rows}
                parts[f"{kind}, {start}{brush_name}"] = part
    if only in (None, "redrafts"):
        from _reading_redrafts import measured  # which imports this file

        parts |= measured(model)
    for part in parts.values():
        part["date"] = today()
    path = RESULTS / "simulated_reader.json"
    record = json.loads(path.read_text()) if path.is_file() else {"parts": {}}
    record["parts"] |= parts  # those of the other kind are kept
    record["machine"] = machine()
    path.write_text(json.dumps(record, indent=1) + "\n")
    keep(record)


def keep(record: dict[str, dict[str, dict[str, object]]]) -> None:
    lines = [
        "# Simulated reader",
        "",
        "`benchmarks/simulated_reader.py`, which says how the reader works: it",
        f"knows the reference and takes what gains most per stroke, to Dice {AIM:.2f}, at most",
        f"{MOST_STROKES} strokes. Each stroke is the best straight drag, with the brush that",
        "*Start correcting* puts in the hand unless said otherwise. Slices are real ones with",
        "hand-drawn masks; volumes are phantoms, whose lesions stand out more clearly.",
        "",
    ]
    for title, part in record["parts"].items():
        rows = part["rows"]
        count = len({row["case"] for row in rows})  # type: ignore[attr-defined]
        lines += [f"## {title[0].upper()}{title[1:]}", ""]
        note = f"{count} of {part.get('of')} cases start below {AIM:.2f}."
        lines += [f"{part['date']}. {part.get('note', note)}", ""]
        head = str(part.get("head", "with the brush and"))
        lines += [*table(rows, head), ""]  # type: ignore[arg-type]
    text = "\n".join(lines)
    print(text)
    (RESULTS / "simulated_reader.md").write_text(text)


if __name__ == "__main__":
    main()
