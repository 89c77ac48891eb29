"""Synthetic exams trained beside the reader's own: what a few real cases cannot teach.

Heart, chest wall, vessels and skin stay unmarked in them, lesions of every shape are marked, and a
model that is fine-tuned on one hospital's corrections keeps seeing both. They are drawn again for
every run, from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from ..core.errors import InputError
from ..core.volume import Exam, LabelMap
from ..model.unet import ModelSpec
from ..phantom import LesionSpec, PhantomExam, View, breast_phantom

__all__ = [
    "PhantomCase",
    "can_replay",
    "draw_phantom",
    "enhancing",
    "replay_cases",
    "whole_phantom",
]

VIEWS: tuple[View, ...] = ("axial", "sagittal", "coronal")

KINDS = ("round", "irregular", "spiculated", "rim", "nonmass")

SLICES = 2
"""Slices of a replayed phantom: a fifth of a second to draw each."""

PATCHES_OF_A_SLICE = 2
"""About how often a slice is used in one run; more often, it would be memorized."""

MOST = 64
"""Largest number of phantoms in a run."""


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic patient as a case to train on; the odd ones have no lesion."""

    number: int
    """Seed of the patient, from 0."""

    roles: tuple[str, ...] = ("pre", "post1")
    """Phases wanted: pre, post1, post2, ..."""

    slices: int = SLICES

    @property
    def case_id(self) -> str:
        """The case's name."""
        return f"PHANTOM_{self.number:04d}"

    @property
    def patient_id(self) -> str:
        """The synthetic patient."""
        return self.case_id

    @cached_property
    def _drawn(self) -> tuple[Exam, LabelMap]:
        posts = max([1, *(int(role[4:]) for role in self.roles if role != "pre")])
        phantom = draw_phantom(self.number, self.case_id, slices=self.slices, posts=posts)
        phases = {role: phantom.exam.phases[role] for role in self.roles}
        return Exam(self.case_id, phases), enhancing(phantom.exam, phantom.truth)

    def exam(self) -> Exam:
        """The phases wanted."""
        return self._drawn[0]

    def label_map(self) -> LabelMap:
        """Where the lesions enhance."""
        return self._drawn[1]


def can_replay(spec: ModelSpec) -> bool:
    """Whether phantoms have what a model looks at: pre- and post-contrast phases.

    Examples
    --------
    >>> can_replay(ModelSpec(inputs=("pre", "post2"))), can_replay(ModelSpec(inputs=("t2",)))
    (True, False)
    """
    return all(
        phase == "pre" or (phase.startswith("post") and phase[4:].isdigit() and int(phase[4:]) > 0)
        for phase in spec.phases
    )


def replay_cases(spec: ModelSpec, patches: int) -> Sequence[PhantomCase]:
    """Phantoms for a run that needs this many patches of them; none that the model cannot use.

    Parameters
    ----------
    spec : ModelSpec
        Decides phases and depth.
    patches : int
        Patches that the whole run takes from them.
    """
    if patches == 0 or not can_replay(spec):
        return ()
    depth = spec.patch_size[0] if spec.dims == 3 else 1 + 2 * spec.context_slices
    slices = max(SLICES, depth)
    count = -(-patches // (PATCHES_OF_A_SLICE * slices))
    roles = tuple(dict.fromkeys((*spec.phases, *(("post2",) if spec.uses_all_posts else ()))))
    return [
        PhantomCase(number, roles, slices)
        for number in range(min(max(count, 2), max(2, MOST * SLICES // slices)))
    ]


def draw_phantom(
    number: int, case_id: str, *, slices: int, posts: int = 1, view: View | None = None
) -> PhantomExam:
    """A slab of whole slices of a synthetic patient, with what misleads a model on real exams.

    Parameters
    ----------
    number : int
        Seed of the patient; the odd ones have no lesion and lie anywhere between liver and
        armpits.
    case_id : str
        Name of the exam.
    slices : int
        Slices, 2 to 3 mm apart.
    posts : int
        Post-contrast phases, the first 60 to 150 s after the injection.
    view : {"axial", "sagittal", "coronal"}, optional
        None draws one: 40, 40 and 20 of 100.
    """
    rng = np.random.default_rng((7, number))
    drawn: View = VIEWS[int(rng.choice(3, p=(0.4, 0.4, 0.2)))]
    view = view or drawn
    one = ("right", "left")[int(rng.integers(2))]
    breasts = (
        one if rng.random() < {"axial": 0.1, "sagittal": 0.7, "coronal": 0.2}[view] else "both"
    )
    has_lesions = number % 2 == 0
    settings = _settings(rng, posts) | {"case_id": case_id, "view": view, "breasts": breasts}
    if view == "axial":
        spacing, size, step = rng.uniform(0.68, 0.9), (448, 448), 3.0
    elif view == "sagittal":
        spacing, size, step = rng.uniform(0.78, 1.05), (256, 256), rng.uniform(2.0, 3.2)
    else:
        spacing, size, step = rng.uniform(0.9, 1.15), (256, 320), rng.uniform(1.2, 2.5)
    settings["shape"] = (slices, *size)
    settings["spacing_mm"] = (float(step), float(spacing), float(spacing))
    settings["z_center_mm"] = None
    if view == "axial" and not has_lesions:
        settings["z_center_mm"] = float(rng.uniform(-90, 90))
    elif view == "sagittal" and not has_lesions and rng.random() < 0.5:
        # Over the sternum and the heart, or out to the armpit.
        settings["z_center_mm"] = float(rng.uniform(-80, 80) * (2 if breasts == "both" else 1))
        settings["z_center_mm"] = float(np.clip(settings["z_center_mm"], -120, 120))
    elif view == "coronal" and not has_lesions and rng.random() < 0.5:
        settings["z_center_mm"] = float(rng.uniform(-110, 10))
    count = int(rng.choice((1, 1, 2))) if has_lesions else 0
    return _with_lesions(number, settings, _specs(rng, count, 25.0))


def whole_phantom(
    number: int,
    case_id: str,
    *,
    view: View,
    posts: int = 3,
    lesions: int | None = None,
    breasts: Literal["both", "right", "left"] | None = None,
) -> PhantomExam:
    """A whole synthetic exam of realistic size, to train and test what is told of findings.

    Axial: 60 to 80 slices of 2 mm, 300 x 300 pixels of 1 to 1.3 mm. Sagittal: 46 to 60 slices of 3
    mm over one breast, 256 x 256 pixels of 0.86 to 1 mm; of both, 96. Coronal: 70 slices of 2 mm,
    200 x 300 pixels of 1.1 to 1.3 mm.

    Parameters
    ----------
    number : int
        Seed of the patient; other patients than those of `draw_phantom`.
    case_id : str
        Name of the exam.
    view : {"axial", "sagittal", "coronal"}
    posts : int
        Post-contrast phases.
    lesions : int, optional
        None draws 0 to 3, each of 0.15 to 80 mL; those without room are drawn smaller.
    breasts : {"both", "right", "left"}, optional
        None takes both; of sagittal exams, four of five show one.
    """
    rng = np.random.default_rng((8, number))
    one: Literal["right", "left"] = "right" if rng.random() < 0.5 else "left"
    is_one = bool(rng.random() < 0.8) and view == "sagittal"
    breasts = breasts or (one if is_one else "both")
    settings = _settings(rng, posts) | {"case_id": case_id, "view": view, "breasts": breasts}
    if view == "axial":
        shape, steps = (int(rng.integers(60, 81)), 300, 300), (2.0, *[rng.uniform(1.0, 1.3)] * 2)
    elif view == "sagittal":
        slices = 96 if breasts == "both" else int(rng.integers(46, 61))
        shape, steps = (slices, 256, 256), (3.0, *[rng.uniform(0.86, 1.0)] * 2)
    else:
        shape, steps = (70, 200, 300), (2.0, *[rng.uniform(1.1, 1.3)] * 2)
    settings |= {"shape": shape, "spacing_mm": tuple(float(s) for s in steps)}
    count = int(rng.integers(0, 4)) if lesions is None else lesions
    # A stream of seeds of their own: no whole exam shows a patient that a slab has shown.
    return _with_lesions(1_000_000 + number, settings, _specs(rng, count, 80.0))


def _specs(rng: np.random.Generator, count: int, largest_ml: float) -> tuple[LesionSpec, ...]:
    """Lesions of every kind; large ones are mostly rims around a dead core."""
    specs = []
    for _ in range(count):
        volume_ml = float(np.exp(rng.uniform(np.log(0.15), np.log(largest_ml))))
        kind = str(rng.choice(KINDS))
        if volume_ml > 20 and rng.random() < 0.5:
            kind = "rim"
        core = float(rng.uniform(0.4, 0.85)) if kind == "rim" and rng.random() < 0.6 else 0.0
        curve = str(rng.choice(("I", "II", "III")))
        specs.append(LesionSpec(kind, volume_ml, curve, core=core))  # type: ignore[arg-type]
    return tuple(specs)


def _settings(rng: np.random.Generator, posts: int) -> dict[str, Any]:
    """How a patient looks and how she was measured; half the exams are free of each artifact."""

    def sometimes(low: float, high: float) -> float:
        value = float(rng.uniform(low, high))
        return value if rng.random() < 0.5 else 0.0

    first_s = float(rng.uniform(60, 150))
    return {
        "phases": ("pre", *(f"post{n}" for n in range(1, posts + 1))),
        "times_s": (0.0, *(first_s * n for n in range(1, posts + 1))),
        "density": float(np.exp(rng.uniform(np.log(0.03), np.log(0.8)))),
        # Whole glands as bright as tumors would teach to miss tumors where only a post phase is
        # there; patches of them are what real exams have.
        "bpe": float(rng.uniform(0, 0.5)),
        "bpe_patches": sometimes(0.3, 1.1),
        "fat_level": float(rng.uniform(0.5, 1.2)),
        "noise": float(np.exp(rng.uniform(np.log(0.03), np.log(0.35)))),
        "has_air_noise": bool(rng.random() < 0.7),
        "motion_mm": float(rng.uniform(0, 3.0)),
        "breathing_mm": sometimes(0.5, 4.0),
        "heart_ghosts": sometimes(0.03, 0.5),
        "fat_suppression_failure": float(rng.uniform(0, 0.6)),
        "fold_failure": sometimes(0.1, 1.0),
        "coil_bias": float(rng.uniform(0.05, 0.5)),
        "thick_vessels": int(sometimes(2, 40)),
        "breast_nodes": int(rng.choice((0, 0, 1, 3))),
        "clips": int(rng.choice((0, 0, 0, 1, 3))),
    }


def _with_lesions(
    number: int, settings: dict[str, Any], specs: tuple[LesionSpec, ...]
) -> PhantomExam:
    """The exam; lesions that find no room in a small breast become smaller, then fewer."""
    while specs:
        try:
            return breast_phantom(number, lesions=specs, **settings)
        except InputError:
            largest = max(spec.volume_ml for spec in specs)
            if largest < 1.0:
                specs = specs[1:]
                continue
            specs = tuple(
                replace(s, volume_ml=s.volume_ml / 3) if s.volume_ml == largest else s
                for s in specs
            )
    return breast_phantom(number, lesions=0, **settings)


def enhancing(exam: Exam, truth: LabelMap) -> LabelMap:
    """Truth without what does not enhance: a tumor's target is its enhancing part.

    Parameters
    ----------
    exam : Exam
        With pre and post1.
    truth : LabelMap
    """
    pre, post = (np.asarray(exam.phases[role].data, np.float32) for role in ("pre", "post1"))
    smooth = ndimage.uniform_filter
    rise = smooth(post - pre, (1, 3, 3)) / np.maximum(smooth(pre, (1, 3, 3)), 1.0)
    return LabelMap((truth.tumor & (rise > 0.3)).astype(np.uint8), truth.grid)
