"""The measurements of a case's lesions, as table rows and to and from JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..imaging.breast_region import Side
from .kinetics import Kinetics
from .location import Quadrant

__all__ = ["INDEX", "TOTAL", "Lesion", "LesionReport", "Side"]

INDEX, TOTAL = "index", "total"


@dataclass(frozen=True)
class Lesion:
    """One lesion, or all together (id "total", without what only a single lesion has).

    The names of measures end in their unit: `_ml`, `_mm`, `_mm2` if the spacing is known, else
    `_px` and `_px2`; the others are None.
    """

    __pydantic_config__: ClassVar = {"allow_inf_nan": False}

    id: str
    """"index" for the lesion that was largest in the first measurement, then "satellite 1", ...; in
    the other breast "left 2" or "right 2", as the side is: satellites lie in the index lesion's."""

    volume_px: int
    """Voxels."""

    volume_ml: float | None = None
    """None in a single slice, as the lesion's extent across it is not known."""

    area_mm2: float | None = None
    """Only in a single slice."""

    functional_px: int | None = None
    """Voxels whose early enhancement reaches the threshold."""

    functional_ml: float | None = None
    """Functional tumor volume."""

    diameter_mm: float | None = None
    """Longest diameter within a slice."""

    diameter_px: float | None = None
    perpendicular_mm: float | None = None
    """Longest line at a right angle to it, in the same slice."""

    perpendicular_px: float | None = None
    diameter_3d_mm: float | None = None
    """Longest diameter in any direction; None in a single slice."""

    diameter_3d_px: float | None = None
    surface_mm2: float | None = None
    surface_px2: float | None = None
    sphericity: float | None = None
    """1 for a ball, less for other shapes; None in a single slice."""

    side: Side | None = None
    """The patient's side; None if not known, or if the total lies in both."""

    center_mm: tuple[float, float, float] | None = None
    """Center of mass in RAS mm; None if the position is not known."""

    center_voxel: tuple[float, float, float] | None = None
    """The same in the array's own voxels (z, y, x)."""

    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None
    """First voxel and one past the last along z, y, x."""

    diameter_z: int | None = None
    """The slice of the longest diameter."""

    diameter_ends: tuple[tuple[float, float], tuple[float, float]] | None = None
    """Both ends of the longest diameter in that slice, (y, x) in voxels."""

    outside_share: float | None = None
    """Share of the voxels outside the breast region; None if no trusted region was given."""

    quadrant: Quadrant | None = None
    """None where the breast region is not trusted, and outside the breasts."""

    clock: int | None = None
    """Hour at which the examiner sees it, 1 to 12; None as `quadrant`, or if that is central."""

    nipple_mm: float | None = None
    """Distance of its center from the nipple, mm; None where the region is not trusted."""

    finding: int | None = None
    """Number of the model's finding that it is, from 1; None if a reader drew it, or if the
    findings are not known."""

    score: float | None = None
    """Probability that this finding is a lesion, 0 to 1."""

    kinetics: Kinetics = field(default_factory=Kinetics)


@dataclass(frozen=True, eq=False)
class LesionReport:
    """All lesions of a case."""

    case_id: str
    lesions: tuple[Lesion, ...]
    """Where a model's findings are known, those first, the most likely lesion first; then the
    index lesion, and the others by number."""

    total: Lesion
    """All tumor together, marks too small for the list included: volumes and curve of all voxels,
    the longest diameter."""

    pe_threshold_percent: float
    spacing_mm: tuple[float, float, float] | None
    notes: tuple[str, ...] = ()
    """Remarks on the whole case, such as lesions outside the breast."""

    breasts: tuple[Side, ...] = ()
    """Breasts that are seen; none where they could not be outlined."""

    labels: NDArray[np.integer[Any]] | None = None
    """Shape (Z, Y, X): 0, or 1 + index in `lesions`; None for a report read from a file."""

    @classmethod
    def remembered(cls, case_id: str, lesions: Sequence[Lesion]) -> LesionReport:
        """A report with only ids and positions, so that a later measurement keeps the ids.

        Parameters
        ----------
        lesions : sequence of Lesion
            With `center_voxel` and `box`.
        """
        total = Lesion("total", sum(one.volume_px for one in lesions))
        return cls(case_id, tuple(lesions), total, pe_threshold_percent=0.0, spacing_mm=None)

    @property
    def nothing_found(self) -> tuple[str, ...]:
        """A sentence for each breast without a lesion; one in all if no breast is known."""
        if not self.breasts:
            return () if self.lesions else ("Nothing found.",)
        found = {lesion.side for lesion in self.lesions}
        return tuple(
            f"Nothing found in the {side} breast." for side in self.breasts if side not in found
        )

    def lesion(self, lesion_id: str) -> Lesion:
        """The lesion of an id.

        Raises
        ------
        InputError
            If there is none, naming those there are.
        """
        for lesion in self.lesions:
            if lesion.id == lesion_id:
                return lesion
        names = ", ".join(lesion.id for lesion in self.lesions) or "none"
        raise InputError(
            f"Expected a lesion of case {self.case_id}: {names}",
            f"found '{lesion_id}'",
            "Choose one of these",
        )

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per lesion and one for the total, all with the same columns."""
        roles = dict.fromkeys(
            role for one in (*self.lesions, self.total) for role in one.kinetics.curve_percent
        )
        return [self._row(lesion, tuple(roles)) for lesion in (*self.lesions, self.total)]

    def _row(self, lesion: Lesion, roles: tuple[str, ...]) -> dict[str, Any]:
        kinetics = lesion.kinetics
        row: dict[str, Any] = {"case_id": self.case_id, "lesion": lesion.id}
        for name in _FLAT:
            row[name] = _rounded(getattr(lesion, name))
        center = lesion.center_mm or (None, None, None)
        row |= {f"center_{axis}_mm": _rounded(c) for axis, c in zip("xyz", center, strict=True)}
        row["pe_threshold_percent"] = self.pe_threshold_percent
        for name in _FLAT_KINETICS:
            row[name] = _rounded(getattr(kinetics, name))
        for kind in ("I", "II", "III"):
            row[f"type_{kind}_share"] = _rounded(kinetics.type_shares.get(kind))
        row["time_zero"] = kinetics.time_zero
        for role in roles:
            row[f"pe_{role}_percent"] = _rounded(kinetics.curve_percent.get(role))
            row[f"time_{role}_s"] = _rounded(kinetics.times_s.get(role))
        row |= {name: _rounded(getattr(lesion, name)) for name in _FLAT_LOCATION}
        row["notes"] = "; ".join(dict.fromkeys((*self.notes, *kinetics.notes)))
        return row

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; `from_json` reads them again."""
        return {
            "case_id": self.case_id,
            "spacing_mm": None if self.spacing_mm is None else list(self.spacing_mm),
            "pe_threshold_percent": self.pe_threshold_percent,
            "lesions": [asdict(lesion) for lesion in self.lesions],
            "total": asdict(self.total),
            "notes": list(self.notes),
            "breasts": list(self.breasts),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LesionReport:
        """Report from what `to_json` gave.

        Raises
        ------
        InputError
            If it is not a lesion report.
        """
        from pydantic import FiniteFloat, TypeAdapter, ValidationError

        lesion = TypeAdapter(Lesion)
        strings = TypeAdapter(tuple[str, ...])
        spacing = TypeAdapter(tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None)
        try:
            return cls(
                case_id=str(value["case_id"]),
                lesions=tuple(lesion.validate_python(one) for one in value["lesions"]),
                total=lesion.validate_python(value["total"]),
                pe_threshold_percent=TypeAdapter(FiniteFloat).validate_python(
                    value["pe_threshold_percent"]
                ),
                spacing_mm=spacing.validate_python(value["spacing_mm"]),
                notes=strings.validate_python(value["notes"]),
                breasts=TypeAdapter(tuple[Side, ...]).validate_python(value.get("breasts", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            place = str(error)
            if isinstance(error, ValidationError):
                place = ".".join(str(step) for step in error.errors()[0]["loc"])
            raise InputError(
                "Expected a lesion report as 'napari-breastseg report --output FILE.json' "
                "writes it",
                f"found a missing or wrong value {place or 'in its place'}",
                "Write the report again",
            ) from None


_FLAT = (
    "side", "volume_ml", "volume_px", "area_mm2", "functional_ml", "functional_px",
    "diameter_mm", "diameter_px", "perpendicular_mm", "perpendicular_px",
    "diameter_3d_mm", "diameter_3d_px", "surface_mm2", "surface_px2", "sphericity",
    "outside_share",
)  # fmt: skip
_FLAT_KINETICS = (
    "peak_percent", "initial_slope_percent_per_min", "ser", "late_change", "curve_type",
)  # fmt: skip

_FLAT_LOCATION = ("quadrant", "clock", "nipple_mm", "score")


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
