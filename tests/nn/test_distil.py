"""Targets and losses of self-distillation against plain loops and hand-made cases."""

import math

import pytest
import torch

from harness.nn.distil import (
    PrototypeTargets,
    cross_view_ce,
    hidden_token_ce,
    koleo,
    sinkhorn_knopp,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def softmax(values):
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def entropy(p, z, t):
    q = softmax([v / t for v in z])
    return -sum(a * math.log(b) for a, b in zip(p, q, strict=True))


def test_cross_view_ce_is_the_mean_over_pairs_of_different_views():
    z, p = torch.randn(5, 3, 4, generator=rng()), torch.randn(2, 3, 4, generator=rng(1))
    p = p.softmax(dim=-1)
    pairs = []
    for t in range(2):
        for s in range(5):
            if s != t:
                each = [
                    entropy(p[t, b].tolist(), z[s, b].tolist(), 0.1) for b in range(3)
                ]
                pairs.append(sum(each) / 3)
    assert len(pairs) == 8
    found = cross_view_ce(z, p, 0.1)
    assert found.item() == pytest.approx(sum(pairs) / 8, rel=1e-5)


def test_cross_view_ce_by_hand():
    # two views, one image, two prototypes: student logits 0 give ln 2 for any target
    p = torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]])
    assert cross_view_ce(torch.zeros(2, 1, 2), p, 0.1).item() == pytest.approx(
        math.log(2)
    )
    # view 1 says (ln 3, 0) at temperature 1: -ln 3/4 for target (1, 0) of view 0;
    # view 0 says (0, 0): ln 2 for the target of view 1
    z = torch.tensor([[[0.0, 0.0]], [[math.log(3), 0.0]]])
    want = (-math.log(0.75) + math.log(2)) / 2
    assert cross_view_ce(z, p, 1.0).item() == pytest.approx(want)


def test_cross_view_ce_of_equal_logits_is_the_teachers_entropy():
    z = torch.randn(1, 6, 9, generator=rng()).expand(2, 6, 9)
    p = (z / 0.2).softmax(dim=-1)
    want = -(p * p.log()).sum(dim=-1).mean().item()
    assert cross_view_ce(z, p, 0.2).item() == pytest.approx(want, rel=1e-5)


def test_hidden_token_ce_is_a_mean_per_sample_then_over_samples():
    hidden = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]]).bool()
    z, p = (torch.randn(3, 4, 5, generator=rng(i)) for i in range(2))
    p = p.softmax(dim=-1)
    total = 0.0
    for b in range(3):
        own = [
            entropy(p[b, i].tolist(), z[b, i].tolist(), 0.1)
            for i in range(4)
            if hidden[b, i]
        ]
        total += sum(own) / max(1, len(own))
    found = hidden_token_ce(z[hidden], p[hidden], 0.1, hidden)
    assert found.item() == pytest.approx(total / 3, rel=1e-5)


def test_hidden_token_ce_by_hand_and_with_nothing_hidden():
    hidden = torch.tensor([[True, True], [True, False]])
    z = torch.zeros(3, 4, requires_grad=True)  # each token costs ln 4
    p = torch.full((3, 4), 0.25)
    assert hidden_token_ce(z, p, 0.1, hidden).item() == pytest.approx(math.log(4))
    one = torch.tensor([[False, False], [True, False]])  # half the samples add 0
    assert hidden_token_ce(z[:1], p[:1], 0.1, one).item() == pytest.approx(
        math.log(4) / 2
    )
    none = hidden_token_ce(z[:0], p[:0], 0.1, torch.zeros(2, 2).bool())
    none.backward()
    assert none.item() == 0
    assert z.grad.abs().sum() == 0


def slow_sinkhorn(z, t):
    q = [[math.exp(v / t) for v in row] for row in z]
    total = sum(map(sum, q))
    q = [[v / total for v in row] for row in q]
    b, k = len(q), len(q[0])
    for _ in range(3):
        sums = [sum(q[i][j] for i in range(b)) for j in range(k)]
        q = [[q[i][j] / sums[j] / k for j in range(k)] for i in range(b)]
        q = [[v / sum(row) / b for v in row] for row in q]
    return [[v * b for v in row] for row in q]


def test_sinkhorn_equals_a_plain_loop():
    z = torch.rand(6, 3, generator=rng(), dtype=torch.float64) * 2 - 1
    found = sinkhorn_knopp(z, 0.5)
    want = torch.tensor(slow_sinkhorn(z.tolist(), 0.5), dtype=found.dtype)
    torch.testing.assert_close(found, want, atol=1e-6, rtol=1e-5)


def test_sinkhorn_by_hand():
    # equal logits: every prototype gets its share of every sample
    assert sinkhorn_knopp(torch.ones(2, 4), 0.04).tolist() == [[0.25] * 4] * 2
    # two samples, one per prototype: the assignment is already even
    sure = sinkhorn_knopp(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), 0.04)
    assert sure.flatten().tolist() == pytest.approx([1, 0, 0, 1], abs=1e-6)


def test_sinkhorn_is_even_over_prototypes_and_samples_and_does_not_overflow():
    z = torch.randn(64, 8, generator=rng()) * 0.3
    q = sinkhorn_knopp(z, 0.07, iterations=200)
    torch.testing.assert_close(q.sum(dim=1), torch.ones(64), atol=1e-3, rtol=0)
    torch.testing.assert_close(q.sum(dim=0), torch.full((8,), 8.0), atol=8e-3, rtol=0)
    assert sinkhorn_knopp(z * 1e4, 0.04).isfinite().all()
    assert sinkhorn_knopp(z[:0], 0.04).shape == (0, 8)


def slow_koleo(x):
    x = [[v / math.sqrt(sum(u * u for u in row)) for v in row] for row in x]
    total = 0.0
    for i, own in enumerate(x):
        others = [row for j, row in enumerate(x) if j != i]
        near = max(
            others, key=lambda row: sum(a * b for a, b in zip(row, own, strict=True))
        )
        total += math.log(math.dist(own, near) + 1e-8)
    return -total / len(x)


def test_koleo_equals_a_plain_loop():
    x = torch.randn(5, 3, generator=rng(), dtype=torch.float64)
    assert koleo(x).item() == pytest.approx(slow_koleo(x.tolist()), rel=1e-5)


def test_koleo_by_hand_and_for_equal_vectors():
    # opposite directions of any length are 2 apart
    assert koleo(torch.tensor([[3.0, 0.0], [-0.5, 0.0]])).item() == pytest.approx(
        -math.log(2)
    )
    # corners of a square: neighbours are √2 apart
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert koleo(square).item() == pytest.approx(-math.log(math.sqrt(2)), rel=1e-5)
    twins = torch.ones(3, 4, requires_grad=True)
    koleo(twins).backward()
    assert twins.grad.isfinite().all()
    with pytest.raises(ValueError, match="two vectors"):
        koleo(torch.ones(1, 4))


def test_koleo_is_computed_in_single_precision():
    half = torch.randn(6, 32, generator=rng()).half()
    assert koleo(half).dtype == torch.float32
    assert torch.equal(koleo(half), koleo(half.float()))


def test_the_centre_moves_after_the_step_over_all_that_was_seen():
    targets = PrototypeTargets(2, momentum=0.9)
    first, second = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    p = targets(first, 1.0)
    assert p[0].tolist() == pytest.approx(softmax([1, 3]))
    targets(second, 1.0)
    assert targets.center.tolist() == [0, 0]
    targets.update()
    assert targets.center.tolist() == pytest.approx([0.2, 0.1])
    again = targets(first, 0.5)
    assert again[0].tolist() == pytest.approx(softmax([1.6, 5.8]))
    targets.update()
    assert targets.center.tolist() == pytest.approx([0.28, 0.39])
    targets.update()  # nothing was seen since
    assert targets.center.tolist() == pytest.approx([0.28, 0.39])
    assert list(targets.state_dict()) == ["center"]


def test_balance_can_be_left_out_and_targets_carry_no_gradient():
    logits = torch.randn(4, 3, generator=rng(), requires_grad=True)
    plain = PrototypeTargets(3, balance="none")
    plain(logits, 0.1)
    plain.update()
    assert not plain(logits, 0.1).requires_grad
    torch.testing.assert_close(plain(logits, 0.1), (logits / 0.1).softmax(dim=-1))
    even = PrototypeTargets(3, balance="sinkhorn")(logits, 0.1)
    torch.testing.assert_close(even, sinkhorn_knopp(logits, 0.1))
