"""`doctor`: what works on this machine, and how to fix what does not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import typer

from ..core.atomic import atomic_path
from ..core.errors import InputError
from ..core.home import home_folder
from ._choices import model_folder
from ._console import AsJson, print_json, print_table

__all__ = ["doctor", "screen_problem"]

_PROBE = (
    "from qtpy.QtWidgets import QApplication; app = QApplication([]); print(app.platformName())"
)


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    what: str
    state: Literal["ok", "note", "problem"]
    found: str
    mend: str = ""


def screen_problem() -> str | None:
    """Why no window can be opened here, None when one can.

    Qt aborts the whole process when a screen or one of its libraries is missing, so another
    process tries it.
    """
    if (
        sys.platform.startswith("linux")
        and not os.environ.get("DISPLAY")
        and not os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no screen (DISPLAY is not set)"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return "Qt does not answer within a minute"
    if probe.returncode == 0:
        return None
    lines = [line.strip() for line in probe.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"Qt ended with code {probe.returncode}"


def doctor(as_json: AsJson = False) -> None:
    """Check what the program needs and say how to fix what is missing."""
    checks = [_python(), *_packages(), _devices(), _screen(), _home(), _model()]
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        print_table(["", "what", "found"], [[c.state, c.what, c.found] for c in checks])
        for check in checks:
            if check.mend:
                typer.echo(f"{check.what}: {check.mend}")
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(1)


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.platform(terse=True)}"
    return Check("Python", "ok", found)


def _packages() -> list[Check]:
    checks = []
    for package in ("napari-breastseg", "napari", "torch", "monai", "numpy", "nibabel"):
        try:
            checks.append(Check(package, "ok", version(package)))
        except PackageNotFoundError:
            mend = f"pip install {package}"
            checks.append(Check(package, "problem", "not installed", mend))
    bindings = []
    for package in ("PyQt5", "PyQt6"):
        try:
            bindings.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    if bindings:
        checks.append(Check("Qt", "ok", ", ".join(bindings)))
    else:
        mend = "for the window: pip install 'napari-breastseg[pyqt5]'"
        checks.append(Check("Qt", "note", "not installed", mend))
    return checks


def _devices() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("device", "problem", str(error), "reinstall torch")
    if torch.cuda.is_available():
        return Check("device", "ok", f"cuda: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Check("device", "ok", "mps: Apple GPU")
    found = f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    mend = (
        "there is an NVIDIA driver, but this torch cannot use it: install torch for CUDA"
        if shutil.which("nvidia-smi")
        else ""
    )
    return Check("device", "note" if mend else "ok", found, mend)


def _screen() -> Check:
    problem = screen_problem()
    if problem is None:
        return Check("window", "ok", "Qt can open one")
    mend = "everything else works without a window; " + (
        "see README, Installation, for the system libraries Qt needs"
        if os.environ.get("DISPLAY")
        else "start it from a desktop, or under a virtual screen: xvfb-run -a napari"
    )
    return Check("window", "note", problem, mend)


def _home() -> Check:
    folder = home_folder()
    try:
        with atomic_path(folder / ".doctor") as temporary:
            temporary.write_bytes(b"")
        (folder / ".doctor").unlink()
    except InputError as error:
        return Check(
            "settings and models",
            "problem",
            str(error),
            "set BREASTSEG_HOME to a folder you may write to",
        )
    free_gb = shutil.disk_usage(folder).free / 1e9
    found = f"{folder}, {free_gb:.0f} GB free"
    if free_gb < 1:
        return Check("settings and models", "problem", found, "free some disk space")
    return Check("settings and models", "ok", found)


def _model() -> Check:
    try:
        folder = model_folder(None)
        from ..model.checkpoint import load

        info = load(folder).info
    except InputError as error:
        return Check("model", "note", error.found.removeprefix("found "), error.fix)
    return Check("model", "ok", f"{info.name}, takes {', '.join(info.spec.inputs)}")
