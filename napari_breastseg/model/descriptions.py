"""What is taken from the descriptions of other makers' models, with bounds.

Of a MONAI bundle its metadata and the heads of its configuration; of an nnU-Net model its plans and
its dataset.json. What else a description holds is passed by. No torch, no Qt.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ..core.errors import InputError

__all__ = [
    "Configuration",
    "Inferer",
    "Metadata",
    "Network",
    "NnUNetDataset",
    "Plans",
    "described",
    "unsupported",
]

Name = Annotated[str, Field(max_length=200)]
Channels = dict[Annotated[int, Field(ge=0, lt=1000)], Name]
Size = Annotated[list[Annotated[int, Field(gt=0, le=1 << 16)]], Field(min_length=2, max_length=3)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Said(_Part):
    channel_def: Channels = {}


class _Image(_Part):
    image: _Said = _Said()


class _Prediction(_Part):
    pred: _Said = _Said()


class _Format(_Part):
    inputs: _Image = _Image()
    outputs: _Prediction = _Prediction()


class Metadata(_Part):
    """A bundle's metadata.json."""

    name: Name | None = None
    license: Annotated[str, Field(max_length=1000)] | None = None
    copyright: Annotated[str, Field(max_length=1000)] | None = None
    network_data_format: _Format = _Format()


class Network(_Part):
    """A bundle's network_def, its references followed."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    target: str = Field(alias="_target_", max_length=200)
    spatial_dims: int = Field(3, ge=2, le=3)


class Inferer(_Part):
    """A bundle's inferer; its values may be references."""

    target: str = Field("SimpleInferer", alias="_target_", max_length=200)
    roi_size: JsonValue = None
    overlap: JsonValue = None


class Configuration(_Part):
    """One of nnU-Net's configurations."""

    patch_size: Size | None = None
    inherits_from: Name | None = None
    previous_stage: JsonValue = None


class Plans(_Part):
    """nnU-Net's plans.json."""

    image_reader_writer: Name | None = None
    configurations: dict[Name, Configuration] = Field(min_length=1, max_length=100)

    def patch_size(self, configuration: str) -> list[int]:
        """Of a configuration or the one that it inherits from, whose names may form a circle."""
        name: str | None = configuration
        for _ in self.configurations:
            plan = self.configurations.get(name or "")
            if plan is None:
                break
            if plan.patch_size is not None:
                return plan.patch_size
            name = plan.inherits_from
        raise unsupported(configuration, "it names no patch size")


class NnUNetDataset(_Part):
    """nnU-Net's dataset.json."""

    name: Name | None = None
    channel_names: Channels
    labels: dict[Name, int | list[int]] = Field(max_length=1000)


_Model = TypeVar("_Model", bound=BaseModel)


def described(model: type[_Model], value: Any, place: str) -> _Model:
    """What a part of a description says.

    Raises
    ------
    InputError
        If it is of another shape, naming the first value that is.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise unsupported(".".join(map(str, (place, *first["loc"]))), first["msg"]) from error


def unsupported(place: str, why: str) -> InputError:
    """The error of a description that cannot be taken over."""
    return InputError(
        "Expected a model that can be imported without running its code",
        f"found a problem in {place}: {why}",
        "Write plain values into its configuration, or run it with the software it was made with",
    )
