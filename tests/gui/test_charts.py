"""Charts: what they draw, what the mouse reads from them, how they are saved."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QToolTip

from napari_breastseg.dataset import Effort
from napari_breastseg.widgets.correct.kinetic_chart import KineticChart, phase_places
from napari_breastseg.widgets.parts.chart import Chart, Inks
from napari_breastseg.widgets.parts.colors import CHART, CHART_OTHER, WORSE
from napari_breastseg.widgets.review.effort_chart import EffortChart
from napari_breastseg.widgets.train.charts import MOST_ROWS, CaseDice, Curves

ROW = 15


@pytest.fixture
def shown(qtbot: Any) -> Callable[[Any], Any]:
    """Show a chart in a dock's width and wait until it is drawn."""

    def show(chart: Any) -> Any:
        qtbot.addWidget(chart)
        chart.resize(320, chart.height())
        chart.show()
        drawing = getattr(chart, "dots", chart)
        qtbot.waitUntil(lambda: drawing._drawn_for is not None, timeout=20_000)
        return chart

    return show


def colors_of(widget: Any, rows: range | None = None) -> set[str]:
    """Colors of pixels of a widget, or of some of its rows."""
    image = widget.grab().toImage()
    ratio = image.width() / widget.width()
    rows = range(widget.height()) if rows is None else rows
    lines = range(int(rows.start * ratio), int(rows.stop * ratio))
    return {QColor(image.pixel(x, y)).name() for y in lines for x in range(image.width())}


def row(number: int) -> range:
    return range(number * ROW, (number + 1) * ROW)


def place_saying(chart: Chart, text: str) -> QPoint:
    """Where in a chart a text is told."""
    for places, texts in chart._spots:
        for (x, y), words in zip(places, texts, strict=True):
            if words == text:
                return QPoint(round(x), round(chart.height() - y))
    raise AssertionError(f"{text!r} is told nowhere")


def effort(case_id: str, order: int, model: str | None, seconds: float) -> Effort:
    return Effort(case_id, order, model, seconds, 3, 100, 20, None, 0.8)


def lesion(name: str, **curve: float) -> Any:
    return SimpleNamespace(id=name, kinetics=SimpleNamespace(curve_percent=curve, times_s={}))


class TestCaseDice:
    def test_the_lowest_cases_come_first_and_worse_ones_stand_out(self, shown: Any) -> None:
        chart = CaseDice()
        assert chart.isHidden()
        cases = {f"CASE_{n:02d}": n / 20 for n in range(15)}
        chart.add(0, cases)
        assert not chart.isHidden()
        after = {case: dice + (-0.05 if case == "CASE_03" else 0.2) for case, dice in cases.items()}
        chart.add(25, after)
        shown(chart)
        assert chart.rows()[:3] == ["CASE_03", "CASE_00", "CASE_01"]
        assert len(chart.rows()) == MOST_ROWS
        assert chart.height() >= 13 * ROW
        assert "CASE_14: Dice 0.70 → 0.90" in chart.toolTip()
        assert WORSE in colors_of(chart, row(0))
        assert CHART not in colors_of(chart, row(0))
        assert CHART in colors_of(chart, row(1))
        assert WORSE not in colors_of(chart, row(1))
        chart.begin()
        assert chart.isHidden()
        assert chart.rows() == []

    def test_without_a_model_before_only_the_present_is_shown(self, shown: Any) -> None:
        chart = CaseDice()
        chart.add(50, {"A": 0.5})
        shown(chart)
        assert chart.toolTip() == "A: Dice 0.50"
        assert CHART in colors_of(chart, row(0))
        assert chart.height() == 19


def test_loss_and_dice_of_a_training_are_drawn_each_in_its_color(shown: Any, qtbot: Any) -> None:
    chart = Curves()
    assert chart.isHidden()
    chart.begin()
    shown(chart)
    # Before the first step there is the legend alone.
    legend, below = range(18), range(20, 130)
    assert CHART_OTHER not in colors_of(chart, below)
    assert CHART not in colors_of(chart, below)
    chart.add(10, 100, 0.8, 0.3)
    chart.add(50, 100, 0.4, 0.6)
    qtbot.waitUntil(lambda: CHART in colors_of(chart, below), timeout=20_000)
    assert CHART_OTHER in colors_of(chart, below)
    assert len(colors_of(chart, legend)) > 10
    assert [value for _, value in chart.loss] == pytest.approx([0.8, 0.76])
    chart.begin()
    qtbot.waitUntil(lambda: CHART not in colors_of(chart, below), timeout=20_000)


def test_the_chosen_lesion_stands_out(shown: Any, qtbot: Any) -> None:
    chart = KineticChart()
    lesions = [lesion("index", pre=0, post1=140, post2=90), lesion("satellite 1", pre=0, post1=50)]
    chart.show_lesions(lesions, None)
    assert chart.chosen == "index"
    shown(chart)
    place = place_saying(chart, "index, post1: 140 %")
    around = range(place.y() - 2, place.y() + 3)
    assert CHART in colors_of(chart, around)
    chart.show_lesions(lesions, "satellite 1")
    qtbot.waitUntil(lambda: CHART not in colors_of(chart, around), timeout=20_000)
    chart.show_lesions([lesion("index")], None)
    assert chart.isHidden()


def test_effort_is_drawn_case_by_case_with_the_median_of_each_model(shown: Any, qtbot: Any) -> None:
    chart = EffortChart()
    assert chart.dots.isHidden()
    assert chart.words.text() == "No draft has been corrected yet."
    rows = [effort("A", 1, None, 900), effort("B", 2, "m@1", 1200), effort("C", 3, "m@1", 1000)]
    chart.set_rows([*rows, effort("D", 4, "m@2", 300)])
    assert chart.points == [(1200, "m@1"), (1000, "m@1"), (300, "m@2")]
    shown(chart)
    assert {CHART, CHART_OTHER} <= colors_of(chart.dots)
    assert place_saying(chart.dots, "C (m@1): 1,000 s")
    assert place_saying(chart.dots, "m@1: median 1,100 s")
    chart.measure.setCurrentText("Added path length, mm")
    assert chart.points == []
    qtbot.waitUntil(lambda: CHART not in colors_of(chart.dots), timeout=20_000)


def test_the_mouse_reads_the_value_of_the_nearest_point(shown: Any, qtbot: Any) -> None:
    chart = Curves()
    chart.begin()
    chart.add(0, 100, None, 0.25)
    chart.add(50, 100, 0.4, 0.6)
    shown(chart)
    place = place_saying(chart, "step 50: Dice 0.600")
    QTest.mouseMove(chart, place)
    qtbot.waitUntil(lambda: QToolTip.text() == "step 50: Dice 0.600", timeout=20_000)
    assert chart.text_at(QPointF(place + QPoint(3, 3))) == "step 50: Dice 0.600"
    assert chart.text_at(QPointF(place + QPoint(40, 0))) == ""


class Scribbled(Chart):
    """A chart that counts how often it is drawn."""

    def __init__(self) -> None:
        super().__init__("counted", 60, (10, 10, 10, 10))
        self.inks: list[Inks] = []

    def plot(self, axes: Any, inks: Inks) -> None:
        self.inks.append(inks)
        axes.plot([0, 1], [0, 1], color=CHART)
        self.tell(axes, [0, 1], [float("nan"), 1], ["no value", "top"])


def test_values_that_come_fast_are_drawn_together(shown: Any, qtbot: Any) -> None:
    chart = shown(Scribbled())
    drawn, begun = len(chart.inks), time.monotonic()
    for _ in range(200):
        chart.redraw()
        qtbot.wait(1)  # as the steps of a fast training come
    assert len(chart.inks) - drawn <= 2 + (time.monotonic() - begun) / 0.4
    seen = len(chart.inks)
    chart.redraw()
    qtbot.waitUntil(lambda: len(chart.inks) > seen, timeout=20_000)
    chart.hide()
    seen = len(chart.inks)
    chart.redraw()
    qtbot.wait(600)
    assert len(chart.inks) == seen  # nobody looks


def test_a_point_without_a_value_says_nothing(shown: Any) -> None:
    chart = shown(Scribbled())
    assert chart.text_at(QPointF(chart.width() - 10, 10)) == "top"
    assert chart.text_at(QPointF(10, chart.height() - 10)) == ""


def test_a_chart_follows_the_theme(shown: Any, qtbot: Any) -> None:
    chart = shown(Scribbled())
    for text, ink in (("#ffffff", (1, 1, 1, 1)), ("#000000", (0, 0, 0, 1))):
        chart.setStyleSheet(f"QWidget {{ color: {text}; }}")
        qtbot.waitUntil(lambda ink=ink: chart.inks[-1].text == ink, timeout=20_000)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the window told the user."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def note(event: Any) -> None:
        messages.append(str(event.message))

    notification_manager.notification_ready.connect(note)
    yield messages
    notification_manager.notification_ready.disconnect(note)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_chart_is_saved_black_on_white(
    ending: str, shown: Any, told: list[str], tmp_path: Path, qtbot: Any
) -> None:
    chart = shown(Scribbled())
    chart.save(tmp_path / f"chart{ending}")
    assert chart.inks[-1].background == "white"
    qtbot.waitUntil(lambda: told == [f"Chart saved as chart{ending}."], timeout=20_000)
    assert [path.name for path in tmp_path.iterdir()] == [f"chart{ending}"]
    data = (tmp_path / f"chart{ending}").read_bytes()
    assert {".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}[ending] in data[:2000]
    if ending == ".png":
        picture = iio.imread(tmp_path / "chart.png")[..., :3]
        assert picture.shape[1] == pytest.approx(chart.width() * 300 / 96, abs=2)
        assert (picture[0] == 255).all()
        assert (picture == np.array([0x4A, 0xA3, 0xDF])).all(axis=-1).any()


def test_a_name_without_ending_is_saved_as_the_kind_chosen(
    shown: Any, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    chart = shown(Scribbled())
    answer = (str(tmp_path / "fold.0"), "SVG drawing (*.svg)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: answer)
    chart._ask_and_save()
    qtbot.waitUntil(lambda: told == ["Chart saved as fold.0.svg."], timeout=20_000)
    assert (tmp_path / "fold.0.svg").is_file()


def test_a_folder_that_cannot_be_written_is_told(
    shown: Any, told: list[str], tmp_path: Path, qtbot: Any
) -> None:
    chart = shown(Scribbled())
    (tmp_path / "file").write_text("")
    chart.save(tmp_path / "file" / "chart.png")
    qtbot.waitUntil(lambda: len(told) == 1, timeout=20_000)
    assert "chart.png to be writable; found the system" in told[0]


def test_matplotlib_is_loaded_for_the_first_chart_that_is_seen() -> None:
    program = (
        "import sys, time\n"
        "from qtpy.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "import napari_breastseg.widgets.dock\n"
        "from napari_breastseg.widgets.train.charts import Curves\n"
        "chart = Curves()\n"
        "app.processEvents()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "chart.begin()\n"
        "while chart._drawn_for is None:\n"
        "    app.processEvents()\n"
        "    time.sleep(0.01)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_curves_stand_on_the_times_of_their_phases() -> None:
    roles = ["pre", "post1", "post2", "post3"]
    times = {"post1": 0.0, "post2": 60.0, "post3": 300.0}
    places, labels = phase_places(roles, times)
    assert places == [-150.0, 0.0, 60.0, 300.0]
    assert labels == ["pre", "0:00", "1:00", "5:00"]
    # Ultrafast: times that would be written over each other are left out
    many = {f"post{n}": 4.0 * n for n in range(1, 31)}
    places, labels = phase_places(list(many), many)
    assert places == list(many.values())
    shown = [place for place, label in zip(places, labels, strict=True) if label]
    assert len(shown) < 12
    # A time that is not known, or out of order: equal steps and the roles' names
    for known in ({}, {"post1": 0.0}, {**times, "post3": 30.0}):
        assert phase_places(roles, known) == ([0.0, 1.0, 2.0, 3.0], roles)
