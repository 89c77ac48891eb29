"""The enhancement maps that tools use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.volume import Exam
from .. import dce
from .regions import Box

__all__ = ["growth_map", "percent_map"]


def growth_map(exam: Exam) -> NDArray[Any] | dce.LazyMap:
    """First post-contrast phase minus pre; without pre, the phase that masks are drawn on."""
    post = exam.phases[dce.fixed_role(exam)].data
    if not _has_pre(exam):
        return post
    pre = exam.phases["pre"].data
    return dce.LazyMap(exam.grid.shape, lambda box: dce.subtraction(pre[box], post[box]))


def percent_map(exam: Exam) -> dce.LazyMap:
    """Enhancement in % of the signal before contrast.

    Without a pre-contrast phase: brightness in % of the exam's intensity window, which runs from
    its darkest to its brightest half percent.
    """
    post = exam.phases[dce.fixed_role(exam)].data
    if _has_pre(exam):
        return dce.enhancement_maps(exam)[dce.fixed_role(exam).replace("post", "PE")]
    step = max(1, round((post.size / 1e6) ** (1 / 3)))
    low, high = np.percentile(np.asarray(post[::step, ::step, ::step], np.float32), (0.5, 99.5))
    scale = np.float32(100 / max(high - low, 1e-6))

    def brightness(box: Box) -> NDArray[np.float32]:
        percent: NDArray[np.float32] = (np.asarray(post[box], np.float32) - low) * scale
        return percent

    return dce.LazyMap(exam.grid.shape, brightness)


def _has_pre(exam: Exam) -> bool:
    return "pre" in exam.phases and bool(dce.post_roles(exam))
