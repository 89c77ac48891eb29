"""docs/architecture.md says what is true of the code: rooms, their imports, places to add to."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def house() -> ModuleType:
    """The script that draws the page's picture."""
    spec = importlib.util.spec_from_file_location("house", ROOT / "benchmarks" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found(house: ModuleType) -> Any:
    """What the script measures of this checkout."""
    return house.measure(ROOT)


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_room_is_on_the_page_with_what_it_imports(found: Any) -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.*?) ?\|$", section("Rooms"), re.MULTILINE)
    assert {room for room, _ in rows} == set(found.rooms)
    known: list[str] = []
    for room, may in rows:
        imported = {under for above, under in found.arrows if above == room}
        if may.startswith("all"):
            allowed = set(known) - {"cli"} if "but" in may else set(known)
        else:
            allowed = set(re.findall(r"`(\w+)`", may))
            assert imported == allowed, room
        assert imported <= allowed, room
        known.append(room)


def test_every_room_of_the_window_is_on_the_page(found: Any) -> None:
    for room in found.window_rooms:
        assert f"`{room}`" in section("Rooms")


def test_there_are_no_circles(found: Any) -> None:
    assert found.circles == 0


def test_a_circle_would_be_found(house: ModuleType, tmp_path: Path) -> None:
    package = tmp_path / "napari_breastseg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("class A:\n    pass\n\ndef f():\n    from .b import g\n")
    (package / "b.py").write_text("from napari_breastseg import a\n")
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy"]\n')
    found = house.measure(tmp_path)
    assert found.circles == 2
    assert found.arrows == {("a", "b"): 1, ("b", "a"): 1}
    assert found.largest_class == ("a.A", 2)


def test_the_places_named_exist() -> None:
    for path in re.findall(r"`((?:napari_breastseg|widgets|lesions|formats|cli)/[\w/.]+)`", PAGE):
        inside = path if path.startswith("napari_breastseg") else f"napari_breastseg/{path}"
        assert (ROOT / inside).exists(), path
    for module in re.findall(r"`((?:\w+\.)+\w+)`", section("How an exam flows")):
        parts = module.split(".")
        places = [
            ROOT.joinpath("napari_breastseg", *parts[:n]) for n in (len(parts), len(parts) - 1)
        ]
        assert any(place.is_dir() or place.with_suffix(".py").is_file() for place in places), module
    for picture in re.findall(r"\]\((images/[\w.-]+)\)", PAGE):
        assert (ROOT / "docs" / picture).is_file()
