"""What corrections are worth: for the same exam, for other patients, and elsewhere.

    python benchmarks/learning.py [--only exam|site]

Three questions, all asked of patients the starter never saw. This exam (`_learning_exam.py`): one,
two or four slices of a lesion are corrected, and the rest is drafted again. Other patients
(`_learning_site.py`): the starter is trained on 2, 4, 8 or 16 corrected slices of another hospital
and tested on a patient it did not learn from. Elsewhere: what the same model then makes of exams of
other hospitals and of synthetic ones, which it must not forget.

One core a run, two at a time unless --jobs says otherwise; finished runs are kept in the work
folder, so an interrupted benchmark goes on. Needs the test data folder (BREASTSEG_TEST_DATA).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from pathlib import Path
from typing import Any

from _common import RESULTS, machine, today

from napari_breastseg.core.atomic import write_json, write_text
from napari_breastseg.model.checkpoint import STARTER, read_info

PARTS = ("exam", "site")
FIGURE = RESULTS.parent.parent / "docs" / "images" / "learning-curve.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/learning"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--report", action="store_true", help="only the tables of finished runs")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded in the workers
    identity = read_info(STARTER).identity
    work = (arguments.work / identity.replace("@", "-")).resolve()
    modules = {part: importlib.import_module(f"_learning_{part}") for part in PARTS}
    for part, module in modules.items():
        if not arguments.report and arguments.only in (None, part):
            module.perform_all(work / part, arguments.jobs)
    rows = _rows(work, modules, identity)
    lines = [
        "# What corrections are worth",
        "",
        f"{today()}, {machine()}, one core a run. Starter {identity}. Command: "
        "`python benchmarks/learning.py`.",
    ]
    for part, of_part in rows.items():
        lines += ["", *modules[part].report(of_part)]
    text = "\n".join([*lines, ""])
    write_text(RESULTS / "learning.md", text)
    write_json(RESULTS / "learning.json", {"date": today(), "model": identity, **rows})
    draw(modules, rows)
    print(text)


def _rows(work: Path, modules: dict[str, Any], identity: str) -> dict[str, Any]:
    """What each part has measured here; else what is kept of it, if it is this starter's."""
    kept: dict[str, Any] = {}
    if (RESULTS / "learning.json").is_file():
        kept = json.loads((RESULTS / "learning.json").read_text())
    rows = {}
    for part, module in modules.items():
        if (work / part).is_dir():
            rows[part] = module.rows_of(work / part)
        elif kept.get("model") == identity and part in kept:
            rows[part] = kept[part]
    return rows


def draw(modules: dict[str, Any], rows: dict[str, Any]) -> None:
    """The figure of the README: a panel for each question."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1, 1.2, 0.9))
    if "exam" in rows:
        modules["exam"].draw(panels[0], rows["exam"])
    if "site" in rows:
        modules["site"].draw(panels[1], panels[2], rows["site"])
    figure.savefig(RESULTS / "learning.png", dpi=110)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    main()
