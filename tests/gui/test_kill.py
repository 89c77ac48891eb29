"""A window killed while it paints, saves and accepts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_window.py"


@pytest.mark.slow
def test_a_killed_window_loses_neither_work_nor_masks(tmp_path: Path) -> None:
    table = tmp_path / "kill_window.md"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "20", "--output", str(table)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = table.read_text()
    for aim in ("painting", "saving", "accepting"):
        count = int(text.split(f" {aim}")[0].split()[-1])
        assert count >= 5
