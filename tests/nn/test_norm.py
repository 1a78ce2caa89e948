"""Instance norm: values and gradients equal torch's, layout kept, 1x1x1 survives."""

import pytest
import torch
from torch.nn import functional

from harness.nn.norm import InstanceNorm


@pytest.mark.parametrize("size", [(4, 4, 4), (3, 5, 7), (1, 1, 2)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_equals_torch_in_values_and_gradients(size, channels_last):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, generator=rng) * 3 + 20
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    norm = InstanceNorm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, -0.5]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, 3.0]))
    weight = torch.randn(x.shape, generator=rng)
    inputs = (x.requires_grad_(), norm.weight, norm.bias)
    ours = norm(x)
    got = torch.autograd.grad((ours * weight).sum(), inputs)
    want = functional.instance_norm(x, weight=norm.weight, bias=norm.bias)
    torch.testing.assert_close(ours, want, atol=1e-4, rtol=1e-4)
    expected = torch.autograd.grad((want * weight).sum(), inputs)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)
    assert ours.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_single_voxel_keeps_its_value_in_training():
    x = torch.rand(2, 3, 1, 1, 1)
    norm = InstanceNorm(3).train()
    assert torch.equal(norm(x), x)
    norm(x).sum().backward()
    assert norm.weight.grad is not None
