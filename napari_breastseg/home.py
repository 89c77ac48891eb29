"""The folder where registry and settings live. Imports nothing of this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["home_folder"]


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
