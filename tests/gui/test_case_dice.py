"""Dice of each held-out case, before a training and now."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtGui import QColor

from napari_breastseg.widgets.parts.case_dice import MOST_ROWS, WORSE_COLOR, CaseDice
from napari_breastseg.widgets.parts.curves import DICE_COLOR


def colors_of_row(widget: CaseDice, number: int) -> set[str]:
    image = widget.grab().toImage()
    ratio = image.width() / widget.width()
    rows = range(int(number * 15 * ratio), int((number + 1) * 15 * ratio))
    return {QColor(image.pixel(x, y)).name() for y in rows for x in range(0, image.width())}


def test_the_lowest_cases_come_first_and_worse_ones_stand_out(qtbot: Any) -> None:
    widget = CaseDice()
    qtbot.addWidget(widget)
    assert widget.isHidden()
    cases = {f"CASE_{n:02d}": n / 20 for n in range(15)}
    widget.add(0, cases)
    assert not widget.isHidden()
    after = {case: dice + (-0.05 if case == "CASE_03" else 0.2) for case, dice in cases.items()}
    widget.add(25, after)
    widget.resize(360, widget.height())
    assert widget.rows()[:3] == ["CASE_03", "CASE_00", "CASE_01"]
    assert len(widget.rows()) == MOST_ROWS
    assert widget.height() >= 13 * 15
    assert "CASE_14: Dice 0.70 → 0.90" in widget.toolTip()
    assert WORSE_COLOR in colors_of_row(widget, 0)
    assert DICE_COLOR not in colors_of_row(widget, 0)
    assert DICE_COLOR in colors_of_row(widget, 1)
    assert WORSE_COLOR not in colors_of_row(widget, 1)
    widget.begin()
    assert widget.isHidden()
    assert widget.rows() == []


def test_without_a_model_before_only_the_present_is_shown(qtbot: Any) -> None:
    widget = CaseDice()
    qtbot.addWidget(widget)
    widget.add(50, {"A": 0.5})
    assert widget.toolTip() == "A: Dice 0.50"
    assert DICE_COLOR in colors_of_row(widget, 0)
    assert np.isclose(widget.height(), 19)
