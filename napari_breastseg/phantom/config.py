"""What can be asked of the phantom, and what comes back. Imports `volume` and `errors` only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Literal, get_args

from ..core.errors import InputError
from ..core.volume import Exam, LabelMap

__all__ = [
    "KineticType",
    "LesionKind",
    "LesionSpec",
    "LesionTruth",
    "PhantomConfig",
    "PhantomExam",
    "Side",
    "Tissue",
    "View",
]

LesionKind = Literal["round", "irregular", "spiculated", "rim", "nonmass"]
KineticType = Literal["I", "II", "III"]
Side = Literal["right", "left"]
View = Literal["axial", "sagittal", "coronal"]
PhaseAxis = Literal["head", "front", "left"]

MIN_VOLUME_ML, MAX_VOLUME_ML = 0.1, 80.0
MIN_FIELD_MM = 280.0
MIN_FIELD_OF_ONE_MM = 150.0
"""Holds one breast, or the height of both."""


class Tissue(IntEnum):
    """Values of the anatomy label map; each voxel has the tissue that covers most of it."""

    AIR = 0
    SKIN = 1
    FAT = 2
    GLAND = 3
    VESSEL = 4
    NIPPLE = 5
    MUSCLE = 6
    BONE = 7
    LUNG = 8
    HEART = 9
    GREAT_VESSEL = 10
    ABDOMEN = 11
    LYMPH_NODE = 12
    LESION = 13


@dataclass(frozen=True)
class LesionSpec:
    """A lesion to draw."""

    kind: LesionKind = "irregular"
    """Shape: "round" (an exact ellipsoid), "irregular", "spiculated", "rim" (enhances at its
    border) or "nonmass" (clustered clumps along a duct)."""

    volume_ml: float = 2.0
    """Volume in mL, 0.1 to 80."""

    kinetic_type: KineticType = "III"
    """Curve from the first to the last post-contrast phase: "I" persistent (rises by more than
    10 %), "II" plateau, "III" washout (falls by more than 10 %)."""

    side: Side | None = None
    """The patient's breast it lies in; None draws one."""

    core: float = 0.0
    """Share of a "rim" lesion's radius that is dead: dark and without enhancement, 0 to 0.9; its
    curve is then that of the rest, and the truth holds both. 0 leaves a faint middle."""


@dataclass(frozen=True)
class LesionTruth:
    """What is known of a lesion that was drawn."""

    id: int
    """Its value in `PhantomExam.lesion_labels`, from 1."""

    kind: LesionKind
    """As asked."""

    side: Side
    """The patient's breast it lies in."""

    kinetic_type: KineticType
    """As asked."""

    volume_ml: float
    """Volume of its voxels in the exam, mL."""

    analytic_volume_ml: float | None
    """Exact volume of the ellipsoid, mL; None for the other shapes and where tissue cuts it."""

    center_mm: tuple[float, float, float]
    """Center of mass of its voxels, RAS mm as the exam's affine gives it."""

    longest_diameter_mm: float
    """Largest distance between the centers of two of its voxels, in three dimensions."""

    box: tuple[slice, slice, slice]
    """Bounding box of its voxels (z, y, x)."""

    enhancement: Mapping[str, float]
    """Mean relative enhancement (signal over its pre-contrast signal, minus 1) per phase, free
    of noise, motion and partial volume; without a dead core."""

    is_cut: bool
    """Whether the exam's first or last slice cuts it, as in a thin slab."""


@dataclass(frozen=True, eq=False)
class PhantomExam:
    """A synthetic exam and its truth, all on one grid."""

    exam: Exam
    """The phases, int16."""

    truth: LabelMap
    """0 background, 1 tumor: voxels of which at least half is lesion, where it was in the
    first post-contrast phase."""

    lesions: tuple[LesionTruth, ...]
    """One per lesion that has at least one voxel."""

    lesion_labels: LabelMap
    """0, or the `LesionTruth.id`."""

    anatomy: LabelMap
    """`Tissue` values."""

    breasts: LabelMap
    """0 elsewhere, 1 right breast, 2 left breast: skin to pectoral muscle."""


@dataclass(frozen=True)
class PhantomConfig:
    """Settings of a phantom exam.

    Raises
    ------
    InputError
        Naming every field that is out of range.

    Examples
    --------
    >>> PhantomConfig(shape=(16, 224, 224), spacing_mm=(3.0, 1.5, 1.5)).field_mm
    (48.0, 336.0, 336.0)
    """

    shape: tuple[int, int, int] = (60, 256, 256)
    """Voxels (z, y, x). Few slices make a slab."""

    spacing_mm: tuple[float, float, float] = (2.5, 1.35, 1.35)
    """Voxel spacing (z, y, x); the field of view must hold both breasts, 280 mm or more, or 150
    mm where the view or `breasts` asks for less."""

    view: View = "axial"
    """How the slices lie. "axial": feet to head, breasts up. "sagittal": the patient's right to
    left, head up, breasts to the left. "coronal": front to back, head up."""

    breasts: Literal["both"] | Side = "both"
    """Which breasts the field of view is laid over; of one, the other may be seen in part."""

    z_center_mm: float | None = 0.0
    """Where the exam's middle lies along its slices, mm: over the nipples (axial), to the left of
    the middle of the breasts asked for (sagittal), before it (coronal); None draws a place within
    the breasts."""

    phases: tuple[str, ...] = ("pre", "post1", "post2", "post3")
    """Roles: "pre" and "post1", "post2", ... in time order; any of them may be missing."""

    times_s: tuple[float, ...] | None = None
    """Seconds from the injection for each phase; None takes 0 for pre and every 80 s from 90 s."""

    lesions: int | tuple[LesionSpec, ...] = 1
    """Lesions to draw, or how many to draw at random (0.1 to 80 mL, all kinds and curves); of
    random ones those that find no room, as in a slab beside the breasts, are left out."""

    density: float | None = None
    """Share of the breast that is fibroglandular, 0 to 0.9; None draws one from 0.03 to 0.5."""

    bpe: float = 0.25
    """Background parenchymal enhancement: relative enhancement of the gland at 90 s, 0 to 2."""

    noise: float = 0.06
    """Standard deviation of the noise in each of the two receiver channels, as a share of the
    gland's signal, 0 to 1; the magnitude is Rician."""

    has_air_noise: bool = True
    """Whether the air around the patient holds noise; scanners may also set it to zero."""

    coil_bias: float = 0.2
    """Strength of the smooth receive-coil shading, 0 to 1; some depth falloff is always there
    unless it is 0."""

    motion_mm: float = 0.5
    """Typical shift between phases, 0 to 10 mm: rigid plus elastic; the first post-contrast
    phase stays where it is."""

    fat_suppressed: bool = True
    """Whether the exam is T1-weighted with fat suppression; otherwise all fat is bright."""

    fat_suppression_failure: float = 0.15
    """Extent of the regions where suppression fails and fat is bright, 0 none to 1 most."""

    fold_failure: float = 0.0
    """The same at folds of the skin: below the breast, at its outer edge, in the armpit and at the
    nipple; 0 none to 1 most."""

    fat_level: float = 1.0
    """Signal of suppressed fat relative to the usual (0.6 of the gland's), 0.2 to 2."""

    bpe_patches: float = 0.0
    """Relative enhancement at 90 s that patches of the gland have whatever `bpe` is, 0 to 2."""

    heart_ghosts: float = 0.0
    """Strength of copies of heart and great vessels along the phase-encoding direction, as a share
    of their signal, 0 to 0.5; in post-contrast phases, of another strength and place in each."""

    ghost_axis: PhaseAxis | None = None
    """Phase-encoding direction of the ghosts; None draws one that the view is measured with."""

    breathing_mm: float = 0.0
    """Typical shift of the chest wall to the front or back between phases, 0 to 10 mm."""

    thick_vessels: int = 0
    """Winding vessels up to 5 mm thick that enhance like lesions, below the skin and from beside
    the sternum, 0 to 60."""

    breast_nodes: int = 0
    """Lymph nodes within the breasts, 0 to 10."""

    clips: int = 0
    """Clips of earlier biopsies or operations: black holes of 3 to 8 mm, 0 to 10."""

    case_id: str = "PHANTOM"
    """Name of the exam."""

    def __post_init__(self) -> None:
        problems: list[tuple[str, str]] = []

        def require(is_fine: bool, needed: str, came: object) -> None:
            if not is_fine:
                problems.append((needed, f"{came}"))

        is_shaped = len(self.shape) == 3 and all(int(n) == n and n >= 1 for n in self.shape)
        is_spaced = len(self.spacing_mm) == 3 and all(0.2 <= s <= 20 for s in self.spacing_mm)
        require(is_shaped, "shape of three whole numbers (z, y, x) from 1", f"shape {self.shape}")
        require(
            is_spaced, "spacing_mm of three numbers from 0.2 to 20", f"spacing_mm {self.spacing_mm}"
        )
        if is_shaped and is_spaced:
            fields, (least_y, least_x) = self.field_mm, self._least_field_mm
            least = f"{least_y:g} mm in y and {least_x:g} mm in x"
            if least_y == least_x:
                least = f"{least_y:g} mm in y and x"
            require(
                fields[1] >= least_y and fields[2] >= least_x,
                f"a field of view of at least {least}, to hold "
                + ("both breasts" if self.breasts == "both" else "the breast"),
                f"{fields[1]:g} x {fields[2]:g} mm",
            )
        for name, value, allowed in (
            ("view", self.view, get_args(View)),
            ("breasts", self.breasts, ("both", *get_args(Side))),
            ("ghost_axis", self.ghost_axis, (*get_args(PhaseAxis), None)),
        ):
            names = ", ".join(map(str, allowed))
            require(value in allowed, f"{name} of {names}", f"{name} {value}")
        require(
            self.z_center_mm is None or abs(self.z_center_mm) <= 120,
            "z_center_mm from -120 to 120",
            f"z_center_mm {self.z_center_mm}",
        )
        require(_is_in_time_order(self.phases), _PHASES_NEEDED, f"phases {self.phases}")
        if self.times_s is not None:
            require(
                len(self.times_s) == len(self.phases)
                and all(a < b for a, b in pairwise(self.times_s)),
                f"times_s of {len(self.phases)} rising numbers, one per phase",
                f"times_s {self.times_s}",
            )
            require(
                all(
                    (t <= 0) == (p == "pre")
                    for t, p in zip(self.times_s, self.phases, strict=False)
                ),
                "times_s at most 0 for pre and above 0 for the others",
                f"times_s {self.times_s}",
            )
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is None and name == "density":
                continue
            require(low <= value <= high, f"{name} from {low:g} to {high:g}", f"{name} {value}")
        for problem in _lesion_problems(self.lesions):
            problems.append(problem)
        if problems:
            raise InputError(
                "Expected a phantom with " + "; ".join(needed for needed, _ in problems),
                "found " + "; ".join(came for _, came in problems),
                "Change these settings of the phantom",
            )

    @property
    def field_mm(self) -> tuple[float, float, float]:
        """Field of view (z, y, x) in mm."""
        z, y, x = (float(n * s) for n, s in zip(self.shape, self.spacing_mm, strict=True))
        return (z, y, x)

    @property
    def _least_field_mm(self) -> tuple[float, float]:
        if self.breasts != "both" or self.view == "sagittal":
            return MIN_FIELD_OF_ONE_MM, MIN_FIELD_OF_ONE_MM
        return MIN_FIELD_MM if self.view == "axial" else MIN_FIELD_OF_ONE_MM, MIN_FIELD_MM

    @property
    def phase_times_s(self) -> dict[str, float]:
        """Role to seconds from the injection."""
        times = self.times_s
        if times is None:
            times = tuple(
                0.0 if p == "pre" else 90.0 + 80.0 * (int(p[4:]) - 1) for p in self.phases
            )
        return {role: float(t) for role, t in zip(self.phases, times, strict=True)}


_PHASES_NEEDED = 'phases such as ("pre", "post1", "post2"), in time order and each once'

_RANGES = (
    ("density", 0.0, 0.9),
    ("bpe", 0.0, 2.0),
    ("noise", 0.0, 1.0),
    ("coil_bias", 0.0, 1.0),
    ("motion_mm", 0.0, 10.0),
    ("fat_suppression_failure", 0.0, 1.0),
    ("fold_failure", 0.0, 1.0),
    ("fat_level", 0.2, 2.0),
    ("bpe_patches", 0.0, 2.0),
    ("heart_ghosts", 0.0, 0.5),
    ("breathing_mm", 0.0, 10.0),
    ("thick_vessels", 0, 60),
    ("breast_nodes", 0, 10),
    ("clips", 0, 10),
)


def _is_in_time_order(phases: Sequence[str]) -> bool:
    numbers = []
    for role in phases:
        if role == "pre":
            numbers.append(0)
        elif role.startswith("post") and role[4:].isdigit() and int(role[4:]) > 0:
            numbers.append(int(role[4:]))
        else:
            return False
    return bool(numbers) and all(a < b for a, b in pairwise(numbers))


def _lesion_problems(lesions: int | Sequence[LesionSpec]) -> list[tuple[str, str]]:
    if isinstance(lesions, int):
        return [] if 0 <= lesions <= 20 else [("0 to 20 lesions", f"{lesions}")]
    problems = []
    if len(lesions) > 20:
        problems.append(("0 to 20 lesions", f"{len(lesions)}"))
    for number, spec in enumerate(lesions, start=1):
        for name, allowed in (
            ("kind", get_args(LesionKind)),
            ("kinetic_type", get_args(KineticType)),
            ("side", (*get_args(Side), None)),
        ):
            value = getattr(spec, name)
            if value not in allowed:
                names = ", ".join(str(a) for a in allowed)
                problems.append((f"a {name} of {names}", f"{name} {value} for lesion {number}"))
        if not 0 <= spec.core <= 0.9:
            problems.append(("a core from 0 to 0.9", f"core {spec.core:g} for lesion {number}"))
        if not MIN_VOLUME_ML <= spec.volume_ml <= MAX_VOLUME_ML:
            problems.append(
                (
                    f"volume_ml from {MIN_VOLUME_ML:g} to {MAX_VOLUME_ML:g}",
                    f"volume_ml {spec.volume_ml:g} for lesion {number}",
                )
            )
    return problems
