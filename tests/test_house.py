"""The house keeps its shape: tests stand in the rooms they test, files and classes stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TESTS = ROOT / "napari_breastseg", ROOT / "tests"

# Tests of whole windows, and of hostile input; every other folder of tests is a room.
NO_ROOMS = {"gui", "faults"}
FILE_LINES, CLASS_LINES = 500, 250


def test_tests_stand_in_the_rooms_they_test() -> None:
    rooms = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    folders = {file.parent.name for file in TESTS.glob("*/test_*.py")}
    assert folders == rooms | NO_ROOMS


def test_no_two_files_of_tests_have_one_name() -> None:
    # pytest imports them by their bare names.
    names = [file.name for file in TESTS.rglob("*.py") if file.name != "conftest.py"]
    assert [name for name in set(names) if names.count(name) > 1] == []


def too_long(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(PACKAGE).as_posix()
    if (n_lines := text.count("\n")) > FILE_LINES:
        yield f"{name}: {n_lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
            n_lines = node.end_lineno - node.lineno + 1
            if n_lines > CLASS_LINES:
                yield f"{name}: class {node.name}, {n_lines} lines"


def test_files_and_classes_stay_short() -> None:
    assert [line for path in sorted(PACKAGE.rglob("*.py")) for line in too_long(path)] == []


def test_what_is_too_long_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / "room.py"
    path.write_text("class Hall:\n" + "    n = 0\n" * CLASS_LINES + "\n" * FILE_LINES)
    assert list(too_long(path)) == ["room.py: 751 lines", "room.py: class Hall, 251 lines"]
