r"""What the program costs beside what it cannot do without: the network, pydicom, numpy.

Writes results/speed.md and results/speed.json. Each figure is a median of ratios of two times
measured one right after the other, since the machine's own speed varies with what else it does.
Rows that are not measured keep what was measured before, each with its date and load.

    python benchmarks/speed.py
    python benchmarks/speed.py --only opening memory
    python benchmarks/speed.py --only whole --slices 160

Some 20 minutes on two quiet cores; `whole` takes half of them. nnU-Net's own predictor is used
where it can be imported (PYTHONPATH), else its way is written out here:

    pip install --target DIR --no-deps nnunetv2 batchgenerators batchgeneratorsv2 \\
        acvl_utils dynamic_network_architectures
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import _speed_network as network
import _speed_program as program
from _common import RESULTS, machine, today
from _speed_row import load

ROWS = RESULTS / "speed.json"


def known() -> dict[str, dict[str, Any]]:
    """Rows measured before, by what they measure."""
    if not ROWS.is_file():
        return {}
    kept = json.loads(ROWS.read_text()).get("rows", [])
    return {f"{one['group']}: {one['what']}": one for one in kept if "group" in one}


def write(rows: list[dict[str, Any]]) -> list[str]:
    """Keep the rows and give the table's lines."""
    RESULTS.mkdir(exist_ok=True)
    ROWS.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    lines = [
        "# What the program costs",
        "",
        "`python benchmarks/speed.py`: medians of ratios, the two times of each measured one after "
        "the other. Load is what else the machine did when a row's measuring began: from 1 on it "
        "is busy, and times in seconds are larger than they need be.",
        "",
        "| what | in times | figure | reach | met | seconds | date, load | note |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        reach = float(one["reach"].split()[0])
        is_met = one["ratio"] >= reach if "least" in one["reach"] else one["ratio"] <= reach
        spent = f"{one['seconds']:.2f}" if "seconds" in one else ""
        more = {
            key: value
            for key, value in one.items()
            if key not in _NAMED and value not in ("", None)
        }
        said = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in more.items())
        note = "; ".join(part for part in (one.get("note", ""), said) if part)
        lines.append(
            f"| {one['what']} | {one['against']} | {one['ratio']:g} | {one['reach']} "
            f"| {'yes' if is_met else 'no'} | {spent} | {one['date']}, {one['load']} | {note} |"
        )
    machines = sorted({f"{one['machine']}, threads: {one['threads']}" for one in rows})
    lines += ["", "Machine: " + "; ".join(machines) + "."]
    (RESULTS / "speed.md").write_text("\n".join(lines) + "\n")
    return lines


_NAMED = {
    *("group", "what", "against", "reach", "ratio", "ratios", "seconds", "date", "load", "note"),
    *("machine", "threads"),
}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=3, help="times that each pair is measured")
    parser.add_argument("--count", type=int, default=60, help="small cases of one run")
    parser.add_argument("--slices", type=int, default=8, help="slices that MONAI and nnU-Net see")
    given = parser.parse_known_args()[0]
    measures: dict[str, Callable[[int], Iterator[dict[str, Any]]]] = {
        "starting": program.starting,
        "opening": program.opening,
        "cases": lambda times: program.cases(times, given.count),
        "scrolling": program.scrolling,
        "cold": program.cold,
        "memory": program.memory,
        "growth": program.growth,
        "convolution": network.convolution,
        "origin": network.origin,
        "training": network.training,
        "whole": lambda times: network.whole(times, given.slices),
    }
    parser.add_argument("--only", nargs="+", choices=measures, default=list(measures))
    rows = known()
    for name in parser.parse_args().only:
        before = load()
        of_before = [key for key in rows if key.startswith(f"{name}: ")]
        made = [
            {
                "group": name,
                **one,
                "date": today(),
                "load": before,
                "machine": machine(),
                "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            }
            for one in measures[name](given.times)
        ]
        for key in of_before:
            del rows[key]
        rows |= {f"{name}: {one['what']}": one for one in made}
        order = list(measures)
        in_order = sorted(rows.values(), key=lambda one: order.index(one["group"]))
        lines = write(in_order)  # what is measured is kept, whatever becomes of the next
    print("\n".join(lines))


if __name__ == "__main__":
    main()
