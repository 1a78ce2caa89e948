"""CKA against direct sums, closed forms and what it must not change under."""

import math
from fractions import Fraction
from operator import mul

import pytest
import torch

from harness.run.represent.cka import CKA, centred, gram, hsic, own_hsic


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _features(n=12, p=7, seed=0):
    return torch.randn(n, p, generator=_rng(seed), dtype=torch.float64)


def _cka(x, y, batch=None, draws=0):
    batch = batch or len(x)
    found = CKA(1, 1, draws=draws, rng=_rng())
    for a, b in zip(x.split(batch), y.split(batch), strict=True):
        found.update(gram(a)[None], gram(b)[None])
    return found


def _slow_hsic(k, l):  # noqa: E741
    """The definition, term by term, from lists of lists with zero diagonals."""
    n = len(k)
    trace = sum(k[i][j] * l[j][i] for i in range(n) for j in range(n))
    all_k = sum(k[i][j] for i in range(n) for j in range(n))
    all_l = sum(l[i][j] for i in range(n) for j in range(n))
    both = sum(k[i][j] * l[j][m] for i in range(n) for j in range(n) for m in range(n))
    total = trace + all_k * all_l / ((n - 1) * (n - 2)) - 2 * both / (n - 2)
    return total / (n * (n - 3))


def test_hsic_is_its_definition():
    k = [gram(_features(7, 3, seed)) for seed in (0, 1)]
    l = [gram(_features(7, 5, seed)) for seed in (2, 3, 4)]  # noqa: E741
    found = hsic(centred(torch.stack(k)), centred(torch.stack(l)))
    for i, left in enumerate(k):
        for j, right in enumerate(l):
            slow = _slow_hsic(left.tolist(), right.tolist())
            assert found[i, j].item() == pytest.approx(slow, rel=1e-10)
        own = own_hsic(centred(left[None])).item()
        assert own == pytest.approx(_slow_hsic(left.tolist(), left.tolist()), rel=1e-10)


def test_four_samples_by_hand():
    """Features 1, 2, 3, 4 in one column: K_ij = ij.

    tr(K²) = Σ_{i≠j} (ij)² = 30² - (1 + 16 + 81 + 256) = 546; row sums i(10 - i) = 9, 16,
    21, 24, in all 70, squares 1354. HSIC = (546 + 4900/6 - 1354) / 4 = 26/12.
    """
    k = gram(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))[None]
    assert own_hsic(centred(k)).item() == pytest.approx(26 / 12)


def test_the_same_features_align_wholly():
    x = _features()
    assert _cka(x, x).value().item() == pytest.approx(1.0, abs=1e-12)


def test_rotation_scale_and_shift_change_nothing():
    x, y = _features(seed=1), _features(p=9, seed=2)
    rotation = torch.linalg.qr(_features(7, 7, seed=3)).Q
    plain = _cka(x, y).value().item()
    assert _cka(x @ rotation, y).value().item() == pytest.approx(plain, abs=1e-10)
    assert _cka(5.0 * x, y).value().item() == pytest.approx(plain, abs=1e-10)
    assert _cka(x + 3.0, y).value().item() == pytest.approx(plain, abs=1e-8)
    assert _cka(x @ rotation, x).value().item() == pytest.approx(1.0, abs=1e-10)


def test_independent_features_average_to_nothing():
    """Unbiased: the mean over many draws lies within 4 standard errors of 0."""
    found = torch.tensor(
        [
            _cka(_features(16, 4, seed), _features(16, 4, 10_000 + seed)).value().item()
            for seed in range(400)
        ]
    )
    assert abs(found.mean()) < 4 * found.std() / 20
    assert (found < 0).any()  # which a biased estimate never is


def test_minibatches_average_before_dividing():
    x, y = _features(24, 6, 1), _features(24, 6, 2) + _features(24, 6, 1)
    tops, lefts, rights = [], [], []
    for a, b in zip(x.split(8), y.split(8), strict=True):
        k, l = gram(a).tolist(), gram(b).tolist()  # noqa: E741
        tops.append(_slow_hsic(k, l))
        lefts.append(_slow_hsic(k, k))
        rights.append(_slow_hsic(l, l))
    direct = sum(tops) / math.sqrt(sum(lefts) * sum(rights))
    found = _cka(x, y, batch=8)
    assert found.value().item() == pytest.approx(direct, abs=1e-10)
    assert (found.samples, found.batches) == (24, 3)


def test_all_pairs_are_those_of_one_at_a_time():
    layers = [_features(8, p, seed) for p, seed in ((3, 0), (5, 1), (4, 2))]
    grams = torch.stack([gram(each) for each in layers])
    found = CKA(3, 3, draws=0, rng=_rng())
    found.update(grams, grams)
    for i, a in enumerate(layers):
        for j, b in enumerate(layers):
            alone = _cka(a, b).value().item()
            assert found.value()[i, j].item() == pytest.approx(alone, abs=1e-12)


def test_wide_features_are_summed_in_double_precision_part_by_part(monkeypatch):
    x = _features(6, 1000).float()
    whole = gram(x)
    monkeypatch.setattr("harness.run.represent.cka._CHUNK", 64)
    assert torch.allclose(gram(x), whole, rtol=1e-13)
    assert whole.dtype == torch.float64


def test_the_interval_covers_the_value_and_repeats():
    x = _features(96, 6, 1)
    y = x + _features(96, 6, 2)
    one, two = (_cka(x, y, batch=8, draws=400) for _ in range(2))
    low, high = one.interval()
    assert low < one.value() < high
    assert torch.equal(low, two.interval()[0])
    assert (high - low).item() < 0.5
    assert _cka(x[:8], y[:8], draws=400).interval() is None  # one batch


def test_a_constant_layer_has_no_alignment():
    x = _features(8, 3)
    found = _cka(x, torch.full((8, 4), 2.5)).value()
    assert found.isnan().all()


def test_too_few_samples_and_unequal_ones_are_refused():
    with pytest.raises(ValueError, match="3 samples are too few for CKA: it takes 4"):
        gram(_features(3))
    found = CKA(1, 1, draws=0, rng=_rng())
    with pytest.raises(ValueError, match="one network saw 5, the other 6"):
        found.update(gram(_features(5))[None], gram(_features(6))[None])


def _exact_cka(x, y):
    """The definition in whole fractions: no rounding but for that of the features."""
    sides = []
    for features in (x, y):
        rows = [[Fraction(value) for value in row] for row in features.tolist()]
        sides.append(
            [
                [sum(map(mul, a, b)) * (i != j) for j, b in enumerate(rows)]
                for i, a in enumerate(rows)
            ]
        )
    k, l = sides  # noqa: E741
    both, own, other = (float(_slow_hsic(*pair)) for pair in ((k, l), (k, k), (l, l)))
    return both / math.sqrt(own * other)


@pytest.mark.parametrize("mean", [0.0, 100.0, 3e4])
def test_features_far_from_zero_keep_their_digits(mean):
    """In single precision: of 3e4 with a spread of 1, three digits are left to align."""
    x = (mean + _features(6, 50, 1)).float()
    y = (mean + _features(6, 50, 2) + _features(6, 50, 1)).float()
    exact = _exact_cka(x, y)
    assert _cka(x, y).value().item() == pytest.approx(
        exact, abs=1e-10 if mean < 1e4 else 1e-6
    )
    assert abs(exact) > 0.05


def test_samples_that_differ_by_rounding_are_constant():
    once = 1e3 + _features(1, 4000, 3)
    rounding = 1 + 6e-8 * torch.randint(-1, 2, (8, 4000), generator=_rng(4))
    found = _cka((once * rounding).float(), _features(8, 3)).value()
    assert found.isnan().all()


def test_agrees_with_pytorch_cka():
    """As an independent reading of the same estimator, where it is installed."""
    cka = pytest.importorskip("cka.hsic")
    k, l = gram(_features(9, 4, 1)), gram(_features(9, 6, 2))  # noqa: E741
    theirs = cka.hsic(k[None], l[None])
    mine, other = centred(k[None]), centred(l[None])
    assert hsic(mine, other).item() == pytest.approx(theirs[0].item(), rel=1e-10)
    assert own_hsic(mine).item() == pytest.approx(theirs[1].item(), rel=1e-10)
