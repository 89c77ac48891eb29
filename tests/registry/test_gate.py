"""The gate: what it lets pass, what it stops and why, and on whom it judges."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hospital import add_case, bright_model, make_hospital

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.model.checkpoint import Checkpoint
from napari_breastseg.model.site import Site, SiteExams
from napari_breastseg.registry.gate import judge
from napari_breastseg.registry.judgment import GateRule, Judgment
from napari_breastseg.registry.weighing import weigh
from napari_breastseg.scoring.evaluation import evaluate

GRID = Grid((1, 64, 64))
FRAME = Judgment(
    verdict="not enough to judge",
    candidate="new@1",
    reference="old@0",
    datasets=("D",),
    data_sha256="",
    n_patients=0,
    n_cases=0,
)


class Answer:
    """A prediction without a probability."""

    probability = None

    def __init__(self, mask):
        self.label_map = LabelMap(mask.astype(np.uint8), GRID)


def disk(x, y=32, radius=10):
    _, rows, columns = np.indices(GRID.shape)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def scored(answers, truth=None):
    """Evaluation of masks given by case id; the truth is a disk in the middle, or given by case."""
    truth = truth or LabelMap(disk(32).astype(np.uint8), GRID)
    truths = truth if isinstance(truth, dict) else dict.fromkeys(answers, truth)

    def predict(exam):
        answer = answers[exam.case_id]
        if answer is None:
            exam.require_phases(["post9"], "model m")
        return Answer(answer)

    image = Volume(np.zeros(GRID.shape, np.float32), GRID)
    cases = [
        (case_id, case_id.split("_")[0], Exam(case_id, {"post1": image}), truths[case_id])
        for case_id in answers
    ]
    return drain(evaluate(cases, predict))


def shifted(*pixels):
    """Disks of so many patients, each so many pixels beside the truth."""
    return {f"P{n}": disk(32 + by) for n, by in enumerate(pixels)}


def verdict_of(candidate, reference, **rule):
    frame = FRAME.model_copy(update={"rule": GateRule(**rule)})
    return weigh(scored(candidate), scored(reference), frame)


def test_a_candidate_that_gains_on_every_patient_is_better():
    judgment = verdict_of(shifted(1, 1, 0, 1, 2, 1), shifted(4, 3, 3, 4, 4, 3))
    assert judgment.verdict == "better"
    assert judgment.passes
    assert judgment.n_patients == 6
    dice = judgment.figures[0]
    assert dice.difference == pytest.approx(dice.candidate - dice.reference)
    assert dice.ci95[0] > 0
    assert "new is better than old on 6 locked patients" in judgment.describe()
    assert json.loads(judgment.model_dump_json())["verdict"] == "better"
    assert Judgment.model_validate_json(judgment.model_dump_json()) == judgment


def test_a_candidate_that_is_the_same_within_the_margin_passes():
    judgment = verdict_of(shifted(1, 2, 1, 2, 1, 2), shifted(2, 1, 1, 2, 2, 1))
    assert (judgment.verdict, judgment.passes) == ("not worse", True)
    same = shifted(1, 2, 3, 1, 2)
    assert verdict_of(same, same).verdict == "not worse"


def test_a_gain_that_may_be_chance_is_not_called_better():
    judgment = verdict_of(shifted(0, 2, 1, 2, 0, 2), shifted(2, 1, 2, 1, 2, 2))
    gain = judgment.figures[0]
    assert gain.difference > 0.01
    assert gain.ci95[0] <= 0
    assert (judgment.verdict, judgment.passes) == ("not worse", True)


def test_a_candidate_that_may_be_worse_is_unclear_and_one_that_is_is_worse():
    judgment = verdict_of(shifted(0, 5, 0, 5, 0), shifted(2, 2, 2, 2, 2))
    assert judgment.figures[0].ci95[1] > 0
    assert (judgment.verdict, judgment.passes) == ("unclear", False)
    assert "was not shown to be as good as old" in judgment.describe()
    assert "allowed: a loss below 0.05" in judgment.describe()
    judgment = verdict_of(shifted(5, 5, 5, 5, 5), shifted(0, 0, 0, 0, 0))
    assert (judgment.verdict, judgment.passes) == ("worse", False)


def test_the_margin_is_the_rules():
    pair = shifted(2, 3, 2, 3, 2), shifted(1, 2, 1, 2, 1)
    assert verdict_of(*pair, dice_margin=0.2).passes
    assert not verdict_of(*pair, dice_margin=0.01).passes


def test_one_patient_who_loses_much_stops_a_candidate_that_gains_on_the_whole():
    reference = shifted(*[7] * 11, 0)
    judgment = verdict_of(shifted(*[0] * 11, 7), reference)
    assert judgment.figures[0].difference > 0.3
    assert judgment.verdict == "worse"
    assert "Dice of the patient with the largest loss" in judgment.reasons[-1]
    assert verdict_of(shifted(*[0] * 11, 2), reference).verdict == "better"


def test_missed_lesions_stop_a_candidate_when_surely_more():
    reference = shifted(*[9] * 8)
    nothing = np.zeros(GRID.shape, bool)
    one_missed = shifted(*[0] * 8) | {"P7": nothing}
    one = verdict_of(one_missed, reference, patient_margin=1)
    assert one.figures[2].measure == "share of lesions missed (8 lesions)"
    assert (one.figures[2].candidate, one.figures[2].is_kept) == (0.125, True)
    many = shifted(*[0] * 8) | {f"P{n}": nothing for n in range(5)}
    judgment = verdict_of(many, reference, patient_margin=1, dice_margin=1)
    assert judgment.verdict == "worse"
    assert "share of lesions missed (8 lesions)" in judgment.reasons[-1]
    # A patient whose only lesion is missed stops a candidate as the patient with the largest loss.
    assert verdict_of(one_missed, reference).verdict == "worse"


def test_fragments_beside_a_lesion_are_not_counted_as_missed():
    spots = np.zeros(GRID.shape, bool)
    spots[0, 2, ::4] = True
    with_spots = {case: mask | spots for case, mask in shifted(*[4] * 8).items()}
    truth = LabelMap((disk(32) | spots).astype(np.uint8), GRID)
    judgment = weigh(
        scored(shifted(*[0] * 8), truth),
        scored(with_spots, truth),
        FRAME.model_copy(update={"rule": GateRule(hd95_margin=100)}),
    )
    assert judgment.figures[2].measure == "share of lesions missed (8 lesions)"
    assert judgment.verdict == "better"


def test_false_positives_stop_a_candidate_when_surely_more():
    reference = shifted(*[4] * 6)
    spots = np.zeros(GRID.shape, bool)
    spots[0, 2, ::4] = True
    everywhere = {case: mask | spots for case, mask in shifted(*[0] * 6).items()}
    judgment = verdict_of(everywhere, reference, hd95_margin=100)
    assert judgment.verdict == "worse"
    assert "false positives per case: 16 against 0" in judgment.reasons[-1]
    once = shifted(*[0] * 6) | {"P0": disk(32) | spots}
    assert verdict_of(once, reference).passes  # one patient shows nothing of the others


def test_distances_stop_a_candidate_when_surely_larger():
    # A frame far away, joined to the tumor: hardly any pixels, one component.
    frame = np.zeros(GRID.shape, bool)
    frame[0, 0, :] = frame[0, :32, 32] = True
    judgment = verdict_of(
        {case: mask | frame for case, mask in shifted(*[0] * 6).items()},
        shifted(*[4] * 6),
        dice_margin=0.5,
    )
    assert judgment.verdict == "worse"
    assert "mean HD95 in px" in judgment.reasons[-1]


def test_a_case_only_the_candidate_cannot_segment_stops_it():
    unable = shifted(*[0] * 6) | {"P2": None}
    judgment = verdict_of(unable, shifted(*[4] * 6))
    assert judgment.verdict == "worse"
    assert "could not segment P2" in judgment.reasons[0]
    assert verdict_of(unable, shifted(*[4] * 6) | {"P2": None}).verdict == "better"


def test_a_patient_with_many_cases_counts_once():
    reference = shifted(3, 3, 3, 3) | {f"P4_{n}": disk(32) for n in range(20)}
    candidate = shifted(0, 0, 0, 0) | {f"P4_{n}": disk(34) for n in range(20)}
    judgment = verdict_of(candidate, reference)
    assert (judgment.n_patients, judgment.n_cases) == (5, 24)
    assert judgment.figures[0].difference > 0.05


def test_few_patients_are_not_enough_whatever_they_say():
    judgment = verdict_of(shifted(0, 0, 0, 0), shifted(9, 9, 9, 9))
    assert (judgment.verdict, judgment.passes) == ("not enough to judge", False)
    assert judgment.figures == ()
    assert "5 locked patients with an accepted case are needed" in judgment.describe()


def with_clear_patients(answers, *false):
    """The same and as many patients without tumor, each with such a false positive or none."""
    nothing = np.zeros(GRID.shape, bool)
    truths = {case: LabelMap(disk(32).astype(np.uint8), GRID) for case in answers}
    for n, mask in enumerate(false):
        truths[f"N{n}"] = LabelMap(nothing.astype(np.uint8), GRID)
        answers = answers | {f"N{n}": nothing if mask is None else mask}
    return scored(answers, truths)


def test_a_speck_in_a_patient_without_tumor_is_no_loss_of_dice():
    speck = np.zeros(GRID.shape, bool)
    speck[0, 2, 2] = True
    candidate = with_clear_patients(shifted(*[0] * 6), speck, None)
    reference = with_clear_patients(shifted(*[4] * 6), None, None)
    judgment = weigh(candidate, reference, FRAME)
    assert (judgment.verdict, judgment.n_patients) == ("better", 8)
    assert judgment.figures[0].candidate == 1.0
    # What is marked there counts as false, though.
    assert judgment.figures[3].candidate == pytest.approx(1 / 8)


def test_patients_without_tumor_do_not_make_enough_to_judge():
    judgment = weigh(
        with_clear_patients(shifted(*[0] * 4), None, None, None),
        with_clear_patients(shifted(*[4] * 4), None, None, None),
        FRAME,
    )
    assert (judgment.verdict, judgment.figures) == ("not enough to judge", ())
    assert "on 7 locked patients (7 cases)" in judgment.describe()
    assert "Patients with a tumor among them: 4." in judgment.describe()
    assert "5 locked patients with a tumor in an accepted case are needed" in judgment.describe()


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    return make_hospital(tmp_path_factory.mktemp("hospital") / "Dataset501_Breast")


def test_the_locked_patients_and_no_others_are_read(hospital, monkeypatch):
    read = []
    real = Dataset.exam
    monkeypatch.setattr(
        Dataset, "exam", lambda self, case_id: (read.append(case_id), real(self, case_id))[1]
    )
    good, blind = bright_model("good", 0.5), bright_model("blind", 9.0)
    steps = []
    judgment = drain(judge(good, blind, [hospital], device="cpu"), steps.append)
    assert set(read) == set(hospital.locked())
    assert (judgment.n_patients, judgment.n_cases) == (5, 10)
    assert judgment.verdict == "better"
    assert judgment.datasets == ("Dataset501_Breast",)
    assert [patient.cases for patient in judgment.patients] == [2] * 5
    assert {step.stage for step in steps} == {"Judging"}
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert (steps[-1].done, steps[-1].total) == (20, 20)
    back = drain(judge(blind, good, [hospital], device="cpu"))
    assert back.verdict == "worse"
    assert back.data_sha256 == judgment.data_sha256


@pytest.mark.parametrize(("phases", "verdict"), [(("post1",), "worse"), (("pre",), "not worse")])
def test_a_model_of_two_networks_is_judged_as_it_is_used(hospital, phases, verdict):
    good, blind = bright_model("good", 0.5), bright_model("blind", 9.0)
    # Far wider than any exam differs: those with the site's phases all get the blind network.
    features = 12
    exams = SiteExams(phases=phases, cases=1, patients=1, mean=(0.0,) * features, spread=1e6)
    site = Site(scale=(1.0,) * features, exams=(exams,))
    info = blind.info.model_copy(update={"site": site})
    pair = Checkpoint(info, blind.network, general=good.network)
    assert drain(judge(pair, good, [hospital], device="cpu")).verdict == verdict


def test_patients_a_model_learned_from_are_left_out_and_counted(hospital):
    good = bright_model("good", 0.5, inherited_patients=["P09"])
    blind = bright_model("blind", 9.0, training_cases=["P14_v2"])
    judgment = drain(judge(good, blind, [hospital], device="cpu"))
    assert (judgment.verdict, judgment.n_patients, judgment.left_out) == (
        "not enough to judge",
        3,
        2,
    )
    assert "Locked patients left out because a model was trained on them: 2." in judgment.describe()
    rule = GateRule(min_patients=3)
    assert drain(judge(good, blind, [hospital], rule=rule, device="cpu")).verdict == "better"


def test_the_digest_tells_other_judging_data(hospital, tmp_path):
    small = Dataset.create(tmp_path / "small")
    good = bright_model("good", 0.5)
    digests = {
        drain(judge(good, good, sets, rule=GateRule(min_patients=31), device="cpu")).data_sha256
        for sets in ([hospital], [small], [hospital, small])
    }
    assert len(digests) == 2  # an empty dataset adds nothing


def test_masks_that_the_candidate_cannot_follow_stop_it():
    truth = LabelMap(disk(32).astype(np.uint8), GRID)
    moved = LabelMap(np.roll(disk(32), 20, axis=-1).astype(np.uint8), GRID)
    good = scored(shifted(*[0] * 8), truth)
    worse = scored(shifted(*[1] * 8), truth)
    right = weigh(good, worse, FRAME, scored(shifted(*[1] * 8), truth))
    assert right.passes
    wrong = weigh(good, worse, FRAME, scored(shifted(*[1] * 8), moved))
    assert wrong.verdict == "worse"
    assert "Dice on the masks it was trained on" in wrong.reasons[-1]


def test_a_dataset_named_twice_judges_once_and_two_sites_with_equal_case_ids_both(
    hospital, tmp_path
):
    good, blind = bright_model("good", 0.5), bright_model("blind", 9.0)
    again = Dataset.open(hospital.folder.parent / "." / hospital.folder.name)
    once = drain(judge(good, blind, [hospital, again], device="cpu"))
    assert (once.datasets, once.n_cases) == (("Dataset501_Breast",), 10)
    other = Dataset.create(tmp_path / "Dataset502_Breast")
    for n in range(20, 30):  # P29, the tenth to enter, is locked here, too
        add_case(other, n, "v1", is_accepted=n == 29)
    assert other.locked() == ("P29_v1",)
    both = drain(judge(good, blind, [hospital, other], device="cpu"))
    assert (both.n_cases, both.n_patients) == (11, 5)
    assert {patient.patient_id: patient.cases for patient in both.patients}["P29"] == 3
