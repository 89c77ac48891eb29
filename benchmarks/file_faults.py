"""Every write of every action, spoiled in seven ways: what is left, and does a second try work?

    python benchmarks/file_faults.py [--only ACTION ...] [--workers 2] [--again]

Each change on disk that an action makes is killed in its midst, meets a full disk, an
input-output error before or after it took effect, a lost permission, a clock set 20 years back or
on. `tests/faults/fault_actions.py` says what must hold afterwards. Some 15 minutes on two cores;
an action that was tried whole is not tried again unless asked. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
os.environ["OMP_NUM_THREADS"] = "1"  # threads do not outlive a fork
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from _reliability import Row, note  # noqa: E402
from fault_actions import DATASET_ACTIONS, FILE_ACTIONS, trials  # noqa: E402
from fault_layer import KINDS  # noqa: E402
from fault_models import MODEL_ACTIONS  # noqa: E402

ACTIONS = DATASET_ACTIONS + FILE_ACTIONS + MODEL_ACTIONS

COMMAND = "python benchmarks/file_faults.py"
FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None  # it waits for no disk


def _spoiled(kind: str, count: int) -> range:
    """Every change on disk, and every fifth of them with a clock set wrong."""
    return range(0, count, 5 if kind.startswith("clock") else 1)


def tried(name: str, kept: Path) -> dict[str, Any]:
    """What came of all trials of an action; kept in a file when they are done."""
    if kept.exists():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    action = next(action for action in ACTIONS if action.name == name)
    count, failures, ends = 0, [], {}
    started, last, worst = time.monotonic(), time.monotonic(), 0.0
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        for trial in trials(action, Path(folder), _spoiled):
            count += 1
            ends[trial.ended] = ends.get(trial.ended, 0) + 1
            worst, last = max(worst, time.monotonic() - last), time.monotonic()
            if trial.problems:
                failures.append([trial.kind, trial.at, trial.where, trial.ended, trial.problems])
    told = {
        "action": name,
        "tried": count,
        "ends": ends,
        "worst_s": worst,
        "seconds": time.monotonic() - started,
        "failures": failures,
    }
    kept.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [action.name for action in ACTIONS]
    parser.add_argument("--only", nargs="+", default=names, choices=names)
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/file-faults"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="also what was tried whole before")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    kept = {name: arguments.work / f"{name.replace(' ', '-')}.json" for name in names}
    for name in arguments.only:
        if arguments.again:
            kept[name].unlink(missing_ok=True)
    n_failed = 0
    with ProcessPoolExecutor(arguments.workers) as pool:
        for done in as_completed([pool.submit(tried, name, kept[name]) for name in arguments.only]):
            told = done.result()
            n_failed += len(told["failures"])
            print(
                f"{told['action']}: {told['tried']} faults, {len(told['failures'])} with a "
                f"problem, {told['seconds']:.0f} s; ended: {told['ends']}",
                flush=True,
            )
            for failure in told["failures"][:5]:
                print("   ", *failure[:4], *(one[-1500:] for one in failure[4]), sep="\n    ")
    whole = [json.loads(path.read_text()) for path in kept.values() if path.exists()]
    if whole:
        rows = [
            Row(
                f"{told['action']}: each of its {told['ends']['killed']} changes on disk "
                f"spoiled in {len(KINDS)} ways",
                told["tried"],
                len(told["failures"]),
                told["worst_s"],
            )
            for told in whole
        ]
        note("file_faults", COMMAND, rows)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
