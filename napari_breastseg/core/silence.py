"""Libraries that read files kept silent: what they warn and log may quote a header.

Imports nothing of this package.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["silent"]

_NEVER = logging.CRITICAL + 1
_lock = threading.Lock()
_inside: dict[str, tuple[int, int]] = {}
"""Package to the threads that keep it silent, and the level of its logger before."""


@contextmanager
def silent(*packages: str) -> Iterator[None]:
    """Keep packages from logging, and any module from warning.

    Parameters
    ----------
    *packages : str
        Names of packages, already imported: some set the level of their logger as they are.
    """
    # By the level of the package's logger, which those of its modules go by, made yet or not.
    for package in packages:
        _enter(package)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for package in packages:
            _leave(package)


def _enter(package: str) -> None:
    logger = logging.getLogger(package)
    with _lock:
        count, level = _inside.get(package, (0, logger.level))
        _inside[package] = (count + 1, level)
        logger.setLevel(_NEVER)


def _leave(package: str) -> None:
    with _lock:
        count, level = _inside.pop(package)
        if count > 1:
            _inside[package] = (count - 1, level)
        else:
            logging.getLogger(package).setLevel(level)
