"""Tests stand in the rooms they test."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TESTS = ROOT / "napari_breastseg", ROOT / "tests"

GUI = "gui"  # tests of whole windows; every other folder of tests is a room


def test_tests_stand_in_the_rooms_they_test() -> None:
    rooms = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    folders = {file.parent.name for file in TESTS.glob("*/test_*.py")}
    assert folders == rooms | {GUI}


def test_no_two_files_of_tests_have_one_name() -> None:
    # pytest imports them by their bare names.
    names = [file.name for file in TESTS.rglob("*.py") if file.name != "conftest.py"]
    assert [name for name in set(names) if names.count(name) > 1] == []
