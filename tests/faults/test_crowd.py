"""Programs at work on one folder at once, some of them killed, lose nothing they were told is done.

The longer run is `benchmarks/crowd_at_work.py`.
"""

from __future__ import annotations

import os

import pytest
from crowd import prepare, run_crowd

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="programs are started by fork")


def test_three_programs_that_are_killed_lose_nothing(tmp_path):
    prepare(tmp_path, from_another_host=True)
    told = run_crowd(tmp_path, programs=3, operations=24, kills=3)
    assert told.problems == []
    assert told.kills == 3
    assert sum(n for name, n in told.operations.items() if name.endswith("done")) > 5
