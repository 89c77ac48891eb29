"""Whole synthetic studies are read rightly, or asked about; never wrong in silence.

`make conformance` draws 2,000 of them and writes docs/conformance.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import studies
from hypothesis import HealthCheck, Phase, example, given, settings
from studies import AGENTS, CLOCKS, SERIES, TROUBLES, WORDS, Study


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(study=studies.studies())
@example(study=Study(series=SERIES[1], agent=AGENTS[2]))
@example(study=Study(agent=AGENTS[1], troubles=("pre lost a slice",)))
def test_no_study_is_read_wrongly_in_silence(
    tmp_path_factory: pytest.TempPathFactory, study: Study
) -> None:
    folder = tmp_path_factory.mktemp("study")
    studies.write(folder, study)
    assert studies.outcome(folder) in ("right", "asks")


LATE = "a late high-resolution T1"
FOUND = [
    Study(1, AGENTS[1], CLOCKS[3], series=SERIES[1], troubles=("post1 lost a slice",)),
    Study(1, clock=CLOCKS[5], series=SERIES[1], troubles=("posts are marked derived",)),
    Study(1, clock=CLOCKS[5], troubles=("posts are marked derived",)),
    Study(
        *(1, AGENTS[2], CLOCKS[3], WORDS[2], SERIES[1]),
        troubles=("pre is called a subtraction", "last post lost a slice"),
    ),
    Study(clock=CLOCKS[3], series=SERIES[1], troubles=("a second pre", "post1 lost a slice")),
    Study(2, clock=CLOCKS[5], words=WORDS[2], troubles=("post1 has another TR",)),
    Study(1, AGENTS[2], CLOCKS[5], troubles=("post1 lost a slice",)),
    Study(1, troubles=("pre lost a slice", "post1 lost a slice", LATE)),
    Study(
        *(1, AGENTS[2], CLOCKS[4], WORDS[1], SERIES[1]),
        troubles=("pre lies half a voxel off", "last post lost a slice", LATE),
    ),
    Study(
        *(1, AGENTS[0], CLOCKS[1], WORDS[3], SERIES[1]),
        troubles=("post1 lost a slice", "a T2", "pre is called a subtraction"),
    ),
    Study(1, AGENTS[1], CLOCKS[2], series=SERIES[1], troubles=("pre is called a subtraction",)),
    Study(troubles=("pre has another flip angle", "a second pre")),
    Study(
        *(4, AGENTS[0], CLOCKS[1], WORDS[1], SERIES[1]),
        troubles=("a second pre", "pre is in another frame"),
    ),
    Study(
        *(4, AGENTS[2], CLOCKS[5]),
        troubles=("a UID per slice", "posts are marked derived", "post1 lost a slice"),
    ),
    Study(
        *(2, AGENTS[1], CLOCKS[5], WORDS[3], SERIES[1]),
        troubles=("pre lost a slice", "a second pre", "last post lost a slice"),
    ),
]


@pytest.mark.parametrize("study", FOUND, ids=lambda study: "+".join(study.troubles))
def test_studies_once_read_wrongly_are_asked(tmp_path: Path, study: Study) -> None:
    studies.write(tmp_path, study)
    assert studies.outcome(tmp_path) == "asks"


def test_slices_there_twice_with_a_uid_per_slice_are_whole_phases(tmp_path: Path) -> None:
    troubles = ("slices are there twice", "a UID per slice", "one UID for all")
    studies.write(tmp_path, Study(2, clock=CLOCKS[2], words=WORDS[3], troubles=troubles))
    assert studies.outcome(tmp_path) == "right"


@pytest.mark.parametrize("clock", CLOCKS[:4])
@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("agent", AGENTS)
def test_studies_with_nothing_wrong_are_read(
    tmp_path: Path, agent: str, series: str, clock: str
) -> None:
    studies.write(tmp_path, Study(agent=agent, series=series, clock=clock))
    assert studies.outcome(tmp_path) == "right"


HARMLESS = (
    *("pre lies a hundredth off", "last post lost a slice", "all are marked derived"),
    *("positions jitter", "slices are there twice", "a UID per slice", "one UID for all"),
    *(
        "no group 2",
        "another patient",
        "another visit",
        "another day",
        "a later T1",
        "a T2",
        "a diffusion",
    ),
    *("a localizer", "subtractions", "unmarked subtractions", "a late high-resolution T1"),
    "an earlier T1",
)


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("agent", AGENTS)
def test_an_earlier_t1_is_not_asked_about_where_contrast_comes_after_the_pre(
    tmp_path: Path, agent: str, series: str
) -> None:
    study = Study(agent=agent, series=series, troubles=("an earlier T1",))
    studies.write(tmp_path / "whole", study)
    assert studies.outcome(tmp_path / "whole") == "right"
    # Without its pre the dynamic begins after contrast: nothing rises as much.
    studies.write(
        tmp_path / "lost",
        replace(study, troubles=("an earlier T1", "pre was not exported")),
    )
    outcome, question = studies.outcome_and_reason(tmp_path / "lost")
    assert outcome == "asks"
    assert "--phases" in question


@pytest.mark.parametrize("clock", [CLOCKS[0], *CLOCKS[4:]])
@pytest.mark.parametrize("agent", AGENTS)
def test_a_lone_phase_after_two_lost_ones_is_asked(tmp_path: Path, agent: str, clock: str) -> None:
    studies.write(
        tmp_path, Study(2, agent, clock, troubles=("pre lost a slice", "post1 lost a slice"))
    )
    assert studies.outcome(tmp_path) == "asks"


@pytest.mark.parametrize("clock", CLOCKS[:5])
def test_derived_series_called_differences_ask_nothing(tmp_path: Path, clock: str) -> None:
    studies.write(
        tmp_path, Study(clock=clock, series=SERIES[1], troubles=("unmarked subtractions",))
    )
    assert studies.outcome(tmp_path) == "right"


@pytest.mark.parametrize("trouble", HARMLESS)
def test_what_leaves_no_doubt_is_not_asked(tmp_path: Path, trouble: str) -> None:
    assert trouble in TROUBLES
    studies.write(tmp_path, Study(troubles=(trouble,)))
    assert studies.outcome(tmp_path) == "right"
