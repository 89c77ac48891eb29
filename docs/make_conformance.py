"""Write docs/conformance.md: what the program does with whole studies and odd files.

    python docs/make_conformance.py --studies 2000 --keep DONE.jsonl --files FOLDER

Draws synthetic studies (`tests/studies.py`), opens each and compares what is read with the truth;
ends with 1 if one was read wrongly. Odd files of other projects are listed where they are there
(BREASTSEG_TEST_DATA, and each folder given with --files); their values are compared with pydicom's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import studies  # noqa: E402
from studies import AGENTS, SERIES, TROUBLES, Study  # noqa: E402

from napari_breastseg import formats  # noqa: E402
from napari_breastseg.core.errors import InputError  # noqa: E402

REASONS = (
    ("heart, vessels and gland", "the pixels show no contrast, or say otherwise than the headers"),
    ("in conflict", "two clocks contradict each other"),
    ("acquired at the same time", "all series have one time, and no agent tells their order"),
    ("at the position of another", "one series of several times, with instance numbers alone"),
    ("found a contrast agent in every", "an agent in every header, and no rise like that of blood"),
    ("contrast agents that come and go", "contrast agents that come and go"),
    ("only some with a time", "only some series have a time"),
    ("made at the same time", "images made at one time, and no other time"),
    ("before the contrast agent", "several phases before contrast"),
    ("in the place of", "the name of a series against its place in time"),
    ("that could be it", "several series that could be the dynamic one"),
    ("missing there", "a phase that lost a slice in the middle"),
    ("another grid", "a phase on another grid"),
    ("frame of reference", "a phase in another frame of reference"),
    ("another repetition time", "a phase with another repetition time"),
    ("another flip angle", "a phase with another flip angle"),
    ("by its description", "a phase called something else by its description"),
    ("derived from other", "phases of which some are marked derived"),
    ("none that can be taken", "a dynamic series that cannot be taken as it is, beside others"),
)
"""Part of a question, and what it is about; the first that fits counts."""
SLOW_S = 10.0


def read(study: Study) -> tuple[str, str]:
    """What is done with a study: "right", "asks" or "WRONG: ...", and why it is asked."""
    with tempfile.TemporaryDirectory() as folder:
        studies.write(Path(folder) / "exam", study)
        outcome, question = studies.outcome_and_reason(Path(folder) / "exam")
    reason = next((words for part, words in REASONS if part in question), question)
    return outcome, reason


def drawn(count: int, first: int) -> list[Study]:
    """So many studies, always the same for the same seed."""
    found: list[Study] = []

    @seed(first)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(studies.studies())
    def take(study: Study) -> None:
        found.append(study)

    take()
    return found[:count]


def read_all(wanted: list[Study], workers: int, keep: Path | None) -> dict[Study, tuple[str, str]]:
    """What is done with each study; those in the file `keep` are not read again."""
    lines = keep.read_text("utf-8").splitlines() if keep is not None and keep.exists() else []
    kept = {name: (outcome, reason) for name, outcome, reason in map(json.loads, lines)}
    done = {study: kept[repr(study)] for study in wanted if repr(study) in kept}
    left = [study for study in dict.fromkeys(wanted) if study not in done]
    with multiprocessing.Pool(workers) as pool:
        for number, (study, result) in enumerate(
            zip(left, pool.imap(read, left, chunksize=4), strict=True), start=1
        ):
            done[study] = result
            if keep is not None:
                with keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([repr(study), *result]) + "\n")
            if number % 100 == 0:
                print(f"{number:,} of {len(left):,} studies", file=sys.stderr, flush=True)
    return done


def spoken(outcomes: list[str]) -> str:
    """Outcomes with their numbers, as a cell of the table says them."""
    counts = Counter(outcomes)
    if len(counts) == 1:
        return outcomes[0]
    return ", ".join(f"{word} {count} of {len(outcomes)}" for word, count in counts.most_common())


def of_file(path: Path) -> str:
    """What is done with one file; values that pydicom reads too must be the same."""
    start = time.monotonic()
    try:
        exam = formats.open_exam(path)
    except InputError as error:
        said = f"refuses: {error.found.removeprefix('found ')}"
    except Exception as error:
        return f"WRONG: {type(error).__name__}"
    else:
        said = f"opens: {', '.join(exam.phases)}, {exam.grid.describe()}"
        ours = np.concatenate([volume.data for volume in exam.phases.values()])
        theirs = _by_pydicom(path)
        if theirs is not None and theirs.shape == ours.shape:
            near = 1e-6 * np.abs(theirs).max()  # float32
            for plane in ours:  # which may be sorted by position
                if not any(np.allclose(plane, other, rtol=0, atol=near) for other in theirs):
                    return "WRONG: other values than pydicom's"
            said += "; values as pydicom reads them"
    if time.monotonic() - start > SLOW_S:
        return f"WRONG: took more than {SLOW_S:g} s"
    return said


def _by_pydicom(path: Path) -> Any:
    """Values (frames, rows, columns) of a grey DICOM file; None where pydicom reads none."""
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = dcmread(path)
            pixels = data.pixel_array.astype(np.float64)
            frames = pixels.reshape(-1, *pixels.shape[-2:])
            shared = getattr(data, "SharedFunctionalGroupsSequence", None) or [None]
            each = getattr(data, "PerFrameFunctionalGroupsSequence", None) or [None] * len(frames)
            return np.stack(
                [
                    frame * slope + intercept
                    for frame, own in zip(frames, each, strict=True)
                    for slope, intercept in [_rescale(data, own, shared[0])]
                ]
            )
        except Exception:
            return None


def _rescale(data: Any, own: Any, shared: Any) -> tuple[float, float]:
    for place in (own, shared):
        if place is not None and "PixelValueTransformationSequence" in place:
            data = place.PixelValueTransformationSequence[0]
            break
    return float(data.get("RescaleSlope", 1) or 1), float(data.get("RescaleIntercept", 0) or 0)


def of_files(folder: Path) -> list[tuple[str, str]]:
    """The files of a folder, and what is done with each."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return [(path.relative_to(folder).as_posix(), of_file(path)) for path in found]


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Lines of a table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return ["", *("| " + " | ".join(map(str, line)) + " |" for line in lines)]


def main() -> int:
    """Draw, read, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="results so far, to go on after an interruption")
    parser.add_argument("--files", type=Path, action="append", default=[], help="more odd files")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "conformance.md")
    options = parser.parse_args()
    habits = [(agent, series) for agent in AGENTS for series in SERIES]
    kinds = (("nothing", "a plain study"), *TROUBLES.items())
    alone = {
        name: [
            Study(agent=agent, series=series, troubles=() if name == "nothing" else (name,))
            for agent, series in habits
        ]
        for name, _ in kinds
    }
    random = drawn(options.studies, options.seed)
    singly = [study for of_kind in alone.values() for study in of_kind]
    done = read_all(singly + random, options.workers, options.keep)
    outcomes = [done[study][0].partition(":")[0] for study in random]
    counts = Counter(outcomes)
    plain = [study for study in random if study.is_plain]
    reasons = Counter(done[study][1] for study in random if done[study][0] == "asks")
    lines = [
        "# Conformance",
        "",
        "Made by `make conformance`. Which phase is which in whole studies: the reading is the",
        "true one (right), or the program asks, with a proposal, or refuses and says why (asks).",
        "Each line was written in six ways: the contrast agent named in the posts, in no header or",
        "in every one; the phases as a series each or as times of one series.",
        *table(
            ("what is wrong, or there besides", "how", "we"),
            ((name, how, spoken([done[s][0] for s in alone[name]])) for name, how in kinds),
        ),
        "",
        f"{len(random):,} studies drawn by hypothesis (seed {options.seed}), with up to three of",
        "these at once, any clock, number of phases and descriptions: "
        + ", ".join(f"{counts[word]:,} {word}" for word in ("right", "asks", "WRONG"))
        + f". Of the {len(plain):,} with nothing wrong and a time in their headers, "
        f"{sum(done[study][0] == 'right' for study in plain):,} were read unasked. What is asked:",
        *table(("the reason that is told", "studies"), reasons.most_common()),
    ]
    root = Path(os.environ.get("BREASTSEG_TEST_DATA", ROOT.parent / "shared" / "data"))
    bad = []
    for folder in (root / "io_tests", *options.files):
        if listed := of_files(folder):
            said = Counter(done.partition(":")[0] for _, done in listed)
            told = ", ".join(f"{count} {word}" for word, count in said.most_common())
            lines += ["", f"Odd files of other projects, {folder.name} ({told}):"]
            lines += table(("file", "we"), listed)
            bad += [f"{name}: {done}" for name, done in listed if done.startswith("WRONG")]
    options.output.write_text("\n".join(lines) + "\n", "utf-8")
    bad += [f"{out} {study}" for study, (out, _) in done.items() if out.startswith("WRONG")]
    for line in bad[:20]:
        print(line, file=sys.stderr)
    print(f"{options.output.name}: {dict(counts)}, {len(bad)} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
