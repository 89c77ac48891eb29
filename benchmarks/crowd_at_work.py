"""Two and four programs at work on one folder and one registry, fifty of them killed.

    python benchmarks/crowd_at_work.py [--operations 1000] [--kills 50] [--again]

They accept, add, import, draft, autosave, reopen, undo, promote and roll back at random, and are
killed (SIGKILL) at random moments and replaced; the four find the locks of a computer that is gone.
Nothing that a program was told is done may be missing, no number given twice, no lock left. Some
10 minutes on two cores; a run that was done is not repeated unless asked. Needs POSIX.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ["OMP_NUM_THREADS"] = "1"  # threads do not outlive a fork
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from _reliability import Row, note  # noqa: E402
from crowd import prepare, run_crowd  # noqa: E402

COMMAND = "python benchmarks/crowd_at_work.py"
CROWDS = (2, 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/crowd"))
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="also what was done before")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows, n_failed = [], 0
    for programs in CROWDS:
        asked = f"{programs}-{arguments.operations}-{arguments.kills}-{arguments.seed}"
        kept = arguments.work / f"{asked}.json"
        if arguments.again or not kept.exists():
            with tempfile.TemporaryDirectory() as folder:
                prepare(Path(folder), from_another_host=programs == CROWDS[-1])
                told = run_crowd(
                    Path(folder), programs, arguments.operations, arguments.kills, arguments.seed
                )
            kept.write_text(json.dumps(vars(told), indent=1), encoding="utf-8")
        done = json.loads(kept.read_text(encoding="utf-8"))
        count, n_failed = sum(done["operations"].values()), n_failed + len(done["problems"])
        print(
            f"{programs} programs: {count} operations in {done['seconds']:.0f} s, {done['kills']} "
            f"kills, {done['kills_at_work']} at work; {len(done['problems'])} problems"
        )
        for name, number in sorted(done["operations"].items()):
            print(f"    {number:5} {name}")
        for problem in done["problems"][:20]:
            print("   ", problem[-1500:])
        refused = sum(n for name, n in done["operations"].items() if name.endswith("refused"))
        rows.append(
            Row(
                f"{programs} programs at once on one dataset folder and one registry",
                count,
                len(done["problems"]),
                done["worst_s"],
                note=f"{done['kills']} killed, {done['kills_at_work']} of them in the midst of an "
                f"operation; {refused} refused, as by a lock that another held",
            )
        )
    note("crowd_at_work", COMMAND, rows)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
