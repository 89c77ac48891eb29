"""The dock "Breast MRI": one session, five steps in the order of work, keys, a clean end."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import napari._qt.qt_main_window as _qt_main_window
import napari.viewer
from qtpy.QtCore import QEvent
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QTabWidget, QVBoxLayout, QWidget

from ..core.volume import Exam, LabelMap
from .canvas.caption import Caption
from .canvas.display import Display
from .canvas.exam_picker import ExamPicker
from .canvas.layer_list import LayerRows
from .canvas.layers import show_exam, show_labels, tumor_layer
from .canvas.layouts import Layouts
from .canvas.orientation import show_radiologically
from .canvas.picture_chips import PictureChips
from .canvas.places import Places
from .canvas.prior_beside import PriorBeside
from .canvas.reading_mouse import ReadingMouse
from .canvas.slice_marks import SliceMarks
from .canvas.slice_numbers import SliceNumbers
from .canvas.status_numbers import StatusNumbers
from .canvas.view import go_to_tumor
from .correct.after_dock import AfterDock
from .correct.panel import CorrectPanel
from .correct.pointer_curve import PointerCurve
from .frame.bar import ActionBar
from .frame.following import Following
from .frame.header import Header
from .frame.steps import StepBar
from .keys import KEYS, SHEET_KEY, Actions, menus
from .open.canvas_drop import CanvasDrop
from .open.panel import OpenPanel
from .parts.fields import scrolled
from .parts.jobs import JobRunner
from .parts.manners import DockManners, canvas_of
from .parts.notices import Notices
from .parts.shortcuts import ShortcutSheet, action_of, title_of
from .parts.window_end import WindowEnd
from .review.panel import ReviewPanel
from .segment.panel import SegmentTumor
from .state.frame import STEPS, Situation
from .state.session import Draft, Session
from .tour import Tour
from .train.panel import TrainPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ..lesions.findings import Findings

_EARLIER_NAMES = {"Segment": "Draft", "Review": "List"}

__all__ = ["KEYS", "BreastMRI", "dock_of", "show_demo", "show_segment"]


class BreastMRI(Actions, QWidget):
    """Open, segment, correct, review, train: the panels of one viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = Session()
        self._window: QWidget | None = None
        self._is_over = False
        self.end = WindowEnd(self)
        self.open_panel = OpenPanel(napari_viewer, self.session)
        self.segment_panel = SegmentTumor(napari_viewer, self.session)
        self.correct_panel = CorrectPanel(napari_viewer, self.session)
        self.review_panel = ReviewPanel(napari_viewer, self.session, self.correct_panel)
        self.train_panel = TrainPanel(napari_viewer, self.session)
        self.marks = SliceMarks(
            napari_viewer,
            self.session,
            lambda: self.correct_panel.accept_box.tumor_slices,
            lambda: self.correct_panel.learning.watch.to_look_at,
        )
        self.layer_rows = LayerRows(napari_viewer, self)
        self.numbers = SliceNumbers(napari_viewer, self)
        self.status = StatusNumbers(napari_viewer)
        self.correct_panel.learning.redrafted.connect(self.marks.refresh)
        self.correct_panel.learning.watch.redraft_undone.connect(self.marks.refresh)
        self.display = Display(napari_viewer, self.session)
        self.caption = Caption(napari_viewer, self.session, self.display)
        self.mouse = ReadingMouse(napari_viewer, self.display, self)
        self.curve = PointerCurve(napari_viewer, self.session, self)
        self.layouts = Layouts(napari_viewer, self.session, self.display)
        self.prior = PriorBeside(napari_viewer, self.session, self.layouts, self)
        for follow in (self.layouts.refresh_masks, self.prior.measure_soon):
            self.correct_panel.autosave.edited.connect(follow)
        self.tour = Tour(self.show_tab, self.shown_step)
        self._sheet: ShortcutSheet | None = None
        self.canvas_chips = PictureChips(
            napari_viewer, self.session, self.open_panel.dce.why_no_maps, is_on_canvas=True
        )
        self.canvas_chips.map_wanted.connect(self.open_panel.dce.show_map)
        for chips in (self.open_panel.chips, self.canvas_chips):
            chips.phase_wanted.connect(self.display.show_picture)
        self.open_panel.dce.shown.connect(self.display.show_picture)
        self.drops = CanvasDrop(self.open_panel.open_dropped, self.open_panel.open_many, self)
        self.open_panel.leave = self.correct_panel.opening.leave
        self.open_panel.close_case = self.correct_panel.autosave.close_case
        self.correct_panel.tools.predict_with(self.segment_panel.predict_in)
        self.exam_picker = ExamPicker(
            napari_viewer,
            self.session,
            save_work=self.correct_panel.autosave.save_now,
            close_case=self.correct_panel.autosave.close_case,
        )
        self.exam_picker.layers_changed.connect(self.reset_choices)
        self.places = Places(napari_viewer, self)
        self.open_panel.opened.connect(self._on_opened)
        self.train_panel.used.connect(lambda _: self.show_tab("Segment"))
        self.open_panel.moved_on.connect(lambda: self.show_tab("Draft"))
        self.segment_panel.on_correct = self._correct
        self.tabs = QTabWidget()
        self.steps = StepBar()
        self.notices = Notices()
        self._lay_out()
        self.following = Following(
            self.session,
            self.header,
            self.steps,
            patient=self.correct_panel.patient,
            reader=self.correct_panel.annotator,
            situation=self._situation,
        )
        rows, jobs = self.review_panel.model, (self.segment_panel.runner, self.train_panel.runner)
        self.following.follow(rows.taken)
        self.following.follow(*(signal for job in jobs for signal in (job.started, job.ended)))
        self.following.follow(self.correct_panel.autosave.saved)
        self.prior.reader = self.correct_panel.annotator.text
        self.manners = DockManners(self)
        show_radiologically(napari_viewer)
        self._bind_keys()
        self.exam_picker.follow()

    def _lay_out(self) -> None:
        correct, review = self.correct_panel, self.review_panel
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().hide()  # the steps stand in its place
        panels = (self.open_panel, self.segment_panel, correct, review, self.train_panel)
        for name, panel in zip(STEPS, panels, strict=True):
            self.tabs.addTab(scrolled(panel), name)
        self.steps.chosen.connect(self.tabs.setCurrentIndex)
        self.tabs.currentChanged.connect(self.steps.set_current)
        self.header = Header(
            ("Exam", self.exam_picker),
            ("Patient id", correct.patient),
            ("Reader", correct.annotator),
            below=correct.dataset_box,
            menus=menus(self),
        )
        correct.field_wanted.connect(self.header.open)
        correct.opening.held.connect(lambda: self.header.set_open(False))
        correct.opening.closed.connect(lambda: self.show_tab("List"))
        box = correct.accept_box
        self.bar = ActionBar(
            self.viewer,
            self.session,
            lambda: box.unseen,
            line=box,
            seen=box.reviewed_line,
            ticks=[box.rest, review.advance],
            buttons=[review.previous_button, box.accept_button, review.next_button],
        )
        box.unseen_changed.connect(self.bar.refresh)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.setSpacing(4)
        for widget in (self.header, self.steps, self.tour):
            column.addWidget(widget)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.notices)
        column.addWidget(self.bar)
        self.setMinimumWidth(330)

    def _situation(self) -> Situation:
        correct, record = self.correct_panel, self.session.record
        rows = self.review_panel.model
        return Situation(
            has_exam=self.session.source is not None,
            has_mask=tumor_layer(self.viewer, self.session.case_id) is not None,
            is_drafting=self.segment_panel.runner.is_running,
            is_held=record is not None,
            is_accepted=record is not None
            and record.is_accepted
            and not correct.autosave.slices.is_unsaved.any(),
            n_cases=rows.total,
            n_accepted=rows.n_accepted,
            is_training=self.train_panel.runner.is_running,
            has_new_model=self.train_panel.has_new_model,
        )

    def reset_choices(self, event: object = None) -> None:
        """Bring all pickers up to date; napari calls it when layers come and go."""
        if self._is_over:
            return
        self.exam_picker.reset_choices()
        self.following.later()
        for panel in (
            self.segment_panel,
            self.correct_panel,
            self.review_panel,
            self.train_panel,
        ):
            panel.reset_choices()

    def show_tab(self, title: str) -> None:
        """Bring a step to the front, by its name or by what its tab was called before."""
        name = _EARLIER_NAMES.get(title, title)
        if name in STEPS:
            self.tabs.setCurrentIndex(STEPS.index(name))

    def shown_step(self) -> str:
        """Name of the step in front."""
        return STEPS[self.tabs.currentIndex()]

    def shut_down(self) -> None:
        """Save unsaved work, give the case back, cancel all jobs; nothing happens twice."""
        if self._is_over:
            return
        correct = self.correct_panel
        correct.autosave.save_now()
        self._is_over, self._window = True, None  # a closed dock holds no window
        followers = (self.manners, self.following, self.end, self.exam_picker, correct.learning)
        for follower in followers:
            follower.stop()
        self.canvas_chips.deleteLater()
        for runner in (*self._runners(), correct.autosave.runner):
            runner.abandon()
        correct.tools.put_down()
        for part in (self.mouse, self.layouts, self.display, self.marks, self.numbers, self.places):
            part.take_down()
        self.curve.take_down()
        self.caption.take_down()
        self.status.take_down()
        self.drops.take_down()
        self.layer_rows.take_down()
        correct.accept_box.copies.take_down()
        correct.lesions.put_down()
        correct.accepting.return_effort()  # of a mask not accepted any more
        self.session.leave_case()
        for key in KEYS.keys() - {SHEET_KEY}:
            self.viewer.bind_key(key, None, overwrite=True)

    def showEvent(self, event: QEvent) -> None:
        """Watch for the window's end, and read registry and layers again."""
        super().showEvent(event)
        if self._window is None and not self._is_over:
            self._window = self.window()
            self.end.watch(self._window)
            AfterDock.hand_over(self._window, self.correct_panel.autosave)
            self.end.asked.connect(self.correct_panel.autosave.save_now)
            self.end.over.connect(self.shut_down)
            for part in (self.marks, self.numbers, self.layer_rows, self.layouts):
                part.add_to(self._window)
            self.manners.follow_canvas()
            self.mouse.follow(self._window)
            self.drops.follow(self._window)
            if (canvas := canvas_of(self._window)) is not None:
                self.canvas_chips.stand_on(canvas)
                self.caption.stand_on(canvas)
                self.curve.stand_on(canvas)
            self.tour.offer()
        self.reset_choices()

    def changeEvent(self, event: QEvent) -> None:
        """Shut down when the dock is closed: napari then takes its widget out of the window."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self._window and self.parent() is None:
            source, window = self.session.source, self._window
            self.shut_down()
            if source is not None:
                AfterDock(self.viewer, source, window)

    def _runners(self) -> tuple[JobRunner, ...]:
        return runners_of(self)

    def _bind_keys(self) -> None:
        for key, action in KEYS.items():
            if key == SHEET_KEY:
                # napari knows no key of this name, which keyboards write in different ways.
                for typed in (key, f"Shift+{key}"):
                    QShortcut(QKeySequence(typed), self).activated.connect(_weakly(self, action))
            else:
                self.viewer.bind_key(key, _weakly(self, action), overwrite=True)

    def _correct(self) -> None:
        """Correct the draft: to its step, and at once with the brush in hand."""
        self.show_tab("Correct")
        self.correct_panel.start()

    def _on_opened(self, exam: Exam) -> None:
        self.reset_choices()
        self.exam_picker.choose(exam.case_id)


def runners_of(dock: BreastMRI) -> tuple[JobRunner, ...]:
    """All that runs jobs for a dock."""
    correct = dock.correct_panel
    return (
        dock.open_panel.runner,
        dock.open_panel.dce.runner,
        dock.segment_panel.runner,
        correct.runner,
        correct.unfinished.runner,
        dock.prior.runner,
        correct.dataset_box.reopening,
        correct.lesions.runner,
        correct.tools.runner,
        correct.tools.clicks.looking,
        correct.learning.runner,
        correct.learning.slices.runner,
        dock.review_panel.runner,
        dock.review_panel.chores,
        dock.review_panel.walk.prefetch.runner,
        dock.review_panel.worklist.thumbnails.runner,
        dock.review_panel.readers.runner,
        dock.train_panel.runner,
        dock.train_panel.chores,
        dock.train_panel.looking,
        dock.train_panel.expecting.runner,
    )


def _weakly(dock: BreastMRI, action: str) -> Callable[[object], None]:
    """A key's function that does not keep a closed dock alive."""
    reference = weakref.ref(dock)

    def act(viewer: object = None) -> None:
        alive = reference()
        if alive is not None:
            action_of(alive, action)()

    act.__doc__ = title_of(dock, action)
    return act


def show_segment(viewer: napari.viewer.Viewer) -> None:
    """Open the form "Segment tumor", from the Layers menu; the dock's own where that is open."""
    if any(isinstance(one, BreastMRI) for one in viewer.window.dock_widgets.values()):
        dock_of(viewer).show_tab("Segment")
    else:
        viewer.window.add_plugin_dock_widget("napari-breastseg", "Segment tumor")


def show_demo(
    exam: Exam | None = None,
    draft: LabelMap | None = None,
    model: Path | None = None,
    *,
    model_identity: str = "demo",
    findings: Findings | None = None,
) -> None:
    """Open a window on an exam and its draft, ready to correct; returns when it is closed.

    Parameters
    ----------
    exam : Exam, optional
        The sample exam when not given.
    draft : LabelMap, optional
        A model's prediction of it.
    model : Path, optional
        Checkpoint folder to segment with.
    model_identity : str
        Name and weights hash of the model that made the draft, as the dataset notes them.
    findings : Findings, optional
        What the model found, to be listed in the Correct step.
    """
    # That its default Qt is to go is for who installs it to know, not for who looks at the demo.
    _qt_main_window.SHOW_QT_WARNING = False
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "System theme detection")
        viewer = napari.viewer.Viewer()
    dock = dock_of(viewer)
    if exam is None:
        viewer.open_sample("napari-breastseg", "phantom")
    else:
        show_exam(viewer, exam)
    if model is not None:
        dock.segment_panel.model.value = Path(model)
    source = dock.session.source
    if draft is not None and source is not None:
        show_labels(viewer, source, draft)
        dock.session.drafts.keep(Draft(source.case_id, draft, model_identity, findings=findings))
        go_to_tumor(viewer, source, draft.data)
    dock.show_tab("Correct" if draft is not None else "Segment")
    napari.run()


def dock_of(viewer: Viewer) -> BreastMRI:
    """The dock of a viewer, opened where it is not yet."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    assert isinstance(dock, BreastMRI)  # the manifest names it
    return dock
