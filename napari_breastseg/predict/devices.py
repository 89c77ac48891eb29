"""Where a network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["choose_device", "is_out_of_memory"]


def choose_device(name: str = "auto") -> torch.device:
    """Device of a name: auto, cpu, cuda or mps.

    Raises
    ------
    InputError
        If the device asked for is not there.
    """
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if not available.get(name.partition(":")[0], False):
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise InputError(
            f"Expected the device '{name}'",
            f"found {there} on this machine",
            "Use --device auto, or see what 'doctor' says about the GPU",
        )
    return torch.device(name)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device ran out of memory; only NVIDIA's error has a class of its own."""
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text
