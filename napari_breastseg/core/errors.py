"""The errors a user reads: what was expected, what was found, how to fix it.

Engine code raises them, a widget shows them, the command line prints them and exits with 2.
A message may name a case id, never a patient or any other value that identifies one.
Imports nothing of this package.
"""

from __future__ import annotations

__all__ = ["InputError", "StorageError", "UnconfirmedError", "printable"]

_LONGEST = 2000
"""Characters of one part of a message; a longer one was made of what a file says."""


def printable(text: str) -> str:
    r"""Text with "_" for line breaks, escape codes and whatever else is no visible character.

    Examples
    --------
    >>> printable("P1\n\x1b[31m")
    'P1__[31m'
    """
    return "".join(one if one.isprintable() else "_" for one in text)


class InputError(ValueError):
    """Input that cannot be used as it is.

    Parameters
    ----------
    expected : str
        "Expected" and what, as in "Expected a PNG image".
    found : str
        "found" and what, as in "found 0 bytes"; a whole clause follows "found that".
    fix : str
        What the reader of the message should do next, as an order.

    Examples
    --------
    >>> print(InputError("Expected a PNG image", "found 0 bytes", "Export the slice again"))
    Expected a PNG image; found 0 bytes. Export the slice again.
    """

    def __init__(self, expected: str, found: str, fix: str) -> None:
        self.expected, self.found, self.fix = (
            printable(part.replace("\n", " "))[:_LONGEST].rstrip(".")
            for part in (expected, found, fix)
        )
        super().__init__(f"{self.expected}; {self.found}. {self.fix}.")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Whole when it comes from another process."""
        return type(self), (self.expected, self.found, self.fix)


class StorageError(InputError):
    """A file that could not be written: no permission, no space, a folder that is gone."""


class UnconfirmedError(StorageError):
    """A file that is in its place, though the disk failed to confirm it."""
