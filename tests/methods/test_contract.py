"""What every method owes, present and future: found by folder, at tier tiny."""

import pytest
import torch
from pydantic import ValidationError

from harness.api import MethodSettings, resolve
from harness.run.adapt.start import encoder_state, load_weights
from harness.run.checkpoint import save_weights
from harness.run.networks import Classifier, Segmenter, Shape
from harness.run.optimise import adamw
from harness.run.streams import Streams
from harness.schema.task import TIERS

from .conftest import NAMES, batch_of, kind, rng, tiny

PRETRAINED = [name for name in NAMES if kind(name).pretrains]


@pytest.fixture(params=PRETRAINED)
def method(request):
    return tiny(request.param)


def test_the_folder_is_found():
    assert {"random", "simmim", "smit"} <= set(NAMES)


@pytest.mark.parametrize("tier", TIERS)
def test_settings_are_valid_at_every_tier_and_explain_themselves(name, tier):
    found = kind(name)
    settings = resolve(found.Settings, tier, {})
    assert isinstance(settings, MethodSettings) == found.pretrains
    assert isinstance(found.version, int)
    own = found.Settings.model_fields.keys() - MethodSettings.model_fields.keys()
    assert all(found.Settings.model_fields[field].description for field in own)


def test_the_loss_is_a_finite_scalar_with_a_gradient(method, batch):
    loss = method.loss(batch, rng())
    assert loss.total.shape == ()
    assert loss.total.isfinite()
    assert loss.total.requires_grad
    assert loss.terms
    assert not any(term.requires_grad for term in loss.terms.values())


def test_the_same_seed_gives_the_same_loss_and_another_does_not(method, batch):
    first, again, other = (method.loss(batch, rng(s)).total for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", PRETRAINED)
def test_drop_path_takes_its_draws_from_the_generator(name):
    method = tiny(name, encoder={"drop_path": 0.5})
    batch = batch_of(method)
    first, again = (method.loss(batch, rng(3)).total for _ in range(2))
    assert torch.equal(first, again)


def test_every_trained_parameter_of_the_encoder_gets_a_gradient(method, batch):
    method.loss(batch, rng()).total.backward()
    lacking = [
        n
        for n, p in method.encoder().named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not lacking


def test_what_is_not_trained_gets_no_gradient_and_stays_in_evaluation_mode(
    method, batch
):
    method.loss(batch, rng()).total.backward()
    frozen = [p for p in method.parameters() if not p.requires_grad]
    assert all(p.grad is None for p in frozen)
    if hasattr(method, "teacher"):
        assert frozen
        assert not any(part.training for part in method.teacher.modules())


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_loss_falls_on_a_fixed_batch(name):
    try:
        method = tiny(name, crop=(16, 16, 16), region=(20, 20, 20))
    except ValidationError:  # it needs more than that
        method = tiny(name)
    batch = batch_of(method)
    optimiser = adamw(method, 2e-3, weight_decay=0.0)
    values = []
    for step in range(25):
        method.step = step
        loss = method.loss(batch, rng(0)).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        method.after_step(step, 25)
        values.append(loss.item())
    assert sum(values[-3:]) / 3 < 0.85 * values[0]


@pytest.mark.parametrize("network", [Segmenter, Classifier])
def test_the_exported_encoder_loads_whole_and_gives_equal_features(
    name, network, tmp_path
):
    method = tiny(name, channels=2)
    encoder = method.encoder().eval()
    path = tmp_path / "encoder.safetensors"
    exported = encoder_state(encoder)
    save_weights(path, exported)
    shape = Shape(
        encoder=method.encoder().settings, crop=(32, 32, 32), classes=3, channels=2,
        task_kind="segmentation", protocol={},
    )  # fmt: skip
    model = network(shape, Streams("elsewhere")).eval()
    load_weights(model.encoder, path, encoder_state(model.encoder))

    keys = {key for key in model.encoder.state_dict() if key != "mask_token"}
    assert set(exported) == keys
    x = torch.rand(1, 2, 32, 32, 32, generator=rng(5))
    with torch.no_grad():
        for ours, theirs in zip(encoder(x).maps, model.encoder(x).maps, strict=True):
            assert torch.equal(ours, theirs)
        assert model(x).isfinite().all()
