"""What stands in the cells of a rendered table."""

from __future__ import annotations

from .table import Entry, Table, show

_NOTHING = "missing"
_UNDEFINED = "undefined"
CLOSE, POOR = "~", "!"  # not separable from the best; the interval covers too rarely


def headers(table: Table) -> list[str]:
    """Return the names of the columns below each label budget."""
    names = [f"mean [{table.level:.0%} interval]", "cases x seeds"]
    if counts_errors(table):
        names.append("missed / false")
    return names


def counts_errors(table: Table) -> bool:
    """Tell whether misses and false alarms are counted beside each mean."""
    return table.kind == "scores" and table.metric in ("dice", "hd95")


def cells_of(table: Table, entry: Entry | None, *, star: str = "*") -> list[str]:
    """Return the texts of one entry, as many as there are headers.

    star: marks the best, where nothing else does.
    """
    blank = [""] * (len(headers(table)) - 1)
    if entry is None:
        return ["", *blank]
    if entry.mean is None:
        text = _NOTHING if entry.done < entry.planned else _UNDEFINED
        return [text + _missing(entry), *blank]
    marks = (POOR if entry.poor else "") + (star if entry.best else "")
    marks += CLOSE if entry.close else ""
    seen = f" ({entry.overlap})" if entry.overlap else ""
    texts = [value(table, entry) + marks + seen + _missing(entry)]
    texts.append(f"{entry.cases} x {entry.seeds}")
    if counts_errors(table):
        texts.append(f"{entry.misses} / {entry.false_alarms}")
    return texts


def value(table: Table, entry: Entry) -> str:
    """Return mean and interval; 'no interval' where there is none."""
    if entry.mean is None:
        return _NOTHING
    signed = table.kind == "gap"
    mean = show(entry.mean, table.metric, signed=signed)
    if entry.low is None or entry.high is None:
        return f"{mean} (no interval)"
    low = show(entry.low, table.metric, signed=signed)
    return f"{mean} [{low}, {show(entry.high, table.metric, signed=signed)}]"


def _missing(entry: Entry) -> str:
    if not entry.missing:
        return ""
    return f" ({entry.missing} of {entry.planned} cells missing)"
