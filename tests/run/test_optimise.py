import json

import pytest
import torch
from torch import nn

from harness.nn.swin import Swin, SwinSettings
from harness.run.optimise import BestState, Descent, Diverged, adamw, trainable

OFF = torch.amp.GradScaler("cpu", enabled=False)


def swin() -> Swin:
    tiny = SwinSettings(**SwinSettings.tiers["tiny"])
    return Swin(tiny, 1, torch.Generator().manual_seed(0))


def test_biases_norms_tokens_and_bias_tables_do_not_decay():
    encoder = swin()
    encoder.stem.bias.requires_grad = False
    decayed, plain = adamw(encoder, 1e-3, weight_decay=0.05).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    names = {id(p): name for name, p in encoder.named_parameters()}
    ours = {names[id(p)] for p in decayed["params"]}
    others = {names[id(p)] for p in plain["params"]}
    assert all(name.endswith("weight") and "norm" not in name for name in ours)
    assert {"mask_token", "stages.0.blocks.0.attention.offset_bias"} <= others
    assert "stages.0.blocks.0.norm1.weight" in others
    assert "stem.bias" not in ours | others
    assert len(ours) + len(others) == len(names) - 1


def test_a_step_follows_the_schedule_and_clips():
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    descent = Descent(optimiser, lr=0.5, steps=10, warmup=1, clip=1.0, scaler=OFF)
    weight.grad = 100 * weight.detach()
    descent.step(1250.0, 0, ["a"])
    # Rate: half of 0.5 in the warm-up; gradient (300, 400) clipped to length 1.
    want = torch.tensor([3 - 0.25 * 0.6, 4 - 0.25 * 0.8])
    assert torch.allclose(weight, want, atol=1e-5)
    descent.step(25.0, 10, ["a"])
    assert torch.allclose(weight, want, atol=1e-5)  # the cosine has come to 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(value):
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    descent = Descent(torch.optim.SGD([weight], lr=1.0), 1.0, 10, 0, 1.0, OFF)
    with pytest.raises(Diverged, match=r"step 4 of 10 \(cases a, b\)"):
        descent.step(value, 4, ["a", "b"])
    assert weight.item() == 1.0


def test_the_best_state_is_kept_and_ties_go_to_the_lower_loss():
    module = nn.Linear(1, 1)
    best = BestState()
    offers = [(0.5, 3.0), (0.7, 2.0), (0.7, 1.0), (0.6, 0.1), (0.7, 1.5), (None, 0.0)]
    for step, (score, loss) in enumerate(offers):
        nn.init.constant_(module.weight, float(step))
        best.offer(module, step, score=score, loss=loss)
    best.restore(module)
    assert (best.step, module.weight.item()) == (2, 2.0)


def test_trainable_counts_what_trains():
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad = False
    assert trainable(layer) == 6


def test_the_best_state_survives_json():
    module = nn.Linear(1, 1)
    best, other = BestState(), BestState()
    best.offer(module, 3, score=None, loss=0.5)
    other.resume(json.loads(json.dumps(best.state())), best.tensors)
    other.offer(module, 4, score=None, loss=0.6)
    assert other.step == 3
    other.offer(module, 5, score=0.1, loss=9.0)
    assert other.step == 5
