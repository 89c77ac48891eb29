"""Whole exams as people open them: lesions found against false findings, and what is marked.

    python benchmarks/whole_exams.py [--model FOLDER] [--pictures FOLDER] [--phantoms 24]

Default settings of `predict`. Real exams from the test data folder (BREASTSEG_TEST_DATA) and
synthetic exams in three views that nothing was fitted on. About half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, machine, test_data, today
from numpy.typing import NDArray

from napari_breastseg import formats
from napari_breastseg.core.atomic import write_json, write_text
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam
from napari_breastseg.model import checkpoint
from napari_breastseg.predict.prediction import Prediction, predict
from napari_breastseg.scoring.detection import Marked, detection_curve, lesions_hit
from napari_breastseg.training.replay import enhancing, whole_phantom

FIRST_SEED = 90_000
VIEWS = ("axial", "sagittal", "coronal")
LEAST_ML = 0.3
"""Smaller lesions of phantoms are neither to be found nor false."""

DUKE = (((68, 62, 106), 3.5), ((79, 99, 81), 0.34))
"""Voxel (z, y, x) and mL of the lesions of the Duke exam, found by thresholding post - pre."""

LARGE_MM2 = 100.0


@dataclass
class Row:
    """What was made of one real exam."""

    exam: str
    phases: int
    seconds: float
    marked_ml: float
    shown: int
    weaker: int
    notes: list[str] = field(default_factory=list)
    """What is to be known of the breasts."""

    result: str = ""
    """Lesions and outlines, in words."""

    outside_ml: float = 0.0
    """Marked outside all outlines and lesions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=checkpoint.STARTER)
    parser.add_argument("--pictures", type=Path, help="folder for a picture of every exam")
    parser.add_argument("--phantoms", type=int, default=24)
    parser.add_argument("--name", default="whole_exams", help="name of the files of results")
    arguments = parser.parse_args()
    model = checkpoint.load(arguments.model)
    rows = [of_real(model, *one, arguments.pictures) for one in real_exams(test_data())]
    phantoms = of_phantoms(arguments.model, arguments.phantoms)
    lines = [
        f"# Whole exams, {model.info.identity}",
        "",
        f"{today()}, {machine()}. Command: `python benchmarks/whole_exams.py`. Default settings.",
        "",
        "## Real exams",
        "",
        "| exam | phases | marked | outside lesions and outlines | findings shown (weaker) "
        "| lesions, outlines | seconds |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row.exam} | {row.phases} | {row.marked_ml:.1f} mL | {row.outside_ml:.1f} mL | "
            f"{row.shown} ({row.weaker}) | {row.result or 'none known'} | {row.seconds:.1f} |"
            for row in rows
        ),
        "",
        *(f"- {row.exam}: {note}" for row in rows for note in row.notes),
        "",
        f"## Synthetic exams, {arguments.phantoms} patients never fitted on",
        "",
        f"Lesions of {LEAST_ML:g} mL or more; smaller ones count neither way.",
        "",
        "| exams | lesions | found as shown | false findings an exam | found at 0.5, 1, 2, 4 false "
        "findings an exam |",
        "|---|---|---|---|---|",
        *(phantom_line(name, chosen) for name, chosen in grouped(phantoms)),
        "",
    ]
    text = "\n".join(lines)
    print(text)
    write_text(RESULTS / f"{arguments.name}.md", text)
    write_json(
        RESULTS / f"{arguments.name}.json",
        {
            "date": today(),
            "machine": machine(),
            "model": model.info.identity,
            "real": [asdict(row) for row in rows],
            "phantoms": phantoms,
        },
    )
    draw_curve(phantoms, RESULTS / f"{arguments.name}.png")


def real_exams(data: Path) -> Iterator[tuple[str, Path]]:
    """Name and place of every real exam."""
    whole = data / "whole_exams"
    yield "ge_sagittal_right", whole / "ge_sagittal_right" / "A03M_R_0000.nii.gz"
    for name in ("siemens_sagittal_1", "siemens_axial_1", "siemens_axial_2"):
        yield name, whole / name
    yield "duke", data / "duke_dicom"


def of_real(model: checkpoint.Checkpoint, name: str, path: Path, pictures: Path | None) -> Row:
    """Segment one real exam and compare it with what is known of it."""
    exam = formats.open_exam(path)
    messages: list[str] = []
    started = time.perf_counter()
    prediction = drain(
        predict(model, exam, device="cpu"),
        lambda progress: messages.append(progress.message) if progress.message else None,
    )
    findings = prediction.findings
    assert findings is not None
    tumor, voxel_ml = prediction.label_map.tumor, exam.grid.voxel_ml or 0.0
    row = Row(
        exam=name,
        phases=len(exam.phases),
        seconds=round(time.perf_counter() - started, 1),
        marked_ml=round(float(tumor.sum()) * voxel_ml, 2),
        shown=len(findings.shown),
        weaker=len(findings.weaker),
        notes=messages,
    )
    known = np.zeros(tumor.shape, bool)
    words = []
    if name == "duke":
        for place, true_ml in DUKE:
            numbers = set(np.unique(findings.labels[near(place, exam)])) - {0}
            shown = {one.number for one in findings.shown} & {int(n) for n in numbers}
            mask = np.isin(findings.labels, list(shown)) & tumor
            known |= mask
            words.append(f"{mask.sum() * voxel_ml:.2f} of {true_ml:g} mL")
        others = {int(n) for n in np.unique(findings.labels[tumor & ~known])} - {0}
        words.append(f"{len(others)} other findings")
    for z, outline, area in outlines_of(name, path, exam):
        covered = float(tumor[z][outline].mean())
        words.append(f"outline of {area:.0f} mm2 covered {covered:.0%}")
        known |= of_outline(prediction, z, outline)
    row.outside_ml = round(float((tumor & ~known).sum()) * voxel_ml, 2)
    row.result = "; ".join(words)
    print(row, flush=True)
    if pictures is not None:
        draw_exam(exam, prediction, name, pictures)
    return row


def near(place: tuple[int, int, int], exam: Exam) -> tuple[slice, ...]:
    """Voxels within 3 mm of a place."""
    reach = [round(3 / step) for step in exam.grid.voxel_size]
    return tuple(slice(max(0, p - r), p + r + 1) for p, r in zip(place, reach, strict=True))


def outlines_of(
    name: str, path: Path, exam: Exam
) -> Iterator[tuple[int, NDArray[np.bool_], float]]:
    """Slice, mask (Y, X) and area in mm2 of each outline that clinicians drew in an exam."""
    import pydicom
    from skimage.draw import polygon2mask

    file = path.parent / "lesion_outlines.json"
    for one in json.loads(file.read_text()) if file.is_file() else []:
        if one["exam"] != name:
            continue
        header = pydicom.dcmread(path / one["file"], stop_before_pixels=True)
        place = np.array(header.ImagePositionPatient, float) * (-1, -1, 1)
        voxel = np.linalg.solve(exam.grid.affine, np.append(place, 1))[:3]
        points = np.array(one["polygon_xy"])[:, ::-1]
        yield round(voxel[0]), polygon2mask(exam.grid.shape[1:], points), one["area_mm2"]


def of_outline(prediction: Prediction, z: int, outline: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marked voxels of findings that lie mostly within an outline in its slice."""
    findings = prediction.findings
    assert findings is not None
    chosen = [
        int(n)
        for n in np.unique(findings.labels[z][outline])
        if n and outline[findings.labels[z] == n].mean() >= 0.5
    ]
    return np.isin(findings.labels, chosen)


def of_phantoms(model: Path, count: int) -> list[dict[str, Any]]:
    """Findings of synthetic exams, each as a dynamic series, a pair and a single series."""
    with ProcessPoolExecutor(2) as pool:
        return [row for rows in pool.map(of_phantom, range(count), [model] * count) for row in rows]


def of_phantom(number: int, model: Path) -> list[dict[str, Any]]:
    """Findings of one synthetic exam; every third is a single post series, every third a pair."""
    import torch

    torch.set_num_threads(1)
    view = VIEWS[number % 3]
    phantom = whole_phantom(FIRST_SEED + number, f"P{number:03d}", view=view)
    kind, roles = (
        ("dynamic", tuple(phantom.exam.phases)),
        ("pair", ("pre", "post1")),
        ("single", ("post1",)),
    )[number // 3 % 3]
    exam = Exam(phantom.exam.case_id, {role: phantom.exam.phases[role] for role in roles})
    prediction = drain(predict(checkpoint.load(model), exam, device="cpu"))
    findings = prediction.findings
    assert findings is not None
    lesions = np.where(enhancing(phantom.exam, phantom.truth).tumor, phantom.lesion_labels.data, 0)
    small = {one.id for one in phantom.lesions if one.volume_ml < LEAST_ML}
    hits = lesions_hit(findings, lesions)
    return [
        {
            "view": view,
            "kind": kind,
            "lesions": {
                str(one.id): round(one.volume_ml, 2)
                for one in phantom.lesions
                if one.id not in small
            },
            "marks": [
                (one.score or 0.0, hit, one.is_shown)
                for one, hit in zip(findings.findings, hits, strict=True)
                if hit not in small
            ],
            "false_ml": float(
                sum(
                    one.volume_ml or 0.0
                    for one, hit in zip(findings.findings, hits, strict=True)
                    if one.is_shown and hit is None
                )
            ),
            "doubts": [] if prediction.breasts is not None else ["region not trusted"],
        }
    ]


def grouped(phantoms: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """All exams, those of each view and those of each kind."""
    yield "all", phantoms
    for key in ("view", "kind"):
        for name in dict.fromkeys(one[key] for one in phantoms):
            yield name, [one for one in phantoms if one[key] == name]


def marked(one: dict[str, Any]) -> Marked:
    """One exam as the curve takes it."""
    return Marked(
        len(one["lesions"]),
        tuple(score for score, _, _ in one["marks"]),
        tuple(hit for _, hit, _ in one["marks"]),
    )


def phantom_line(name: str, chosen: list[dict[str, Any]]) -> str:
    """One row of the table of synthetic exams."""
    lesions = sum(len(one["lesions"]) for one in chosen)
    found = sum(
        len({hit for _, hit, is_shown in one["marks"] if is_shown and hit}) for one in chosen
    )
    false = sum(hit is None and is_shown for one in chosen for _, hit, is_shown in one["marks"])
    points = detection_curve([marked(one) for one in chosen])
    at = [
        max((p.found for p in points if p.false_per_exam <= allowed), default=0.0)
        for allowed in (0.5, 1, 2, 4)
    ]
    words = ", ".join(f"{value:.2f}" for value in at)
    share = found / max(lesions, 1)
    each = f"{share:.2f} | {false / len(chosen):.2f}"
    return f"| {name} ({len(chosen)}) | {lesions} | {each} | {words} |"


def draw_curve(phantoms: list[dict[str, Any]], path: Path) -> None:
    """Free-response curves of all synthetic exams and of each view."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, chosen in grouped(phantoms):
        points = detection_curve([marked(one) for one in chosen])
        x, y = [0.0], [0.0]
        for point in points:
            x.append(point.false_per_exam)
            y.append(point.found)
        axes.step(x, y, where="post", label=name, lw=2 if name == "all" else 1)
    axes.set(xlim=(0, 5), ylim=(0, 1.02), xlabel="false findings an exam", ylabel="lesions found")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def draw_exam(exam: Exam, prediction: Prediction, name: str, folder: Path) -> None:
    """The slice of every finding shown, and a projection of all that is marked."""
    from matplotlib.figure import Figure

    findings = prediction.findings
    assert findings is not None
    role = "post1" if "post1" in exam.phases else next(iter(exam.phases))
    image = np.asarray(exam.phases[role].data, np.float32)
    top = float(np.percentile(image[:, ::4, ::4], 99.5))
    places = [round(one.center_voxel[0]) for one in findings.shown][:7]
    figure = Figure(figsize=(4 * (len(places) + 1), 4.2), layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(1, len(places) + 1))
    all_axes[0].imshow(image.max(0), cmap="gray", vmax=top)
    all_axes[0].contour(prediction.label_map.tumor.any(0), [0.5], colors="red", linewidths=0.7)
    all_axes[0].set_title(f"{name}, all slices")
    for axes, z, one in zip(all_axes[1:], places, findings.shown, strict=False):
        axes.imshow(image[z], cmap="gray", vmax=top)
        if prediction.label_map.tumor[z].any():
            axes.contour(prediction.label_map.tumor[z], [0.5], colors="red", linewidths=0.7)
        axes.set_title(f"{one.number}: {one.score or 0:.2f}, {one.volume_ml:.2f} mL, slice {z + 1}")
    for axes in all_axes:
        axes.set_axis_off()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=60)


if __name__ == "__main__":
    main()
