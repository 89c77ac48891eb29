"""What `--resume` keeps beside what was made of a case: of what it was made, and its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.atomic import write_json
from ..core.errors import InputError
from ..core.reading import read_json
from ..core.version import __version__
from ._planning import Planned

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

__all__ = ["Resuming", "made_by", "made_of"]

_PATHS = ("source", "mask", "probability")
"""What the row of this run says anew: a path may name a patient, and folders move."""


class Resuming:
    """Tells which cases of a run were done before: same files, model, settings and program.

    Parameters
    ----------
    members : sequence of Checkpoint
        The models of the run.
    settings : mapping of str to value
        Whatever else changes a mask or its row.
    wanted : bool
        Without it nothing counts as done before, and nothing is kept.
    ending : str
        Of the file's name after that of the case.
    """

    def __init__(
        self,
        members: Sequence[Checkpoint],
        settings: Mapping[str, Any],
        *,
        wanted: bool,
        ending: str = ".done.json",
    ) -> None:
        self._is_wanted = wanted
        self._how = made_by(members, settings) if wanted else ""
        self._ending = ending

    def kept(self, one: Planned) -> dict[str, Any] | None:
        """The row of a case that was done before; None if it has to be done.

        Raises
        ------
        InputError
            If the mask was changed since: what somebody corrected is not made again.
        """
        if not self._is_wanted:
            return None
        try:
            kept = read_json(self._beside(one))
            if one.mask.is_file() and kept["outputs"][:1] != _hashes([one.mask]):
                raise InputError(
                    f"Expected the mask of {one.case.case_id} as it was written here",
                    "found that it was changed since",
                    "It stays as it is; to segment the case again, move the mask away",
                )
            if kept["outputs"] != _hashes(_outputs(one, kept["row"]["probability"])):
                return None
            if kept["made_of"] != self._made_of(one):
                return None
            row: dict[str, Any] = kept["row"]
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none there, cut off, or written by something else: it is done again
        probability = None if row["probability"] is None else str(one.probability)
        return {**row, "source": one.source, "mask": str(one.mask), "probability": probability}

    def keep(self, one: Planned, row: Mapping[str, Any]) -> None:
        """Write of what a mask was made, once the mask is on the disk.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        if not self._is_wanted:
            return
        told = {key: value for key, value in row.items() if key not in _PATHS}
        told["probability"] = None if row["probability"] is None else one.probability.name
        outputs = _hashes(_outputs(one, told["probability"]))
        write_json(
            self._beside(one), {"made_of": self._made_of(one), "outputs": outputs, "row": told}
        )

    def _made_of(self, one: Planned) -> str:
        case = one.case
        return made_of(
            self._how, [*case.files, *one.other_files], [case.kind, case.roles, case.spacing_mm]
        )

    def _beside(self, one: Planned) -> Path:
        return one.mask.with_name(f"{one.case.case_id}{self._ending}")


def made_by(members: Sequence[Checkpoint], settings: Mapping[str, Any]) -> str:
    """Version of the program, models and settings as one text."""
    models = [one.info.model_dump_json() for one in members]
    return json.dumps([__version__, models, dict(settings)], sort_keys=True, default=str)


def made_of(how: str, files: Iterable[Path], read_as: Sequence[Any] = ()) -> str:
    """SHA-256 of a case's files, in their order, of how they are read and of `made_by`."""
    read = json.dumps([*read_as, _hashes(files)])
    return hashlib.sha256(f"{how}\n{read}".encode()).hexdigest()


def _outputs(one: Planned, probability: str | None) -> list[Path]:
    return [one.mask] if probability is None else [one.mask, one.probability]


def _hashes(files: Iterable[Path]) -> list[str]:
    """SHA-256 of each file's bytes."""
    found = []
    for file in files:
        with file.open("rb") as stream:
            found.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return found
