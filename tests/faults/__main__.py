"""Bring about every fault on a real SLURM, and see what becomes of a matrix.

    python tests/faults [--times 5] [--only NAME ...] [--ci] [--jobs 2]
                        [--state .faults] [--write docs/results/faults.md]

Prints one line per trial and 'survived / tried' for each fault. A trial counts as tried
only with evidence that its fault happened. Trials that are recorded under --state are
not repeated. Exit code 1 if a trial was not survived or not tried.
"""

import argparse
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import written
from catalogue import every
from trial import Broken, NotTried, Trial, prepare, slurm


def attempt(fault, number, state):
    """Run one trial; return its record."""
    folder = state / "trials" / f"{written.slug(fault.name)}-{number}"
    if (folder / "slurm").exists():
        slurm.down(folder / "slurm")  # of a suite that was killed
    shutil.rmtree(folder, ignore_errors=True)
    start, verdict, why = time.monotonic(), "survived", ""
    trial = None
    try:
        settings = {**fault.settings}
        trial = Trial(folder, number, prepare(state / "prepared"), **settings)
        with trial:
            fault.run(trial)
        if not trial.evidence:
            verdict, why = "not tried", "no evidence was recorded"
    except NotTried as problem:
        verdict, why = "not tried", str(problem)
    except Broken as problem:
        verdict, why = "not survived", str(problem)
    except Exception as problem:
        verdict, why = "not tried", f"{type(problem).__name__}: {problem}"
        (folder / "traceback.txt").write_text(traceback.format_exc())
    if verdict == "not survived" and not trial.evidence:
        verdict = "not tried"
    if verdict == "survived":
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "fault": fault.name, "trial": number, "verdict": verdict, "why": why,
        "evidence": trial.evidence if trial else "", "step": trial.step if trial else "",
        "seconds": round(time.monotonic() - start, 1),
    }  # fmt: skip


def main(arguments=None):
    """Run the trials that are asked for and not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="trials of each fault")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="of these faults")
    parser.add_argument("--ci", action="store_true", help="the faults that CI runs")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--state", type=Path, default=Path(".faults"))
    parser.add_argument("--write", type=Path, help="write the report there")
    parser.add_argument("--list", action="store_true", help="list the faults")
    options = parser.parse_args(arguments)
    chosen = [
        fault for fault in every().values()
        if (fault.ci or not options.ci)
        and (not options.only or any(word in fault.name for word in options.only))
    ]  # fmt: skip
    if options.list:
        print("\n".join(f"{fault.name}: {fault.says}" for fault in chosen))
        return 0
    state = options.state.resolve()
    records = written.Records(state / "trials.jsonl")
    prepare(state / "prepared")
    wanted = [
        (fault, number)
        for number in range(1, options.times + 1)
        for fault in chosen
        if number == 1 or not fault.once
    ]
    left = [(f, number) for f, number in wanted if not records.has(f.name, number)]
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(attempt, fault, n, state) for fault, n in left]
        for future in as_completed(futures):
            record = future.result()
            records.add(record)
            print(written.line(record), flush=True)
    names = {(fault.name, number) for fault, number in wanted}
    kept = [one for one in records.all() if (one["fault"], one["trial"]) in names]
    print(written.summary(kept))
    if options.write:
        options.write.write_text(written.page(kept))
    return 0 if all(record["verdict"] == "survived" for record in kept) else 1


if __name__ == "__main__":
    sys.exit(main())
