"""How a training is run, as far as it changes no result: no part of any identity."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .task import Closed

Precision = Literal["fp32", "bf16", "fp16"]


class TrainingOptions(Closed):
    """`training:` of a benchmark file. Changing it changes no key and no meaning.

    Defaults are chosen here.
    """

    checkpoint_minutes: float = Field(
        10.0, gt=0, description="at most so much work is lost to a hard kill"
    )
    recompute: bool = Field(
        default=False,
        description="transformer blocks twice, for less memory; same bits",
    )
    compile: str | None = Field(
        None, description="a backend of torch.compile for the encoder, such as inductor"
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, description="a checkpoint every so many steps as well"
    )


class Keep(Closed):
    """`keep:` of a benchmark file: which weights stay on disk. Changes no key.

    adapt: 'best' keeps the model that was evaluated, 'last' the weights after the last
    step instead, 'none' neither. Weights go once the evaluation that needs them is
    published; scores, curves and predictions always stay. A pretrained encoder stays,
    since later cells start from it; what resumes a training goes when it is published.
    predictions: whether evaluations of segmentations keep each test case's label map in
    the geometry of its image; those that are published already are not made anew
    (`harness predict` does).
    """

    pretrain: Literal["last"] = "last"
    adapt: Literal["none", "last", "best"] = "best"
    predictions: bool = False
