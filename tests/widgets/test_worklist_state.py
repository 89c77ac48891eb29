"""What the worklist says, how it is sorted and what comes next, without a window."""

from __future__ import annotations

from datetime import datetime

import pytest
from rows import NOW_S, row

from napari_breastseg.dataset import FlagReason, Status, WorklistRow
from napari_breastseg.widgets.state.worklist import (
    ALL,
    COLUMNS,
    FOR_SECOND_READ,
    TO_DO,
    cell_text,
    clock_words,
    count_words,
    neighbor,
    row_words,
    sorted_rows,
    status_choice,
    status_words,
    unfinished_words,
)


def texts(one: WorklistRow) -> list[str]:
    return [cell_text(one, column, NOW_S) for column in range(len(COLUMNS))]


def test_a_row_says_what_its_columns_mean() -> None:
    one = row("P001", predicted_dice=0.876, changed_s=NOW_S - 7200, reader="AB")
    assert texts(one) == ["P001", "drafted", "0.88", "2 h", "AB", "m@1"]
    assert texts(row("P002", model=None)) == ["P002", "drafted", "", "now", "", ""]
    assert row_words(one) == "P001: drafted; reader AB; m@1"


def test_a_blinded_row_says_nothing_of_the_first_read() -> None:
    # Even where the dataset handed out more than it should have.
    one = row(
        "P001",
        status=Status.ACCEPTED,
        reader="AB",
        model="secret@1",
        is_for_second_read=True,
        is_blinded=True,
    )
    assert texts(one) == ["\u25e6 P001", "second read", "", "now", "hidden", ""]
    words = row_words(one)
    assert not any(word in words for word in ("AB", "secret", "accepted"))


def test_a_flagged_case_says_why() -> None:
    flagged = row("P001", status=Status.FLAGGED, flag_reason=FlagReason.MOTION)
    assert status_words(flagged) == "flagged: motion"
    assert status_words(row("P002", status=Status.IN_PROGRESS)) == "in progress"


def test_unfinished_work_is_named_with_its_time() -> None:
    noon = datetime(2026, 3, 4, 12, 5).timestamp()
    assert clock_words(noon, noon + 60) == "12:05"
    assert clock_words(noon, noon + 86_400) == "4 Mar"
    rows = [row(f"P00{n}", unfinished_s=noon - n) for n in range(5)]
    assert status_words(rows[0]) == "unfinished, 4 Mar"
    assert status_words(row("P001", unfinished_s=noon, held_by="CD")) == "open: CD"
    assert unfinished_words(rows) == (
        "Unfinished work: P000 (4 Mar), P001 (4 Mar), P002 (4 Mar), 2 more."
    )
    assert unfinished_words([row("P001"), row("P002", unfinished_s=noon, held_by="CD")]) == ""
    blind = row("P001", is_for_second_read=True, is_blinded=True, unfinished_s=noon)
    assert status_words(blind) == "second read: unfinished, 4 Mar"


@pytest.mark.parametrize(
    ("column", "is_falling", "expected"),
    [
        (0, False, "abc"),
        (0, True, "cba"),
        (1, False, "cba"),  # by the order of work, not by the alphabet
        (2, False, "bca"),  # cases without a prediction last
        (3, False, "acb"),  # changed last first
        (4, False, "cab"),
        (5, False, "bca"),
    ],
)
def test_each_column_sorts_by_what_it_shows(column: int, is_falling: bool, expected: str) -> None:
    rows = [
        row("b", status=Status.DRAFTED, predicted_dice=0.2, changed_s=1, reader="zoe", model="k"),
        row("a", status=Status.ACCEPTED, changed_s=9, reader="Ann", model="m"),
        row("c", status=Status.NEW, predicted_dice=0.9, changed_s=5, model="l"),
    ]
    found = sorted_rows(rows, column, is_falling=is_falling)
    assert "".join(one.case_id for one in found) == expected
    assert [one.case_id for one in rows] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("place", "last_place", "step", "expected"),
    [
        (1, 1, 1, 2),
        (1, 1, -1, 0),
        (3, 3, 1, None),
        (0, 0, -1, None),
        (None, -1, 1, 0),  # nothing was opened yet: next begins at the top
        (None, -1, -1, None),
        (None, 2, 1, 2),  # accepted and filtered out: the one after it moved up
        (None, 2, -1, 1),
        (None, 4, 1, None),  # it was the last
        (None, 0, -1, None),
    ],
)
def test_next_and_previous_follow_the_current_case(
    place: int | None, last_place: int, step: int, expected: int | None
) -> None:
    assert neighbor(4, place, last_place, step) == expected


def test_an_empty_list_has_no_neighbor() -> None:
    assert neighbor(0, None, -1, 1) is neighbor(0, None, 0, -1) is None


def test_a_filter_lists_statuses_or_second_reads() -> None:
    assert status_choice(ALL) == (None, False)
    assert status_choice(FOR_SECOND_READ) == (None, True)
    assert status_choice("in progress") == ((Status.IN_PROGRESS,), False)
    to_do, only_second = status_choice(TO_DO)
    assert set(to_do or ()) == set(Status) - {Status.ACCEPTED, Status.FLAGGED}
    assert not only_second


def test_the_count_says_what_is_left_out_and_what_to_do() -> None:
    rows = [row("a"), row("b")]
    assert count_words(rows, 2) == "2 cases. Press Enter to open one."
    assert count_words(rows[:1], 1) == "1 case. Press Enter to open one."
    assert count_words(rows, 1200) == "2 of 1,200 cases. Press Enter to open one."
    assert count_words([], 0) == "0 cases. Choose a dataset folder in the dock's header."
