"""Fixtures shared by all tests: an anisotropic oblique grid, and the optional test data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of pytest-xdist a screen of its own, where there are virtual ones.

    On a shared one they would move the same mouse pointer through each other's windows.
    """
    server = shutil.which("Xvfb")
    if server is None or "PYTEST_XDIST_WORKER" not in os.environ:
        return
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        [server, "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        os.environ["DISPLAY"] = f":{number.readline().strip()}"

    def end() -> None:
        screen.terminate()
        screen.wait()

    config.add_cleanup(end)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real MRI used by tests; tests that need it skip where it is absent."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("BREASTSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the test data folder (BREASTSEG_TEST_DATA), absent at {folder}")
    return folder


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's own registry and settings."""
    monkeypatch.setenv("BREASTSEG_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def oblique_grid() -> Grid:
    """Anisotropic, rotated about two axes and flipped, so that axis mix-ups cannot hide."""
    a, b = np.deg2rad(20.0), np.deg2rad(-12.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    # Columns in (z, y, x) order: z to the head, y to the back, x to the left.
    columns = about_z @ about_x @ np.array([[0, 0, -0.7], [0, -0.7, 0], [3.0, 0, 0]])
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = (91.5, 42.25, -63.0)
    return Grid((12, 48, 40), affine)


@pytest.fixture
def sphere_exam(oblique_grid: Grid) -> tuple[Exam, LabelMap]:
    """A pre/post pair with one enhancing sphere of 8 mm radius, and its truth."""
    rng = np.random.default_rng(0)
    z, y, x = np.indices(oblique_grid.shape)
    radius = np.sqrt(((z - 6) * 3.0) ** 2 + ((y - 20) * 0.7) ** 2 + ((x - 25) * 0.7) ** 2)
    tumor = radius <= 8.0
    tissue = 200 + 40 * np.sin(x / 5.0) + rng.normal(0, 8, oblique_grid.shape)
    pre = tissue.astype(np.float32)
    post = (tissue * 1.1 + 220 * tumor).astype(np.float32)
    exam = Exam("P001", {"pre": Volume(pre, oblique_grid), "post1": Volume(post, oblique_grid)})
    return exam, LabelMap(tumor.astype(np.uint8), oblique_grid)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: (exit code, stdout, stderr)."""
    from napari_breastseg.cli import main

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["napari-breastseg", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfd.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call
