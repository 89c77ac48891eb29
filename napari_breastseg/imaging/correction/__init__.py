"""Tools that correct a mask. Each takes arrays and returns an `Edit`: the voxels to change.

Nothing is changed in place, and only the part of an exam that matters is worked on. Distances are
in mm, in pixels where the grid's spacing is unknown.
"""

from .between import copy_slice, edited_slices, gap_around, gaps, interpolate
from .clicking import Growth, drop_lesion, drop_small, keep_lesion, threshold_dab
from .drafts import merge_prediction, revert, spare_findings
from .enhancement import growth_map, percent_map
from .regions import Box, Edit, Scope, nearest_tumor, unit_of
from .shaping import fill_holes, grow, smooth

__all__ = [
    "Box",
    "Edit",
    "Growth",
    "Scope",
    "copy_slice",
    "drop_lesion",
    "drop_small",
    "edited_slices",
    "fill_holes",
    "gap_around",
    "gaps",
    "grow",
    "growth_map",
    "interpolate",
    "keep_lesion",
    "merge_prediction",
    "nearest_tumor",
    "percent_map",
    "revert",
    "smooth",
    "spare_findings",
    "threshold_dab",
    "unit_of",
]
