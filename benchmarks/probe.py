"""A grid of linear probes trained together against as many separate trainings.

python benchmarks/probe.py [--heads N] [--alone N] [--json]
500 cases, 3,072 features, 10 classes, 1,000 steps of 32, float32, 104 learning rates.
Separate trainings are torch's own: nn.Linear, SGD, one after another, at the number of
threads that is best for them; --alone of them are timed, spread over the rates, and the
time of all follows. Together and alone alternate, and the smallest time of each counts.
Weights are compared with every training that was timed.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.nn.schedule import cosine_with_warmup
from harness.run.adapt.heads import INIT_STD, Descent, Heads, train_heads

CASES, FEATURES, CLASSES = 500, 3072, 10
DESCENT = Descent(steps=1000, batch=32, momentum=0.9, weight_decay=0.0)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def together(x: Tensor, y: Tensor, rates: list[float]) -> Heads:
    return train_heads(x, y, CLASSES, rates, DESCENT, init=rng(2), order=rng(3))


def alone(x: Tensor, y: Tensor, rate: float) -> nn.Linear:
    layer = nn.Linear(FEATURES, CLASSES)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(CLASSES, FEATURES, generator=rng(2)) * INIT_STD)
        layer.bias.zero_()
    optimiser = torch.optim.SGD(layer.parameters(), lr=rate, momentum=DESCENT.momentum)
    rows = torch.randint(CASES, (DESCENT.steps, DESCENT.batch), generator=rng(3))
    for step, batch in enumerate(rows):
        optimiser.param_groups[0]["lr"] = rate * cosine_with_warmup(
            step, DESCENT.steps, 0
        )
        optimiser.zero_grad()
        F.cross_entropy(layer(x[batch]), y[batch]).backward()
        optimiser.step()
    return layer


def best_threads(x: Tensor, y: Tensor, rate: float) -> int:
    """Return the number of threads with which one training is fastest."""
    times = {}
    for threads in range(1, len(os.sched_getaffinity(0)) + 1):
        torch.set_num_threads(threads)
        started = time.perf_counter()
        alone(x, y, rate)
        times[threads] = time.perf_counter() - started
    return min(times, key=times.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=104)
    parser.add_argument("--alone", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    x = torch.randn(CASES, FEATURES, generator=rng(0))
    y = torch.randint(CLASSES, (CASES,), generator=rng(1))
    rates = torch.logspace(-4, -0.301, args.heads).tolist()
    picked = torch.linspace(0, args.heads - 1, args.alone).round().int().tolist()
    threads = best_threads(x, y, rates[args.heads // 2])
    ours, theirs, apart = [], [], []
    for number in picked:
        torch.set_num_threads(1)
        started = time.perf_counter()
        heads = together(x, y, rates)
        ours.append(time.perf_counter() - started)
        torch.set_num_threads(threads)
        started = time.perf_counter()
        layer = alone(x, y, rates[number])
        theirs.append(time.perf_counter() - started)
        own = layer.weight.detach()
        difference = (heads.weight[number] - own).norm()
        apart.append(float(difference / own.norm()))
    found = {
        "together_s": min(ours),
        "alone_s": min(theirs) * args.heads,
        "alone_threads": threads,
        "ratio": min(theirs) * args.heads / min(ours),
        "largest_relative_difference_of_weights": max(apart),
    }
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(f"{name:40} {value:.3g}" for name, value in found.items()))


if __name__ == "__main__":
    main()
