"""From a method's defaults, a tier and a user's settings to what is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ..nn.settings import encoder_tier
from ..schema.task import Closed, Tier
from .method import OwnSettings

S = TypeVar("S", bound=OwnSettings)


def resolve(settings: type[S], tier: Tier, overrides: Mapping[str, Any]) -> S:
    """Return settings at a tier with the user's overrides on top, validated.

    Order: published defaults, the tier's numbers (of the encoder, then of its method),
    the user's; groups of settings are merged key by key. `encoder` may be a kind ('swin')
    or a mapping; of another kind than the method's default, the method's own encoder
    settings do not apply. With an encoder for images (dims: 2) sides lose their first
    axis unless the user gives them. Raises pydantic.ValidationError.
    """
    merged: dict[str, Any] = {**settings.tiers.get(tier, {})}
    own = dict(overrides)
    if "encoder" in settings.model_fields:
        own["encoder"] = _with_encoder(settings, tier, merged, own.pop("encoder", {}))
    for name, published in _groups(settings).items():
        asked = own.get(name, {})
        if isinstance(asked, Mapping):
            own[name] = _joined(name, [published, merged.get(name, {}), asked])
    return settings.model_validate({**merged, **own})


def _with_encoder(
    settings: type[OwnSettings], tier: Tier, merged: dict[str, Any], encoder: Any
) -> Any:
    """Return the encoder's settings; `merged` loses what they leave no room for."""
    if isinstance(encoder, str):
        encoder = {"kind": encoder}
    of_method = merged.pop("encoder", {})
    if isinstance(encoder, Mapping):
        encoder = _resolved_encoder(settings, tier, of_method, encoder)
        if encoder.get("dims") == 2:
            published = _sides(settings)
            sides = {name: merged.get(name, published[name]) for name in published}
            merged |= {name: tuple(each)[-2:] for name, each in sides.items()}
    return encoder


def _joined(group: str, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return layers of a group key by key; another optimiser starts anew.

    Its settings would mean nothing to the new one. A mask of another kind keeps them.
    """
    found: dict[str, Any] = {}
    for layer in layers:
        kind = found.get("kind")
        if group == "optimiser" and layer.get("kind", kind) != kind:
            found = {}
        found |= layer
    return found


def cut(
    settings: type[OwnSettings],
    tier: Tier,
    overrides: Mapping[str, Any],
    kept: Mapping[str, Any],
) -> dict[str, Any]:
    """Return overrides for a rehearsal: sizes and lengths are those of the tier.

    What the tier sets, for the method or its encoder, is taken out of `overrides`, which
    say what to run; `kept` was meant for this tier and stays.
    """
    small = settings.tiers.get(tier, {})
    left = {key: value for key, value in overrides.items() if key not in small}
    encoder = overrides.get("encoder")
    if isinstance(encoder, Mapping):
        default = settings.model_fields["encoder"].get_default(
            call_default_factory=True
        )
        sizes = {
            *encoder_tier(str(encoder.get("kind", default.kind)), tier),
            *small.get("encoder", {}),
        } - {"kind", "dims"}
        encoder = {key: value for key, value in encoder.items() if key not in sizes}
        if not settings.scaled:  # made up, so it need not be as large as a file's
            encoder = {
                **encoder_tier(str(encoder.get("kind", default.kind)), tier),
                **encoder,
            }
    if encoder:
        left["encoder"] = encoder
    own = kept.get("encoder")
    if isinstance(own, Mapping) and isinstance(left.get("encoder"), Mapping):
        return {**left, **kept, "encoder": {**left["encoder"], **own}}
    return {**left, **kept}


def _groups(settings: type[OwnSettings]) -> dict[str, dict[str, Any]]:
    """Return what each group of settings but the encoder has by default."""
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in settings.model_fields.items()
        if name != "encoder"
    }
    return {
        name: {
            **({"kind": default.kind} if hasattr(default, "kind") else {}),
            **default.model_dump(exclude_unset=True),
        }
        for name, default in defaults.items()
        if isinstance(default, Closed)
    }


def _resolved_encoder(
    settings: type[OwnSettings],
    tier: Tier,
    of_method: Mapping[str, Any],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    default = settings.model_fields["encoder"].get_default(call_default_factory=True)
    kind = own.get("kind", default.kind)
    scaled = isinstance(kind, str) and settings.scaled
    of_tier = encoder_tier(kind, tier) if scaled else {}
    if kind == default.kind:
        published = default.model_dump(mode="json", exclude_unset=True)
        of_tier = {**published, **of_tier, **of_method}
    return {**of_tier, "kind": kind, **own}


def _sides(settings: type[OwnSettings]) -> dict[str, Any]:
    """Return the published sides, settings of three numbers of voxels."""
    return {
        name: field.default
        for name, field in settings.model_fields.items()
        if field.annotation == _SIDES
    }


_SIDES = tuple[int, int, int] | tuple[int, int]
