"""Contrastive losses against plain loops, hand-computed cases and closed forms."""

import math

import pytest
import torch

from harness.nn.contrast import info_nce, negative_cosine, nt_xent, swapped_ce

from ..ranks import in_ranks


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def codes(b=4, d=6, seed=0):
    g = rng(seed)
    return tuple(torch.randn(b, d, generator=g, dtype=torch.float64) for _ in range(2))


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def plain_nt_xent(first, second, temperature):
    every = [*first.tolist(), *second.tolist()]
    b, total = len(first), 0.0
    for i, one in enumerate(every):
        partner = (i + b) % (2 * b)
        weights = {
            j: math.exp(cosine(one, other) / temperature)
            for j, other in enumerate(every)
            if j != i
        }
        total -= math.log(weights[partner] / sum(weights.values()))
    return total / len(every)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_equals_a_plain_loop(temperature):
    first, second = codes()
    want = plain_nt_xent(first, second, temperature)
    assert nt_xent(first, second, temperature).item() == pytest.approx(want, rel=1e-12)


def test_nt_xent_by_hand():
    # Two images, views equal, images orthogonal, T = 1: every code sees its partner at
    # cosine 1 and two others at 0, so l = -log(e / (e + 2)) = 0.5514447139...
    eye = torch.eye(2, dtype=torch.float64)
    assert nt_xent(eye, eye, 1.0).item() == pytest.approx(0.5514447139320510)
    # All codes equal: l = log 3.
    same = torch.ones(2, 3, dtype=torch.float64)
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(3))


def test_nt_xent_of_random_codes_is_near_chance():
    first, second = codes(b=16, d=20_000)
    assert nt_xent(first, second, 0.5).item() == pytest.approx(math.log(31), abs=0.02)


def test_nt_xent_does_not_see_length_and_needs_two_images():
    first, second = codes()
    assert torch.allclose(nt_xent(first, second, 0.1), nt_xent(3 * first, second, 0.1))
    with pytest.raises(ValueError, match="at least two images"):
        nt_xent(first[:1], second[:1], 0.1)


def test_info_nce_equals_a_plain_loop_and_by_hand():
    query, key = codes()
    total = 0.0
    for i, q in enumerate(query.tolist()):
        weights = [math.exp(cosine(q, k) / 0.2) for k in key.tolist()]
        total -= math.log(weights[i] / sum(weights))
    assert info_nce(query, key, 0.2).item() == pytest.approx(total / 4, rel=1e-12)
    eye = torch.eye(2, dtype=torch.float64)
    # -log(e / (e + 1)) and, with keys exchanged, -log(1 / (e + 1))
    assert info_nce(eye, eye, 1.0).item() == pytest.approx(0.3132616875182228)
    assert info_nce(eye, eye.flip(0), 1.0).item() == pytest.approx(1.3132616875182228)


def test_negative_cosine_by_hand_and_without_gradient_to_the_target():
    p = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    z = torch.tensor([[1.0, 0.0], [3.0, 0.0]], requires_grad=True)
    loss = negative_cosine(p, z)
    assert loss.item() == pytest.approx(1.0)  # (0 + 2) / 2
    assert negative_cosine(p, -p).item() == pytest.approx(4.0)
    loss.backward()
    assert z.grad is None
    assert p.grad is not None


def test_swapped_ce_equals_a_plain_loop_and_the_entropy():
    g = rng(3)
    logits = torch.randn(3, 5, generator=g, dtype=torch.float64)
    q = torch.softmax(torch.randn(3, 5, generator=g, dtype=torch.float64), dim=1)
    total = 0.0
    for z, row in zip(logits.tolist(), q.tolist(), strict=True):
        norm = sum(math.exp(each / 0.1) for each in z)
        total -= sum(
            w * math.log(math.exp(e / 0.1) / norm) for w, e in zip(row, z, strict=True)
        )
    assert swapped_ce(logits, q, 0.1).item() == pytest.approx(total / 3, rel=1e-12)
    # Where the assignment is the softmax itself the loss is its entropy.
    p = torch.softmax(logits / 0.1, dim=1)
    entropy = -(p * p.log()).sum(dim=1).mean()
    assert swapped_ce(logits, p, 0.1).item() == pytest.approx(entropy.item())


@pytest.mark.parametrize("loss", [nt_xent, info_nce])
def test_two_ranks_agree_with_one_process(loss, tmp_path):
    first, second = codes()

    def slopes(rows):
        a, b = (x[rows].clone().requires_grad_() for x in (first, second))
        value = loss(a, b, 0.2)
        value.backward()
        return value.item(), a.grad, b.grad

    want, *want_slopes = slopes(slice(None))

    def work():
        from harness.nn import collective

        rank = collective.rank()
        return slopes(slice(2 * rank, 2 * rank + 2))

    found = in_ranks(2, tmp_path, work)
    assert sum(each[0] for each in found) / 2 == pytest.approx(want, rel=1e-12)
    for index, slope in enumerate(want_slopes, start=1):
        both = torch.cat([each[index] for each in found]) / 2  # mean of the ranks
        assert torch.allclose(both, slope, rtol=1e-10)
