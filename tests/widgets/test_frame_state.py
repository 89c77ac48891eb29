"""What the frame of the dock says, without a window."""

from __future__ import annotations

from napari_breastseg.widgets.state.frame import STEPS, Situation, steps


def words(**now: object) -> dict[str, str]:
    return {step.name: step.words for step in steps(Situation(**now))}


def done(**now: object) -> list[str]:
    return [step.name for step in steps(Situation(**now)) if step.is_done]


def test_at_first_no_step_claims_anything() -> None:
    assert words() == dict.fromkeys(STEPS, "")
    assert done() == []


def test_a_draft_is_done_when_its_mask_is_there_and_nothing_runs() -> None:
    assert done(has_exam=True, has_mask=True) == ["Open", "Draft"]
    running = {"has_exam": True, "has_mask": True, "is_drafting": True}
    assert done(**running) == ["Open"]
    assert words(**running)["Draft"] == "running"


def test_a_case_is_under_way_until_it_is_accepted() -> None:
    assert words(is_held=True)["Correct"] == "under way"
    assert words(is_held=True, is_accepted=True)["Correct"] == "accepted"
    assert done(is_held=True, is_accepted=True) == ["Correct"]


def test_the_list_is_done_when_all_its_cases_are_accepted() -> None:
    assert words(n_cases=9, n_accepted=4)["List"] == "4/9"
    assert done(n_cases=9, n_accepted=4) == []
    assert done(n_cases=9, n_accepted=9) == ["List"]


def test_a_training_runs_or_has_brought_a_model() -> None:
    assert words(is_training=True, has_new_model=True)["Train"] == "running"
    assert words(has_new_model=True)["Train"] == "new model"
    assert done(has_new_model=True) == ["Train"]
