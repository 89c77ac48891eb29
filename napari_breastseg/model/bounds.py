"""How large a network may be: known from its description, before anything is allocated.

A description comes from a file, and a file may say anything. Imports torch when a network of
another library is measured; no Qt, no I/O.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "MOST_ACTIVATIONS",
    "MOST_MODULES",
    "MOST_VOXELS",
    "MOST_WEIGHTS",
    "require_affordable",
    "require_plain",
    "unet_weights",
]

MOST_WEIGHTS = 300_000_000
"""Weights of one network; 1.2 GB. nnU-Net's largest published plans have about 100 million."""

MOST_MODULES = 5_000
"""Layers and groups of layers of one network."""

MOST_ACTIVATIONS = 2**30
"""Values of the first level for one tile; 4 GB."""

MOST_VOXELS = 2**25
"""Voxels of a tile of another library's network."""

_MOST_VALUES, _MOST_DEPTH = 20_000, 12


def unet_weights(dims: int, in_channels: int, features: tuple[int, ...]) -> int:
    """About how many weights this package's own U-Net has.

    Examples
    --------
    >>> unet_weights(2, 1, (4, 8))
    1604
    """
    kernel, up = int(3**dims), int(2**dims)
    total = kernel * features[0] * (in_channels + features[0])
    for finer, coarser in pairwise(features):
        total += kernel * coarser * (finer + coarser)
        total += up * coarser * finer + kernel * 3 * finer * finer
    return total


def require_plain(value: Any, largest: float = 1e6) -> None:
    """Raise ValueError where a value of a description is too long, too deep, or no number."""
    left = _MOST_VALUES
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        left -= 1
        if left < 0:
            raise ValueError(f"at most {_MOST_VALUES} values are allowed")
        if depth > _MOST_DEPTH:
            raise ValueError(f"at most {_MOST_DEPTH} levels of nesting are allowed")
        if isinstance(one, dict):
            waiting += [(inner, depth + 1) for inner in one.values()]
        elif isinstance(one, list | tuple):
            waiting += [(inner, depth + 1) for inner in one]
        elif isinstance(one, int | float) and not abs(one) <= largest:
            raise ValueError(f"numbers must lie between -{largest:.0f} and {largest:.0f}")


def require_affordable(build: Callable[[], nn.Module], title: str) -> None:
    """Raise InputError where a network would be too large; its weights are not allocated.

    Parameters
    ----------
    build : callable
        Builds the network with fresh weights. It is run with weights that have a shape only.
    title : str
        The network, for the message.
    """
    with _shapes_only(title):
        build()


@contextmanager
def _shapes_only(title: str) -> Iterator[None]:
    import torch
    from torch.nn.modules import module as modules
    from torch.overrides import TorchFunctionMode

    makers = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)

    class Shapes(TorchFunctionMode):
        """Tensors of weights without memory; others, such as positions, stay real."""

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            if func in makers and kwargs.get("device") is None:
                kwargs["device"] = "meta"
            return func(*args, **kwargs)

    here, n_weights, n_modules = threading.get_ident(), 0, 0

    def refuse(found: str) -> None:
        raise InputError(
            f"Expected a {title} of at most {MOST_WEIGHTS // 1_000_000} million weights in at "
            f"most {MOST_MODULES} layers",
            f"found {found}",
            "Use a smaller network",
        )

    def count_weights(_module: Any, _name: str, parameter: Any) -> None:
        nonlocal n_weights
        if parameter is None or threading.get_ident() != here:
            return
        n_weights += parameter.numel()
        if n_weights > MOST_WEIGHTS:
            refuse("more weights")

    def count_modules(_module: Any, _name: str, _inner: Any) -> None:
        nonlocal n_modules
        if threading.get_ident() != here:
            return
        n_modules += 1
        if n_modules > MOST_MODULES:
            refuse("more layers")

    hooks = [
        modules.register_module_parameter_registration_hook(count_weights),
        modules.register_module_module_registration_hook(count_modules),
    ]
    try:
        with Shapes():
            yield
    finally:
        for hook in hooks:
            hook.remove()
