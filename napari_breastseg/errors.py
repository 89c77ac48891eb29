"""The errors a user reads: what was needed, what came, what to do.

Engine code raises them, a widget shows them, the command line prints them and exits with 2.
A message may name a case id, never a patient or any other value that identifies one.
Imports nothing of this package.
"""

from __future__ import annotations

__all__ = ["InputError", "StorageError"]


class InputError(ValueError):
    """Input that cannot be used as it is.

    Parameters
    ----------
    needed : str
        What was expected, as a clause or sentence without its final stop.
    came : str
        What was found instead.
    do : str
        The next thing the reader of the message should do.

    Examples
    --------
    >>> print(InputError("Needed a PNG image", "got 0 bytes", "Export the slice again"))
    Needed a PNG image; got 0 bytes. Export the slice again.
    """

    def __init__(self, needed: str, came: str, do: str) -> None:
        self.needed = needed.rstrip(".")
        self.came = came.rstrip(".")
        self.do = do.rstrip(".")
        super().__init__(f"{self.needed}; {self.came}. {self.do}.")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Whole when it comes from another process."""
        return type(self), (self.needed, self.came, self.do)


class StorageError(InputError):
    """A file that could not be written: no permission, no space, a folder that is gone."""
