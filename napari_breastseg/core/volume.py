"""Arrays with geometry: `Grid`, `Volume`, `LabelMap`, `Exam`. No I/O.

Arrays are (Z, Y, X); a 2D slice has Z = 1. `affine @ (z, y, x, 1)` gives RAS millimetres
(rising to the patient's right, front and head), 4 x 4 float64. Loads numpy only: the letters of
an axis are found here, in a tenth of the time of `nibabel.aff2axcodes`, the oracle of their test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "SAME_VOXELS",
    "TUMOR",
    "Exam",
    "Grid",
    "LabelMap",
    "Volume",
    "phase_order",
    "require_numbers",
]

BACKGROUND, TUMOR, IGNORE = 0, 1, 2
"""Values of a label map: no tumor, tumor, not reviewed (only inside a dataset folder)."""

SAME_VOXELS = 0.1
"""Two grids are one if no corner lies farther off than this, in voxels along an axis: less than
a patient moves while lying still, and more than rounding in headers."""

_LETTERS = (("L", "R"), ("P", "A"), ("F", "H"))
"""Ends of the RAS axes (negative, positive); head and feet as radiology writes them."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of an array lie.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X).
    affine : array-like, shape (4, 4), optional
        Maps (z, y, x, 1) to RAS mm. Without it the grid has neither spacing nor orientation,
        like a bare PNG.
    has_spacing : bool
        False when the distances in `affine` are not millimetres but pixels.
    has_orientation : bool
        False when it is not known which side of the image is the patient's right.

    Raises
    ------
    InputError
        If the affine is not an invertible, finite 4 x 4 matrix or the shape not three positive
        numbers.

    Examples
    --------
    >>> Grid((44, 256, 256), np.diag([3.0, 0.7, 0.7, 1.0])).spacing_mm
    (3.0, 0.7, 0.7)
    >>> Grid((1, 227, 227)).spacing_mm is None
    True
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64] = None  # type: ignore[assignment]
    has_spacing: bool = True
    has_orientation: bool = True

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(
                "Expected an image with three axes (Z, Y, X), none of them empty",
                f"found shape {shape}",
                "Open one phase at a time, or a slice as 1 x Y x X",
            )
        object.__setattr__(self, "shape", shape)
        if self.affine is None:
            object.__setattr__(self, "affine", np.eye(4))
            object.__setattr__(self, "has_spacing", False)
            object.__setattr__(self, "has_orientation", False)
        affine = np.array(self.affine, dtype=np.float64)
        if (
            affine.shape != (4, 4)
            or not np.isfinite(affine).all()
            or not np.array_equal(affine[3], (0, 0, 0, 1))
            or abs(np.linalg.det(affine[:3, :3])) < 1e-9
        ):
            raise InputError(
                "Expected an invertible 4 x 4 affine with finite numbers, the last row 0 0 0 1",
                f"found {np.array2string(affine, precision=3).replace(chr(10), '')}",
                "Export the image again with its position and orientation",
            )
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Lengths of the affine's columns (z, y, x): mm, or pixels without `has_spacing`."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Voxel spacing (z, y, x) in mm, None when it is not known."""
        if not self.has_spacing:
            return None
        z, y, x = (round(length, 6) for length in self.voxel_size)
        return (z, y, x)

    @property
    def voxel_ml(self) -> float | None:
        """Volume of one voxel in mL, None when spacing is not known."""
        if not self.has_spacing:
            return None
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def end_letters(self) -> tuple[tuple[str, str], ...] | None:
        """Patient letters at the start and end of each array axis (z, y, x).

        Returns
        -------
        tuple of (start, end), or None
            One of R/L, A/P, H/F per axis, the nearest where axes are oblique; None when the
            orientation is not known.

        Examples
        --------
        An axial slice as radiologists look at it: the patient's right is on the left.

        >>> Grid((9, 8, 7), [[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]).end_letters
        (('F', 'H'), ('A', 'P'), ('R', 'L'))
        """
        if not self.has_orientation:
            return None
        directions = self.affine[:3, :3] / np.array(self.voxel_size)
        letters: list[tuple[str, str]] = [("", "")] * 3
        # Array axes are assigned to patient axes, the best aligned pair first.
        strength = np.abs(directions)
        for _ in range(3):
            patient, array = np.unravel_index(int(np.argmax(strength)), (3, 3))
            negative, positive = _LETTERS[patient]
            rising = directions[patient, array] > 0
            letters[array] = (negative, positive) if rising else (positive, negative)
            strength[patient, :] = -1
            strength[:, array] = -1
        return tuple(letters)

    def matches(self, other: Grid) -> bool:
        """Whether both grids are the same: shape, and position within a tenth of a voxel.

        A grid without orientation matches any of the same shape and spacing, one without
        spacing any of the same shape.
        """
        return self.shape == other.shape and self.off_voxels(other) <= SAME_VOXELS

    def off_voxels(self, other: Grid) -> float:
        """How far a corner of another grid of the same shape lies off this one's, in voxels.

        Returns
        -------
        float
            The largest distance along an axis; 0 where positions are not known, infinite where
            spacings differ and positions are not known.

        Examples
        --------
        >>> moved = np.array([[2, 0, 0, 0], [0, 2, 0, 0.5], [0, 0, 2, 0], [0, 0, 0, 1.0]])
        >>> Grid((9, 8, 7), np.diag([2, 2, 2, 1])).off_voxels(Grid((9, 8, 7), moved))
        0.25
        """
        if not (self.has_spacing and other.has_spacing):
            return 0.0
        if not (self.has_orientation and other.has_orientation):
            tolerance = 0.01 * min(self.voxel_size)
            alike = np.allclose(self.voxel_size, other.voxel_size, atol=tolerance, rtol=0)
            return 0.0 if alike else float("inf")
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1])).reshape(4, -1)
        apart = np.linalg.inv(self.affine) @ (other.affine - self.affine) @ corners
        return round(float(np.abs(apart).max()), 9)

    def say_off(self, other: Grid) -> str:
        """How far another grid of the same size lies off, as a message says it.

        Examples
        --------
        >>> moved = np.array([[2, 0, 0, 0], [0, 2, 0, 1], [0, 0, 2, 0], [0, 0, 0, 1.0]])
        >>> Grid((9, 8, 7), np.diag([2, 2, 2, 1])).say_off(Grid((9, 8, 7), moved))
        'at another position, 1 mm (0.5 voxels) away'
        """
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1])).reshape(4, -1)
        apart_mm = np.linalg.norm(((other.affine - self.affine) @ corners)[:3], axis=0).max()
        voxels = self.off_voxels(other)
        unit = "voxel" if voxels == 1 else "voxels"
        return f"at another position, {apart_mm:.3g} mm ({voxels:.2g} {unit}) away"

    def describe(self) -> str:
        """Shape and spacing as a message says them: "44 x 256 x 256 voxels of 3 x 0.7 x 0.7 mm"."""
        shape = " x ".join(str(n) for n in self.shape)
        if self.spacing_mm is None:
            return f"{shape} voxels of unknown spacing"
        return f"{shape} voxels of {' x '.join(f'{s:.4g}' for s in self.spacing_mm)} mm"

    def __repr__(self) -> str:
        letters = self.end_letters
        oriented = "unoriented" if letters is None else " ".join(a + b for a, b in letters)
        return f"Grid({self.describe()}, {oriented})"


@dataclass(frozen=True, eq=False)
class Volume:
    """A grey-value array on its grid.

    Parameters
    ----------
    data : array, shape (Z, Y, X)
        Real numbers of any type.
    grid : Grid
        Where the voxels lie.
    """

    data: NDArray[np.generic]
    grid: Grid

    def __post_init__(self) -> None:
        _require_shape(self.data, self.grid)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Integers on a grid: 0 background, 1 tumor, 2 ignore.

    Parameters
    ----------
    data : array, shape (Z, Y, X)
        Kept as uint8.
    grid : Grid
        Where the voxels lie.

    Raises
    ------
    InputError
        If the values are not whole numbers from 0 to 255, or the shape differs from the grid's.
    """

    data: NDArray[np.uint8]
    grid: Grid

    def __post_init__(self) -> None:
        data = np.asarray(self.data)
        _require_shape(data, self.grid)
        if data.dtype != np.uint8:
            whole = data.astype(np.uint8)
            if not np.array_equal(whole, data):
                raise InputError(
                    "Expected a mask of whole numbers from 0 to 255",
                    f"found {data.dtype} values from {np.min(data):g} to {np.max(data):g}",
                    "Save the mask as integers: 0 background, 1 tumor",
                )
            data = whole
        object.__setattr__(self, "data", data)

    @property
    def tumor(self) -> NDArray[np.bool_]:
        """Mask of the tumor voxels, shape (Z, Y, X)."""
        return np.equal(self.data, TUMOR)

    @property
    def is_scored(self) -> NDArray[np.bool_]:
        """Mask of the voxels that count: all but `ignore`, shape (Z, Y, X)."""
        return np.not_equal(self.data, IGNORE)

    @property
    def reviewed_slices(self) -> tuple[int, ...] | None:
        """Indices along Z of the slices that are not wholly `ignore`; None when all are not."""
        kept = tuple(z for z, plane in enumerate(self.data) if not (plane == IGNORE).all())
        return None if len(kept) == len(self.data) else kept

    def require_grid(self, grid: Grid, case_id: str) -> None:
        """Raise unless this label map lies on `grid`.

        Parameters
        ----------
        grid : Grid
        case_id : str
            Name of the exam in the message; "" for the current exam.

        Raises
        ------
        InputError
            With both shapes and both spacings.
        """
        if not self.grid.matches(grid):
            exam = f"exam {case_id}" if case_id else "the current exam"
            raise InputError(
                f"Expected a mask on the grid of {exam}, {grid.describe()}",
                f"found one of {self.grid.describe()}"
                + (
                    f", {grid.say_off(self.grid)}"
                    if self.grid.describe() == grid.describe()
                    else ""
                ),
                "Export the mask again on the exam's own grid",
            )


def phase_order(role: str) -> tuple[int, str]:
    """Sort key of a phase's role in time: pre, post1, post2, ..., then other names.

    Examples
    --------
    >>> sorted(["post10", "post2", "pre"], key=phase_order)
    ['pre', 'post2', 'post10']
    """
    if role == "pre":
        return (0, "")
    if role.startswith("post") and role[4:].isdigit():
        return (int(role[4:]), "")
    return (10**6, role)


@dataclass(frozen=True, eq=False)
class Exam:
    """The phases of one visit, all on one grid.

    Parameters
    ----------
    case_id : str
        The name of the case, without anything that identifies a patient.
    phases : mapping of str to Volume
        Role to volume; roles are "pre", "post1", "post2", ... and are kept in that order.
    times_s : mapping of str to float, optional
        Start of each phase whose time is known, in seconds from the contrast injection, or from
        the first post-contrast phase where the injection time is not known. Negative before that.

    Raises
    ------
    InputError
        If there is no phase, or two phases lie on different grids.
    """

    case_id: str
    phases: Mapping[str, Volume]
    times_s: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.phases:
            raise InputError(
                f"Expected at least one phase for exam {self.case_id}",
                "found none",
                "Choose a file or folder that holds MR images",
            )
        ordered = {role: self.phases[role] for role in sorted(self.phases, key=phase_order)}
        object.__setattr__(self, "phases", ordered)
        first_role, *other_roles = ordered
        for role in other_roles:
            grid = ordered[role].grid
            if not grid.matches(self.grid):
                is_alike = grid.describe() == self.grid.describe()
                raise InputError(
                    f"Expected all phases of exam {self.case_id} on the grid of {first_role}, "
                    f"{self.grid.describe()}",
                    f"found {role} on {grid.describe()}"
                    + (f", {self.grid.say_off(grid)}" if is_alike else ""),
                    "Resample the phases to one grid, or open them one at a time",
                )

    @property
    def grid(self) -> Grid:
        """The grid shared by all phases."""
        return next(iter(self.phases.values())).grid

    def require_phases(self, roles: Iterable[str], wanted_by: str) -> None:
        """Raise unless every role in `roles` is there.

        Raises
        ------
        InputError
            Naming the phases that are missing and those that came.
        """
        missing = [role for role in roles if role not in self.phases]
        if missing:
            raise InputError(
                f"Expected phase {' and '.join(missing)} for {wanted_by}",
                f"found {', '.join(self.phases)} in exam {self.case_id}",
                "Open the exam with that phase, name the phases with --phases, "
                "or choose a model made for the phases at hand",
            )


def require_numbers(data: NDArray[np.generic], what: str) -> None:
    """Raise if a value of an image is NaN or infinite: one would empty what is computed around it.

    Parameters
    ----------
    data : array, shape (Z, Y, X)
    what : str
        What the message calls it, such as "post1 of case P017".

    Raises
    ------
    InputError
    """
    if data.dtype.kind != "f" or not data.size:
        return
    with np.errstate(invalid="ignore"):
        if np.isfinite(data.min()) and np.isfinite(data.max()):  # NaN passes through both
            return
    bad = data.size - int(np.count_nonzero(np.isfinite(data)))
    raise InputError(
        f"Expected finite values in {what}",
        f"found {bad:,} of {data.size:,} voxels NaN or infinite",
        "Set them to 0, or export the image again without resampling",
    )


def _require_shape(data: NDArray[np.generic], grid: Grid) -> None:
    if data.shape != grid.shape:
        raise InputError(
            f"Expected an array of the grid's shape {grid.shape}",
            f"found {data.shape}",
            "Give the array in (Z, Y, X) order",
        )
