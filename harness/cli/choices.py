"""Options of `harness report` about its statistics."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..schema.errors import UserError

if TYPE_CHECKING:
    from ..report.options import Options


def add_choices(command: argparse.ArgumentParser) -> None:
    """Add the options that `chosen` reads."""
    group = command.add_argument_group("statistics")
    group.add_argument(
        "--baseline",
        metavar="METHOD",
        help="compare the others with this method (default: what has no pretraining, of "
        "the same encoder)",
    )
    group.add_argument(
        "--alpha",
        type=float,
        default=0.05,
        metavar="P",
        help="of tests (default: 0.05)",
    )
    group.add_argument(
        "--level",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="of intervals (default: 0.95)",
    )
    group.add_argument(
        "--style",
        metavar="NAME",
        help="tests, corrections and intervals: default, or dino3d as in that paper "
        "(default: the benchmark file's)",
    )
    group.add_argument(
        "--draws",
        type=int,
        default=None,
        metavar="N",
        help="of every bootstrap (default: the style's; 10,000 for print)",
    )
    group.add_argument(
        "--draw-seed",
        type=int,
        default=0,
        metavar="SEED",
        help="of every bootstrap (default: 0)",
    )
    group.add_argument(
        "--allow-incomplete",
        action="store_true",
        help="rank although cells are missing: what lacks a method is left out and named",
    )
    group.add_argument(
        "--undefined",
        action="append",
        default=[],
        metavar="METRIC=POLICY",
        help="what a missed structure or a false alarm counts as: hd95=diagonal or "
        "hd95=exclude, dice=exclude or dice=one",
    )


def chosen(args: argparse.Namespace, benchmark_style: str | None = None) -> Options:
    """Return the options. Raises UserError for one that is out of range or unknown."""
    from ..analyse.scores import policy
    from ..report.options import Options
    from ..schema.style import style

    for name in ("alpha", "level"):
        value = getattr(args, name)
        if not 0 < value < 1:
            msg = f"--{name} {value:g}: expected a number between 0 and 1"
            raise UserError(msg)
    if args.draws is not None and not 100 <= args.draws <= 100_000:
        msg = f"--draws {args.draws}: expected 100 to 100000"
        raise UserError(msg)
    if args.draw_seed < 0:
        msg = f"--draw-seed {args.draw_seed}: expected 0 or more"
        raise UserError(msg)
    undefined = {}
    for pair in args.undefined:
        metric, equals, name = pair.partition("=")
        if not equals or metric not in {"dice", "hd95"}:
            msg = f"--undefined {pair}: expected dice=POLICY or hd95=POLICY"
            raise UserError(msg)
        undefined[metric] = policy("dice" if metric == "dice" else "hd95", name).name
    named = style(args.style or benchmark_style)
    return Options(
        level=args.level,
        alpha=args.alpha,
        seed=args.draw_seed,
        draws=args.draws or named.draws,
        undefined=undefined,
        baseline=args.baseline,
        allow_incomplete=args.allow_incomplete,
        style=named.name,
    )
