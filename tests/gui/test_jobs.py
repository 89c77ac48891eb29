"""Jobs in a thread: order of signals, cancel, errors, nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import Any

import pytest
from napari.utils.notifications import notification_manager

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import Progress
from napari_breastseg.widgets.parts.job_bar import JobBar, time_words
from napari_breastseg.widgets.parts.jobs import JobRunner, as_job, message_of


@pytest.fixture
def told() -> Any:
    texts: list[str] = []

    def note(event: Any) -> None:
        texts.append(event.message)

    notification_manager.notification_ready.connect(note)
    yield texts
    notification_manager.notification_ready.disconnect(note)


def endless(seen: dict[str, Any]) -> Generator[Progress, None, str]:
    try:
        for step in range(10**9):
            time.sleep(0.005)
            seen["steps"] = step
            yield Progress("Counting", step, 0)
    finally:
        seen["closed_in"] = threading.current_thread().name
    return "never"


def test_progress_comes_before_the_end_and_the_result_after_it(qtbot: Any) -> None:
    runner, order = JobRunner(), []
    runner.started.connect(lambda title: order.append(title))
    runner.ended.connect(lambda outcome: order.append(outcome))

    def job() -> Generator[Progress, None, int]:
        yield Progress("One", 1, 2)
        yield Progress("Two", 2, 2)
        return 42

    runner.start(
        "Job",
        job,
        on_result=lambda result: order.append((result, runner.is_running)),
        on_progress=lambda progress: order.append(progress.stage),
    )
    qtbot.waitUntil(lambda: len(order) == 5)
    assert order == ["Job", "One", "Two", "done", (42, False)]


def test_cancel_closes_the_job_in_its_thread_and_brings_no_result(qtbot: Any) -> None:
    runner, seen, results, late = JobRunner(), {}, [], []
    bar = JobBar(runner)
    qtbot.addWidget(bar)
    runner.start(
        "Counting",
        lambda: endless(seen),
        on_result=results.append,
        on_progress=lambda _: late.append(time.monotonic()),
    )
    qtbot.waitUntil(lambda: seen.get("steps", 0) > 3)
    bar._cancel.click()
    canceled_at = time.monotonic()
    assert bar._stage.text() == "Canceling…"
    with qtbot.waitSignal(runner.ended) as ended:
        pass
    assert ended.args == ["canceled"]
    assert seen["closed_in"] != threading.main_thread().name
    assert not results
    assert all(moment <= canceled_at for moment in late)
    steps = seen["steps"]
    qtbot.wait(50)
    assert seen["steps"] == steps  # no thread goes on counting


def test_a_job_that_came_to_its_end_in_spite_of_cancel_is_done(qtbot: Any) -> None:
    runner, begun, go, order = JobRunner(), threading.Event(), threading.Event(), []
    runner.ended.connect(order.append)

    def accept() -> int:
        begun.set()
        assert go.wait(20)
        return 42

    runner.start("Accepting", lambda: as_job("Accepting", accept), on_result=order.append)
    qtbot.waitUntil(begun.is_set)
    runner.cancel()
    go.set()
    qtbot.waitUntil(lambda: not runner.is_running)
    qtbot.wait(20)
    assert order == ["done", 42]


def test_a_runtime_error_is_reported_and_the_runner_is_free_again(
    qtbot: Any, told: list[str]
) -> None:
    runner = JobRunner()

    def job() -> Generator[Progress, None, None]:
        yield Progress("Segmenting", 0, 1)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nstack")

    with qtbot.waitSignal(runner.ended) as ended:
        runner.start("Segmenting", job, on_result=lambda _: None)
    assert ended.args == ["failed"]
    assert not runner.is_running
    assert told == [
        "Segmenting could not be finished; mat1 and mat2 shapes cannot be multiplied. Try the "
        "device 'cpu', a smaller region or another model; if it happens again, report it with this "
        "text."
    ]


def test_an_input_error_is_shown_once_in_the_windows_words(qtbot: Any, told: list[str]) -> None:
    runner = JobRunner()

    def job() -> Generator[Progress, None, None]:
        yield Progress("Reading", 0, 1)
        raise InputError("Expected a grey image", "found 3 channels", "Name them with --phases")

    with qtbot.waitSignal(runner.ended):
        runner.start("Reading", job, on_result=lambda _: None)
    qtbot.wait(20)
    assert told == ["Expected a grey image; found 3 channels. Name them with phases."]


def test_a_second_job_is_refused_while_one_runs(qtbot: Any, told: list[str]) -> None:
    runner, seen = JobRunner(), {}
    assert runner.start("Counting", lambda: endless(seen), on_result=lambda _: None)
    assert not runner.start("Other", lambda: endless({}), on_result=lambda _: None)
    assert told == ["Counting is still running; wait for it or cancel it first."]
    with qtbot.waitSignal(runner.ended):
        runner.cancel()


def test_an_abandoned_job_ends_without_a_word(qtbot: Any) -> None:
    runner, seen, words = JobRunner(), {}, []
    runner.ended.connect(words.append)
    runner.start("Counting", lambda: endless(seen), on_result=words.append)
    qtbot.waitUntil(lambda: seen.get("steps", 0) > 1)
    runner.abandon()
    qtbot.waitUntil(lambda: "closed_in" in seen)
    qtbot.wait(50)
    assert not words


def test_closing_napari_closes_the_job(qtbot: Any) -> None:
    from napari.qt.threading import create_worker  # noqa: F401 - what the window's end goes through
    from superqt.utils import WorkerBase

    runner, seen = JobRunner(), {}
    runner.start("Counting", lambda: endless(seen), on_result=lambda _: None)
    qtbot.waitUntil(lambda: seen.get("steps", 0) > 1)
    WorkerBase.await_workers(5000)
    assert seen["closed_in"] != threading.main_thread().name
    qtbot.waitUntil(lambda: not runner.is_running)


def test_what_ended_is_on_naparis_list_of_tasks_no_more(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    tasks = make_napari_viewer().window._task_status_manager
    runner, done = JobRunner(), []
    for work in (lambda: 42, lambda: 1 // 0):  # napari would keep each worker for good
        runner.start("Job", lambda work=work: as_job("Job", work), on_result=done.append)
        assert tasks.is_busy()
        qtbot.waitUntil(lambda: not runner.is_running)
    assert done == [42]
    assert tasks._tasks == {}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (605, "10 min"), (7300, "2 h 1 min")]
)
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert time_words(seconds) == words


def test_command_line_advice_becomes_the_windows() -> None:
    error = InputError(
        "Expected a grey image, or a name for each channel, in a.png",
        "found 3 channels that differ",
        "Say which phase each channel holds, for example --phases pre,post1,post2",
    )
    assert message_of(error).endswith("for example pre,post1,post2, in the Open step.")
