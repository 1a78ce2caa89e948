"""Which images of its sources a corpus holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from ..schema.cases import CaseRef
from ..schema.corpus import CorpusSource, CorpusSpec

Order = Callable[[str], bytes]


def chosen(
    refs: Iterable[CaseRef], source: CorpusSource, corpus: CorpusSpec
) -> list[str]:
    """Return the case ids of a source that are pretrained on.

    All choices follow one hashed order without meaning: a cap takes no publisher's first
    cases, and a smaller choice lies within a larger one.
    """
    order = _order(source.seed)
    excluded = set(corpus.exclude)
    kept = [
        ref
        for ref in refs
        if ref.case_id not in excluded and ref.group_id not in excluded
    ]
    ids = _of_patients(kept, source, order)
    for fraction in (source.fraction, corpus.fraction):
        if fraction is not None and ids:
            ids = sorted(ids, key=order)[: max(1, int(fraction * len(ids) + 0.5))]
    if source.cap is not None:
        ids = sorted(ids, key=order)[: source.cap]
    return ids


def _of_patients(
    refs: Sequence[CaseRef], source: CorpusSource, order: Order
) -> list[str]:
    if source.patients is None and source.per_patient is None:
        return [ref.case_id for ref in refs]
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for ref in refs:
        groups[ref.group_id].append(ref.case_id)
    patients = sorted(groups, key=order)[: source.patients]
    return [
        case_id
        for patient in patients
        for case_id in sorted(groups[patient], key=order)[: source.per_patient]
    ]


def _order(seed: int | None) -> Order:
    salt = "" if seed is None else f"{seed}:"
    return lambda name: sha256(f"{salt}{name}".encode()).digest()
