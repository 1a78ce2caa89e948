"""CPC: cubes, causality, the objective against a loop, and what is refused."""

import math

import pytest
import torch

from harness.api import resolve
from harness.nn.views import random_view

from .conftest import batch_of, kind, rng, tiny


def test_codes_of_cubes_are_those_of_the_cubes_encoded_alone():
    method = tiny("cpc", encoder="resnet").eval()
    x = torch.rand(2, 1, 32, 32, 16, generator=rng())
    codes = method.codes(x)
    assert codes.shape == (2, 32, 3, 3, 1)
    for i in range(3):
        for j in range(3):
            cube = x[:, :, 8 * i : 8 * i + 16, 8 * j : 8 * j + 16, :16]
            alone = method.code(method.student(cube).pooled)
            assert torch.allclose(codes[:, :, i, j, 0], alone, atol=1e-5)


def test_no_row_of_the_context_sees_a_later_one():
    method = tiny("cpc", encoder="resnet")
    z = torch.randn(1, 32, 6, 3, 3, generator=rng())
    changed = z.clone()
    changed[:, :, 4:] += 1
    a, b = method.context(z), method.context(changed)
    assert torch.equal(a[:, :, :4], b[:, :, :4])
    assert not torch.allclose(a[:, :, 4], b[:, :, 4])


def unit(row):
    length = math.sqrt(sum(v * v for v in row))
    return [v / length for v in row]


def test_the_loss_equals_a_plain_loop():
    method = tiny("cpc", encoder="resnet").eval()
    batch = batch_of(method)
    z = method.codes(random_view(batch.volumes, method.settings.crop, rng(3)))
    c = method.context(z)
    places = [(b, i, j) for b in range(2) for i in range(3) for j in range(3)]
    codes = {at: unit(z[at[0], :, at[1], at[2], 0].tolist()) for at in places}
    total, count = 0.0, 0
    for b, i, j in places:
        if i + 2 > 2:
            continue
        guess = unit(method.predict[0](c[b, :, i, j, 0]).tolist())
        e = {
            at: math.exp(sum(p * q for p, q in zip(guess, code, strict=True)) / 0.1)
            for at, code in codes.items()
        }
        total -= math.log(e[b, i + 2, j] / sum(e.values()))
        count += 1
    found = method.loss(batch, rng(3)).total.item()
    assert found == pytest.approx(total / count, rel=1e-4)


def test_tokens_can_be_predicted_too(batch):
    method = tiny(
        "cpc", latents="tokens", crop=(32, 32, 32), region=(40, 40, 40), first=1, last=1
    )
    loss = method.loss(batch, rng())
    assert list(loss.terms) == ["row_1"]
    assert loss.total.isfinite()


def test_what_does_not_fit_is_refused():
    settings = kind("cpc").Settings
    with pytest.raises(ValueError, match="'first' may be 1 to 2"):
        resolve(settings, "tiny", {"first": 3, "last": 3})
    with pytest.raises(ValueError, match="must be even and hold"):
        resolve(settings, "tiny", {"cube": 3})
