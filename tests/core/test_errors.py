"""Errors with three parts."""

from __future__ import annotations

import pickle

import pytest

from napari_breastseg.core.errors import InputError, StorageError


@pytest.mark.parametrize("kind", [InputError, StorageError])
def test_an_error_from_another_process_is_whole(kind: type[InputError]) -> None:
    error = kind("Expected a PNG image", "found 0 bytes", "Export the slice again")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == "Expected a PNG image; found 0 bytes. Export the slice again."
    assert (back.expected, back.found, back.fix) == (error.expected, error.found, error.fix)
