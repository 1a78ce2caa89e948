"""Which side a case is on, by each rule that a task may split its cases with.

Every decision is a sha256 of names: no generator, no dependence on order or machine.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from json.encoder import encode_basestring_ascii as _json_text

from ..schema.cases import CaseRef, Side
from ..schema.errors import DataError
from ..schema.splits import CountsSplit, HashSplit, ListedSplit, PublisherSplit
from ..schema.task import TaskSpec

Sided = list[tuple[CaseRef, Side]]
_NO_CLASS = -1


def unit_hash(*parts: str | int) -> float:
    """Return a number in [0, 1) that is uniform over, and fixed by, `parts`."""
    return _unit(sha256(json.dumps(parts).encode()).digest())


def _unit(hashed: bytes) -> float:
    return (int.from_bytes(hashed[:8]) >> 11) / 2**53


def hasher(*first: str | int) -> Callable[..., float]:
    """Return unit_hash with its first parts given: planning calls it 100,000s of times."""
    prefix = sha256(json.dumps(first)[:-1].encode())

    def hashed(*rest: str) -> float:
        state = prefix.copy()
        state.update("".join(f", {_json_text(each)}" for each in rest).encode())
        state.update(b"]")
        return _unit(state.digest())

    return hashed


def side_of(name: str, spec: TaskSpec, ref: CaseRef) -> Side:
    """Return the side of one case of task `name`, whatever other cases there are.

    For splits `hash` and `publisher` only: the others need all cases at once. Raises
    DataError where the publisher's side is asked for and missing.
    """
    rule = spec.split
    if isinstance(rule, HashSplit):
        place = unit_hash(rule.of or name, rule.seed, ref.group_id)
        if place < rule.test:
            return "test"
        return "val" if place < rule.test + rule.val else "train"
    if ref.side is None:
        msg = f"task {name!r}: case {ref.case_id!r} has no publisher's side"
        raise DataError(msg)
    if ref.side == "train" and isinstance(rule, PublisherSplit) and rule.val:
        place = unit_hash(rule.of or name, rule.seed, "val", ref.group_id)
        return "val" if place < rule.val else "train"
    return ref.side


def sides_of(name: str, spec: TaskSpec, cases: Sequence[CaseRef]) -> Sided:
    """Return the cases of task `name` by case id, each with its side.

    Cases that the split leaves out are not among them. Raises DataError where the cases
    are not what the split needs.
    """
    ordered = sorted(cases, key=lambda one: one.case_id)
    if isinstance(spec.split, CountsSplit):
        return _counted(name, spec, spec.split, ordered)
    if isinstance(spec.split, ListedSplit):
        return _listed(name, spec, spec.split, ordered)
    return [(ref, side_of(name, spec, ref)) for ref in ordered]


def validated_by(
    name: str,
    rule: HashSplit | PublisherSplit | CountsSplit | ListedSplit,
    given: Sided,
    fold: int,
    folds: int,
) -> Sided:
    """Return the sides of a fold: part `fold` of what is not test validates."""
    if rule.folds == "hash":
        hashed = hasher(rule.of or name, rule.seed, "fold")
        groups = {ref.group_id for ref, side in given if side != "test"}
        part = {group: int(hashed(group) * folds) for group in groups}
    else:
        dealt = _dealt(
            (ref for ref, side in given if side != "test"), rule.of or name, rule.seed
        )
        part = {group: at % folds for at, group in enumerate(dealt)}
    return [
        (ref, side)
        if side == "test"
        else (ref, "val" if part[ref.group_id] == fold else "train")
        for ref, side in given
    ]


def _dealt(cases: Iterable[CaseRef], name: str, seed: int) -> list[str]:
    """Return patients class by class, each in hashed order: to be dealt in turn."""
    hashed = hasher(name, seed, "fold")
    classes = _class_of_groups(cases)
    return sorted(classes, key=lambda group: (classes[group], hashed(group), group))


def _class_of_groups(cases: Iterable[CaseRef]) -> dict[str, int]:
    """Return the class of most cases of each patient; of several the higher one."""
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for ref in cases:
        target = _NO_CLASS if ref.target is None else ref.target
        counts[ref.group_id][target] += 1
    return {
        group: max(found, key=lambda target: (found[target], target))
        for group, found in counts.items()
    }


def _counted(
    name: str, spec: TaskSpec, rule: CountsSplit, ordered: list[CaseRef]
) -> Sided:
    """Fill test, then validation, then training, each class in proportion."""
    if len(ordered) < spec.cases:
        msg = (
            f"task {name!r}: its split counts cases, which needs all {spec.cases} of "
            f"them, and there are {len(ordered)}: complete the data, or set 'split: "
            "{kind: hash, val: .., test: ..}' for it in the benchmark file"
        )
        raise DataError(msg)
    of_publisher = rule.test == "publisher"
    fixed = {ref.group_id for ref in ordered if of_publisher and ref.side == "test"}
    free = [ref for ref in ordered if ref.group_id not in fixed]
    # Interleaved by share: every leading part has the classes in proportion.
    classes = _class_of_groups(free)
    hashed = hasher(rule.of or name, rule.seed, "count")
    by_class: defaultdict[int, list[str]] = defaultdict(list)
    for group in sorted(classes, key=lambda group: (hashed(group), group)):
        by_class[classes[group]].append(group)
    places = {
        group: ((rank + 0.5) / len(groups), target)
        for target, groups in by_class.items()
        for rank, group in enumerate(groups)
    }
    size = Counter(ref.group_id for ref in free)
    waiting = sorted(places, key=lambda group: (places[group], group))
    side: dict[str, Side] = dict.fromkeys(fixed, "test")
    wanted: list[tuple[Side, int | None]] = [("val", rule.val), ("train", rule.train)]
    if isinstance(rule.test, int):
        wanted.insert(0, ("test", rule.test))
    for which, count in wanted:
        room = len(free) if count is None else count
        taken = []
        for group in waiting:
            if size[group] <= room:
                room -= size[group]
                taken.append(group)
        side.update(dict.fromkeys(taken, which))
        waiting = [group for group in waiting if group not in side]
    return [(ref, side[ref.group_id]) for ref in ordered if ref.group_id in side]


def _listed(
    name: str, spec: TaskSpec, rule: ListedSplit, ordered: list[CaseRef]
) -> Sided:
    """Follow the lists; a case's own id goes before its patient's."""
    named: dict[str, Side] = {}
    named.update(dict.fromkeys(rule.train, "train"))
    named.update(dict.fromkeys(rule.val, "val"))
    named.update(dict.fromkeys(rule.test, "test"))
    found: Sided = []
    used: set[str] = set()
    for ref in ordered:
        key = ref.case_id if ref.case_id in named else ref.group_id
        if key in named:
            used.add(key)
            found.append((ref, named[key]))
        elif rule.others == "refuse":
            msg = (
                f"task {name!r}: case {ref.case_id!r} is on none of the lists of its "
                "split: name it, or set 'others: leave_out'"
            )
            raise DataError(msg)
    absent = [each for each in named if each not in used]
    if absent and not spec.allow_partial:
        msg = (
            f"task {name!r}: its split names {len(absent)} cases or patients that are "
            f"not there, {absent[0]!r} for one: complete the data, mend the lists, or set "
            "allow_partial: true"
        )
        raise DataError(msg)
    return found
