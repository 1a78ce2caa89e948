"""What is written down of the trials: records that survive a crash, and the report."""

import json
import platform
import re
import shutil
import subprocess
import time
from collections import defaultdict

from catalogue import FAULTS


class Records:
    """One JSON line per trial; the last one of a trial counts."""

    def __init__(self, path):
        self._path = path

    def all(self):
        """Return every record, in the order of the catalogue."""
        if not self._path.exists():
            return []
        lines = self._path.read_text().splitlines()
        last = {}
        for record in map(json.loads, lines):
            last[record["fault"], record["trial"]] = record
        order = {name: place for place, name in enumerate(FAULTS)}
        known = [record for record in last.values() if record["fault"] in order]
        return sorted(known, key=lambda one: (order[one["fault"]], one["trial"]))

    def has(self, fault, number):
        """Whether a trial was survived already: others are repeated."""
        return any(
            (one["fault"], one["trial"], one["verdict"]) == (fault, number, "survived")
            for one in self.all()
        )

    def add(self, record):
        """Append a record."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as out:
            out.write(json.dumps(record) + "\n")


def slug(name):
    """Return a fault's name as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def line(record):
    """Return a trial in one line."""
    tail = record["why"] or record["evidence"]
    return (
        f"{record['verdict']:12} {record['fault']} #{record['trial']} "
        f"({record['seconds']:.0f} s): {tail}"
    )


def counts(records):
    """Return {fault: (survived, tried, trials)}."""
    found = defaultdict(lambda: [0, 0, 0])
    for record in records:
        one = found[record["fault"]]
        one[0] += record["verdict"] == "survived"
        one[1] += record["verdict"] != "not tried"
        one[2] += 1
    return found


def summary(records):
    """Return 'survived / tried' of every fault, and of all."""
    lines = [
        f"{survived:3} / {tried:<3} {name}"
        + (f" ({n - tried} not tried)" * (n > tried))
        for name, (survived, tried, n) in counts(records).items()
    ]
    survived = sum(record["verdict"] == "survived" for record in records)
    tried = sum(record["verdict"] != "not tried" for record in records)
    return "\n".join(["survived / tried", *lines, f"{survived:3} / {tried:<3} in all"])


def page(records):
    """Return the report in Markdown."""
    version = _slurm_version()
    seconds = sum(record["seconds"] for record in records)
    survived = sum(record["verdict"] == "survived" for record in records)
    tried = sum(record["verdict"] != "not tried" for record in records)
    lines = [
        "# Faults, brought about on a real SLURM", "",
        f"Written by `make test-slurm` on {time.strftime('%Y-%m-%d', time.gmtime())} "
        f"({version}, Python {platform.python_version()}, one machine, two slurmd, no "
        "accounting unless said; "
        f"{seconds / 60:.0f} minutes of trials).", "",
        "Each trial has a private SLURM, a results folder and a matrix of its own: one "
        "pretraining and four cells. It brings about one fault and then demands: what "
        "was published before is still published by the same attempt; `verify` finds "
        "nothing; every row of every cell is there once; `status` names the state of "
        "the cell that was hit; `resume` finishes the matrix (after `retry` where the "
        "fault was a job's own). A trial without evidence of its fault counts as not "
        "tried. Commands, store, submission and jobs are the real ones; the training "
        "in a job is replaced by one that publishes known rows (tests/faults/payload.py), "
        "except where the fault concerns checkpoints: there the pretraining is real, and "
        "all trials must end with the same bits.", "",
        f"**Survived {survived} of {tried} tried.**", "",
        "| fault | survived / tried | what is done | evidence of one trial | at which "
        "step |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, (good, some, _) in counts(records).items():
        shown = next(
            (one for one in records if one["fault"] == name and one["evidence"]), {}
        )
        evidence = _cell(shown.get("evidence", "none"))
        step = _cell(shown.get("step", ""))
        says = _cell(FAULTS[name].says)
        lines.append(f"| {name} | {good} / {some} | {says} | {evidence} | {step} |")
    bad = [record for record in records if record["verdict"] != "survived"]
    if bad:
        lines += ["", "## Not survived, or not tried", ""]
        lines += [f"- {line(record)}" for record in bad]
    return "\n".join(lines) + "\n"


def _slurm_version():
    for program in ("slurmd", "/usr/sbin/slurmd"):
        if shutil.which(program):
            words = [program, "-V"]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            return done.stdout.strip()
    return "SLURM of unknown version"


def _cell(text):
    return " ".join(str(text).split()).replace("|", "\\|")
