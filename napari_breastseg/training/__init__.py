"""Training a model from scratch or from a checkpoint.

`planning` decides what suits a dataset, `loop` is the training itself, to be read from top to
bottom. Loads no torch before a training starts. No Qt.
"""

from .cases import CaseSource, DatasetCase
from .config import TrainConfig
from .duration import Expected, expected
from .loop import TrainResult, train
from .planning import plan_spec, train_dataset

__all__ = [
    "CaseSource",
    "DatasetCase",
    "Expected",
    "TrainConfig",
    "TrainResult",
    "expected",
    "plan_spec",
    "train",
    "train_dataset",
]
