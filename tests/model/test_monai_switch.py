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
import torch
from napari_breastseg.training.loss import segmentation_loss

segmentation_loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4).long())
first.join()
"""


def test_a_loss_is_computed_while_another_thread_imports_monai() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
