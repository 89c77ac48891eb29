"""The tests in other environments: the oldest and the newest libraries allowed, PyQt6, Pythons.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/platforms.py [ENVIRONMENT ...]

Makes each environment with uv (`pip install uv`) in a folder of its own, runs there the tests of
the rooms and some of the window, and writes results/platforms.md; one not named keeps the
row it has. torch is the one of constraints.txt in all of them: other wheels on PyPI bring gigabytes
of CUDA with them; name the wheel (`--torch torch==2.13.0+cpu`) where both kinds are found. For
Pythons it has no small wheel for (`--torch-for 3.11`), the rooms that need none are tested.
Some 10 minutes an environment on a quiet machine, and 2 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _common import RESULTS, machine, today

ROOT = Path(__file__).resolve().parent.parent
KEPT = RESULTS / "platforms.json"
SHOWN = ("napari", "torch", "monai", "pydicom", "numpy", "PyQt5", "PyQt6")
NO_TORCH = ("core", "formats", "imaging", "phantom", "lesions", "dataset")
WITH_TORCH = (*NO_TORCH, "model", "predict", "registry", "scoring", "clicks", "widgets")
WINDOW = ("test_loop.py", "test_dicom_loop.py", "test_jobs.py", "test_tools.py", "test_window.py")
TOOLS = ("pytest>=8.3", "pytest-qt>=4.4", "hypothesis>=6.115", "tensorboard>=2.18")


@dataclass(frozen=True)
class Environment:
    """What one environment is made of."""

    python: str
    resolution: str
    """"lowest-direct": the oldest that pyproject.toml allows; "highest": the newest; "pinned"."""

    binding: str
    """PyQt5 or PyQt6."""


ENVIRONMENTS = {
    "oldest": Environment("3.11", "lowest-direct", "PyQt5"),
    "newest": Environment("3.11", "highest", "PyQt5"),
    "newest-pyqt6": Environment("3.11", "highest", "PyQt6"),
    "python-3.12": Environment("3.12", "highest", "PyQt5"),
    "python-3.13": Environment("3.13", "highest", "PyQt6"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT", default=[*ENVIRONMENTS])
    parser.add_argument("--folder", type=Path, default=Path("benchmark-work/platforms"))
    parser.add_argument("--torch-for", default="3.11", help="Pythons with a small torch wheel")
    parser.add_argument("--torch", help="such as torch==2.13.0+cpu [that of constraints.txt]")
    parser.add_argument("--only", nargs="+", help="tests to run instead, such as tests/core")
    args = parser.parse_args()
    if shutil.which("uv") is None:
        sys.exit("Expected uv to make environments with; found none. Run 'pip install uv'.")
    rows: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    for name in args.environments:
        has_torch = ENVIRONMENTS[name].python in args.torch_for.split(",")
        rows[name] = tried(name, args.folder.resolve() / name, has_torch, args.only, args.torch)
        print(name, rows[name], flush=True)
        KEPT.write_text(json.dumps(rows, indent=2) + "\n")
        (RESULTS / "platforms.md").write_text(table(rows))
    print(table(rows))
    return 1 if any(rows[name]["result"] != "passed" for name in args.environments) else 0


def tried(
    name: str, folder: Path, has_torch: bool, only: list[str] | None, torch: str | None
) -> dict[str, Any]:
    """Make an environment and run the tests in it."""
    environment = ENVIRONMENTS[name]
    row: dict[str, Any] = {"date": today(), "python": environment.python, "versions": {}}
    row |= {"result": "not run", "tests": "", "minutes": 0.0, "said": ""}
    python = python_of(environment.python)
    if python is None:
        return row | {"said": f"no Python {environment.python} on this machine"}
    began = time.perf_counter()
    made = make(folder, python, environment, has_torch, torch)
    if made:
        return row | {"result": "could not be made", "said": made}
    own = str(folder / "bin" / "python")
    row["versions"] = versions(own)
    tests = only or [f"tests/{room}" for room in (WITH_TORCH if has_torch else NO_TORCH)]
    if has_torch and not only:
        tests += [f"tests/gui/{file}" for file in WINDOW]
    environ = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "QT_API": environment.binding.lower(),
        "PYTEST_QT_API": environment.binding.lower(),
    }
    # Newer and older libraries warn of other things; what is asked here is whether it works.
    command = [
        own,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow",
        "-W",
        "default",
    ]
    command.append("--continue-on-collection-errors")
    done = subprocess.run([*command, *tests], cwd=ROOT, env=environ, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    failed = [line.split(" ")[1] for line in lines if line.startswith(("FAILED", "ERROR"))]
    row["tests"] = re.sub(r" in [\d.:]+.*", "", lines[-1].strip("= ")) if lines else ""
    row["said"] = ", ".join(failed[:12]) if lines else done.stderr.strip()[-300:]
    row["result"] = "passed" if done.returncode == 0 else "failed"
    row["minutes"] = round((time.perf_counter() - began) / 60, 1)
    (folder / "tests.log").write_text(done.stdout + done.stderr)
    return row


def python_of(version: str) -> str | None:
    """A Python of this version that runs: pyenv's, whose shims may not, or the system's."""
    places = [*sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)]
    places += [Path(found)] if (found := shutil.which(f"python{version}")) else []
    for place in places:
        if subprocess.run([place, "-c", "import ssl"], capture_output=True).returncode == 0:
            return str(place)
    return None


def make(
    folder: Path, python: str, environment: Environment, has_torch: bool, torch: str | None
) -> str:
    """Make an environment; why it could not be made, or nothing."""
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line]
    torch = torch or next(line for line in pins if line.startswith("torch=="))
    folder.parent.mkdir(parents=True, exist_ok=True)
    override = folder.with_suffix(".overrides.txt")
    override.write_text(f"{torch}\n" if has_torch else "torch; python_version < '3'\n")
    needed = ["--editable", f".[{environment.binding.lower()}]", *TOOLS]
    commands = [
        ["uv", "venv", "--clear", "--python", python, str(folder)],
        ["uv", "pip", "install", "--python", str(folder / "bin" / "python")],
    ]
    commands[1] += ["--resolution", environment.resolution, "--override", str(override)]
    for command in (commands[0], [*commands[1], *needed]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            return " ".join(done.stderr.split())[-400:]
    return ""


def versions(python: str) -> dict[str, str]:
    """Versions of the libraries that matter most."""
    code = (
        "import importlib.metadata as m, json\n"
        "found = {}\n"
        f"for name in {SHOWN!r}:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def table(rows: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        "# Other environments",
        "",
        f"{machine()}. Made by `python benchmarks/platforms.py`, which says what is run.",
        "",
        f"| environment | Python | {' | '.join(SHOWN)} | result | tests | minutes | what failed |",
        "|---" * (len(SHOWN) + 6) + "|",
    ]
    for name, row in rows.items():
        shown = " | ".join(row["versions"].get(one, "") for one in SHOWN)
        lines.append(
            f"| {name} | {row['python']} | {shown} | {row['result']} ({row['date']}) | "
            f"{row['tests']} | {row['minutes']} | {row['said']} |"
        )
    untried = [name for name in ENVIRONMENTS if name not in rows]
    lines += ["", f"Not tried: {', '.join(untried)}." if untried else "All were tried."]
    lines += ["", "Not tried anywhere: torch older or newer than that of constraints.txt.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
