"""The draft of the current exam: the model's untouched mask. No Qt, no napari, no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.region import Region
from ...core.volume import LabelMap
from ...predict.thresholding import ProbabilitySteps

__all__ = ["Draft"]


@dataclass(frozen=True, eq=False)
class Draft:
    """A model's untouched prediction of a case, kept for comparison."""

    case_id: str
    label_map: LabelMap
    model: str
    """Name and weights hash of the model that made it."""

    probability: ProbabilitySteps | None = None
    """What it was cut from, where this window made it; of the last region only."""

    def updated(self, region: Region, newer: Draft) -> Draft:
        """The same draft with the voxels of `region` replaced by those of a newer one."""
        data = self.label_map.data.copy()
        data[region] = newer.label_map.data[region]
        label_map = LabelMap(data, self.label_map.grid)
        return Draft(self.case_id, label_map, newer.model, newer.probability)
