"""`doctor`: what works on this machine, and how to fix what does not."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

import typer

from ..core.atomic import atomic_path
from ..core.errors import InputError, printable
from ..core.home import home_folder
from ._choices import model_folder
from ._console import AsJson, print_json, print_table

__all__ = ["doctor", "screen_problem"]

# What napari draws with: a context of Qt that PyOpenGL sees as well.
_PROBE = """
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication

app = QApplication([])
print("screen")
context, surface = QOpenGLContext(), QOffscreenSurface()
surface.create()
if context.create() and context.makeCurrent(surface):
    print("context")
    from OpenGL.platform import GetCurrentContext

    if GetCurrentContext():
        print("seen")
"""
_SHOWN = ("napari", "torch", "monai", "numpy", "nibabel")
_LOADED = ("numpy", "scipy", "torch", "safetensors", "pydicom", "nibabel", "pydantic")
_NO_OPENGL = "there is no OpenGL"
_UNSEEN = "OpenGL works through EGL, where napari expects GLX"


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    what: str
    state: Literal["ok", "note", "problem"]
    found: str
    mend: str = ""


def screen_problem() -> str | None:
    """Why no window can be opened here, None when one can.

    Qt aborts the whole process when a screen or one of its libraries is missing, and napari does
    where it cannot draw, so another process tries it.
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
    said = probe.stdout.split()
    if "seen" in said:
        return None
    if "context" in said and probe.returncode == 0:
        return _UNSEEN
    if "screen" in said:
        return _NO_OPENGL
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
    """The libraries that matter most, and others where they are missing, too old or broken."""
    checks, wanted = [], _wanted()
    for package in dict.fromkeys(("napari-breastseg", *_SHOWN, *wanted)):
        try:
            found = version(package)
        except PackageNotFoundError:
            checks.append(Check(package, "problem", "not installed", f"pip install {package}"))
            continue
        allowed = wanted.get(package, "")
        if allowed and not _is_allowed(found, allowed):
            mend = f"pip install '{package}{allowed}'"
            checks.append(Check(package, "problem", f"{found}, not {allowed}", mend))
        elif (why := _why_broken(package)) is not None:
            mend = f"pip install --force-reinstall {package}"
            checks.append(Check(package, "problem", f"{found}, but {why}", mend))
        elif package in ("napari-breastseg", *_SHOWN):
            checks.append(Check(package, "ok", found))
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


def _wanted() -> dict[str, str]:
    """What the package needs, and which versions, such as ">=2.0"; no extras."""
    try:
        lines = requires("napari-breastseg") or []
    except PackageNotFoundError:
        return {}
    matches = (re.match(r"([A-Za-z0-9._-]+)\s*(.*)", line) for line in lines if ";" not in line)
    return {match[1]: match[2].strip(" ()") for match in matches if match}


def _is_allowed(found: str, allowed: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # it comes with napari
        return True
    return SpecifierSet(allowed).contains(found, prereleases=True)


def _why_broken(package: str) -> str | None:
    """Why a package cannot be loaded, None when it can; only those that are loaded soon anyway."""
    if package not in _LOADED:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(package)
    # A broken library may raise anything as it is loaded.
    except Exception as error:
        return f"it cannot be loaded ({printable(str(error) or type(error).__name__)[:200]})"
    return None


def _devices() -> Check:
    try:
        import torch
    except Exception:  # said of torch itself
        return Check("device", "problem", "torch cannot be loaded", "mend torch first")
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
        return Check("window", "ok", "Qt and OpenGL can open one")
    if problem == _UNSEEN:
        how = "set the environment variable PYOPENGL_PLATFORM=egl before you start napari"
    elif problem == _NO_OPENGL:
        how = (
            "install a driver of the graphics card, or Mesa, which draws without one "
            "(on Debian and Ubuntu: apt install libgl1-mesa-dri)"
        )
    elif os.environ.get("DISPLAY"):
        how = "see README, Installation, for the system libraries Qt needs"
    else:
        how = "start it from a desktop, or under a virtual screen: xvfb-run -a napari"
    return Check("window", "note", problem, f"everything else works without a window; {how}")


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
    except Exception as error:  # a library is missing or broken
        found = f"cannot be loaded ({type(error).__name__})"
        return Check("model", "problem", found, "mend the libraries named above first")
    return Check("model", "ok", f"{info.name}, takes {', '.join(info.spec.inputs)}")
