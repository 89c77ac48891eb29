"""A trained nnU-Net v2 model: its plans, and prediction through nnU-Net itself.

Needs the extra `nnunet`, imported when a network is built or run.
"""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from ..core.errors import InputError
from ..core.progress import Job, in_thread
from ..core.volume import Exam
from .bounds import MOST_VOXELS, require_plain

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["NnunetNetwork"]

SLICE_SPACING = (999.0, 1.0, 1.0)
"""The spacing nnU-Net gives to pictures without one, as (z, y, x)."""


class NnunetNetwork(BaseModel):
    """One configuration of an nnU-Net model, with one network for each fold trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: Literal["nnunet"] = "nnunet"
    plans: dict[str, JsonValue]
    """Content of plans.json."""

    dataset: dict[str, JsonValue]
    """Content of dataset.json."""

    configuration: str
    """2d, 3d_fullres or 3d_lowres."""

    folds: int = Field(1, ge=1, le=20)
    """Networks whose predictions are averaged."""

    mirror_axes: tuple[int, ...] | None = None
    """Axes that may be mirrored when predicting."""

    tumor_label: int = Field(1, ge=1, lt=64)
    """Label of the tumor."""

    @field_validator("plans", "dataset")
    @classmethod
    def _is_bounded(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        require_plain(value, largest=1e15)
        configurations = value.get("configurations")
        for plan in configurations.values() if isinstance(configurations, dict) else ():
            patch = plan.get("patch_size") if isinstance(plan, dict) else None
            sides = patch if isinstance(patch, list) else []
            if not all(isinstance(n, int) and 1 <= n <= 4096 for n in sides) or (
                math.prod(n for n in sides if isinstance(n, int)) > MOST_VOXELS
            ):
                raise ValueError(f"patch_size must hold at most {MOST_VOXELS} voxels")
        return value

    @property
    def title(self) -> str:
        """What a person reads."""
        folds = "1 fold" if self.folds == 1 else f"{self.folds} folds"
        return f"nnU-Net {self.configuration}, {folds}"

    def build(self) -> nn.Module:
        """A list of networks with fresh weights, one for each fold."""
        from torch import nn

        try:
            return nn.ModuleList(self._network() for _ in range(self.folds))
        except InputError:
            raise
        # nnU-Net fails on odd plans in whatever way it happens to.
        except Exception as error:
            raise InputError(
                f"Expected plans that make {self.title}",
                f"found ones that fail ({' '.join(str(error).split())[:200]}; "
                f"{type(error).__name__})",
                "Copy the model again, or train it again with nnU-Net's own planner",
            ) from error

    def probability(
        self,
        network: nn.Module,
        exam: Exam,
        roles: tuple[str, ...],
        dims: int,
        device: torch.device,
        mirror: bool,
    ) -> Job[NDArray[np.float32]]:
        """Tumor probability (Z, Y, X) on the exam's grid; canceled between two tiles."""
        spacing_mm = exam.grid.spacing_mm
        if spacing_mm is None and self.plans.get("image_reader_writer") != "NaturalImage2DIO":
            raise InputError(
                "Expected a known voxel size, because nnU-Net resamples to its own",
                f"found exam {exam.case_id} without it",
                "Open the exam from DICOM, NIfTI or NRRD, or give its pixel size",
            )
        spacing = [float(n) for n in spacing_mm or SLICE_SPACING]
        phases = np.stack([np.asarray(exam.phases[role].data, np.float32) for role in roles])

        def work(tick: Any) -> NDArray[np.float32]:
            nnunet = _nnunet()
            manager, configuration = self._plans()
            with redirect_stdout(io.StringIO()):  # it prints, where --json is promised
                predictor = nnunet.nnUNetPredictor(
                    use_mirroring=mirror and self.mirror_axes is not None,
                    perform_everything_on_device=device.type == "cuda",
                    device=device,
                    allow_tqdm=False,
                )
            runner = self._network()
            runner.register_forward_pre_hook(lambda *_: tick())
            folds: Any = network
            predictor.manual_initialization(
                runner,
                manager,
                configuration,
                [fold.state_dict() for fold in folds],
                self.dataset,
                "nnUNetTrainer",
                self.mirror_axes,
            )
            _, probabilities = predictor.predict_single_npy_array(
                phases, {"spacing": spacing}, save_or_return_probabilities=True
            )
            tumor: NDArray[np.float32] = np.asarray(probabilities[self.tumor_label], np.float32)
            return tumor

        return (yield from in_thread("Segmenting", work))

    def _plans(self) -> tuple[Any, Any]:
        # It prints where none is named.
        manager = _nnunet().PlansManager({"label_manager": "LabelManager", **self.plans})
        return manager, manager.get_configuration(self.configuration)

    def _network(self) -> nn.Module:
        nnunet = _nnunet()
        manager, configuration = self._plans()
        kwargs = configuration.network_arch_init_kwargs
        needed = configuration.network_arch_init_kwargs_req_import
        _require_layer(configuration.network_arch_class_name)
        for name in needed:
            if kwargs[name] is not None:
                _require_layer(kwargs[name])
        network: nn.Module = nnunet.get_network_from_plans(
            configuration.network_arch_class_name,
            kwargs,
            needed,
            nnunet.determine_num_input_channels(manager, configuration, self.dataset),
            manager.get_label_manager(self.dataset).num_segmentation_heads,
            allow_init=True,
            deep_supervision=False,
        )
        return network


def _require_layer(name: str) -> None:
    """Raise unless a dotted name is a network or layer of torch or of nnU-Net's architectures."""
    import pydoc

    from torch import nn

    is_known = name.startswith(("torch.nn.", "dynamic_network_architectures."))
    found = pydoc.locate(name) if is_known else None
    if isinstance(found, type) and issubclass(found, nn.Module):
        return
    raise InputError(
        "Expected an nnU-Net model made of layers of torch and dynamic_network_architectures",
        f"found '{name}' in its plans",
        "Train with one of nnU-Net's own planners",
    )


def _nnunet() -> Any:
    """What is needed of nnU-Net; its first import prints about folders that only training uses."""
    from types import SimpleNamespace

    try:
        with redirect_stdout(io.StringIO()):
            from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
            from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
            from nnunetv2.utilities.label_handling.label_handling import (
                determine_num_input_channels,
            )
            from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    except ImportError as error:
        raise InputError(
            "Expected nnU-Net to be installed to run this model",
            f"found that it is not ({error})",
            "Install it: pip install 'napari-breastseg[nnunet]'",
        ) from error
    return SimpleNamespace(
        nnUNetPredictor=nnUNetPredictor,
        get_network_from_plans=get_network_from_plans,
        determine_num_input_channels=determine_num_input_channels,
        PlansManager=PlansManager,
    )
