"""How many channels an encoder is made for, and which tasks it can take (METHODS 2.9).

A pretrained encoder has the channels of its corpus. One with a single channel takes
every task: of several channels each passes through it alone. One for several takes a
grey image, repeated. A baseline has what the encoders that it is compared with have, or
what its entry says: `input_channels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..registry.yamlwords import brief
from .entries import Chain
from .matrix import MethodEntry, TaskEntry
from .tasks import Corpora

Entries = dict[str, tuple[Chain, MethodEntry]]
_KEY = "input_channels"


def give_channels(
    entries: Entries, tasks: Sequence[TaskEntry], corpora: Corpora
) -> None:
    """Give every entry the channels of its encoder; what does not fit is noted."""
    for name, (chain, entry) in entries.items():
        own = _of_corpus(chain, entry, corpora)
        entries[name] = chain, replace(entry, channels=own)
    compared: dict[int, set[int]] = {}  # by dimensionality
    for _, entry in entries.values():
        if entry.is_published and entry.channels is not None:
            compared.setdefault(_dims(entry), set()).add(entry.channels)
    for name, (chain, entry) in entries.items():
        if entry.role == "baseline":
            known = compared.get(_dims(entry), set())
            own = _of_baseline(chain, known, tasks)
            entries[name] = chain, replace(entry, channels=own)
        elif (said := chain.said(_KEY)) is not None:
            said[0].fault(
                (_KEY,), f"{name} has the channels of what it is trained on: remove it"
            )
    for chain, entry in entries.values():
        _check(chain, entry, tasks)


def _dims(entry: MethodEntry) -> int:
    """Of an entry that has an encoder of its own."""
    return int(entry.encoder.get("dims", 3))


def _of_corpus(chain: Chain, entry: MethodEntry, corpora: Corpora) -> int | None:
    """Return the channels of what a method is trained on, which must be one number."""
    if entry.corpus is None:
        return entry.channels
    found: dict[int, str] = {}
    if entry.corpus.spec.channels == "split":
        return 1
    for source in entry.corpus.spec.sources:
        spec = corpora.data_of(entry.corpus, source)
        if spec is not None:
            found.setdefault(len(spec.channels), source.name)
    if len(found) > 1:
        chain.layers[-1].fault(
            (),
            f"method {entry.name} needs one number of channels in its corpus: "
            f"{_counted(found)}",
        )
    return next(iter(found), None)


def _of_baseline(
    chain: Chain, compared: set[int], tasks: Sequence[TaskEntry]
) -> int | None:
    said = chain.said(_KEY)
    if said is not None:
        layer, value = said
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        layer.fault((_KEY,), f"{_KEY}: expected a number from 1 on, not {brief(value)}")
        return None
    several = [task.name for task in tasks if len(task.spec.channels) > 1]
    if len(compared) > 1 and several:
        counts = " and ".join(str(each) for each in sorted(compared))
        chain.layers[-1].fault(
            (),
            f"{chain.name} is compared with encoders for {counts} channels, and "
            f"{several[0]} has several: say for how many it is made, '{_KEY}: 1'",
        )
    return next(iter(compared)) if len(compared) == 1 else None


def _check(chain: Chain, entry: MethodEntry, tasks: Sequence[TaskEntry]) -> None:
    if entry.channels in (None, 1):
        return
    for task in tasks:
        if len(task.spec.channels) not in (1, entry.channels):
            chain.layers[-1].fault(
                (),
                f"method {entry.name} has an encoder for {entry.channels} channels, "
                f"and {_counted({len(task.spec.channels): task.name})}: only one for "
                "a single channel takes other numbers, each channel alone",
            )


def _counted(found: Mapping[int, str]) -> str:
    return ", ".join(f"{task} has {count}" for count, task in found.items())
