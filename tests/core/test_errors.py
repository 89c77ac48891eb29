"""Errors with three parts."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_breastseg
from napari_breastseg.core.errors import InputError, StorageError


@pytest.mark.parametrize("kind", [InputError, StorageError])
def test_an_error_from_another_process_is_whole(kind: type[InputError]) -> None:
    error = kind("Expected a PNG image", "found 0 bytes", "Export the slice again")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == "Expected a PNG image; found 0 bytes. Export the slice again."
    assert (back.expected, back.found, back.fix) == (error.expected, error.found, error.fix)


def test_every_error_says_what_was_expected_and_found() -> None:
    package = Path(napari_breastseg.__file__).parent
    odd, seen = [], 0
    for path in sorted(package.rglob("*.py")):
        if "widgets" in path.parts:
            continue
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in _ERRORS:
                expected, found, fix, *_ = call.args
                seen += 1
                for part, is_fine in (
                    (expected, lambda text: text.startswith("Expected ")),
                    (found, lambda text: text.startswith("found ")),
                    (fix, lambda text: text[0].isupper()),
                ):
                    wrong = [text for text in _beginnings(part) if not is_fine(text)]
                    odd += [f"{path.relative_to(package)}:{call.lineno}: {w}" for w in wrong]
    assert seen > 200
    assert odd == []


_ERRORS = {"InputError", "StorageError", "DicomError", "UnnamedChannelsError"}


def _beginnings(node: ast.expr) -> Iterator[str]:
    """Literal texts that a part of an error may begin with; none where a name holds it."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=[first, *_]) | ast.BinOp(left=first):
            yield from _beginnings(first)
        case ast.IfExp(body=body, orelse=other):
            yield from _beginnings(body)
            yield from _beginnings(other)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _beginnings(value)
