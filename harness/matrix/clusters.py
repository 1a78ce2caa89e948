"""Which profile jobs are submitted with: the matrix's, and those of the person.

A matrix is shared, a site and an account are not. So profiles come from `clusters:` of
the benchmark file and from clusters.yaml of the person's configuration folder; one that
stands in both is the matrix's with the person's laid over it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from ..registry.content import SAFE_NAME
from ..registry.explain import unknown, validated
from ..registry.merging import merge
from ..registry.yamlfile import Document, Loc, read_yaml, shown
from ..registry.yamlwords import brief
from ..schema.errors import Mistakes, UserError
from ..schema.task import Closed
from .profiles import Profile, bodies

DEFAULT = "default"  # the profile that others extend where they do not say which
_PERSONAL = ("setup", "python")  # what a job runs is not for a shared file to say
Profiles = Annotated[dict[str, Profile], BeforeValidator(bodies)]


class PersonalFile(Closed):
    """clusters.yaml of a person: profiles, and which to take without --profile."""

    profile: str | None = None
    clusters: Profiles = Field(default_factory=dict)


@dataclass(frozen=True)
class Personal:
    """The profiles of a person's file; `path` for messages, whether it is there or not."""

    path: Path
    profile: str | None = None
    clusters: Mapping[str, Profile] = field(default_factory=dict)


def personal_path() -> Path:
    """Return where the person's clusters.yaml is looked for."""
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "medssl-bench" / "clusters.yaml"


def read_personal(path: Path | None = None) -> Personal:
    """Read the person's file; an absent one has no profiles. Raises Mistakes."""
    path = path or personal_path()
    if not path.exists():
        return Personal(path)
    document = read_yaml(path)
    file = validated(PersonalFile, document)
    if file is not None:
        check_profiles(document, file.clusters, ("clusters",))
        if file.profile is not None and file.profile not in file.clusters:
            known = unknown("profile", file.profile, file.clusters)
            document.mistake(("profile",), known)
    if document.mistakes or file is None:
        raise Mistakes(document.mistakes)
    return Personal(path, file.profile, file.clusters)


def check_shared(
    document: Document,
    profiles: Mapping[str, Profile],
    methods: Mapping[str, object],
    tasks: Mapping[str, object],
) -> None:
    """Note what is wrong with the profiles of a benchmark file beyond their form."""
    where: Loc = ("clusters",)
    check_profiles(document, profiles, where)
    for name, profile in profiles.items():
        for key in _PERSONAL:
            if key in profile.model_fields_set:
                document.mistake(
                    (*where, name, key),
                    f"'{key}' says what runs on a person's account: it belongs into "
                    f"{shown(personal_path())}, not into a shared file",
                )
        if profile.extends is not None and profile.extends not in profiles:
            sentence = unknown("profile", profile.extends, set(profiles) - {name})
            document.mistake((*where, name, "extends"), sentence)
        for kind, known in (("methods", methods), ("tasks", tasks)):
            for each in getattr(profile, kind):
                if each not in known:
                    sentence = unknown(kind[:-1], each, known)
                    document.mistake((*where, name, kind, each), sentence)


def check_profiles(
    document: Document, profiles: Mapping[str, Profile], where: Loc
) -> None:
    """Note names that are none and profiles that extend themselves."""
    for name, profile in profiles.items():
        if not SAFE_NAME.match(name):
            document.mistake((*where, name), f"{brief(name)} is not a name")
        seen = [name]
        while profile.extends is not None and profile.extends in profiles:
            if profile.extends in seen:
                circle = " extends ".join([*seen, profile.extends])
                document.mistake((*where, name, "extends"), f"{circle}: a circle")
                break
            seen.append(profile.extends)
            profile = profiles[profile.extends]


def choose(
    shared: Mapping[str, Profile], personal: Personal, name: str | None = None
) -> Profile:
    """Return the profile `name`, with all that it extends merged in.

    Without a name: the one that the person's file chooses, else 'default', which need
    not exist. Raises UserError for a name that neither file has.
    """
    chosen = name or personal.profile or DEFAULT
    known = {*shared, *personal.clusters}
    if chosen not in known:
        if name is None and personal.profile is None:
            return Profile()
        sentence = unknown("profile", chosen, known)
        message = (
            f"--profile: {sentence} Profiles stand under 'clusters:' of the benchmark "
            f"file and of {shown(personal.path)}."
        )
        raise UserError(message)
    merged: dict[str, object] = {}
    for each in reversed(_chain(chosen, shared, personal)):
        merged = merge(merged, each.model_dump(exclude_unset=True))
    return Profile.model_validate(merged)


def _chain(
    name: str, shared: Mapping[str, Profile], personal: Personal
) -> list[Profile]:
    """Return what makes up a profile, the most particular first."""
    found: list[Profile] = []
    seen: list[str] = []
    next_name: str | None = name
    while next_name is not None:
        if next_name in seen:
            circle = " extends ".join([*seen, next_name])
            message = (
                f"{shown(personal.path)}: {circle}: a circle; name another profile"
            )
            raise UserError(message)
        seen.append(next_name)
        own = [
            each[next_name]
            for each in (personal.clusters, shared)
            if next_name in each
        ]  # fmt: skip
        if not own and next_name != DEFAULT:
            known = {*shared, *personal.clusters}
            message = f"{shown(personal.path)}: {unknown('profile', next_name, known)}"
            raise UserError(message)
        found += own
        extends = next((each.extends for each in own if each.extends), None)
        next_name = extends or (DEFAULT if DEFAULT not in seen else None)
    return found
