"""The last prediction in the viewer: put there, and cut again as the threshold moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from magicgui.widgets import FloatSlider
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QSlider, QWidget

from ...core.errors import InputError
from ...core.progress import Progress
from ...core.region import Region
from ...core.volume import LabelMap
from ...predict.passes import SlicesSeen
from ...predict.prediction import Prediction
from ...predict.thresholding import ProbabilitySteps
from ..canvas.layers import show_labels, tumor_layer, volume_of
from ..canvas.view import go_to_tumor
from ..parts import fields as _fields
from ..parts.fields import note
from ..parts.job_bar import time_words
from ..parts.jobs import JobRunner
from ..state.drafting import (
    HIDDEN,
    PRELIMINARY,
    Cut,
    ShownDraft,
    cut_for,
    draft_words,
    with_region,
    would_replace_work,
)
from ..state.session import Draft, Session, is_same
from ..state.sources import Source, is_open
from .first_look import FirstLook

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["DraftView"]

_FOLLOW_MS, _ASK_MS = 60, 600


class DraftView(QObject):
    """What the threshold slider does, the line that describes the draft, and the mask they mean.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    panel : QWidget
        Asks the questions.
    runner : JobRunner
        Runs the predictions; the mask stays as it is while one is under way.
    threshold : FloatSlider
        The field of the threshold.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        panel: QWidget,
        runner: JobRunner,
        threshold: FloatSlider,
    ) -> None:
        super().__init__(panel)
        self._viewer = viewer
        self._session = session
        self._panel = panel
        self._runner = runner
        self._shown: ShownDraft | None = None
        self._said: tuple[Source | None, str] = None, ""
        self.look = FirstLook(viewer)
        self.line = note()
        self.threshold = threshold
        self._soon = _single_shot(self, _FOLLOW_MS, self._follow_threshold)
        self._ask_soon = _single_shot(self, _ASK_MS, self._ask_about_threshold)
        self.threshold.changed.connect(lambda _: self._soon.start())
        session.drafts.changed.connect(self._on_draft_changed)
        session.source_changed.connect(lambda _: self._show_said())

    def say(self, source: Source | None, words: str) -> None:
        """Say something of an exam in the line, while it is the current one."""
        self._said = source, words
        self._show_said()

    def _show_said(self) -> None:
        source, words = self._said
        self.line.setText(words if source is not None and self._is_current(source) else "")

    def show_seen(self, source: Source, progress: Progress) -> None:
        """Mark what the network has seen so far, unless the draft is to stay hidden."""
        if isinstance(progress, SlicesSeen) and not self._is_hidden(source):
            self.look.show(source, progress, self.threshold.value)
            self.say(source, PRELIMINARY)

    def show_prediction(
        self, source: Source, prediction: Prediction, region: Region | None
    ) -> None:
        """Put a prediction into the viewer as its exam's draft; ask before it replaces work.

        Raises
        ------
        InputError
            If the exam was closed in the meantime.
        """
        if not is_open(self._viewer, source):
            raise InputError(
                f"Expected exam {source.case_id} in the viewer to show its result",
                "it was closed in the meantime",
                "Open it and segment it again",
            )
        if self._would_replace_work(source, region) and not self._may_replace(
            "The current mask holds work that has not been accepted. Replace it with the new draft?"
        ):
            return
        probability = ProbabilitySteps.of(prediction.probability, prediction.findings)
        draft = Draft(
            source.case_id,
            prediction.label_map,
            prediction.model,
            probability,
            prediction.findings,
            prediction.breasts,
        )
        took = f"{time_words(prediction.seconds)} on {prediction.device}"
        shown = self._show(source, draft, region, prediction.threshold, took)
        if self._is_current(source) and not self._is_hidden(source):
            go_to_tumor(self._viewer, source, shown.labels)

    def _would_replace_work(self, source: Source, region: Region | None) -> bool:
        mask, session = self._mask(source), self._session
        if mask is None or self._is_hidden(source):
            return False
        is_current = self._is_current(source)
        draft, saved = (session.draft, session.saved) if is_current else (None, None)
        return would_replace_work(mask, region, draft=draft, saved=saved)

    def _is_current(self, source: Source) -> bool:
        return source.is_same_exam(self._session.source)

    def _is_hidden(self, source: Source) -> bool:
        """Whether the exam's draft is not to be seen yet."""
        drafts = self._session.drafts
        return drafts.is_hidden if self._is_current(source) else drafts.hides

    def _may_replace(self, question: str) -> bool:
        return _fields.ask(
            self._panel,
            "The mask was edited",
            f"{question} (Ctrl+Z brings your mask back.)",
            "Replace it",
            "Keep my mask",
        )

    def _show(
        self, source: Source, draft: Draft, region: Region | None, threshold: float, took: str
    ) -> ShownDraft:
        self._session.drafts.keep(draft, region, source=source)
        predicted, grid = draft.label_map.data, draft.label_map.grid
        if self._is_hidden(source):
            labels = predicted
            self.say(source, HIDDEN)
            if self._mask(source) is None:
                self._put(source, LabelMap(np.zeros(grid.shape, np.uint8), grid))
        else:
            labels = with_region(self._mask(source), predicted, region)
            self._put(source, LabelMap(labels, grid))
            self.say(source, draft_words(draft.label_map, threshold, took, draft.findings))
        self._shown = ShownDraft(source, draft, region, labels, threshold, took)
        return self._shown

    def _put(self, source: Source, label_map: LabelMap) -> None:
        """Show a mask; the reader stays at the exam that is current."""
        if self._is_current(source):
            show_labels(self._viewer, source, label_map)
            return
        # napari makes a new layer the active one, which would make its exam the current one.
        selection = self._viewer.layers.selection
        active = selection.active
        with selection.events.active.blocker():
            show_labels(self._viewer, source, label_map)
            selection.active = active

    def _mask(self, source: Source) -> NDArray[np.generic] | None:
        """The exam's mask (Z, Y, X) as it is in the viewer, None without one."""
        layer = tumor_layer(self._viewer, source.case_id)
        return None if layer is None else volume_of(layer)

    # The threshold

    def _changeable_mask(self) -> NDArray[np.generic] | None:
        """The mask of the last prediction, while another threshold may change it."""
        shown = self._shown
        if shown is None or self._runner.is_running or not is_open(self._viewer, shown.source):
            return None
        if not self._is_current(shown.source) or self._is_hidden(shown.source):
            return None
        return self._mask(shown.source)

    def _follow_threshold(self) -> None:
        """Cut the last probability at the new threshold; an edited mask is asked about first."""
        cut = cut_for(self._shown, self._changeable_mask(), self.threshold.value)
        if cut is Cut.AT_ONCE:
            self._cut_again()
        elif cut is Cut.AFTER_ASKING:
            self._ask_soon.start()

    def _ask_about_threshold(self) -> None:
        shown = self._shown
        cut = cut_for(shown, self._changeable_mask(), self.threshold.value)
        if shown is None or cut is Cut.NOTHING:
            return
        if self.threshold.native.findChild(QSlider).isSliderDown():
            self._ask_soon.start()
        elif self._may_replace(
            "The mask was edited since it was segmented. Replace it with the draft at the new "
            "threshold?"
        ):
            self._shown = replace(shown, is_undo_step=False)
            self._cut_again()
        else:
            self.threshold.value = shown.threshold

    def _cut_again(self) -> None:
        shown, threshold = self._shown, self.threshold.value
        layer = None if shown is None else tumor_layer(self._viewer, shown.source.case_id)
        if shown is None or layer is None or shown.draft.probability is None:
            return
        if shown.is_undo_step:  # however far the slider moves it is one step
            layer.undo()
            self._session.uncount_stroke()
        before = volume_of(layer).copy()
        draft = replace(shown.draft, label_map=shown.draft.probability.at_threshold(threshold))
        now = self._show(shown.source, draft, shown.region, threshold, shown.took)
        self._shown = replace(now, is_undo_step=not is_same(before, now.labels))

    def _on_draft_changed(self) -> None:
        """Describe the draft once it is no longer hidden."""
        shown = self._shown
        was_hidden = self._said[1] == HIDDEN
        if shown is not None and was_hidden and not self._is_hidden(shown.source):
            draft = shown.draft
            words = draft_words(draft.label_map, shown.threshold, shown.took, draft.findings)
            self.say(shown.source, words)


def _single_shot(parent: QObject, after_ms: int, act: Callable[[], object]) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(after_ms)
    timer.timeout.connect(act)
    return timer
