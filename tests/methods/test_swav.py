"""SwAV: the objective against a plain loop, prototypes at rest, and the queue."""

import math

import pytest
import torch

from .conftest import batch_of, rng, tiny


@pytest.fixture
def method():
    made = tiny("swav").eval()
    made.step = 1  # (prototypes rest at step 0)
    return made


def plain_sinkhorn(scores, epsilon, iterations=3):
    """Rows: samples. Returns assignments whose rows sum to 1."""
    b, k = len(scores), len(scores[0])
    q = [[math.exp(s / epsilon) for s in row] for row in scores]
    total = sum(map(sum, q))
    q = [[v / total for v in row] for row in q]
    for _ in range(iterations):
        sums = [sum(row[j] for row in q) for j in range(k)]
        q = [[v / sums[j] / k for j, v in enumerate(row)] for row in q]
        q = [[v / sum(row) / b for v in row] for row in q]
    return [[v * b for v in row] for row in q]


def test_the_loss_equals_a_plain_loop(method):
    batch = batch_of(method)
    large, small = method.settings.cut_views(batch.volumes, rng(3))
    z = torch.cat([method.codes(large), method.codes(small)])
    scores = method.cosines(z).view(-1, 2, 8).tolist()  # views, batch, prototypes
    total, pairs = 0.0, 0
    for i in range(2):
        q = plain_sinkhorn(scores[i], 0.05)
        for v, of_view in enumerate(scores):
            if v == i:
                continue
            pairs += 1
            for target, row in zip(q, of_view, strict=True):
                norm = sum(math.exp(s / 0.1) for s in row)
                total -= (
                    sum(
                        t * math.log(math.exp(s / 0.1) / norm)
                        for t, s in zip(target, row, strict=True)
                    )
                    / 2
                )
    found = method.loss(batch, rng(3)).total.item()
    assert found == pytest.approx(total / pairs, rel=1e-3)


def test_codes_and_prototypes_have_length_one(method):
    batch = batch_of(method)
    codes = method.codes(batch.volumes)
    assert torch.allclose(codes.norm(dim=1), torch.ones(2), atol=1e-5)
    cosines = method.cosines(codes).detach()
    with torch.no_grad():
        method.prototypes.weight *= torch.linspace(0.1, 90, 8)[:, None]
    torch.testing.assert_close(method.cosines(codes).detach(), cosines)


def test_prototypes_rest_at_first():
    method = tiny("swav", freeze_prototypes=0.5)
    batch = batch_of(method)
    for step, rests in ((1, True), (2, False)):
        method.step = step
        method.zero_grad()
        method.loss(batch, rng()).total.backward()
        assert (method.prototypes.weight.grad is None) == rests


def test_the_queue_fills_newest_first_and_then_counts(method):
    batch = batch_of(method)
    method.loss(batch, rng(0))
    first = method._codes[0]
    method.after_step(0, 4)
    assert torch.equal(method.queue[:, :2], first)
    assert int(method.filled) == 2
    logits = method.cosines(method.codes(batch.volumes)).detach()
    method.step = 2  # from `queue_start` on, but half of it is empty
    half, alone = method.assignment(0, logits), plain_sinkhorn(logits.tolist(), 0.05)
    assert torch.allclose(half, torch.tensor(alone), atol=1e-4)
    method.step = 1
    method.loss(batch, rng(1))
    second = method._codes[0]
    method.after_step(1, 4)
    assert torch.equal(method.queue, torch.cat([second, first], dim=1))
    method.step = 1  # before `queue_start`
    alone = method.assignment(0, logits)
    method.step = 2
    helped = method.assignment(0, logits)
    every = torch.cat([logits, method.cosines(method.queue[0]).detach()]).tolist()
    want = torch.tensor(plain_sinkhorn(every, 0.05)[:2])
    assert torch.allclose(helped, want, atol=1e-4)
    assert not torch.allclose(helped, alone, atol=1e-3)
