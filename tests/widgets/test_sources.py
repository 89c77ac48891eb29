"""`sources`: what tells two exams of one name apart, without a window."""

from __future__ import annotations

import numpy as np

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.widgets.state.sources import fingerprint


def test_every_phase_and_the_grid_make_an_exams_fingerprint(
    sphere_exam: tuple[Exam, LabelMap],
) -> None:
    exam, _ = sphere_exam
    mark = fingerprint(exam)
    assert fingerprint(Exam("other", dict(exam.phases))) == mark
    for role, volume in exam.phases.items():
        data = volume.data.copy()
        data[-1, -1, -1] += 1
        assert fingerprint(Exam("P001", {**exam.phases, role: Volume(data, exam.grid)})) != mark
    pre, post = exam.phases.values()
    assert fingerprint(Exam("P001", {"pre": pre})) != mark
    assert fingerprint(Exam("P001", {"pre": pre, "post2": post})) != mark
    affine = exam.grid.affine.copy()
    affine[0, 3] += 1
    moved = Grid(exam.grid.shape, affine)
    phases = {role: Volume(volume.data, moved) for role, volume in exam.phases.items()}
    assert fingerprint(Exam("P001", phases)) != mark
    # What a dataset keeps of an exam, in single precision, is still that exam.
    kept = {r: Volume(v.data.astype(np.float64), v.grid) for r, v in exam.phases.items()}
    assert fingerprint(Exam("P001", kept)) == mark
