"""CKA of 40 x 40 layers of two networks against pytorch-cka, in time, error and memory.

python benchmarks/alignment.py [--samples 512]. Both sides get the same 40 activations per
network and batch, so forward passes are left out of both; the error is against a direct
computation in double precision. pytorch-cka multiplies in the precision of what it gets:
it is timed with single precision, as networks give it, and with double, in which alone it
comes as near. Memory is the largest resident size of a process that makes its batches one
by one.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from harness.run.represent.cka import CKA, gram

LAYERS, BATCH = 40, 32
WIDTHS = (2048, 4096, 8192, 16384)  # features of a sample, as of a Swin on 64^3 crops


class Given(nn.Module):
    """A network whose layers put out what they are given: no time of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(LAYERS))
        self.seed = seed

    def activations(self, batch: int) -> list[Tensor]:
        """Return what each layer puts out for a batch, (BATCH, width)."""
        rng = torch.Generator().manual_seed(1000 * self.seed + batch)
        shared = torch.randn(BATCH, 64, generator=rng)
        made = []
        for layer in range(LAYERS):
            width = WIDTHS[layer % len(WIDTHS)]
            mix = torch.randn(64, width, generator=rng) / 8
            made.append(shared @ mix + torch.randn(BATCH, width, generator=rng))
        return made

    def forward(self, batch: Tensor) -> Tensor:
        """Pass the activations that are ready through the layers, for hooks to see."""
        for layer, value in zip(self.layers, self.ready, strict=True):
            layer(value)
        return batch


def ours(left: list[list[Tensor]], right: list[list[Tensor]]) -> tuple[float, Tensor]:
    began = time.perf_counter()
    found = CKA(LAYERS, LAYERS, draws=0, rng=torch.Generator())
    for a, b in zip(left, right, strict=True):
        found.update(
            torch.stack([gram(each) for each in a]),
            torch.stack([gram(each) for each in b]),
        )
    value = found.value()
    return time.perf_counter() - began, value


def theirs(left: list[list[Tensor]], right: list[list[Tensor]]) -> tuple[float, Tensor]:
    from cka import CKA as Peer

    one, two = Given(0), Given(1)
    names = [f"layers.{index}" for index in range(LAYERS)]
    peer = Peer(one, two, layers=names, model2_layers=names, device="cpu")
    batches = list(range(len(left)))

    class Feed:
        """Batches by number; each sets what the layers will put out."""

        def __iter__(self) -> Iterator[Tensor]:
            for index in batches:
                one.ready, two.ready = left[index], right[index]
                yield torch.zeros(BATCH, 1)

        def __len__(self) -> int:
            return len(batches)

    began = time.perf_counter()
    with peer:
        value = peer._compare(Feed(), progress=False)
    return time.perf_counter() - began, value


def direct(left: list[list[Tensor]], right: list[list[Tensor]]) -> Tensor:
    """Compute the definition in double precision, pair by pair."""
    sums = torch.zeros(3, LAYERS, LAYERS, dtype=torch.float64)
    for a, b in zip(left, right, strict=True):
        grams = [
            [(x.double() @ x.double().T).fill_diagonal_(0) for x in side]
            for side in (a, b)
        ]
        for i, k in enumerate(grams[0]):
            for j, l in enumerate(grams[1]):  # noqa: E741
                sums[:, i, j] += torch.stack([_hsic(k, l), _hsic(k, k), _hsic(l, l)])
    return sums[0] / (sums[1] * sums[2]).sqrt()


def _hsic(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741
    n = len(k)
    trace = (k @ l).diagonal().sum()
    both = k.sum() * l.sum() / ((n - 1) * (n - 2))
    return (trace + both - 2 * (k @ l).sum() / (n - 2)) / (n * (n - 3))


def peak(samples: int) -> float:
    """Return the largest resident size, MiB, of a process that compares so many."""
    words = [sys.executable, __file__, "--samples", str(samples), "--alone"]
    return float(subprocess.run(words, check=True, capture_output=True).stdout)


def alone(count: int) -> None:
    """Compare batches that are made and let go one by one; print the peak, MiB."""
    one, two = Given(0), Given(1)
    found = CKA(LAYERS, LAYERS, draws=0, rng=torch.Generator())
    for index in range(count):
        found.update(
            torch.stack([gram(each) for each in one.activations(index)]),
            torch.stack([gram(each) for each in two.activations(index)]),
        )
    found.value()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(f"{largest / 1024}\n")


def main() -> int:
    """Print times, their ratios, errors and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    count = asked.samples // BATCH
    if asked.alone:
        alone(count)
        return 0
    say = sys.stdout.write
    say(f"{LAYERS} x {LAYERS} layers, {count * BATCH} samples in batches of {BATCH}\n")
    for samples in (4 * BATCH, count * BATCH):  # first: a child inherits what is held
        say(f"{samples} samples: {peak(samples):.0f} MiB at most\n")
    one, two = Given(0), Given(1)
    left = [one.activations(index) for index in range(count)]
    right = [two.activations(index) for index in range(count)]
    wide = [[[x.double() for x in batch] for batch in side] for side in (left, right)]
    ours(left[:1], right[:1])
    rounds = [(ours(left, right), theirs(left, right), theirs(*wide)) for _ in range(3)]
    mine, single, double = (min(each[i][0] for each in rounds) for i in range(3))
    exact = direct(left, right)
    say(f"ours {mine:.2f} s\n")
    for name, other, place in (("single", single, 1), ("double", double, 2)):
        error = (rounds[0][place][1].double() - exact).abs().max()
        say(
            f"pytorch-cka, {name} precision: {other:.2f} s, ours {mine / other:.2f} of "
        )
        say(f"its time; its largest error {error:.1e}\n")
    say(f"our largest error {(rounds[0][0][1] - exact).abs().max():.1e}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
