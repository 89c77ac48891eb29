"""Damaged files of every kind: how many end in an answer, how soon, in how much memory?

    python benchmarks/damaged_files.py [--count 10000] [--only KIND ...] [--workers 2] [--minutes M]

Each must end in something plausible or a three-part error within 10 seconds of a processor and
2 GB; `tests/faults/damage.py` makes and reads them. A kind is read in a process of its own, which
is replaced where it hangs or dies. The damage with a number is the same at every run, and a run
goes on where one was cut off. 10,000 of a kind take from 1 minute (PNG) to 20 (models). Needs
POSIX.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from _reliability import Row, note  # noqa: E402
from damage import (  # noqa: E402
    KINDS,
    MOST_BYTES,
    MOST_SECONDS,
    chance_changes,
    damaged,
    require_said,
)

COMMAND = "python benchmarks/damaged_files.py"
FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None  # it waits for no disk
_HANGS_S = 180.0
_KEPT_EVERY = 200
_MOST_ADDRESSES = 24 << 30


def _peak() -> int:
    """Most memory that this process ever held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _read(name: str, begins: int, count: int, pipe: Connection) -> None:
    """Read the damaged files of a kind from a number on, and tell of each."""
    import logging

    from napari_breastseg.core.errors import InputError

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_ADDRESSES, _MOST_ADDRESSES))
    kind = KINDS[name]
    with tempfile.TemporaryDirectory(dir=FAST) as root:
        os.environ["BREASTSEG_HOME"] = str(Path(root) / "home")
        whole, work = Path(root) / "whole", Path(root) / "work"
        whole.mkdir()
        relative = kind.make(whole).relative_to(whole)
        content = (whole / relative).read_bytes()
        for number in range(begins, count):
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(whole, work)
            (work / relative).write_bytes(damaged(content, chance_changes(kind, number), kind))
            before, started, problem, ended = _peak(), time.process_time(), "", "read"
            try:
                kind.read(work / relative)
            except InputError as error:
                ended = "refused"
                try:
                    require_said(error)
                except AssertionError:
                    problem = f"not in three parts: {error}"
            except BaseException:
                problem = traceback.format_exc()
            seconds = time.process_time() - started
            grown = _peak() - before
            # Loading the libraries counts for the first one only.
            if number > begins and seconds > MOST_SECONDS:
                problem = problem or f"it took {seconds:.1f} s"
            if _peak() > MOST_BYTES and grown:
                problem = problem or f"it took {grown / 1e6:.0f} MB"
            pipe.send((number, seconds if number > begins else 0.0, _peak(), ended, problem))
    pipe.send(None)


def tried(name: str, count: int, kept: Path, goes_on: Callable[[], bool]) -> dict[str, Any]:
    """What came of the damaged files of a kind, as far as the time allowed."""
    told: dict[str, Any] = {"name": name, "done": 0, "read": 0, "refused": 0, "failures": []}
    told |= {"worst_s": 0.0, "worst_mb": 0.0}
    if kept.exists():
        told = json.loads(kept.read_text(encoding="utf-8"))
    context = multiprocessing.get_context("spawn")
    while told["done"] < count and goes_on():
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_read, args=(name, told["done"], count, sender))
        process.start()
        sender.close()
        try:
            while goes_on():
                if not receiver.poll(_HANGS_S):
                    raise EOFError
                said = receiver.recv()
                if said is None:
                    break
                number, seconds, peak, ended, problem = said
                told["done"] = number + 1
                told[ended] += 1
                told["worst_s"] = max(told["worst_s"], seconds)
                told["worst_mb"] = max(told["worst_mb"], peak / 1e6)
                if problem:
                    told["failures"].append([number, problem[-3000:]])
                if number % _KEPT_EVERY == 0:
                    kept.write_text(json.dumps(told, indent=1), encoding="utf-8")
        except EOFError:
            told["failures"].append([told["done"], "the process hung or died"])
            told["done"] += 1
        process.kill()
        process.join()
    kept.write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(
        f"{name}: {told['done']} tried, {told['read']} read, {told['refused']} refused, "
        f"{len(told['failures'])} failures; {told['worst_s']:.2f} s, {told['worst_mb']:.0f} MB",
        flush=True,
    )
    for number, problem in told["failures"][:3]:
        print(f"  number {number}: {problem[-1200:]}", flush=True)
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop then; go on later")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/damaged-files"))
    parser.add_argument("--again", action="store_true", help="also what was tried before")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    kept = {name: arguments.work / f"{name.replace('/', '-')}.json" for name in KINDS}
    if arguments.again:
        for name in arguments.only:
            kept[name].unlink(missing_ok=True)
    end = time.monotonic() + 60 * arguments.minutes
    with ThreadPoolExecutor(arguments.workers) as pool:
        jobs = [
            pool.submit(tried, name, arguments.count, kept[name], lambda: time.monotonic() < end)
            for name in arguments.only
        ]
        told = [job.result() for job in jobs]
    whole = [json.loads(path.read_text("utf-8")) for path in kept.values() if path.exists()]
    rows = [
        Row(
            f"damaged {one['name']}",
            one["done"],
            len(one["failures"]),
            one["worst_s"],
            one["worst_mb"],
            f"{one['read']:,} read, {one['refused']:,} refused",
        )
        for one in whole
        if one["done"]
    ]
    note("damaged_files", COMMAND, rows)
    return 1 if any(one["failures"] for one in told) else 0


if __name__ == "__main__":
    sys.exit(main())
