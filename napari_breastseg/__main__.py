"""`python -m napari_breastseg` is the command `napari-breastseg`."""

from .cli import main

main()
