"""The structure of a checkout in figures and as a picture: rooms, floors, arrows, circles, sizes.

    python benchmarks/house.py [CHECKOUT ...] [--draw docs/images/rooms.png]

A room is a folder or module directly in the package; of `widgets`, the window's own rooms are
drawn inside it. An arrow is one room importing from another; a room's floor is the longest way
down from it. Reads the code's imports as text and runs nothing of it, so that two checkouts can be
compared: give an older one first.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "napari_breastseg"
ROOT = Path(__file__).resolve().parent.parent
_NO_ROOMS = {"", "__main__"}


@dataclass(frozen=True)
class House:
    """What is measured of a checkout."""

    files: int
    lines: int
    code_lines: int
    """Lines that are neither blank nor comment nor docstring."""

    arrows: dict[tuple[str, str], int]
    """How many imports go from one room to another."""

    rooms: dict[str, int]
    """Lines of each room."""

    window_rooms: dict[str, int]
    """Lines of each room of the window."""

    window_arrows: dict[tuple[str, str], int]
    circles: int
    """Files of the package that import each other in a circle."""

    largest_class: tuple[str, int]
    largest_file: tuple[str, int]
    dependencies: int
    """Required packages, not those that they require."""


def modules_of(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(name: str, file: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Modules of the package that one imports, inside functions and for type checking too."""
    here = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            if origin in modules:
                for alias in node.names:
                    inner = f"{origin}.{alias.name}"
                    yield inner if inner in modules else origin


def measure(checkout: Path) -> House:
    """Figures of a checkout, from its files alone."""
    package = checkout / PACKAGE
    modules = modules_of(package)
    sizes = {name: len(file.read_text("utf-8").splitlines()) for name, file in modules.items()}
    graph = {
        name: {one for one in imports_of(name, file, modules) if one != name}
        for name, file in modules.items()
    }
    rooms: dict[str, int] = defaultdict(int)
    window_rooms: dict[str, int] = defaultdict(int)
    for name, size in sizes.items():
        rooms[_room(name, 1)] += size
        if _room(name, 1) == "widgets":
            window_rooms[_room(name, 2)] += size
    arrows: dict[tuple[str, str], int] = defaultdict(int)
    window_arrows: dict[tuple[str, str], int] = defaultdict(int)
    for name, targets in graph.items():
        for target in targets:
            arrows[_room(name, 1), _room(target, 1)] += 1
            if _room(name, 1) == _room(target, 1) == "widgets":
                window_arrows[_room(name, 2), _room(target, 2)] += 1
    classes = [
        (
            f"{name.removeprefix(PACKAGE + '.')}.{node.name}",
            (node.end_lineno or 0) - node.lineno + 1,
        )
        for name, file in modules.items()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    files = [(_short(name), size) for name, size in sizes.items()]
    return House(
        files=len(modules),
        lines=sum(sizes.values()),
        code_lines=sum(_code_lines(file) for file in modules.values()),
        arrows=_between(arrows),
        rooms=_named(rooms),
        window_rooms=_named(window_rooms),
        window_arrows=_between(window_arrows),
        circles=sum(len(circle) for circle in _circles(graph)),
        largest_class=max(classes, key=lambda one: one[1]),
        largest_file=max(files, key=lambda one: one[1]),
        dependencies=len(project["project"]["dependencies"]),
    )


def floors(rooms: dict[str, int], arrows: dict[tuple[str, str], int]) -> dict[str, int]:
    """Floor of each room, 0 at the bottom: the longest way down from it."""
    below: dict[str, set[str]] = {room: set() for room in rooms}
    for above, under in arrows:
        below[above].add(under)
    found: dict[str, int] = {}

    def floor(room: str, way: tuple[str, ...] = ()) -> int:
        if room in way:  # a circle has no floor of its own
            return 0
        if room not in found:
            found[room] = max((floor(one, (*way, room)) + 1 for one in below[room]), default=0)
        return found[room]

    return {room: floor(room) for room in rooms}


def draw(house: House, path: Path) -> None:
    """Write the rooms of the package, and beside them those of the window, as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 7.5), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    title = "The package: an arrow points at what is imported; light: there is a longer way too"
    _draw(left, house.rooms, house.arrows, title)
    _draw(right, house.window_rooms, house.window_arrows, "Inside widgets")
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def _draw(axes, rooms: dict[str, int], arrows: dict[tuple[str, str], int], title: str) -> None:
    level = floors(rooms, arrows)
    rows: dict[int, list[str]] = defaultdict(list)
    for room in sorted(rooms, key=lambda one: (level[one], one)):
        rows[level[room]].append(room)
    where = {}
    for height, row in rows.items():
        for place, room in enumerate(row):
            # Neighboring floors are shifted, so that arrows do not run through rooms.
            shift = 0.1 * (1 if height % 2 else -1)
            where[room] = ((place + 1) / (len(row) + 1) + shift, height)
    for above, under in sorted(arrows, key=lambda pair: _is_implied(pair, arrows), reverse=True):
        style = {"arrowstyle": "-|>", "shrinkA": 17, "shrinkB": 17}
        if _is_implied((above, under), arrows):
            style |= {"color": "0.85", "lw": 0.7, "connectionstyle": "arc3,rad=0.12"}
        else:
            style |= {"color": "0.25", "lw": 1.3}
        axes.annotate("", xy=where[under], xytext=where[above], arrowprops=style)
    box = {"boxstyle": "round,pad=0.45", "facecolor": "#E8F1F8", "edgecolor": "#0072B2"}
    for room, (x, y) in where.items():
        axes.text(x, y, f"{room}\n{rooms[room]:,}", ha="center", va="center", fontsize=10, bbox=box)
    axes.set(xlim=(-0.12, 1.12), ylim=(-0.6, max(rows) + 0.6))
    axes.set_title(title, fontsize=11, loc="left")
    axes.axis("off")


def _is_implied(pair: tuple[str, str], arrows: dict[tuple[str, str], int]) -> bool:
    """Whether another way leads from the one room to the other."""
    above, under = pair
    todo, seen = [one for start, one in arrows if start == above and one != under], set()
    while todo:
        room = todo.pop()
        if room == under:
            return True
        if room not in seen:
            seen.add(room)
            todo += [one for start, one in arrows if start == room]
    return False


def _code_lines(file: Path) -> int:
    text = file.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented)
        for part in node.body
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        for line in range(part.lineno, (part.end_lineno or 0) + 1)
    }
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (*layout, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - docstrings)


def _short(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")


def _room(name: str, depth: int) -> str:
    """The room of a module: the part of its name at a depth; "" for the package itself."""
    parts = name.split(".")
    return parts[depth] if len(parts) > depth else ""


def _named(rooms: dict[str, int]) -> dict[str, int]:
    return {room: size for room, size in rooms.items() if room not in _NO_ROOMS}


def _between(arrows: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {
        pair: n
        for pair, n in arrows.items()
        if pair[0] != pair[1] and not {"", "__main__"} & {*pair}
    }


def _circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo += graph.get(one, ())
        reach[start] = seen
    circles: list[set[str]] = []
    for name in graph:
        if name in reach[name] and not any(name in circle for circle in circles):
            circles.append({one for one in reach[name] if name in reach[one]})
    return circles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--draw", type=Path)
    asked = parser.parse_args()
    houses = [measure(checkout) for checkout in asked.checkouts]
    rows = {
        "files": [house.files for house in houses],
        "lines": [f"{house.lines:,}" for house in houses],
        "lines of code": [f"{house.code_lines:,}" for house in houses],
        "rooms": [len(house.rooms) for house in houses],
        "floors": [max(floors(house.rooms, house.arrows).values()) + 1 for house in houses],
        "arrows between rooms": [len(house.arrows) for house in houses],
        "rooms of the window": [len(house.window_rooms) for house in houses],
        "arrows between them": [len(house.window_arrows) for house in houses],
        "files in import circles": [house.circles for house in houses],
        "largest class": ["{}, {} lines".format(*house.largest_class) for house in houses],
        "largest file": ["{}, {} lines".format(*house.largest_file) for house in houses],
        "required packages": [house.dependencies for house in houses],
    }
    for name, values in rows.items():
        sys.stdout.write(f"| {name} | " + " | ".join(str(value) for value in values) + " |\n")
    if asked.draw is not None:
        draw(houses[-1], asked.draw)


if __name__ == "__main__":
    main()
