"""Inject every bug that METHODS warns of, and see whether its tests go red.

    python tests/mutants [--only WORD ...] [--jobs 2] [--write docs/results/mutants.md]

Exit code 1 if a mutant survived, or if its tests fail without it.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import record
from catalogue_of_mutants import MUTANTS
from mutate import ALL_SECONDS, GREEN, Verdict, copy_project, run_tests, try_mutant


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="WORD", help="of these traps")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("--write", type=Path, help="write the page there")
    options = parser.parse_args(arguments)
    chosen = [
        each for each in MUTANTS
        if not options.only or any(word in each.trap for word in options.only)
    ]  # fmt: skip
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(options.jobs):
            trees.put(copy_project(Path(folder) / str(number)))
        nodes = sorted({node for each in chosen for node in each.red.split()})
        code, output = run_tests(first := trees.get(), nodes, seconds=ALL_SECONDS)
        trees.put(first)
        if code != GREEN:
            print(f"{output}\nmutants: the tests fail without any bug")
            return 1
        print(f"without a bug all tests pass ({time.monotonic() - start:.0f} s)")

        def attempt(mutant: object) -> Verdict:
            tree = trees.get()
            try:
                return try_mutant(tree, mutant)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(options.jobs) as pool:
            futures = {pool.submit(attempt, each): each for each in chosen}
            for future in as_completed(futures):
                print(record.line(future.result()), flush=True)
    verdicts = [future.result() for future in futures]  # in the catalogue's order
    if options.write:
        seconds = time.monotonic() - start
        options.write.write_text(
            record.page(verdicts, seconds=seconds, jobs=options.jobs)
        )
    killed = sum(each.state == "killed" for each in verdicts)
    print(f"{killed} of {len(verdicts)} killed")
    return 0 if killed == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
