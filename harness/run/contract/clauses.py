"""The clauses of a method's contract, in the order in which they are checked."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...api import Batch, Method, MethodSettings, resolve
from ...nn.draws import Share, share
from ...schema.roles import TRAINED, Role
from ...schema.task import TIERS
from ..checkpoint import encoder_state, load_weights, save_weights
from ..networks import Classifier, Segmenter, Shape
from ..optimise import make_optimiser
from ..streams import Streams
from .origins import both_kinds_of_labels_teach, reads_a_file_whole_or_not
from .subject import Breach, Clause, Subject, loss_of, rng

FALL = 0.85  # a loss that fell to this share of its start in STEPS steps has learnt
STEPS = 25
SOURCE = re.compile(
    r"METHODS \d|section \d|arXiv|doi|nnunetv2|chosen here", re.IGNORECASE
)
BLURRED = 2e-3  # a blur's reach follows the largest sigma of a share


def settings_are_valid(subject: Subject) -> None:
    """Resolve at every tier; every setting must say where its default comes from."""
    kind = subject.kind
    for tier in TIERS:
        found = resolve(kind.Settings, tier, {})
        if isinstance(found, MethodSettings) != (kind.role in TRAINED):
            msg = (
                "Settings must extend MethodSettings exactly where a loss is minimised"
            )
            raise Breach(msg)
    fields = kind.Settings.model_fields
    silent = [
        n for n in sorted(fields) if not SOURCE.search(fields[n].description or "")
    ]
    if silent:
        msg = f"without a source in the description: {', '.join(silent)}"
        raise Breach(msg)


def loss_is_finite(subject: Subject) -> None:
    """Return a finite scalar with a gradient, and detached terms."""
    method = subject.make()
    loss = loss_of(method, subject.regions(method))
    if loss.total.shape != () or not loss.total.isfinite():
        msg = f"the loss is {loss.total.detach()}, not one finite number"
        hint = "look for a logarithm or root of 0, a division by 0, a mean of nothing"
        raise Breach(msg, hint)
    if not loss.total.requires_grad:
        msg = "the loss has no gradient"
        hint = "compute the total outside torch.no_grad(), detach its terms alone"
        raise Breach(msg, hint)
    live = [name for name, term in loss.terms.items() if term.requires_grad]
    if not loss.terms or live:
        what = f"terms with a gradient: {', '.join(live)}" if live else "no terms"
        msg = f"{what}; name at least one part of the loss, detached, for the curves"
        raise Breach(msg)


def draws_are_seeded(subject: Subject) -> None:
    """Give the same loss for the same generator state, another for another."""
    method = subject.make()
    batch = subject.regions(method)
    first, again, other = (loss_of(method, batch, s).total.detach() for s in (3, 3, 4))
    if not torch.equal(first, again):
        msg = f"one seed gave {float(first):.9g}, then {float(again):.9g}"
        raise Breach(msg)
    if torch.equal(first, other):
        msg = "two seeds gave the same loss: nothing is drawn from `rng`"
        hint = "cut views with harness.nn.views.random_view(batch.volumes, crop, rng)"
        raise Breach(msg, hint)


def weights_are_seeded(subject: Subject) -> None:
    """Draw every initial weight from the generator passed in."""
    one, two = subject.make(), subject.make()
    for (name, a), (_, b) in zip(_state(one), _state(two), strict=True):
        if not torch.equal(a, b):
            msg = f"{name} differs between two methods built from one seed"
            raise Breach(msg)


def shares_equal_the_whole(subject: Subject) -> None:
    """Draw per sample through harness.nn.draws.rows: shares get the batch's draws.

    A method that mixes regions (`mixes`) takes partners from its share, which differ.
    """
    method = subject.make().eval()
    if method.mixes:
        return
    batch = subject.regions(method, number=4)
    seen: list[Tensor] = []
    handle = method.encoder().register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].detach())
    )
    with torch.no_grad():
        loss_of(method, batch, 3)
        whole, seen[:] = list(seen), []
        with share(Share(1, 2, 2)):
            half = second_half(batch)
            loss_of(method, half, 3)
    handle.remove()
    for all_, part in zip(whole, seen, strict=True):
        for row in part:
            away = (all_ - row).abs().flatten(1).amax(dim=1)
            if not away.min() < BLURRED:
                msg = (
                    "half a batch by itself is shown views that the whole batch has not"
                )
                raise Breach(msg)


def second_half(batch: Batch) -> Batch:
    """Return what the second of two ranks has of a batch of four."""
    labels = None if batch.labels is None else batch.labels[2:]
    return Batch(batch.volumes[2:], batch.case_ids[2:], labels)


def everything_learns(subject: Subject) -> None:
    """Give every trained parameter a gradient: ranks wait for all of them."""
    method = subject.make()
    loss_of(method, subject.regions(method)).total.backward()  # type: ignore[no-untyped-call]
    lacking = [
        name
        for name, p in method.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    if not lacking:
        return
    more = f" and {len(lacking) - 5} more" * (len(lacking) > 5)
    msg = f"no gradient for {', '.join(lacking[:5])}{more}"
    if any(name.endswith("mask_token") for name in lacking):
        raise Breach(msg)
    hint = "use it in the loss, freeze it with requires_grad_(False), or remove it"
    raise Breach(msg, hint)


def frozen_parts_stay(subject: Subject) -> None:
    """Leave what is not trained without gradient, and a teacher in evaluation mode."""
    method = subject.make()
    loss_of(method, subject.regions(method)).total.backward()  # type: ignore[no-untyped-call]
    touched = [
        n
        for n, p in method.named_parameters()
        if not p.requires_grad and p.grad is not None
    ]
    if touched:
        msg = f"frozen, and yet with a gradient: {', '.join(touched[:5])}"
        raise Breach(msg)
    teacher = getattr(method, "teacher", None)
    if teacher is not None and any(p.requires_grad for p in teacher.parameters()):
        msg = "the teacher is trained by the optimiser"
        raise Breach(msg)
    if teacher is not None and any(part.training for part in teacher.modules()):
        msg = "the teacher is in training mode: drop path would change its targets"
        raise Breach(msg)


def loss_falls(subject: Subject) -> None:
    """Lower the loss on a fixed batch, with the targets of a teacher held still.

    A student that starts as its teacher is near the least loss, its targets' entropy, and
    has nowhere to fall to; so it starts elsewhere and has to find its teacher.
    """
    method = subject.smaller()
    taught = hasattr(method, "teacher")
    if taught:
        _start_elsewhere(method, subject.smaller(seed=2))
    steps = _train(method, subject.regions(method), STEPS, hold=taught)
    values = [value for value, _ in steps]
    end = sum(values[-3:]) / 3
    if not end < FALL * values[0]:
        msg = (
            f"from {values[0]:.4g} to {end:.4g} in {STEPS} steps on one batch with the "
            "same draws"
        )
        raise Breach(msg)


def _start_elsewhere(method: Method, other: Method) -> None:
    """Give what is trained the weights of another seed; the teacher keeps its own."""
    with torch.no_grad():
        pairs = zip(method.parameters(), other.parameters(), strict=True)
        for mine, theirs in pairs:
            if mine.requires_grad:
                mine.copy_(theirs)


def training_resumes(subject: Subject) -> None:
    """Go on exactly from state_dict(): nothing else may live between steps."""
    whole = subject.smaller()
    batch = subject.regions(whole)
    want = [value for value, _ in _train(whole, batch, 4)]
    first, second = subject.smaller(), subject.smaller()
    steps = list(_train(first, batch, 2))
    second.load_state_dict(first.state_dict())
    again = _train(second, batch, 4, start=2, optimiser=steps[-1][1])
    got = [value for value, _ in again]
    if got != want[2:]:
        msg = f"losses {want[2:]} without a break, {got} after one"
        raise Breach(msg)


def export_loads(subject: Subject) -> None:
    """Export an encoder that both downstream networks load whole, features unchanged."""
    method = subject.make(channels=2)
    encoder: Any = method.encoder().eval()
    settings = subject.settings()
    sides = tuple(getattr(settings, "crop", (32,) * encoder.dims))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.safetensors"
        save_weights(path, encoder_state(encoder))
        for network in (Segmenter, Classifier):
            shape = Shape(
                encoder=encoder.settings, crop=sides, classes=3, channels=2,
                task_kind="segmentation", protocol={},
            )  # fmt: skip
            model = network(shape, Streams("contract")).eval()
            load_weights(model.encoder, path, encoder_state(model.encoder))
            x = torch.rand(1, 2, *sides, generator=rng(5))
            with torch.no_grad():
                pairs = zip(encoder(x).maps, model.encoder(x).maps, strict=True)
                if not all(torch.equal(a, b) for a, b in pairs):
                    msg = f"features changed on the way into a {network.__name__}"
                    raise Breach(msg)
                if not model(x).isfinite().all():
                    msg = f"a {network.__name__} puts out numbers that are not finite"
                    raise Breach(msg)


def _train(
    method: Method,
    batch: Batch,
    steps: int,
    *,
    start: int = 0,
    optimiser: torch.optim.Optimizer | None = None,
    lr: float = 2e-3,
    hold: bool = False,
) -> Iterator[tuple[float, torch.optim.Optimizer]]:
    """Train on one batch with the same draws in each step; yield each loss."""
    fresh = make_optimiser(method, lr, weight_decay=0.0)
    if optimiser is not None:
        fresh.load_state_dict(optimiser.state_dict())
    for step in range(start, steps):
        method.step = step
        loss = loss_of(method, batch).total
        fresh.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        fresh.step()
        if not hold:
            method.after_step(step, STEPS)
        yield float(loss.detach()), fresh


def _state(method: Method) -> list[tuple[str, Tensor]]:
    return sorted(method.state_dict().items())


ENCODERS: frozenset[Role] = TRAINED | {"baseline", "checkpoint"}

CLAUSES = (
    Clause("M01", "settings resolve at every tier and name their sources",
           "give each Field a description with its paper section, as in 'section 3.2', or "
           "'chosen here'",
           settings_are_valid, ENCODERS | {"fusion", "system"}),
    Clause("M02", "the loss is one finite number with a gradient",
           "return Loss(total, {name: term.detach()})", loss_is_finite),
    Clause("M03", "views, masks and noise come from the generator passed in",
           "give every torch.rand* call generator=rng", draws_are_seeded),
    Clause("M04", "initial weights come from the generator passed in",
           "call harness.nn.init.initialise(module, rng) on every layer of your own",
           weights_are_seeded, ENCODERS),
    Clause("M05", "a share of a batch is drawn as in the whole batch",
           "draw one row per sample through harness.nn.draws.rows",
           shares_equal_the_whole),
    Clause("M06", "every trained parameter gets a gradient",
           "call encoder.hide_nothing() where no mask token is used",
           everything_learns),
    Clause("M07", "what is frozen gets no gradient; a teacher is in evaluation mode",
           "wrap it in harness.nn.ema.Teacher", frozen_parts_stay),
    Clause("M08", "the loss falls on a fixed batch",
           "check signs, detached tensors and temperatures", loss_falls),
    Clause("M09", "a training resumes exactly from state_dict()",
           "keep evolving state in registered buffers, use self.step as the counter",
           training_resumes),
    Clause("M10", "the exported encoder loads whole, with equal features",
           "return the network of harness.nn.build from encoder()", export_loads, ENCODERS),
    Clause("M11", "a source of either kind teaches: labels of voxels, or of images",
           "choose decoder or head by source.kind", both_kinds_of_labels_teach,
           frozenset({"supervised"})),
    Clause("M12", "a file fills the whole encoder, or is refused",
           "count what fits with harness.nn.foreign.Fit.check_share",
           reads_a_file_whole_or_not, frozenset({"checkpoint"})),
)  # fmt: skip


def clauses_of(role: Role) -> tuple[Clause, ...]:
    """Return what a method of this role owes."""
    return tuple(clause for clause in CLAUSES if role in clause.roles)
