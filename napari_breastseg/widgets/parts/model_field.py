"""Choosing a model: the default, the starter, a registered one, or any checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.types import Undefined
from magicgui.widgets import ComboBox, Label, PushButton
from magicgui.widgets.bases import ValuedContainerWidget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFileDialog, QTextBrowser, QVBoxLayout

from ...core.errors import InputError
from ...model.checkpoint import CARD_FILE, read_info
from ...registry.models import Registry
from ..state.models import describe, list_models
from .fields import as_note
from .jobs import errors_shown

__all__ = ["ModelField"]

_BROWSE, _SCRATCH, _NONE = "Choose a folder…", "From scratch", "No model yet"
_CARD_SIZE = 760, 800


class ModelField(ValuedContainerWidget):
    """The magicgui field of a `Model`: a list, and a line that says what the chosen one needs.

    Parameters
    ----------
    with_scratch : bool
        Also offer "From scratch", whose value is None.
    """

    def __init__(self, value: Any = None, *, with_scratch: bool = False, **options: Any) -> None:
        self._with_scratch = with_scratch
        self._folders: list[Path] = []
        self._shown: Path | None = None
        self._titles: dict[str, Path | str | None] = {}
        self._combo = ComboBox(name="list")
        self._line = Label()
        as_note(self._line.native)
        self._card_button = PushButton(
            text="Model card…", tooltip="Intended use, training data, license and performance"
        )
        options.pop("nullable", None)
        super().__init__(
            widgets=[self._combo, self._line, self._card_button],
            labels=False,
            nullable=True,
            **options,
        )
        self.margins = (0, 0, 0, 0)
        self.native.layout().setSpacing(2)
        combo = self._combo.native
        combo.setSizePolicy(combo.sizePolicy().Policy.Ignored, combo.sizePolicy().Policy.Fixed)
        combo.activated.connect(self._on_activated)
        self._card_button.changed.connect(lambda _: self.show_card())
        self.reset_choices()
        if value is not None and value is not Undefined:
            self.set_value(value)
        elif self._shown is None and with_scratch:
            # As on the command line: the default model, else from scratch.
            first = next((v for v in self._titles.values() if isinstance(v, Path)), None)
            self._choose(first)
            self._select()

    def get_value(self) -> Path | None:
        """Folder of the chosen model; None for none, or from scratch."""
        return self._shown

    def set_value(self, folder: Path | None) -> None:
        """Choose a model, adding its folder to the list when it is not there."""
        if folder is not None:
            self._folders = [f for f in self._folders if f != folder] + [folder]
        self._choose(folder)
        self.reset_choices()

    @property
    def problem(self) -> str:
        """Why the choice cannot be used; empty when it can."""
        if self._shown is None:
            return "" if self._with_scratch else "Choose a model first"
        try:
            spec = read_info(self._shown).spec
        except InputError as error:
            return str(error)
        if self._with_scratch and spec.foreign is not None:
            return f"{spec.title} was trained with other software; continue its training there"
        return ""

    @property
    def title(self) -> str:
        """The chosen model as the list calls it."""
        return str(self._combo.value or "")

    def show_card(self) -> QDialog | None:
        """Open the chosen model's card; None where it has none."""
        card = None if self._shown is None else self._shown / CARD_FILE
        if card is None or not card.is_file():
            return None
        dialog = QDialog(self.native)
        dialog.setWindowTitle("Model card")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        width, height = _CARD_SIZE
        room = self.native.screen().availableGeometry()
        dialog.resize(min(width, room.width() - 80), min(height, room.height() - 120))
        text = QTextBrowser()
        text.setOpenExternalLinks(True)
        text.setSearchPaths([str(card.parent)])  # for the card's pictures
        text.setMarkdown(card.read_text("utf-8"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(dialog.reject)
        column = QVBoxLayout(dialog)
        column.addWidget(text)
        column.addWidget(buttons)
        dialog.show()
        return dialog

    def reset_choices(self, *_: Any) -> None:
        """Read the registry again; the choice stays if it is still there."""
        choices = []
        with errors_shown():
            choices = list_models(Registry(), self._folders)
        self._titles = {_SCRATCH: None} if self._with_scratch else {}
        tips = {}
        for choice in choices:
            title = f"{choice.title} (damaged)" if choice.problem else choice.title
            while title in self._titles:  # two folders of one name
                title += " "
            self._titles[title] = choice.folder
            tips[title] = choice.problem or str(choice.folder)
        if not self._titles:
            self._titles[_NONE] = None
        self._titles[_BROWSE] = _BROWSE
        self._combo.choices = list(self._titles)
        for title, tip in tips.items():
            place = self._combo.native.findText(title)
            self._combo.native.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
        folders = [choice.folder for choice in choices if not choice.problem]
        if self._shown not in folders and not (self._shown is None and self._with_scratch):
            self._choose(folders[0] if folders else None)
        self._select()

    def _on_activated(self, index: int) -> None:
        value = self._titles.get(self._combo.native.itemText(index))
        if value == _BROWSE:
            chosen = QFileDialog.getExistingDirectory(self.native, "Checkpoint folder")
            self._select()
            if not chosen:
                return
            with errors_shown():
                read_info(Path(chosen))
                self.set_value(Path(chosen))
            return
        self._choose(value if isinstance(value, Path) else None)
        self._select()

    def _choose(self, folder: Path | None) -> None:
        if folder != self._shown:
            self._shown = folder
            self.changed.emit(folder)

    def _select(self) -> None:
        for title, folder in self._titles.items():
            if folder == self._shown:
                self._combo.value = title
                break
        self._card_button.native.setVisible(
            self._shown is not None and (self._shown / CARD_FILE).is_file()
        )
        if self._shown is None:
            words = (
                "Random weights; training takes several hundred steps."
                if self._with_scratch
                else "Train one in the Train step or choose a model folder."
            )
        else:
            try:
                words = describe(read_info(self._shown), _card(self._shown))
            except InputError as error:
                words = str(error)
        self._line.value = words


def _card(folder: Path) -> str:
    try:
        return (folder / CARD_FILE).read_text("utf-8")
    except (OSError, ValueError):
        return ""
