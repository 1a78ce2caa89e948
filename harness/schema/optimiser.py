"""Which optimiser a training uses, beside its rate and its weight decay."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .task import Closed

OptimiserKind = Literal["adamw", "adam", "sgd", "lars"]


class OptimiserSettings(Closed):
    """`optimiser:` of a method; its name alone will do, such as `optimiser: sgd`."""

    kind: OptimiserKind = Field(
        "adamw",
        description="adam adds the decay to the gradient; lars: harness.nn.lars",
    )
    betas: tuple[
        Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]
    ] = Field((0.9, 0.999), description="of adam and adamw; theirs, Loshchilov 2019")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="of sgd and lars; METHODS 1.9, 2.5"
    )
    nesterov: bool = Field(default=False, description="momentum looks ahead; sgd, lars")
    trust: float = Field(
        1e-3, gt=0, description="of lars: its eta; You et al. 2017, section 4"
    )

    _OF: ClassVar[dict[str, tuple[str, ...]]] = {
        "betas": ("adam", "adamw"),
        "momentum": ("sgd", "lars"),
        "nesterov": ("sgd", "lars"),
        "trust": ("lars",),
    }

    @model_validator(mode="after")
    def _is_heard(self) -> Self:
        for name, kinds in self._OF.items():
            default = type(self).model_fields[name].default
            if self.kind not in kinds and getattr(self, name) != default:
                msg = (
                    f"{name!r} is a setting of {' and '.join(kinds)}, and the "
                    f"optimiser is {self.kind}: remove it, or set 'kind'"
                )
                raise ValueError(msg)
        if self.nesterov and not self.momentum:
            msg = "'nesterov' looks ahead along the momentum, which is 0: raise it"
            raise ValueError(msg)
        return self


def _named(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Optimiser = Annotated[OptimiserSettings, BeforeValidator(_named)]
