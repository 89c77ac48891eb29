"""Errors with three parts."""

from __future__ import annotations

import pickle

import pytest

from napari_breastseg.errors import InputError, StorageError


@pytest.mark.parametrize("kind", [InputError, StorageError])
def test_an_error_from_another_process_is_whole(kind: type[InputError]) -> None:
    error = kind("Needed a PNG image", "got 0 bytes", "Export the slice again")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == "Needed a PNG image; got 0 bytes. Export the slice again."
    assert (back.needed, back.came, back.do) == (error.needed, error.came, error.do)
