"""Scores of single cases kept on disk, so that an evaluation goes on, or is shared out.

A file for each case holds its row and the counts of its pixels by probability: what is said of all
cases follows from these alone, whoever made them. Imports `atomic`, and of this package `curves`,
`scores`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import atomic_path
from .curves import ProbabilityHistogram
from .scores import CaseScores

__all__ = ["KeptScores"]


class KeptScores:
    """The scores of a folder, one file a case.

    Parameters
    ----------
    folder : Path
        Made when the first scores are kept.
    made_of : callable
        Gives what a case's scores follow from, as text, such as a hash of image, mask, model and
        settings. Scores made of something else do not count.
    reads : bool
        Take scores that are there; without it all are made anew.
    """

    def __init__(self, folder: Path, made_of: Callable[[str], str], *, reads: bool) -> None:
        self._folder = folder
        self._made_of = lru_cache(maxsize=None)(made_of)  # before and after: files are read once
        self._reads = reads

    def get(self, case_id: str) -> tuple[CaseScores, ProbabilityHistogram | None] | None:
        """Scores of a case and counts of its pixels, if it had any; None if it is to be scored."""
        made_of = self._made_of(case_id)
        if not self._reads:
            return None
        try:
            # Opened here: on a file that is none, `np.load` would leave it open.
            with (
                open(self._path(case_id), "rb") as stream,
                np.load(stream, allow_pickle=False) as file,
            ):
                value = json.loads(str(file["scores"]))
                if value["made_of"] != made_of:
                    return None
                row = CaseScores(**value["row"])
                if row.case_id != case_id:
                    return None
                if not value["has_probability"]:
                    return row, None
                histogram = ProbabilityHistogram()
                for name in ("tumor", "other"):
                    counts: NDArray[np.int64] = getattr(histogram, name)
                    counts[file[f"{name}_bins"]] = file[f"{name}_counts"]
                return row, histogram
        except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile):
            return None  # none there, cut off, or of another version: it is scored again

    def keep(self, row: CaseScores, histogram: ProbabilityHistogram | None) -> None:
        """Keep the scores of a case.

        Raises
        ------
        StorageError
            If they cannot be written.
        """
        value = {
            "made_of": self._made_of(row.case_id),
            "row": asdict(row),
            "has_probability": histogram is not None,
        }
        arrays: dict[str, NDArray[np.generic]] = {"scores": np.array(json.dumps(value))}
        for name in ("tumor", "other") if histogram is not None else ():
            counts = getattr(histogram, name)
            arrays[f"{name}_bins"] = np.flatnonzero(counts)
            arrays[f"{name}_counts"] = counts[counts > 0]
        with atomic_path(self._path(row.case_id)) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    def _path(self, case_id: str) -> Path:
        return self._folder / f"{case_id}.npz"
