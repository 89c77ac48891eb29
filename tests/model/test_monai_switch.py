"""MONAI in a process of several threads."""

from __future__ import annotations

import os
import subprocess
import sys

TWO_THREADS = """
import sys, threading, time

def import_all():
    import monai

first = threading.Thread(target=import_all)
first.start()
while "monai.networks" not in sys.modules and first.is_alive():
    time.sleep(0.001)
from napari_breastseg.model import checkpoint

checkpoint.load(checkpoint.STARTER)
first.join()
"""


def test_a_model_is_loaded_while_another_thread_imports_monai() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
