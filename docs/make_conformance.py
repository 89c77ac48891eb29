"""Write docs/conformance.md: what the program does with whole studies and odd files.

    python docs/make_conformance.py --studies 2000

Draws synthetic studies (`tests/studies.py`), opens each and compares what is read with the truth;
ends with 1 if one was read wrongly. Odd files of other projects are listed where they are there
(BREASTSEG_TEST_DATA).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import studies  # noqa: E402
from studies import AGENTS, SERIES, TROUBLES, Study  # noqa: E402

from napari_breastseg import formats  # noqa: E402
from napari_breastseg.core.errors import InputError  # noqa: E402


def read(study: Study) -> str:
    """What is done with a study: "right", "asks" or "WRONG: ..."."""
    with tempfile.TemporaryDirectory() as folder:
        studies.write(Path(folder) / "exam", study)
        return studies.outcome(Path(folder) / "exam")


def drawn(count: int) -> list[Study]:
    """So many studies, always the same."""
    found: list[Study] = []

    @seed(2026)
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


def spoken(outcomes: list[str]) -> str:
    """Outcomes with their numbers, as a cell of the table says them."""
    counts = Counter(outcomes)
    if len(counts) == 1:
        return outcomes[0]
    return ", ".join(f"{word} {count} of {len(outcomes)}" for word, count in counts.most_common())


def of_file(path: Path) -> str:
    """What is done with one file."""
    try:
        exam = formats.open_exam(path)
    except InputError as error:
        return f"refuses: {error.found.removeprefix('found ')}"
    except Exception as error:
        return f"WRONG: {type(error).__name__}"
    return f"opens: {', '.join(exam.phases)}, {exam.grid.describe()}"


def files() -> list[tuple[str, str]]:
    """Odd files of other projects, and what is done with them."""
    root = Path(os.environ.get("BREASTSEG_TEST_DATA", ROOT.parent / "shared" / "data"))
    folder = root / "io_tests"
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return [(path.relative_to(folder).as_posix(), of_file(path)) for path in found]


def main() -> int:
    """Draw, read, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "conformance.md")
    given_ = parser.parse_args()
    habits = [(agent, series) for agent in AGENTS for series in SERIES]
    alone = [
        Study(agent=agent, series=series, troubles=troubles)
        for troubles in ((), *((name,) for name in TROUBLES))
        for agent, series in habits
    ]
    random = drawn(given_.studies)
    with multiprocessing.Pool(given_.workers) as pool:
        outcomes = pool.map(read, alone + random, chunksize=8)
    singly, mixed = outcomes[: len(alone)], outcomes[len(alone) :]
    counts = Counter("WRONG" if out.startswith("WRONG") else out for out in mixed)
    lines = [
        "# Conformance",
        "",
        "Made by `make conformance`. Which phase is which in whole studies: the reading is the",
        "true one (right), or the program asks, with a proposal, or refuses and says why (asks).",
        "Each line was written in six ways: the contrast agent named in the posts, in no header or",
        "in every one; the phases as a series each or as times of one series.",
        "",
        "| what is wrong, or there besides | how | we |",
        "|---|---|---|",
    ]
    for place, (name, how) in enumerate((("nothing", "a plain study"), *TROUBLES.items())):
        part = singly[place * len(habits) : (place + 1) * len(habits)]
        lines.append(f"| {name} | {how} | {spoken(part)} |")
    lines += [
        "",
        f"{len(mixed):,} studies drawn by hypothesis, with up to three of these at once, any",
        "clock, number of phases and descriptions: "
        + ", ".join(f"{counts[word]:,} {word}" for word in ("right", "asks", "WRONG"))
        + ".",
    ]
    if listed := files():
        lines += ["", "Odd files of other projects:", "", "| file | we |", "|---|---|"]
        lines += [f"| {name} | {done} |" for name, done in listed]
    given_.output.write_text("\n".join(lines) + "\n", "utf-8")
    wrong = [
        (study, out)
        for study, out in zip(alone + random, outcomes, strict=True)
        if out.startswith("WRONG")
    ]
    for study, out in wrong[:20]:
        print(out, study, file=sys.stderr)
    print(f"{given_.output.name}: {dict(counts)}, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
