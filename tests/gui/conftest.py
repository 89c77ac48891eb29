"""A real window, real mouse strokes, and a model small enough to train in seconds."""

from __future__ import annotations

import csv
import gc
import os
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from hands import exam_with_truth
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QThreadPool
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_breastseg import formats, training
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec
from napari_breastseg.widgets.parts import fields as _fields
from napari_breastseg.widgets.state.settings import remember

WAIT_MS = 30_000

EXPECTED_WARNINGS = (
    # napari 0.9 with PyQt5: light or dark cannot be asked of the system.
    "ignore:System theme detection requires a Qt6 backend:UserWarning",
    # Of the colors that it draws at random for a new Labels layer, now and then.
    "ignore:Conversion from CIE-LAB:UserWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the warnings of napari itself pass, in this folder only."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in EXPECTED_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know that their test failed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


class SliceCase:
    """A PNG slice and its hand-drawn (or known) mask."""

    def __init__(self, path: Path, mask: NDArray[np.bool_]) -> None:
        self.path = path
        self.mask = mask
        self.case_id = formats.case_name(path)
        self.patient_id = "P001"

    def exam(self) -> Any:
        return formats.open_exam(self.path)

    def label_map(self) -> LabelMap:
        return LabelMap(self.mask[None].astype(np.uint8), self.exam().grid)


@pytest.fixture(scope="session")
def slice_case(tmp_path_factory: pytest.TempPathFactory) -> SliceCase:
    """A clinic slice with its mask; where the test data is absent, a bright disk on tissue."""
    root = Path(__file__).resolve().parents[2]
    data = Path(os.environ.get("BREASTSEG_TEST_DATA", root.parent / "shared" / "data"))
    clinic = data / "clinic_slices"
    if (clinic / "cases.csv").is_file():
        with (clinic / "cases.csv").open(newline="") as file:
            row = next(csv.DictReader(file))
        mask = formats.read_label_map(clinic / row["mask"]).tumor[0]
        return SliceCase(clinic / row["image"], mask)
    rng = np.random.default_rng(0)
    y, x = np.indices((227, 227))
    mask = (y - 110) ** 2 + (x - 90) ** 2 < 18**2
    image = 70 + 25 * np.sin(x / 9) + rng.normal(0, 6, mask.shape) + 120 * mask
    path = tmp_path_factory.mktemp("slice") / "DISK_1.png"
    iio.imwrite(path, image.clip(0, 255).astype(np.uint8))
    return SliceCase(path, mask)


@pytest.fixture(scope="session")
def tiny_model(slice_case: SliceCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that marks most of the slice's tumor: it has seen nothing else."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    spec = ModelSpec(inputs=("post1",), features=(8, 16, 32), patch_size=(96, 96))
    config = training.TrainConfig(
        steps=25, batch_size=2, augmentation=0, averaging=0.5, learning_rate=2e-2, device="cpu"
    )
    drain(training.train([slice_case], folder, spec=spec, config=config, name="tiny"))
    return folder


@pytest.fixture(scope="session")
def two_phase_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fresh weights for pre and post1: right for asking for phases, not for segmenting."""
    from napari_breastseg.model.unet import build

    spec = ModelSpec(inputs=("pre", "post1"), features=(4, 8), patch_size=(32, 32))
    folder = tmp_path_factory.mktemp("models") / "two-phase"
    checkpoint.save(folder, build(spec).state_dict(), checkpoint.ModelInfo(name="two", spec=spec))
    return folder


@pytest.fixture(autouse=True)
def _nothing_old_is_searched() -> None:
    """Let the garbage collector pass over what was there before the test.

    napari collects garbage at each removal of a layer, and with torch loaded that takes long.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _tour_was_seen(_own_home: None) -> None:
    """Keep the tour, which is offered once, from standing above the tabs."""
    remember("tour", "seen")


@pytest.fixture(autouse=True)
def _exams_do_not_learn(_own_home: None) -> None:
    """Leave masks to what a test does with them; `test_learning_window` switches learning on."""
    remember("learns_from_exam", "no")


@pytest.fixture(autouse=True)
def _cases_are_listed_as_a_table(_own_home: None) -> None:
    """List cases as a table, whose rows tests click; pictures are what a reader sees first."""
    remember("list_view", "table")


@pytest.fixture(autouse=True)
def _no_question_is_unexpected(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Fail where a test is asked what it did not see coming, instead of waiting for an answer."""
    if request.node.get_closest_marker("answers_by_hand"):
        return

    def refuse(parent: object, title: str, text: str, *answers: str) -> bool:
        raise AssertionError(f"'{title}' was asked: {text}")

    monkeypatch.setattr(_fields, "ask", refuse)


@pytest.fixture
def window(
    make_napari_viewer: Any, qtbot: Any, request: pytest.FixtureRequest
) -> Iterator[SimpleNamespace]:
    """A shown viewer with the dock, as the Plugins menu opens it, and what it told the user.

    How it looked at the end of a test that failed is kept in screenshots/<test>.png.
    """
    from napari.utils.notifications import notification_manager

    viewer = make_napari_viewer(show=True, strict_qt="raise")
    viewer.window.resize(1300, 850)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    told: list[Any] = []

    def note(event: Any) -> None:
        told.append(event)

    notification_manager.notification_ready.connect(note)
    dock.notices.told.connect(lambda text: told.append(SimpleNamespace(message=text)))
    QApplication.processEvents()
    space = SimpleNamespace(viewer=viewer, dock=dock, told=told, qtbot=qtbot)
    del viewer  # pytest holds on to `space`; napari checks that nobody holds the viewer
    yield space
    has_failed = request.node.stash.get(FAILED, False)
    if has_failed and not dock._is_over:  # a test may have closed the window itself
        folder = Path(__file__).resolve().parents[2] / "screenshots"
        folder.mkdir(exist_ok=True)
        picture = space.viewer.window.screenshot(canvas_only=False, flash=False)
        iio.imwrite(folder / f"{request.node.name}.png", picture)
    notification_manager.notification_ready.disconnect(note)
    dock.shut_down()
    assert QThreadPool.globalInstance().waitForDone(WAIT_MS)
    space.__dict__.clear()


@pytest.fixture
def idle(window: SimpleNamespace, qtbot: Any) -> Callable[..., None]:
    """Wait until the runners' jobs have ended and the window has drawn what came of them."""

    def wait(*runners: Any) -> None:
        correct = window.dock.correct_panel

        def is_busy() -> bool:
            # Accepting waits for work that is being kept.
            is_waiting = correct.runner in runners and correct.autosave.is_writing
            return is_waiting or any(runner.is_running for runner in runners)

        qtbot.waitUntil(lambda: not is_busy(), timeout=WAIT_MS)
        qtbot.wait(20)

    return wait


@pytest.fixture
def stroke(window: SimpleNamespace) -> Callable[..., None]:
    """Press, drag and release the left mouse button on the canvas, through points of a layer."""

    def paint(layer: Any, *points: tuple[float, ...]) -> None:
        canvas = window.viewer.window._qt_viewer.canvas
        native, view = canvas.native, canvas.view
        to_canvas = view.transform * view.scene.transform
        places = []
        for point in points:
            world = layer.data_to_world(point)
            y, x = (world[axis] for axis in window.viewer.dims.displayed)
            mapped = to_canvas.map([x, y, 0, 1])
            places.append(QPoint(round(mapped[0]), round(mapped[1])))
        # Several places between two points, as a hand makes them.
        path = [places[0]]
        for start, end in pairwise(places):
            for part in np.linspace(0, 1, 8)[1:]:
                offset = end - start
                path.append(start + QPoint(round(offset.x() * part), round(offset.y() * part)))
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTest.mouseMove(native, path[0])
        QTest.qWait(30)
        QTest.mousePress(native, left, none, path[0])
        for place in path[1:]:
            # QTest.mouseMove carries no button; faster moves than this are dropped.
            move = QMouseEvent(
                QEvent.Type.MouseMove,
                QPointF(place),
                QPointF(native.mapToGlobal(place)),
                Qt.MouseButton.NoButton,
                left,
                none,
            )
            QApplication.sendEvent(native, move)
            QTest.qWait(20)
        QTest.mouseRelease(native, left, none, path[-1])
        QTest.qWait(30)

    return paint


DICE = {"P001": 0.9, "P002": None, "P003": 0.4, "P004": 0.7}


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Dataset:
    """Four drafted cases, of 9 slices or as many as the test asks for."""
    dataset = Dataset.create(tmp_path / "set", ["post1"])
    depth = getattr(request, "param", 9)
    for seed, (case_id, dice) in enumerate(DICE.items()):
        exam, truth = exam_with_truth(case_id, depth, seed)
        dataset.add(exam, patient_id=f"patient-{case_id}")
        dataset.save_draft(case_id, truth, model="m@1", predicted_dice=dice)
    return dataset


@pytest.fixture
def settle(window: SimpleNamespace, idle: Callable[..., None]) -> Callable[[], None]:
    """Wait until the window's jobs, and those they lead to, have ended."""

    def wait() -> None:
        learning = window.dock.correct_panel.learning
        for _ in range(2):
            idle(*window.dock._runners(), window.dock.correct_panel.autosave.runner)
            while learning.is_waiting:
                window.qtbot.waitUntil(lambda: not learning.is_waiting, timeout=20_000)
                idle(*window.dock._runners())

    return wait


@pytest.fixture
def opened(
    window: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> Iterator[SimpleNamespace]:
    """The List step with the dataset open for reader AB."""
    correct = window.dock.correct_panel
    correct.annotator.setText("AB")
    correct.folder.setValue(folder.folder)
    correct.open_dataset()
    settle()
    window.dock.show_tab("Review")
    settle()
    # Not the panel itself: pytest would hold it, and the viewer with it, past the test.
    holder = SimpleNamespace(panel=window.dock.review_panel)
    yield holder
    holder.__dict__.clear()
