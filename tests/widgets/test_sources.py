"""`sources`: what tells two exams of one name apart, what makes one; without a window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.widgets.state.sources import exam_of, fingerprint, key_of, sources


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


def test_layers_of_other_readers_that_lie_apart_make_no_exam() -> None:
    viewer = ViewerModel()
    data = np.random.default_rng(0).random((4, 30, 40))
    first = viewer.add_image(data, name="first", scale=(3, 0.5, 0.5), translate=(1, 2, 3))
    other = viewer.add_image(data, name="other", scale=(3, 0.5, 0.5), translate=(1, 2, 3.04))
    source = sources(viewer)[0]
    roles = {"pre": key_of(first), "post1": key_of(other)}
    assert list(exam_of(viewer, source, roles).phases) == ["pre", "post1"]
    other.translate = (1, 2, 5)
    with pytest.raises(InputError, match=r"'other' to lie on layer 'first'; found it 4 voxels"):
        exam_of(viewer, source, roles)
