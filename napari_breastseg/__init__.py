"""Outline tumors in breast MRI: draft with a U-Net, correct, and train on the corrections.

The engine modules import no Qt and no napari; `widgets` is the window, `cli` the command line.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
