"""The audit of libraries says what it could not look up, and fails on what it found."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "audit.py"
SKIPPED = {"name": "pillow", "skip_reason": "Dependency not found on PyPI"}
CLEAN = {"name": "numpy", "version": "2.0.0", "vulns": []}
BAD = {
    "name": "torch",
    "version": "2.5.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.6.0"]}, {"id": "PYSEC-2", "fix_versions": []}],
}


@pytest.mark.skipif(not SCRIPT.is_file(), reason="the tests came without .ci")
def test_nothing_is_called_sound_that_was_not_looked_up() -> None:
    verdict = runpy.run_path(str(SCRIPT))["verdict"]
    assert verdict([SKIPPED, SKIPPED], "pypi") == ("", False)
    said, is_bad = verdict([SKIPPED, CLEAN], "pypi")
    assert said == "Audited 1 of 2 libraries (pypi).\nNOT AUDITED: pillow."
    assert not is_bad
    said, is_bad = verdict([CLEAN, BAD], "osv")
    assert said.endswith("VULNERABLE: torch 2.5.0: PYSEC-1, PYSEC-2; fixed in 2.6.0.")
    assert is_bad
