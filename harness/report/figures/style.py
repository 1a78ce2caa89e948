"""One look for every figure: the same colour, marker and dashes for a method everywhere.

Colours are seaborn's colour-blind palette without its two palest, in an order in which
neighbours differ most; a method keeps its marker and dashes too, so that a figure can be
read without colour. Ink, grid and paper have colours that nothing else uses: the page
replaces them by its own, which change with light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLANES = ("sagittal", "coronal", "axial")  # across the first, second and third axis
INK, MUTED, GRID, PAPER = "#1d2126", "#62676e", "#dcdcd6", "#fefefd"

# Places in seaborn's "colorblind" palette: blue, vermilion, green, pink, sky, orange,
# brown, yellow. Its rose and grey are left to nobody and to methods without pretraining.
_ORDER = (0, 3, 2, 4, 9, 1, 5, 8)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)))
_BASELINES = ("#767b82", "#9a9fa6", "#5a5f66", "#b4b8be")
_BASELINE_MARKERS = ("h", "p", "<", ">")

_GLYPHS = dict(zip((*_MARKERS, *_BASELINE_MARKERS), "●■▲◆▼✚✖★⬢⬟◀▶", strict=True))

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9.5,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.labelsize": 9,
    "axes.labelcolor": INK, "axes.edgecolor": MUTED, "axes.linewidth": 0.7,
    "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none",
    "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True,
    "grid.color": GRID, "grid.linewidth": 0.7, "text.color": INK, "axes.titlecolor": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 3,
    "ytick.major.size": 0, "lines.linewidth": 1.6, "lines.markersize": 5.5,
    "legend.frameon": False, "legend.fontsize": 8.5, "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER, "svg.fonttype": "none", "pdf.fonttype": 42,
    "figure.dpi": 100, "savefig.dpi": 150,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How a method is drawn in every figure and named in the page."""

    label: str
    colour: str
    marker: str
    dashes: Any

    @property
    def glyph(self) -> str:
        """The marker as a character of text."""
        return _GLYPHS[self.marker]


@dataclass(frozen=True)
class Looks:
    """Looks of (method, encoder) pairs, in the order of the benchmark file."""

    of: Mapping[tuple[str, str], Look]

    @classmethod
    def assign(
        cls, pairs: Iterable[tuple[str, str]], pretrained: Iterable[tuple[str, str]]
    ) -> Looks:
        """Give every pair a look. Pairs without pretraining get greys: baselines.

        The assignment depends on the order of `pairs` alone, never on what has finished.
        Beyond eight, colours repeat with other markers and dashes.
        """
        import seaborn

        named = list(dict.fromkeys(pairs))
        own = set(pretrained)
        palette = seaborn.color_palette("colorblind").as_hex()
        encoders = {encoder for _, encoder in named}
        counts = {True: 0, False: 0}
        looks: dict[tuple[str, str], Look] = {}
        for pair in named:
            method, encoder = pair
            label = f"{method} ({encoder})" if len(encoders) > 1 else method
            place = counts[pair in own]
            counts[pair in own] += 1
            if pair in own:
                lap, at = divmod(place, len(_ORDER))
                looks[pair] = Look(
                    label,
                    palette[_ORDER[at]],
                    _MARKERS[(at + 3 * lap) % len(_MARKERS)],
                    _DASHES[(at + lap) % len(_DASHES)],
                )
            else:
                looks[pair] = Look(
                    label,
                    _BASELINES[place % len(_BASELINES)],
                    _BASELINE_MARKERS[place % len(_BASELINE_MARKERS)],
                    _DASHES[2 if place % 2 else 0],
                )
        return cls(looks)

    def __getitem__(self, pair: tuple[str, str]) -> Look:
        return self.of[pair]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every pair, in order."""
        return list(self.of)

    def present(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those of `pairs` that have a look, in the order of the looks."""
        wanted = set(pairs)
        return [pair for pair in self.of if pair in wanted]


def panels(
    count: int, *, width: float = 3.0, height: float = 2.7, across: int = 4
) -> tuple[Figure, list[Any]]:
    """Return a figure with a grid of `count` axes, at most `across` in a row.

    width, height: of one panel, in inches. Axes that are not needed are not there.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(count, across)
    rows = -(-count // columns)
    size = (max(width * columns + 0.4, 4.2), height * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def fit_rows(
    figure: Figure, first: Sequence[Any], *, width: float, above: float
) -> None:
    """Give each row of pictures the height of its first one, so that there are no gaps.

    first: the first axes of each row, with its picture; width: of a picture; above: room
    for a title, both in inches.
    """
    shapes = [axes.get_images()[0].get_array().shape for axes in first]
    heights = [width * shape[0] / shape[1] + above for shape in shapes]
    first[0].get_gridspec().set_height_ratios(heights)
    figure.set_size_inches(figure.get_size_inches()[0], sum(heights) + 0.3)


def bare(axes: Any, title: str) -> None:
    """Leave nothing round a picture but its title."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_title(title, fontsize=8, loc="center", fontweight="normal")


def share_y(axes: Sequence[Any]) -> None:
    """Give all panels the range of values that holds what each of them shows."""
    limits = [panel.get_ylim() for panel in axes]
    for panel in axes:
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def legend(figure: Figure, looks: Sequence[Look], *, lines: bool = True) -> None:
    """Put a row of method names above the panels."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=look.colour, marker=look.marker,
               linestyle=look.dashes if lines else "none", label=look.label)
        for look in looks
    ]  # fmt: skip
    longest = max((len(look.label) for look in looks), default=0)
    width = max(1.25, 0.6 + 0.07 * longest)  # inches of an entry, a little too many
    per_row = max(1, int(figure.get_size_inches()[0] / width))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(per_row, len(handles)),
        handlelength=2.4,
        columnspacing=1.4,
    )
