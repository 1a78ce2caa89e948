import json

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from harness.nn.build import build_encoder
from harness.nn.features import lr_factors
from harness.nn.lars import LARS
from harness.nn.settings import EncoderSettings, encoder_tier
from harness.nn.swin import Swin, SwinSettings
from harness.run.optimise import (
    BestState,
    Descent,
    Diverged,
    Schedule,
    make_optimiser,
    trainable,
)
from harness.schema.optimiser import OptimiserSettings

OFF = torch.amp.GradScaler("cpu", enabled=False)


def swin() -> Swin:
    tiny = SwinSettings(**SwinSettings.tiers["tiny"])
    return Swin(tiny, 1, torch.Generator().manual_seed(0))


def test_biases_norms_tokens_and_bias_tables_do_not_decay():
    encoder = swin()
    encoder.stem.bias.requires_grad = False
    decayed, plain = make_optimiser(encoder, 1e-3, weight_decay=0.05).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    names = {id(p): name for name, p in encoder.named_parameters()}
    ours = {names[id(p)] for p in decayed["params"]}
    others = {names[id(p)] for p in plain["params"]}
    assert all(name.endswith("weight") and "norm" not in name for name in ours)
    assert {"mask_token", "stages.0.blocks.0.attention.offset_bias"} <= others
    assert "stages.0.blocks.0.norm1.weight" in others
    assert "stem.bias" not in ours | others
    assert len(ours) + len(others) == len(names) - 1


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({}, torch.optim.AdamW),
        ({"kind": "adam", "betas": (0.8, 0.9)}, torch.optim.Adam),
        ({"kind": "sgd", "momentum": 0.7}, torch.optim.SGD),
        ({"kind": "lars", "trust": 0.02, "nesterov": True}, LARS),
    ],
)
def test_every_optimiser_has_the_groups_and_its_settings(said, kind):
    settings = OptimiserSettings(**said)
    made = make_optimiser(swin(), 0.5, weight_decay=0.1, settings=settings)
    assert type(made) is kind
    decayed, plain = made.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert (decayed["adapts"], plain["adapts"]) == (True, False)
    for name in said.keys() - {"kind"}:
        assert decayed[name] == said[name]


def test_sgd_is_that_of_torch():
    module, twin = nn.Linear(3, 2), nn.Linear(3, 2)
    twin.load_state_dict(module.state_dict())
    settings = OptimiserSettings(kind="sgd", momentum=0.9, nesterov=True)
    ours = make_optimiser(module, 0.1, weight_decay=0.05, settings=settings)
    theirs = torch.optim.SGD(
        [
            {"params": [twin.weight], "weight_decay": 0.05},
            {"params": [twin.bias], "weight_decay": 0.0},
        ],
        0.1, momentum=0.9, nesterov=True,
    )  # fmt: skip
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(4):
        for layer, optimiser in ((module, ours), (twin, theirs)):
            optimiser.zero_grad()
            layer(x).square().sum().backward()
            optimiser.step()
    assert torch.allclose(module.weight, twin.weight)
    assert torch.allclose(module.bias, twin.bias)


def test_a_rate_of_zero_changes_nothing():
    module = nn.Linear(2, 2)
    before = module.weight.clone()
    for kind in ("adamw", "sgd", "lars"):
        own = OptimiserSettings(kind=kind)
        optimiser = make_optimiser(module, 0.0, weight_decay=0.1, settings=own)
        module(torch.ones(1, 2)).sum().backward()
        Descent(optimiser, 0.0, 10, 2, 1.0, OFF, Schedule(lr_end=1e-6)).step(1, 4, [])
    assert torch.equal(module.weight, before)


def test_a_rate_can_fall_in_steps():
    weight = nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    descent = Descent(optimiser, 1.0, 70, 1, 1.0, OFF, Schedule(drops=(3 / 7, 5 / 7)))
    rates = []
    for step in (0, 1, 29, 30, 49, 50, 69):
        weight.grad = torch.zeros(1)
        descent.step(1.0, step, [])
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.5, 1, 1, 0.1, 0.1, 0.01, 0.01])


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


def test_rates_of_parameters_and_the_decay_follow_the_schedule():
    one, two = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1, 1))
    module = nn.ParameterDict({"one": one, "two": two})
    optimiser = make_optimiser(module, 1.0, weight_decay=0.04, factors={"two": 0.25})
    schedule = Schedule(lr_end=0.1, weight_decay_end=0.4)
    descent = Descent(optimiser, 1.0, 10, 0, 1.0, OFF, schedule)

    def state():
        return {
            id(p): (group["lr"], group["weight_decay"])
            for group in optimiser.param_groups
            for p in group["params"]
        }

    for step, lr, decay in ((0, 1.0, 0.04), (5, 0.55, 0.22), (10, 0.1, 0.4)):
        one.grad, two.grad = torch.ones(1, 1), torch.ones(1, 1)
        descent.step(1.0, step, ["a"])
        assert state()[id(one)] == pytest.approx((lr, decay))
        assert state()[id(two)] == pytest.approx((lr / 4, decay))


@pytest.mark.parametrize("kind", ["vit", "swin", "resnet"])
def test_rates_fall_from_the_last_block_to_the_stem(kind):
    settings = TypeAdapter(EncoderSettings).validate_python(
        {"kind": kind, **encoder_tier(kind, "tiny")}
    )
    encoder = build_encoder(settings, 1, torch.Generator().manual_seed(0))
    module = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(2, 2)})
    factors = lr_factors(module, layer_decay=0.5, stem=0.2)
    assert "head.weight" not in factors
    assert factors.keys() == {f"encoder.{n}" for n, _ in encoder.named_parameters()}
    top = max(encoder.block_of(name) for name, _ in encoder.named_parameters())
    assert factors["encoder.stem.weight"] == pytest.approx(0.2 * 0.5**top)
    assert max(factors.values()) == 1
    depths = {encoder.block_of(name) for name, _ in encoder.named_parameters()}
    assert depths == set(range(top + 1))
    blocks = {"vit": 4 + 1, "swin": 2 + 2 + 2, "resnet": 1 + 1 + 1}  # ViT: and its norm
    assert top == blocks[kind]
    assert lr_factors(module, layer_decay=1.0, stem=1.0) == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(value):
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    descent = Descent(torch.optim.SGD([weight], lr=1.0), 1.0, 10, 0, 1.0, OFF)
    with pytest.raises(Diverged, match=r"step 4 of 10 \(cases a, b\)"):
        descent.step(value, 4, ["a", "b"])
    assert weight.item() == 1.0


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change():
    """sqrt at 0: the loss is finite, and one more step would make every weight NaN."""
    weight = nn.Parameter(torch.zeros(2))
    loss = weight.square().sum().sqrt()
    loss.backward()
    descent = Descent(torch.optim.SGD([weight], lr=1.0), 1.0, 10, 0, 1.0, OFF)
    with pytest.raises(Diverged, match=r"the gradient became nan at step 4 of 10"):
        descent.step(loss.item(), 4, ["a", "b"])
    assert weight.tolist() == [0.0, 0.0]


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
