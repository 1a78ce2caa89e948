"""The cell or pretraining that a person means: by its key, or by words that fit it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..schema.errors import UserError, nearest
from ..schema.identity import short

if TYPE_CHECKING:
    from .cells import Analysis, Cell, Pretraining

SHOWN = 5  # cells that are listed where several fit
_KEY = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Target:
    """What was meant. nodes: keys in the order of the work; needs: a pretraining's key.

    key: what people call it by, the evaluation's or the pretraining's.
    """

    key: str
    label: str
    nodes: tuple[str, ...]
    needs: str | None
    words: frozenset[str]

    @classmethod
    def of_cell(cls, cell: Cell) -> Target:
        """Return a cell as a target."""
        words = {
            "method": cell.method, "task": cell.task, "protocol": cell.protocol,
            "label_budget": cell.budget, "fold": cell.fold, "seed": cell.seed,
            "encoder": cell.encoder, "pretraining_seed": cell.pretraining_seed,
        }  # fmt: skip
        nodes = (cell.adapt_key, cell.evaluate_key)
        found = _words(words, ("method", "task", "protocol", "label_budget"))
        return cls(cell.evaluate_key, cell.label, nodes, cell.pretrain_key, found)

    @classmethod
    def of_pretraining(cls, one: Pretraining) -> Target:
        """Return a pretraining as a target."""
        words = _words(
            {"method": one.method, "pretraining_seed": one.seed}, ("method",)
        )
        found = words | {"pretrain", f"seed={one.seed}"}
        return cls(one.key, one.label, (one.key,), one.init, found)

    @classmethod
    def of_analysis(cls, one: Analysis) -> Target:
        """Return an analysis as a target: words of its cell, and its own name."""
        own = {one.name, f"analysis={one.name}", one.against or one.name}
        words = cls.of_cell(one.cells[0]).words | own
        return cls(one.key, one.label, (one.key,), None, words)


def _words(fields: Mapping[str, object], bare: Sequence[str]) -> frozenset[str]:
    """Return 'field=value' of every field, and the values alone of those in `bare`."""
    pairs = {f"{name}={value}" for name, value in fields.items()}
    return frozenset(pairs | {str(fields[name]) for name in bare})


def find(
    cells: Iterable[Cell],
    pretrainings: Mapping[str, Pretraining],
    text: str,
    analyses: Sequence[Analysis] = (),
) -> Target:
    """Return the one target that `text` fits.

    text: the first digits (4 or more) of a key of any of its nodes, or words such as
    'smit organs finetune 5-shot seed=0' or 'method=smit,task=organs'; a pretraining is
    'pretrain smit', an analysis has its name among the words. Raises UserError, which
    lists what fits, unless exactly one does.
    """
    targets = [Target.of_pretraining(one) for one in pretrainings.values()]
    targets += [Target.of_cell(cell) for cell in cells]
    if _KEY.fullmatch(text):
        every = [*targets, *map(Target.of_analysis, analyses)]
        fitting = [t for t in every if any(key.startswith(text) for key in t.nodes)]
        if fitting:
            return _only(fitting, text)
    words = _split(text)
    named = {one.name for one in analyses} & words
    if named:
        targets = [Target.of_analysis(one) for one in analyses if one.name in named]
    fitting = [target for target in targets if words and words <= target.words]
    if not fitting:
        raise UserError(_unknown(targets, words, text))
    return _only(fitting, text)


def _split(text: str) -> frozenset[str]:
    """Return the words of a name: 'seed 0' is 'seed=0', commas are spaces."""
    spaced = re.sub(r"\b(seed|fold) (\d+)\b", r"\1=\2", text.replace(",", " "))
    return frozenset(spaced.split())


def _only(fitting: Sequence[Target], text: str) -> Target:
    distinct = list({target.nodes: target for target in fitting}.values())
    if len(distinct) == 1:
        return distinct[0]
    listed = "; ".join(f"{short(one.key)} {one.label}" for one in distinct[:SHOWN])
    more = ", ..." if len(distinct) > SHOWN else ""
    msg = f"{text!r} fits {len(distinct)} cells, name one of them: {listed}{more}"
    raise UserError(msg)


def _unknown(targets: Sequence[Target], words: frozenset[str], text: str) -> str:
    known = sorted(set().union(*(target.words for target in targets)))
    for word in sorted(words - set(known)):
        if _KEY.fullmatch(word) and word.isalnum() and any(c.isdigit() for c in word):
            return f"no node of this benchmark has a key that begins with {word}"
        return f"no cell has {word!r}.{nearest(word, known)} `harness ls cells` has all"
    return (
        f"no cell fits all of {text!r}, though each word fits some; `harness ls cells` "
        "has all"
    )
