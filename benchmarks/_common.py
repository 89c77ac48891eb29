"""What the benchmarks share: where data and results lie, and what machine this is."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def test_data() -> Path:
    """The folder of real MRI."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("BREASTSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"Expected the test data folder; {folder} is not there. Set BREASTSEG_TEST_DATA.")
    return folder


def machine() -> str:
    """Cores and processor."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} cores of {model}"


def today() -> str:
    """Date of the run."""
    return datetime.date.today().isoformat()
