"""Protocol patch_probe: its fit against another optimiser, and from a plan to scores."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.optimize import minimize

from harness.nn.objectives import share_ce
from harness.run.adapt.patch_probe import class_weights, fit
from harness.run.adapt.start import load_model
from harness.run.adapt.tokens import Tokens, tokens_of
from harness.run.inference import Windows
from harness.run.node import Node
from harness.schema.errors import Exit

SIMMIM = "simmim: {steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}"


def plain_loss(logits, shares, weights, *, regions):
    """The objective in loops, token by token and class by class."""
    total = counted = 0.0
    for i, row in enumerate(logits):
        for k, z in enumerate(row):
            if regions:
                p = 1 / (1 + np.exp(-z))
                inside = weights[1][k] * shares[i, k]
                outside = weights[0][k] * (1 - shares[i, k])
                total -= inside * np.log(p) + outside * np.log(1 - p)
                counted += inside + outside
            else:
                own = weights[k] * shares[i, k]
                total -= own * np.log(np.exp(z) / np.exp(row).sum())
                counted += own
    return total / counted


def tokens(n=40, width=3, classes=3, *, regions=False, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width))
    y = rng.random((n, classes)) if regions else rng.dirichlet(np.ones(classes) / 2, n)
    return Tokens(torch.from_numpy(x), torch.from_numpy(y))


@pytest.mark.parametrize("regions", [False, True])
def test_the_loss_is_that_of_a_plain_loop(regions):
    x, y = tokens(regions=regions)
    logits = x @ torch.arange(9.0, dtype=torch.double).view(3, 3) / 5
    weights = class_weights(y, regions=regions)
    found = share_ce(logits, y, weights, regions=regions)
    want = plain_loss(logits.numpy(), y.numpy(), weights.numpy(), regions=regions)
    assert found.item() == pytest.approx(want, rel=1e-12)


def test_the_loss_by_hand():
    # One token, three parts in four of class 0: weights 1 and 3 make both count alike.
    logits, shares = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.75, 0.25]])
    found = share_ce(logits, shares, torch.tensor([1.0, 3.0]), regions=False).item()
    assert found == pytest.approx((math.log(4) + math.log(4 / 3)) / 2, rel=1e-6)
    # A sigmoid of 3/4 where half of the token is inside, which counts three times.
    logits, shares = torch.tensor([[math.log(3)]]), torch.tensor([[0.5]])
    found = share_ce(logits, shares, torch.tensor([[1.0], [3.0]]), regions=True).item()
    assert found == pytest.approx((math.log(4) + 3 * math.log(4 / 3)) / 4, rel=1e-6)


def test_of_whole_tokens_it_is_weighted_cross_entropy():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(30, 4, generator=rng)
    labels = torch.randint(0, 4, (30,), generator=rng)
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    shares = torch.nn.functional.one_hot(labels, 4).float()
    found = share_ce(logits, shares, weights, regions=False)
    want = torch.nn.functional.cross_entropy(logits, labels, weights)
    assert found.item() == pytest.approx(want.item(), rel=1e-6)


def test_a_class_counts_by_the_root_of_how_rare_it_is():
    shares = torch.tensor([[1.0, 0.0, 0.0]] * 15 + [[0.0, 1.0, 0.0]])
    assert class_weights(shares, regions=False).tolist() == pytest.approx(
        [(16 / 15) ** 0.5, 4.0, 4.0]  # what is nowhere counts as if in one token
    )
    inside = class_weights(shares[:, 1:2], regions=True)
    assert inside.flatten().tolist() == pytest.approx([(16 / 15) ** 0.5, 4.0])


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("penalty", [1e-1, 1e-3])
def test_the_fit_is_where_another_optimiser_ends(regions, penalty):
    data = tokens(regions=regions, seed=1)
    weights = class_weights(data.shares, regions=regions)
    x, y = (each.numpy() for each in data)

    def objective(flat):
        weight, bias = flat[:9].reshape(3, 3), flat[9:]
        loss = plain_loss(x @ weight.T + bias, y, weights.numpy(), regions=regions)
        return loss + penalty / 2 * (weight**2).sum()

    want = minimize(objective, np.zeros(12), method="BFGS", options={"gtol": 1e-7})
    found = fit(data, penalty, 500, weights)
    assert found.loss + penalty / 2 * found.weight.square().sum().item() == (
        pytest.approx(want.fun, rel=1e-7)
    )
    assert found.weight.numpy().ravel() == pytest.approx(want.x[:9], abs=2e-3)


def test_a_fit_from_another_s_end_comes_to_the_same_place():
    data = tokens(seed=2)
    weights = class_weights(data.shares, regions=False)
    far = fit(data, 1.0, 500, weights)
    one, two = (fit(data, 1e-2, 500, weights, start=s) for s in (None, far))
    assert one.weight.numpy() == pytest.approx(two.weight.numpy(), abs=1e-3)


def test_windows_are_cut_in_the_order_of_their_places():
    windows = Windows((2, 2, 2), 0.0)
    volume = torch.arange(45.0).view(1, 3, 3, 5)
    cut = windows.cut(volume)
    assert cut.shape == (len(windows.places((3, 3, 5))), 1, 2, 2, 2)
    for part, (a, b, c) in zip(cut, windows.places((3, 3, 5)), strict=True):
        assert torch.equal(part, volume[:, a : a + 2, b : b + 2, c : c + 2])


def test_a_cell_fits_what_the_network_then_says(tiny):
    plan = tiny.plan(SIMMIM, protocols="{patch_probe: {layers: 2, iterations: 20}}")
    pretrain, adapt, evaluate = keys = tiny.nodes(plan)
    assert tiny.run(keys) == Exit.DONE
    store = tiny.store
    before = load_file(store.file(pretrain, "encoder.safetensors"))
    after = load_file(store.file(adapt, "model.safetensors"))
    assert all(torch.equal(after[f"encoder.{n}"], v) for n, v in before.items())
    run = store.manifest(adapt).run
    assert run["trainable_params"] == (48 + 96) * 3 + 3
    cases = tiny.table(evaluate, "cases")
    assert cases[cases.metric == "dice"].value.between(0, 1).all()
    rows = tiny.table(adapt, "features")
    assert set(rows.layer) == {"penalty 0.01", "penalty 0.001"}
    assert set(rows.quantity) == {"loss", "val loss"}
    curves = tiny.table(adapt, "curves")
    assert curves[curves.split == "val"].quantity.tolist() == ["score", "loss"]


def test_the_folded_network_gives_the_logits_of_the_fit(tiny, tmp_path):
    plan = tiny.plan(SIMMIM, protocols="{patch_probe: {layers: 1, penalties: [0.01]}}")
    keys = tiny.nodes(plan)
    assert tiny.run(keys) == Exit.DONE
    store = tiny.store
    attempt = SimpleNamespace(log=tmp_path / "log")
    node = Node(store, store.spec(keys[1]), attempt, torch.device("cpu"))
    network, shape = load_model(store, keys[1])
    data = node.data()
    ids = node.where["cases"]["train"]
    rng = torch.Generator().manual_seed(0)
    seen = tokens_of(node, data, ids, network, shape, most=10**6, rng=rng)
    norm, classify = network.decoder.norms[0], network.decoder.classify[0]
    assert norm.running_mean.double() == pytest.approx(
        seen.features.mean(dim=0), abs=1e-5
    )
    logits = classify(norm(seen.features.float()[..., None, None, None])).flatten(1)
    tabled = tiny.table(keys[1], "features").set_index("quantity").value
    found = share_ce(
        logits.double(), seen.shares, class_weights(seen.shares, regions=False),
        regions=False,
    ).item()  # fmt: skip
    assert found == pytest.approx(tabled["loss"], abs=1e-4)
    assert seen.shares.sum(dim=1) == pytest.approx(1.0, abs=1e-6)


def test_more_layers_than_the_encoder_has_are_refused(bench):
    text = (
        "tier: tiny\ncorpus: [organs]\nmethods: {masked: }\n"
        "protocols: {patch_probe: {layers: 5}}\ntasks: [organs]\n"
    )
    assert [message for _, message in bench.mistakes(text)] == [
        "masked is run with patch_probe on organs: layers asks for the last 5 layers, "
        "and this swin has 4: the nearest is 4"
    ]
