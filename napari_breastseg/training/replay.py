"""Synthetic exams trained beside the reader's own: what a few real cases cannot teach.

Heart, chest wall, vessels and skin stay unmarked in them, lesions of every shape are marked, and a
model that is fine-tuned on one hospital's corrections keeps seeing both. They are drawn again for
every run, from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage

from ..core.errors import InputError
from ..core.volume import Exam, LabelMap
from ..model.unet import ModelSpec
from ..phantom import LesionSpec, PhantomExam, breast_phantom

__all__ = ["PhantomCase", "can_replay", "draw_phantom", "enhancing", "replay_cases"]

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


def draw_phantom(number: int, case_id: str, *, slices: int, posts: int = 1) -> PhantomExam:
    """A slab of whole axial slices, 448 x 448 pixels, of a synthetic patient.

    Parameters
    ----------
    number : int
        Seed of the patient; the odd ones have no lesion and lie anywhere between liver and
        armpits.
    case_id : str
        Name of the exam.
    slices : int
        Slices, 3 mm apart.
    posts : int
        Post-contrast phases, the first 60 to 150 s after the injection.
    """
    rng = np.random.default_rng((7, number))
    has_lesions = number % 2 == 0
    lesions = tuple(
        LesionSpec(
            str(rng.choice(KINDS)),  # type: ignore[arg-type]
            float(np.exp(rng.uniform(np.log(0.15), np.log(25.0)))),
            str(rng.choice(("I", "II", "III"))),  # type: ignore[arg-type]
        )
        for _ in range(int(rng.choice((1, 1, 2))) if has_lesions else 0)
    )
    spacing = float(rng.uniform(0.68, 0.9))
    z_center_mm = None if has_lesions else float(rng.uniform(-90, 90))
    first_s = float(rng.uniform(60, 150))
    settings: dict[str, Any] = {
        "shape": (slices, 448, 448),
        "spacing_mm": (3.0, spacing, spacing),
        "z_center_mm": z_center_mm,
        "phases": ("pre", *(f"post{n}" for n in range(1, posts + 1))),
        "times_s": (0.0, *(first_s * n for n in range(1, posts + 1))),
        # Glands as bright as tumors would teach to miss tumors where only a post phase is there.
        "bpe": float(rng.uniform(0, 0.5)),
        "noise": float(np.exp(rng.uniform(np.log(0.03), np.log(0.25)))),
        "motion_mm": float(rng.uniform(0, 2.5)),
        "fat_suppression_failure": float(rng.uniform(0, 0.6)),
        "coil_bias": float(rng.uniform(0.05, 0.4)),
        "has_air_noise": bool(rng.random() < 0.7),
        "case_id": case_id,
    }
    try:
        return breast_phantom(number, lesions=lesions, **settings)
    except InputError:  # a large lesion found no room in a small breast
        return breast_phantom(number, lesions=1, **settings)


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
