"""Print how many steps each pretraining of a benchmark takes in a given time, one thread.

    OMP_NUM_THREADS=1 python scripts/equal_time.py examples/learn.yaml --seconds 240

Every method is built with its data as a run builds it. Steps are timed in rounds, one step
of each method after the other, so that whatever else the machine does falls on all of
them; processor seconds count, not the clock, and the median over the rounds. What is
printed is ready to be copied into the file: equal time, not equal steps.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from harness.api import LabelledSource, MethodSettings, build_method
from harness.matrix import load
from harness.plan import Plan, make_plan
from harness.plan.cells import Job
from harness.plan.prepare import prepare_data
from harness.registry.methods import load_method
from harness.run.collapse import Monitor
from harness.run.node import Node
from harness.run.optimise import make_optimiser
from harness.run.ranks import Bystander
from harness.run.regions import Regions, open_sources
from harness.run.streams import Streams
from harness.store import Store

UNSETTINGS = ("engine", "channels", "source")  # of an identity, not of the method


def stepper(store: Store, plan: Plan, key: str) -> Callable[[], float]:
    """Return what takes a step of a pretraining and returns its processor seconds."""
    plan.write_specs(store, [Job("", "pretrain", (key,), (), "", "pretrain")])
    node = Node(store, store.spec(key), Bystander(), torch.device("cpu"))
    asked = dict(node.identity["settings"])
    kind = load_method(node.where["content"], node.stem)
    own = kind.Settings.model_validate(
        {name: value for name, value in asked.items() if name not in UNSETTINGS}
    )
    assert isinstance(own, MethodSettings)
    labels = LabelledSource(**asked["source"]) if "source" in asked else None
    regions = Regions(open_sources(node), own, labels)
    streams = Streams.of_pretraining(key)
    method = build_method(kind, own, asked["channels"], streams.rng("init"), labels)
    method.train()
    monitor = Monitor(method)
    optimiser = make_optimiser(
        method, own.lr, weight_decay=own.weight_decay, settings=own.optimiser
    )
    rng, done = streams.rng("order"), 0

    def step() -> float:
        nonlocal done
        start = time.process_time()
        # Past the first steps, where prototypes rest and queues are not full.
        method.step = own.steps // 2 + done
        optimiser.zero_grad(set_to_none=True)
        batch = regions.sample(own.batch, slice(None), rng).batch
        method.loss(batch, rng).total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(method.parameters(), own.clip)
        optimiser.step()
        method.after_step(method.step, own.steps)
        monitor.take()
        done += 1
        return time.process_time() - start

    return step


def main() -> int:
    """Time the methods and print a line of settings for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        plan = make_plan(load(options.benchmark), store)
        prepare_data(plan, plan.jobs(), store.root)
        steppers = {}
        for each in plan.pretrainings.values():
            if each.method not in steppers:
                steppers[each.method] = stepper(store, plan, each.key)
        for step in steppers.values():  # the first ones allocate
            step()
        taken: dict[str, list[float]] = {name: [] for name in steppers}
        for _ in range(options.rounds):
            for name, step in steppers.items():
                taken[name].append(step())
    for name, seconds in taken.items():
        median, worst = statistics.median(seconds), max(seconds)
        steps = round(options.seconds / median)
        sys.stdout.write(
            f"{name}: {{steps: {steps}, warmup: {steps // 10}}}"
            f"  # {1000 * median:.0f} ms a step, {1000 * worst:.0f} at most\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
