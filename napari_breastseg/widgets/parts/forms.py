"""Forms of magicgui: our types as fields, values kept between starts, why something cannot run.

A function annotated with `Source` (an exam in the viewer), `Model` or `Dataset` gets a field that
chooses one, once `register_types` was called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NewType

import napari
from magicgui import register_type
from magicgui.types import Undefined
from magicgui.widgets import Container, FileEdit, PushButton
from qtpy.QtWidgets import QWidget

from ...core.errors import InputError
from ...dataset import Dataset
from ..state.settings import recall, remember
from ..state.sources import Source, sources
from .model_field import ModelField

__all__ = [
    "DatasetField",
    "Device",
    "Model",
    "keep_between_starts",
    "place",
    "push",
    "register_types",
    "row_of",
]

Model = NewType("Model", Path)
"""Checkpoint folder of a model."""

Device = Literal["auto", "cpu", "cuda", "mps"]
"""By torch's names; "auto" is the graphics card if there is one."""


class DatasetField(FileEdit):
    """The magicgui field of a `Dataset`: its folder, typed or chosen."""

    def __init__(self, value: Any = None, **options: Any) -> None:
        options.pop("nullable", None)
        super().__init__(mode="d", nullable=True, **options)
        if value is not None and value is not Undefined:
            self.set_value(value)

    def get_value(self) -> Dataset | None:
        """The dataset of the folder; None while there is none."""
        folder = super().get_value()
        if folder is None:
            return None
        try:
            return Dataset.open(folder)
        except InputError:
            return None

    def set_value(self, value: Any) -> None:
        """Show a dataset, or a folder."""
        super().set_value(value.folder if isinstance(value, Dataset) else value)


def register_types() -> None:
    """Tell magicgui which fields choose an exam, a model and a dataset."""
    register_type(Source, choices=_exams_of_current_viewer)
    register_type(Model, widget_type=ModelField)
    register_type(Dataset, widget_type=DatasetField)


def _exams_of_current_viewer(field: object = None) -> list[tuple[str, Source]]:
    viewer = napari.current_viewer()
    return [] if viewer is None else [(one.title, one) for one in sources(viewer)]


def push(text: str, on_click: Callable[[], object], tooltip: str = "", key: str = "") -> PushButton:
    """A push button of magicgui; its tooltip names its key."""
    made = PushButton(text=text)
    made.native.setProperty("help", f"{tooltip} ({key})" if key else tooltip)
    made.native.setToolTip(made.native.property("help"))
    made.native.clicked.connect(lambda: on_click())
    return made


def row_of(*fields: Any, name: str = "") -> Container:
    """Fields beside each other, without labels."""
    row = Container(widgets=fields, layout="horizontal", labels=False, name=name)
    row.margins = (0, 0, 0, 0)
    return row


def place(form: Container, *parts: Any) -> None:
    """Stack a container's fields and parts of Qt in the order given; no field is added after."""
    column = form.native.layout()
    for part in parts:
        column.addWidget(part if isinstance(part, QWidget) else part.native)
    column.addStretch(1)


def keep_between_starts(form: str, fields: Iterable[Any]) -> None:
    """Give fields the values they had last, and remember what they are given from now on."""
    for field in fields:
        key = f"{form}.{field.name}"
        with suppress(ValueError, TypeError):
            field.value = json.loads(recall(key))
        field.changed.connect(lambda value, key=key: remember(key, json.dumps(value, default=str)))
