"""What intensities an encoder is shown: settings of its input; torch is not needed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..schema.task import Closed


class PerChannel(Closed):
    """(x - mean) / std of each channel, as ImageNet's networks take their images."""

    kind: Literal["per_channel"] = "per_channel"
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> PerChannel:
        if len(self.mean) != len(self.std) or min(self.std) <= 0:
            msg = (
                f"normalise needs a mean and a positive std per channel, not mean "
                f"{self.mean} and std {self.std}"
            )
            raise ValueError(msg)
        return self


class ForegroundZScore(Closed):
    """(x - mean) / std over the voxels above 0 of each image and channel; others 0.

    Med3D's (METHODS 1.23), which fills the background with noise; 0, the mean of that
    noise, is chosen here, so that the same image gives the same features.
    """

    kind: Literal["foreground"] = "foreground"


Normalisation = Annotated[PerChannel | ForegroundZScore, Field(discriminator="kind")]


class InputSettings(Closed):
    """Settings that all encoders share: what their input is."""

    dims: Literal[2, 3] = Field(3, description="2 for images, 3 for volumes")
    intensity: tuple[float, float] = Field(
        (0.0, 1.0), description="what [0, 1] is mapped to at the input [3DINO: -1, 1]"
    )
    # Not written where it is none: results from before it was there keep their keys.
    normalise: Normalisation | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="what imported weights were trained with, instead of `intensity`",
    )

    @model_validator(mode="after")
    def _one_scale(self) -> InputSettings:
        if self.normalise is not None and self.intensity != (0.0, 1.0):
            msg = "an encoder takes either intensity or normalise: remove one"
            raise ValueError(msg)
        return self
