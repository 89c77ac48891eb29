"""Choosing a model: the default, the starter, a registered one, or any checkpoint folder."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QPushButton,
    QSizePolicy,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from ...core.errors import InputError
from ...model.checkpoint import CARD_FILE, read_info
from ...registry.models import Registry
from ..state.models import describe, list_models
from .fields import note
from .jobs import errors_shown

__all__ = ["ModelPicker"]

_BROWSE = "Choose a folder…"


class ModelPicker(QWidget):
    """A list of models with a line that says what the chosen one needs.

    Parameters
    ----------
    with_scratch : bool
        Also offer "From scratch", whose value is None.
    """

    valueChanged = Signal(object)

    def __init__(self, *, with_scratch: bool = False) -> None:
        super().__init__()
        self._with_scratch = with_scratch
        self._folders: list[Path] = []
        self._shown: Path | None = None
        self._combo = QComboBox()
        self._combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._combo.activated.connect(self._on_activated)
        self._line = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._combo)
        column.addWidget(self._line)
        self._card_button = QPushButton("Model card…")
        self._card_button.setToolTip("Intended use, training data, license and performance")
        self._card_button.clicked.connect(lambda: self.show_card())
        column.addWidget(self._card_button)
        self.reset_choices()
        if self._shown is None and (folder := self._combo.itemData(1)) != _BROWSE and with_scratch:
            self._choose(folder)  # as on the command line: the default model, else from scratch
            self._select()

    def value(self) -> Path | None:
        """Folder of the chosen model; None for none, or from scratch."""
        return self._shown

    def setValue(self, folder: Path | None) -> None:
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

    def show_card(self) -> QDialog | None:
        """Open the chosen model's card; None where it has none."""
        card = None if self._shown is None else self._shown / CARD_FILE
        if card is None or not card.is_file():
            return None
        dialog = QDialog(self)
        dialog.setWindowTitle("Model card")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.resize(760, 800)
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

    def reset_choices(self, event: object = None) -> None:
        """Read the registry again; the choice stays if it is still there."""
        choices = []
        with errors_shown():
            choices = list_models(Registry(), self._folders)
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._with_scratch:
            self._combo.addItem("From scratch", None)
        for choice in choices:
            title = f"{choice.title} (damaged)" if choice.problem else choice.title
            self._combo.addItem(title, choice.folder)
            last = self._combo.count() - 1
            tooltip = choice.problem or str(choice.folder)
            self._combo.setItemData(last, tooltip, Qt.ItemDataRole.ToolTipRole)
        if not choices and not self._with_scratch:
            self._combo.addItem("No model yet", None)
        self._combo.addItem(_BROWSE, _BROWSE)
        self._combo.blockSignals(False)
        folders = [choice.folder for choice in choices if not choice.problem]
        if self._shown not in folders and not (self._shown is None and self._with_scratch):
            self._choose(folders[0] if folders else None)
        self._select()

    def _on_activated(self, index: int) -> None:
        value = self._combo.itemData(index)
        if value == _BROWSE:
            chosen = QFileDialog.getExistingDirectory(self, "Checkpoint folder")
            self._select()
            if not chosen:
                return
            with errors_shown():
                read_info(Path(chosen))
                self.setValue(Path(chosen))
            return
        self._choose(value)
        self._select()

    def _choose(self, folder: Path | None) -> None:
        if folder != self._shown:
            self._shown = folder
            self.valueChanged.emit(folder)

    def _select(self) -> None:
        for index in range(self._combo.count()):
            if self._combo.itemData(index) == self._shown:
                self._combo.setCurrentIndex(index)
                break
        has_card = self._shown is not None and (self._shown / CARD_FILE).is_file()
        self._card_button.setVisible(has_card)
        if self._shown is None:
            self._line.setText(
                "Random weights; training takes several hundred steps."
                if self._with_scratch
                else "Train one in 'Train & models' or choose a model folder."
            )
            return
        try:
            self._line.setText(describe(read_info(self._shown)))
        except InputError as error:
            self._line.setText(str(error))
