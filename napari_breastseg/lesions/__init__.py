"""Lesions of a mask: volume, diameters, shape, side, enhancement curve and curve type.

Volumes, diameters and curves are exact for the given mask; what is too small for a lesion counts in
the total. Findings, what a model marks, are ordered by a trained score.
"""

from .change import Change, compare_visits
from .kinetics import (
    CURVE_LIMIT,
    PE_THRESHOLD_PERCENT,
    Kinetics,
    curve_type_name,
    describe_kinetics,
)
from .measures import measure_lesions
from .records import Lesion, LesionReport
from .shape import Extent, Shape, measure_shape

__all__ = [
    "CURVE_LIMIT",
    "PE_THRESHOLD_PERCENT",
    "Change",
    "Extent",
    "Kinetics",
    "Lesion",
    "LesionReport",
    "Shape",
    "compare_visits",
    "curve_type_name",
    "describe_kinetics",
    "measure_lesions",
    "measure_shape",
]
