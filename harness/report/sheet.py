"""A plain table: named columns, rows of values, and the evaluations behind each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """A column. name: in CSV and JSON; head: for people; digits: of numbers.

    signed: numbers carry their sign; small: the smallest number that is written out,
    below which '< small' is said, as for p-values; missing: what stands for None;
    bounds: columns with the interval that is printed after the value; printed: false
    for what is in CSV and JSON only.
    """

    name: str
    head: str
    digits: int = 3
    signed: bool = False
    small: float | None = None
    missing: str = ""
    bounds: tuple[str, str] | None = None
    printed: bool = True

    def show(self, value: Value) -> str:
        """Return a value as tables print it; never '-0.000'.

        >>> Column("p", "p", small=0.001).show(0.0004), Column("n", "n").show(1200)
        ('< 0.001', '1,200')
        """
        if value is None:
            return self.missing
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, int):
            return f"{value:+,}" if self.signed else f"{value:,}"
        if isinstance(value, str):
            return value
        if self.small is not None and value < self.small:
            return f"< {self.small:g}"
        rounded = round(value, self.digits) + 0.0
        sign = "+" if self.signed else ""
        return f"{rounded:{sign},.{self.digits}f}"


@dataclass(frozen=True)
class Row:
    """Values by column name; a column without one is empty.

    keys: folder names (16 digits) of the evaluations behind it; marked: stands out, and
    the notes say why.
    """

    values: Mapping[str, Value]
    keys: tuple[str, ...] = ()
    marked: bool = False


@dataclass(frozen=True)
class Sheet:
    """Rows under columns, with what has to be said about them.

    split: the column by whose value rows are divided into parts, each under a heading.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    split: str | None = None

    def parts(self) -> Iterator[tuple[str, tuple[Row, ...]]]:
        """Yield (heading, rows), in the order of the rows; one without `split`."""
        if self.split is None:
            yield "", self.rows
            return
        split = self.split
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(str(row.values.get(split)), []).append(row)
        for heading, mine in grouped.items():
            yield heading, tuple(mine)

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns that are printed; the one that makes the headings is not."""
        return tuple(c for c in self.columns if c.printed and c.name != self.split)

    def texts(self, rows: Sequence[Row]) -> list[list[str]]:
        """Return the printed values of rows, a list per row."""
        return [[_cell(column, row) for column in self.shown] for row in rows]

    def records(self) -> list[dict[str, object]]:
        """Return unrounded values, a mapping per row, with `marked` and keys."""
        return [
            {
                **{c.name: row.values.get(c.name) for c in self.columns},
                "marked": row.marked,
                "keys": list(row.keys),
            }
            for row in self.rows
        ]


def _cell(column: Column, row: Row) -> str:
    text = column.show(row.values.get(column.name))
    if column.bounds is None or row.values.get(column.name) is None:
        return text
    low, high = (row.values.get(name) for name in column.bounds)
    if low is None or high is None:
        return f"{text} (no interval)"
    return f"{text} [{column.show(low)}, {column.show(high)}]"
