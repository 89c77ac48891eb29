"""Seconds and strokes of a case, and the slices reviewed in it."""

from __future__ import annotations

from napari_breastseg.widgets.state.effort import IDLE_S, Effort
from napari_breastseg.widgets.state.reviewed import ReviewedSlices


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_pause_counts_as_a_minute_at_most() -> None:
    clock = Clock()
    effort = Effort(clock)
    effort.touch()  # starts the clock
    assert effort.seconds == 0
    for pause in (5.0, IDLE_S + 1, 7200.0):
        clock.now += pause
        effort.touch()
    assert effort.seconds == 5 + 2 * IDLE_S


def test_effort_counted_elsewhere_is_taken_off_and_never_below_nothing() -> None:
    effort = Effort(Clock())
    effort.add(12.0, 3)
    effort.deduct(10.0, 1)
    assert (effort.seconds, effort.strokes) == (2.0, 2)
    effort.deduct(10.0, 9)
    assert (effort.seconds, effort.strokes) == (0.0, 0)


def test_a_stroke_or_a_second_is_worth_recording() -> None:
    effort = Effort(Clock())
    effort.add(0.9, 0)
    assert not effort.is_worth_recording
    effort.add(0.1, 0)
    assert effort.is_worth_recording
    effort.deduct(1.0, 0)
    effort.add(0.0, 1)
    assert effort.is_worth_recording


def test_slices_along_z_follow_once_all_of_another_direction_were_seen() -> None:
    reviewed = ReviewedSlices((3, 4, 5))
    assert reviewed.add([0], axis=0)
    assert not reviewed.add([0], axis=0)
    assert reviewed.add(range(4), axis=2)
    assert reviewed.along(0) == {0}
    assert reviewed.along(2) == {0, 1, 2, 3}
    assert reviewed.add([4], axis=2)
    assert reviewed.along(0) == {0, 1, 2}
    assert reviewed.along(1) == frozenset()
