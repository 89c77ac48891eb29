"""A model tried on a tiny exam, so that one that cannot work is found before it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.progress import drain
from ..core.volume import Exam, Grid, Volume
from ..imaging.preprocessing import LAST, LEAST, input_phases
from ..model import checkpoint as checkpoints
from ..model.checkpoint import OWN_CLICKS, Checkpoint, is_checkpoint
from .prediction import predict

__all__ = ["require_working"]

_SLICES, _SIDE = 3, 32


def require_working(folder: Path) -> None:
    """Raise InputError unless the model in a checkpoint folder can segment.

    It is loaded and run on a tiny made-up exam: the site's network, the general one where there
    are two, and the click network that goes with it.

    Parameters
    ----------
    folder : Path
        A checkpoint.

    Raises
    ------
    InputError
        If it cannot be loaded, fails, or gives what is no probability.
    """
    model = checkpoints.load(folder)
    for one in [model] if model.general is None else [model.at(1.0), model.at(0.0)]:
        _segment(one)
    if is_checkpoint(Path(folder) / OWN_CLICKS):
        _answer(checkpoints.load(Path(folder) / OWN_CLICKS))


def _segment(model: Checkpoint) -> None:
    try:
        made = drain(predict(model, _tiny_exam(model), device="cpu", breasts_only=False))
    except InputError:
        raise
    # A network of another library fails in whatever way it happens to.
    except Exception as error:
        raise _unfit(model, f"it fails ({type(error).__name__})") from error
    if not np.isfinite(made.probability.data).all():
        raise _unfit(model, "it gives what is no number")


def _answer(model: Checkpoint) -> None:
    """Run a click network on noise, once."""
    import torch

    shape = (1, model.spec.in_channels, *model.spec.patch_size)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        if not torch.isfinite(model.network(noise)).all():
            raise _unfit(model, "it gives what is no number")


def _tiny_exam(model: Checkpoint) -> Exam:
    """All phases that the model may ask for, with a bright ball in those after contrast."""
    spec = model.spec
    named = [role for role in input_phases(spec.inputs) if role not in (LAST, LEAST)]
    posts = ["post1", "post2"] if spec.uses_all_posts else []
    spacing = [mm or 1.0 for mm in spec.spacing_mm or (None, 1.0, 1.0)]
    shape = (_SLICES if spec.dims == 2 else _SIDE, _SIDE, _SIDE)
    grid = Grid(shape, np.diag([*spacing, 1.0]))
    z, y, x = np.indices(shape)
    ground = 100.0 + 5.0 * ((3 * x + 5 * y + 7 * z) % 11)
    ball = (x - _SIDE / 2) ** 2 + (y - _SIDE / 2) ** 2 < (_SIDE / 6) ** 2
    phases = {}
    for number, role in enumerate(sorted({*named, *posts}, key=lambda role: role != "pre")):
        bright = 0.0 if role == "pre" else 150.0 + 10.0 * number
        phases[role] = Volume((ground + bright * ball).astype(np.float32), grid)
    return Exam("trial", phases)


def _unfit(model: Checkpoint, found: str) -> InputError:
    return InputError(
        f"Expected {model.info.name} to segment a small test exam",
        f"found that {found}",
        "Use another model, or train it again; nothing was registered",
    )
