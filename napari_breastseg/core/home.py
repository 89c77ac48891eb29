"""The folder where registry and settings live, and the one of the sample exam."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from .errors import InputError

__all__ = [
    "SAMPLE",
    "default_dataset_folder",
    "home_folder",
    "new_training_folder",
    "sample_folder",
]

SAMPLE = "SAMPLE_001"
"""Case id of the sample exam."""


def home_folder() -> Path:
    """Where registry and settings live.

    Returns
    -------
    Path
        ``BREASTSEG_HOME`` where it is set; else the platform's folder for application data:
        ``$XDG_DATA_HOME`` or ``~/.local/share`` on Linux, ``~/Library/Application Support`` on
        macOS, ``%LOCALAPPDATA%`` on Windows, and in it ``napari-breastseg``.
    """
    if chosen := os.environ.get("BREASTSEG_HOME"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME", ""))
        # The XDG specification has relative paths ignored.
        base = data if data.is_absolute() else Path.home() / ".local" / "share"
    return base / "napari-breastseg"


def default_dataset_folder() -> Path:
    """Where accepted cases go when nobody chose a dataset folder; it need not exist yet.

    Returns
    -------
    Path
        "Breast MRI dataset" in ``BREASTSEG_HOME`` where that is set, else in the user's documents.
    """
    chosen = os.environ.get("BREASTSEG_HOME")
    base = home_folder() if chosen else Path.home() / "Documents"
    return base / "Breast MRI dataset"


def new_training_folder(name: str) -> Path:
    """Folder for a training's output that does not exist yet.

    Parameters
    ----------
    name : str
        What it learns from or is to be called; made fit for a file's name.

    Returns
    -------
    Path
        In ``trainings`` of `home_folder`, numbered when the name is taken.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:60] or "model"
    folder = home_folder() / "trainings"
    output, number = folder / stem, 2
    while output.exists():
        output, number = folder / f"{stem}-{number}", number + 1
    return output


def sample_folder() -> Path:
    """Folder of the sample exam: in the package, or beside it in an editable install.

    Raises
    ------
    InputError
        If the package is not whole.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sample_data", package.parent / "sample_data"):
        if folder.is_dir():
            return folder
    raise InputError(
        "Expected the sample exam that comes with the package",
        f"found no sample_data in {package}",
        "Reinstall napari-breastseg",
    )
