"""What libraries log about a file's headers is heard by nobody."""

from __future__ import annotations

import logging
import warnings

import pytest

from napari_breastseg.core.silence import silent


def test_a_package_and_its_modules_are_silent_until_the_last_has_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    package = logging.getLogger("some_reader")
    package.setLevel(logging.INFO)

    def say(text: str) -> None:
        package.info(text)
        logging.getLogger("some_reader.module_loaded_late").error(text)

    one, other = silent("some_reader"), silent("some_reader")
    one.__enter__()
    other.__enter__()  # as another thread does
    say("first")
    warnings.warn("a header", UserWarning, stacklevel=1)  # an error in the tests if it is heard
    one.__exit__(None, None, None)
    say("second")
    other.__exit__(None, None, None)
    say("third")
    assert caplog.messages == ["third", "third"]
    assert package.level == logging.INFO
