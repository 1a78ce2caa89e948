"""What a figure is: a picture, the data behind it, and what is said about it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pandas as pd

from ...schema.errors import UserError
from .style import GRID, INK, MUTED, PAPER, RC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
RASTER_ABOVE = 2000  # points of a figure that are drawn as an image in svg and pdf


class NothingToDraw(UserError):
    """A figure that would be empty: the message says why."""


@dataclass(frozen=True)
class Drawing:
    """A finished figure. data: the numbers drawn, one row per mark.

    caption: sentences that stand below it; alt: what it shows, for those who cannot
    see it; family: where a page shows it, such as the name of a view; task: of a figure
    of one task, else empty; private: it shows images of patients.
    """

    family: str
    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
    data: pd.DataFrame
    task: str = ""
    private: bool = False


@dataclass(frozen=True)
class Sketch:
    """A figure that can be drawn: `draw` may raise NothingToDraw."""

    name: str
    draw: Callable[[], Drawing]


def take_turns(families: Sequence[Sequence[Sketch]], limit: int) -> list[Sketch]:
    """Return at most `limit` sketches: the first of each family, then the second...

    They stay in the order of their families.
    """
    ranked = [
        (turn, family, sketch)
        for family, sketches in enumerate(families)
        for turn, sketch in enumerate(sketches)
    ]
    kept = sorted(ranked, key=lambda item: item[:2])[:limit]
    return [
        sketch for _, _, sketch in sorted(kept, key=lambda item: (item[1], item[0]))
    ]


def save(
    drawing: Drawing, folder: Path, formats: Iterable[str] = ("png",)
) -> list[Path]:
    """Write the picture in each format and its data as CSV; return the paths.

    Raises UserError where the folder cannot be written, or for an unknown format.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / f"{drawing.name}.csv"
        drawing.data.to_csv(data, index=False, lineterminator="\n")
        for fmt in formats:
            if fmt not in FORMATS:
                msg = f"no figure format {fmt!r}: expected some of {', '.join(FORMATS)}"
                raise UserError(msg)
            path = folder / f"{drawing.name}.{fmt}"
            path.write_bytes(_bytes(drawing, fmt))
            written.append(path)
    except OSError as error:
        msg = (
            f"{folder} cannot be written ({error.strerror}): choose a folder with --out"
        )
        raise UserError(msg) from error
    return [*written, data]


def _bytes(drawing: Drawing, fmt: str) -> bytes:
    from matplotlib import rc_context

    # The file says neither when nor by which version it was made: equal data, equal file.
    nameless = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": None}
    metadata = {"Date": None} if fmt == "svg" else nameless[fmt]
    stream = io.BytesIO()
    with rc_context({**RC, "svg.hashsalt": drawing.name}):
        drawing.figure.savefig(stream, format=fmt, metadata=metadata)
    # Laid out once: it is most of the time, and every format should look the same.
    drawing.figure.set_layout_engine("none")
    return stream.getvalue()


_COLOURS = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"}


def inline_svg(drawing: Drawing) -> str:
    """Return an <svg> element for a page: its ink, grid and paper are the page's.

    It names itself by the drawing's title and alternative text. Ids are unique to the
    drawing, since those of all figures of a page share one name space.
    """
    text = _bytes(drawing, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # It would style the whole page.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    mine = f"f{crc32(drawing.name.encode()):x}"  # short: it stands before every id
    ids = dict.fromkeys(re.findall(r'\bid="([^"]+)"', text))
    used = {name for name in ids if f"#{name}" in text}
    text = re.sub(
        r'\s*\bid="([^"]+)"',
        lambda found: f' id="{mine}-{found[1]}"' if found[1] in used else "",
        text,
    )
    text = re.sub(
        r'(url\(#|href="#)([^)"]+)',
        lambda found: f"{found[1]}{mine}-{found[2]}",
        text,
    )
    # A hundredth of a point is finer than any screen; the rest is half of the page.
    text = re.sub(
        r' (d|x|y|transform)="[^"]*"',
        lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]),
        text,
    )
    text = re.sub(r">\s+<", "><", text).replace("xlink:href", "href")
    for colour, name in _COLOURS.items():
        text = text.replace(colour, f"var(--fig-{name})")
    text = text.replace("'DejaVu Sans'", "var(--fig-font)")
    head, _, body = text.partition(">")
    size = re.search(r'viewBox="([^"]+)"', head)
    width = float(size[1].split()[2]) if size else 0.0
    view = size[1] if size else "0 0 1 1"
    named = f"{mine}-t {mine}-d"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="{view}" '
        f'style="max-width:{width * 1.25:.0f}px" role="img" aria-labelledby="{named}">'
        f'<title id="{mine}-t">{escape(drawing.title)}</title>'
        f'<desc id="{mine}-d">{escape(drawing.alt)}</desc>{body}'
    )
