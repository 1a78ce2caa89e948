"""Claims about results as a benchmark file writes them, such as `a > b on dice`.

    claim  = side (op side)+ ["within" number] scopes     op = ">" | "<" | "~"
    side   = number | names | quantity "(" names ")", then ["+"|"-" number], scopes
    names  = "*" | name ("," name)*
    scope  = "on" metric, task or metric[structure] | "at" label budget | "with" protocol

`*` stands for every other method; of several names each has to hold, except in mean()
and spread(), which take them together. `entropy[stage2](a)` is of one stage. A chain
`a > b > c` claims each step. A scope stated on one side holds for all; without one all
tasks, budgets or protocols count, averaged. `~` claims a difference within a margin.
Numbers are compared as they are: of HD95 the smaller is the better.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from .budget import LabelBudget
from .errors import nearest
from .task import Closed

Op = Literal[">", "<", "~"]
OPS: tuple[Op, ...] = (">", "<", "~")

# From scores: what each is of a method is said in harness.analyse.claims.
COMPUTED: dict[str, str] = {
    "score": "the mean of the metric",
    "mean": "the mean over the methods named",
    "spread": "the standard deviation over the methods named",
    "gap": "score with the most labels minus score with fewer",
    "gap_percent": "the gap in percent of the score with the most labels",
    "gain": "score minus that of the same encoder without pretraining",
    "gain_percent": "the gain in percent of the latter",
}
# From other measurements of a method, where a report has them.
MEASURED: dict[str, str] = {
    "rank": "mean rank over tasks",
    "steps": "steps to 0.9 of the best final score",
    "hours": "hours of training",
    "params": "trainable parameters",
    "consistency": "consistency of feature reuse across label budgets",
    "intra": "distance of images to the centre of their class, in UMAP's plane",
    "inter": "distance between the centres of classes, in UMAP's plane",
    "entropy": "attention entropy before fine-tuning, as a share of the largest possible",
}
METRICS = ("dice", "hd95", "auc", "kappa", "f1", "sens", "spec")
TOGETHER = ("mean", "spread")

_TOKEN = re.compile(r"\s*(n\s*=\s*\d+|[<>~(),*\[\]]|[^\s<>~(),*\[\]]+)")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_SCOPES = ("on", "at", "with")
_WORDS = {*_SCOPES, "within", "+", "-"}


@dataclass(frozen=True)
class Item:
    """A metric or a task after `on`, with the structure or class in brackets."""

    name: str
    part: str | None = None


@dataclass(frozen=True)
class Side:
    """One side of a claim. number: instead of methods; part: of entropy, the stage."""

    quantity: str
    names: tuple[str, ...]
    number: float | None = None
    offset: float = 0.0
    on: tuple[Item, ...] = ()
    at: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    part: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.number:g}"
        text = ", ".join(self.names)
        if self.quantity != "score":
            of = f"[{self.part}]" if self.part else ""
            text = f"{self.quantity}{of}({text})"
        return f"{text} {self.offset:+g}" if self.offset else text


@dataclass(frozen=True)
class Claim:
    """A claim as it was written, and what it says. margin: of `~`."""

    text: str
    sides: tuple[Side, ...]
    op: Op
    margin: float | None = None


class ClaimEntry(Closed):
    """A claim with what was published: a difference, or the value of each method.

    unit: of `published`; `score` as tables print it, `percent` of the right side.
    """

    claim: str = Field(max_length=500)
    id: str = ""
    published: float | dict[str, float] | None = None
    unit: Literal["score", "percent"] = "score"
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class StatedClaim:
    """A claim of a matrix, with what its entry says and where it stands (file:line)."""

    claim: Claim
    entry: ClaimEntry
    where: str


def parse_claim(text: str) -> Claim:
    """Read a claim. Raises ValueError with a sentence that says what was expected.

    >>> parse_claim("gap(a) < gap(*) on dice").sides[0].names
    ('a',)
    """
    return _Parser(text).claim()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        self.tokens = [t.replace(" ", "") for t in _TOKEN.findall(self.text)]
        self.at = 0

    def claim(self) -> Claim:
        long = [token for token in self.tokens if len(token) > 64]
        if long:
            self._fail(f"{long[0][:20]}... is longer than any name")
        sides, ops = [self._side()], []
        while self._peek() in OPS:
            ops.append(self._next())
            sides.append(self._side())
        if not ops:
            self._fail(f"expected >, < or ~ {self._here()}")
        if len(set(ops)) > 1:
            self._fail("a chain has one sign throughout")
        margin = None
        if self._peek() == "within":
            self._next()
            margin = self._number("after 'within'")
            sides[-1] = self._scopes(sides[-1])
        if self._peek() is not None:
            self._fail(f"{self._peek()!r} is too much {self._here(before=True)}")
        op: Op = OPS[OPS.index(ops[0])]
        if (op == "~") != (margin is not None):
            self._fail("'~' needs 'within' and a margin, and only '~' has one")
        if all(side.number is not None for side in sides):
            self._fail("expected a method on one side at least")
        others = [side for side in sides if side.names == ("*",)]
        if sum(side.quantity not in TOGETHER for side in others) > 1:
            self._fail("'*' can stand on one side only")
        return Claim(self.text, _shared(tuple(sides)), op, margin)

    def _side(self) -> Side:
        token = self._peek()
        if token is None or (token in _WORDS or token in "<>~(),[]"):
            self._fail(f"expected a method {self._here()}")
        if token is not None and _NUMBER.match(token) and self._after() != "(":
            side = Side("score", (), number=float(self._next()))
            return self._scopes(side)
        quantity, part = "score", None
        on: tuple[Item, ...] = ()
        if self._after() in ("(", "["):
            quantity, part = self._quantity()
            known = (*COMPUTED, *MEASURED, *METRICS)
            if quantity not in known:
                self._fail(
                    f"{quantity!r} is not a quantity: expected one of "
                    f"{', '.join(known)}.{nearest(quantity, known)}"
                )
            if quantity in METRICS:
                quantity, on = "score", (Item(quantity),)
            self._next()
            names = self._names()
            if self._peek() != ")":
                self._fail(f"expected ')' {self._here()}")
            self._next()
        else:
            names = self._names()
        offset = 0.0
        if self._peek() in ("+", "-"):
            sign = -1.0 if self._next() == "-" else 1.0
            offset = sign * self._number("after + or -")
        return self._scopes(Side(quantity, names, None, offset, on, part=part))

    def _quantity(self) -> tuple[str, str | None]:
        """Return a quantity and, in brackets, the part of a network that it is of."""
        quantity, part = self._next(), None
        if self._peek() == "[":
            if quantity != "entropy":
                self._fail(
                    f"only entropy has parts, such as entropy[stage2]: {quantity!r}"
                )
            self._next()
            part = self._name("a stage")
            if self._peek() != "]" or self._after() != "(":
                self._fail("expected a stage and methods, as entropy[stage2](a)")
            self._next()
        return quantity, part

    def _names(self) -> tuple[str, ...]:
        if self._peek() == "*":
            self._next()
            return ("*",)
        return tuple(self._listed("a method"))

    def _listed(self, what: str) -> list[str]:
        found = [self._name(what)]
        while self._peek() == ",":
            self._next()
            found.append(self._name(what))
        if len(set(found)) < len(found):
            self._fail(f"{what} stands twice in {', '.join(found)}")
        return found

    def _name(self, what: str) -> str:
        token = self._peek()
        if token is None or token in _WORDS or not _NAME.match(token):
            self._fail(f"expected {what} {self._here()}")
        return self._next()

    def _scopes(self, side: Side) -> Side:
        while self._peek() in _SCOPES:
            word = self._next()
            if word == "on":
                side = replace(side, on=(*side.on, *self._items()))
            elif word == "at":
                side = replace(side, at=(*side.at, *self._budgets()))
            else:
                side = replace(
                    side, protocols=(*side.protocols, *self._listed("a protocol"))
                )
        return side

    def _items(self) -> list[Item]:
        found = [self._item()]
        while self._peek() == ",":
            self._next()
            found.append(self._item())
        return found

    def _item(self) -> Item:
        name, part = self._name("a metric or a task"), []
        if self._peek() == "[":
            self._next()
            while self._peek() not in ("]", None):
                part.append(self._next())
            if self._peek() is None or not part:
                self._fail("expected a structure or class in brackets, as dice[liver]")
            self._next()
        return Item(name, " ".join(part) or None)

    def _budgets(self) -> list[str]:
        found = [self._budget()]
        while self._peek() == ",":
            self._next()
            found.append(self._budget())
        return found

    def _budget(self) -> str:
        token = self._peek()
        if token is None or token in _WORDS:
            self._fail(f"expected a label budget {self._here()}")
        try:
            return str(LabelBudget.parse(self._next()))
        except ValueError as error:
            self._fail(str(error))
            raise  # never reached

    def _number(self, where: str) -> float:
        token = self._peek()
        if token is None or not _NUMBER.match(token):
            self._fail(f"expected a number {where}")
        return float(self._next())

    def _peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _after(self) -> str | None:
        return self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None

    def _next(self) -> str:
        self.at += 1
        token: str = self.tokens[self.at - 1]
        return token

    def _here(self, *, before: bool = False) -> str:
        if self._peek() is None or before:
            last = self.tokens[self.at - 1] if self.at else None
            return f"after {last!r}" if last else "in an empty claim"
        return f"before {self._peek()!r}"

    def _fail(self, message: str) -> None:
        shown = self.text if len(self.text) <= 80 else f"{self.text[:77]}..."
        msg = f"claim {shown!r}: {message}"
        raise ValueError(msg)


def _shared(sides: Sequence[Side]) -> tuple[Side, ...]:
    """Give every side the scopes that only some of them state."""
    on = next((side.on for side in reversed(sides) if side.on), ())
    at = next((side.at for side in reversed(sides) if side.at), ())
    protocols = next((side.protocols for side in reversed(sides) if side.protocols), ())
    return tuple(
        replace(
            side,
            on=side.on or on,
            at=side.at or at,
            protocols=side.protocols or protocols,
        )
        for side in sides
    )
