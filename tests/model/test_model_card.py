"""A trained model says what it learned from, whom it owes attribution, and how well it does."""

from __future__ import annotations

import pytest

from napari_breastseg.model import checkpoint
from napari_breastseg.model.card import model_card
from napari_breastseg.model.checkpoint import ModelInfo, TrainingRecord
from napari_breastseg.model.unet import ModelSpec

HEADINGS = ["## What it takes", "## Data, licence", "## How well it does"]


def info(**fields):
    training = TrainingRecord(
        datasets=["Ward"],
        training_cases=["CASE-1", "CASE-2"],
        patients=["PATIENT-7"],
        validation_cases=["CASE-9"],
        steps=120,
        config={"base_share": 0.65},
    )
    return ModelInfo(name="w", spec=ModelSpec(), training=training, **fields)


def headings(card):
    return [line for line in card.splitlines() if line.startswith("## ")]


def test_a_model_from_scratch_names_numbers_and_nobody():
    card = model_card(info(metrics={"val_dice": 0.8123}, software={"torch": "2.13.0"}))
    assert headings(card) == HEADINGS
    assert "**Ward**: 2 cases of 1 patient, 120 steps, from scratch." in card
    assert "Mean Dice 0.81 on 1 case held out from training" in card
    assert "Licence of the weights: not stated." in card
    assert "Made with torch 2.13.0." in card
    assert "not a medical device" in card
    assert "CASE" not in card
    assert "PATIENT" not in card


def test_the_attribution_of_what_it_was_made_from_stays_through_generations():
    starter = checkpoint.load(checkpoint.STARTER)
    fields = {"parent": starter.info.identity, "licence": starter.info.licence}
    first = model_card(info(**fields), starter.card)
    second = model_card(info(parent="w@1"), first)
    for card in (first, second):
        assert headings(card) == HEADINGS
        for words in ("10.7937/TCIA.KK02-6D95", "CC BY 4.0", "keep this attribution"):
            assert words in card
    assert f"from the weights of {starter.info.identity}, of which 65% are in it." in first
    assert first.count("**Ward**") == 1
    assert second.count("**Ward**") == 2
    assert "failures.png" not in second
    assert second.count("What those weights were trained on:") == 2
    # A base without a card leaves no empty promise
    assert "weights were trained on:" not in model_card(info(parent="w@1"))


@pytest.mark.parametrize(
    ("metrics", "validation", "words"),
    [
        ({}, [], "Not validated"),
        ({"val_dice": 0.9}, ["CASE-1", "CASE-2"], "says nothing about other patients"),
    ],
)
def test_a_figure_that_says_little_is_no_promise(metrics, validation, words):
    model = info(metrics=metrics)
    model.training.validation_cases = validation
    assert words in model_card(model)
