"""The dock "Breast MRI": one session, five tabs in the order of work, keys, a clean end."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import napari.viewer
from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QShortcut,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from ..core.volume import Exam, LabelMap
from .canvas.display import Display
from .canvas.layers import set_aside, show_exam, show_labels
from .canvas.layouts import Layouts
from .canvas.orientation import show_radiologically
from .canvas.slice_marks import SliceMarks
from .canvas.view import go_to_tumor
from .correct.panel import CorrectPanel
from .keys import KEYS, SHEET_KEY, Actions
from .open.panel import OpenPanel
from .parts.fields import scrolled
from .parts.jobs import errors_shown
from .parts.shortcuts import MOUSE_ONLY, ShortcutSheet, action_of, menu_button, title_of
from .review.panel import ReviewPanel
from .segment.panel import SegmentPanel
from .state.session import Draft, Session
from .state.sources import Source, earlier_layers, exam_of, note_of, sources
from .tour import Tour
from .train.panel import TrainPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

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
        self._sources: list[Source] = []
        self._window: QWidget | None = None
        self._is_over = False
        self.source = QComboBox()
        self.source.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.source.activated.connect(self._choose_source)
        self.open_panel = OpenPanel(napari_viewer, self.session)
        self.segment_panel = SegmentPanel(napari_viewer, self.session)
        self.correct_panel = CorrectPanel(napari_viewer, self.session)
        self.review_panel = ReviewPanel(napari_viewer, self.session, self.correct_panel)
        self.train_panel = TrainPanel(napari_viewer, self.session)
        self.marks = SliceMarks(
            napari_viewer, self.session, lambda: self.correct_panel.accept_box.tumor_slices
        )
        self.display = Display(napari_viewer, self.session)
        self.layouts = Layouts(napari_viewer, self.session, self.display)
        self.correct_panel.autosave.edited.connect(self.layouts.refresh_masks)
        self.tour = Tour(self.show_tab)
        self._sheet: ShortcutSheet | None = None
        self.open_panel.leave = self.correct_panel.opening.leave
        self.open_panel.close_case = self.correct_panel.autosave.close_case
        self.correct_panel.tools.predict_with(self.segment_panel.predict_in)
        self.open_panel.opened.connect(self._take_exam)
        self.train_panel.used.connect(lambda _: self.show_tab("Segment"))
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.tabBar().setExpanding(True)
        for title, panel in (
            ("Open", self.open_panel),
            ("Segment", self.segment_panel),
            ("Correct", self.correct_panel),
            ("Review", self.review_panel),
            ("Train && models", self.train_panel),
        ):
            self.tabs.addTab(scrolled(panel), title)
        row = QHBoxLayout()
        row.addWidget(QLabel("Exam"))
        row.addWidget(self.source, 1)
        row.addWidget(self._view_button())
        row.addWidget(self._help_button())
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 8, 4, 4)
        column.addLayout(row)
        column.addWidget(self.tour)
        column.addWidget(self.tabs, 1)
        self.setMinimumWidth(330)
        show_radiologically(napari_viewer)
        layers = napari_viewer.layers
        layers.events.inserted.connect(self._on_inserted)
        for event in (layers.events.removed, layers.events.renamed):
            event.connect(self.reset_choices)
        layers.selection.events.active.connect(self._on_active)
        self._bind_keys()
        self._on_inserted()

    def reset_choices(self, event: object = None) -> None:
        """Bring all pickers up to date; napari calls it when layers come and go."""
        if self._is_over:
            return
        self._sources = sources(self.viewer)
        current = next((s for s in self._sources if s.case_id == self.session.case_id), None)
        if current is None and self._sources:
            current = self._of_active() or self._sources[-1]
        self._show_sources(current)
        is_other = current != self.session.source
        self.session.source = current
        if is_other:
            self._show_phases(current)
        for panel in (
            self.segment_panel,
            self.correct_panel,
            self.review_panel,
            self.train_panel,
        ):
            panel.reset_choices()

    def show_tab(self, title: str) -> None:
        """Bring a tab to the front, by the start of its title."""
        for index in range(self.tabs.count()):
            if self.tabs.tabText(index).startswith(title):
                self.tabs.setCurrentIndex(index)

    def shut_down(self) -> None:
        """Keep unsaved work, give the case back, cancel what runs; nothing happens twice."""
        if self._is_over:
            return
        self.correct_panel.autosave.save_now()
        self._is_over = True
        for runner in (*self._runners(), self.correct_panel.autosave.runner):
            runner.abandon()
        self.correct_panel.tools.put_down()
        self.layouts.take_down()
        self.display.take_down()
        self.marks.take_down()
        self.correct_panel.lesions.put_down()
        self.correct_panel.accepting.return_effort()  # of a mask not accepted any more
        self.session.leave_case()
        for key in KEYS.keys() - {SHEET_KEY}:
            self.viewer.bind_key(key, None, overwrite=True)

    def showEvent(self, event: QEvent) -> None:
        """Watch the window for its end, and look again at registry and layers."""
        super().showEvent(event)
        if self._window is None:
            self._window = self.window()
            self._window.installEventFilter(self)
            self.marks.add_to(self._window)
            self.tour.offer()
        self.reset_choices()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Shut down when the window closes."""
        if event.type() == QEvent.Type.Close and watched is self._window:
            self.shut_down()
        return False

    def changeEvent(self, event: QEvent) -> None:
        """Shut down when the dock is closed: napari then takes its widget out of the window."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self._window and self.parent() is None:
            self.shut_down()

    def _runners(self) -> tuple:  # type: ignore[type-arg]
        return (
            self.open_panel.runner,
            self.open_panel.dce.runner,
            self.segment_panel.runner,
            self.correct_panel.runner,
            self.correct_panel.lesions.runner,
            self.correct_panel.tools.runner,
            self.review_panel.runner,
            self.review_panel.chores,
            self.review_panel.walk.prefetch.runner,
            self.review_panel.worklist.thumbnails.runner,
            self.review_panel.readers.runner,
            self.train_panel.runner,
            self.train_panel.chores,
        )

    def _bind_keys(self) -> None:
        for key, action in KEYS.items():
            if key == SHEET_KEY:
                # napari knows no key of this name, which keyboards write in different ways.
                for typed in (key, f"Shift+{key}"):
                    QShortcut(QKeySequence(typed), self).activated.connect(_weakly(self, action))
            else:
                self.viewer.bind_key(key, _weakly(self, action), overwrite=True)

    def _view_button(self) -> QWidget:
        rows = {
            title_of(self, action): (key, action_of(self, action))
            for key, action in KEYS.items()
            if action.startswith(MOUSE_ONLY)
        }
        return menu_button("View ▾", "Images, window presets, layouts, outline or fill", rows)

    def _help_button(self) -> QWidget:
        rows = {"Keys": (SHEET_KEY, self.show_keys), "Guided tour": ("", self.tour.start)}
        return menu_button("?", "Keys, and a tour through the tabs", rows)

    def _show_sources(self, current: Source | None) -> None:
        self.source.clear()
        for source in self._sources:
            self.source.addItem(source.title)
        if not self._sources:
            self.source.addItem("none open")
        self.source.setEnabled(bool(self._sources))
        if current is not None:
            self.source.setCurrentIndex(self._sources.index(current))
        title = f"{current.title}: " if current is not None else ""
        self.source.setToolTip(f"{title}the exam or image layer that all tabs work on")

    def _choose_source(self, index: int) -> None:
        if 0 <= index < len(self._sources):
            self._work_on(self._sources[index])

    def _work_on(self, source: Source) -> None:
        if source == self.session.source:
            return
        if source.case_id != self.session.case_id:
            # In this thread: the case is left below, and what waits to be written with it.
            self.correct_panel.autosave.save_now()
        self.session.source = source
        self._show_sources(source)
        self._show_phases(source)

    def _show_phases(self, source: Source | None) -> None:
        self.open_panel.show_phases(None)
        if source is not None:
            with errors_shown():
                self.open_panel.show_phases(exam_of(self.viewer, source))

    def _on_inserted(self, event: object = None) -> None:
        """Leave the case when a reader brings another exam of its name, then look again."""
        if self._is_over:
            return
        earlier = earlier_layers(self.viewer)
        if earlier:
            if any(note_of(layer).get("case_id") == self.session.case_id for layer in earlier):
                self.correct_panel.autosave.close_case()
            set_aside(self.viewer)
        self.reset_choices()

    def _on_active(self, event: object = None) -> None:
        source = None if self._is_over else self._of_active()
        if source is not None:
            self._work_on(source)

    def _of_active(self) -> Source | None:
        """The exam that the active layer belongs to."""
        active = self.viewer.layers.selection.active
        if active is None:
            return None
        case_id = note_of(active).get("case_id")
        for source in self._sources:
            is_foreign_layer = source.is_foreign and active.name in source.layers.values()
            if is_foreign_layer or (not source.is_foreign and source.case_id == case_id):
                return source
        return None

    def _take_exam(self, exam: Exam) -> None:
        self.reset_choices()
        source = next((s for s in self._sources if s.case_id == exam.case_id), None)
        if source is not None:
            self._work_on(source)


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
    """Open the dock at its Segment tab, from the Layers menu."""
    dock_of(viewer).show_tab("Segment")


def show_demo(
    exam: Exam | None = None,
    draft: LabelMap | None = None,
    model: Path | None = None,
    *,
    model_identity: str = "demo",
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
    """
    viewer = napari.viewer.Viewer()
    dock = dock_of(viewer)
    if exam is None:
        viewer.open_sample("napari-breastseg", "phantom")
    else:
        show_exam(viewer, exam)
    if model is not None:
        dock.segment_panel.model.setValue(Path(model))
    source = dock.session.source
    if draft is not None and source is not None:
        show_labels(viewer, source, draft)
        dock.session.keep_draft(Draft(source.case_id, draft, model_identity))
        go_to_tumor(viewer, source, draft.data)
    dock.show_tab("Correct" if draft is not None else "Segment")
    napari.run()


def dock_of(viewer: Viewer) -> BreastMRI:
    """The dock of a viewer, opened where it is not yet."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    assert isinstance(dock, BreastMRI)  # the manifest names it
    return dock
