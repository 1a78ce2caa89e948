"""Each clause goes red for a method that breaks it, and for that alone says so."""

from typing import ClassVar

import pytest
import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.api import Imported, Loss, Method, MethodSettings
from harness.nn.build import build_encoder
from harness.nn.draws import rows
from harness.nn.ema import Teacher
from harness.nn.heads import LinearHead
from harness.nn.views import random_view
from harness.run.contract import CLAUSES, Subject, clauses_of, judge


class Settings(MethodSettings):
    outputs: int = Field(1, description="chosen here")


class Good(Method):
    """Tell how bright a crop is after noise was added; a teacher looks on."""

    Settings: ClassVar = Settings
    version: ClassVar = 1

    def __init__(self, settings, channels, rng):
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        self.head = LinearHead(self.student.pooled_width, settings.outputs, rng)
        self.teacher = Teacher(self.head)
        self.register_buffer("level", torch.zeros(()))

    def views(self, batch, rng):
        x = random_view(batch.volumes, self.settings.crop, rng)
        noise = rows(len(x), lambda n: torch.randn(n, *x.shape[1:], generator=rng))
        return x + 0.1 * noise

    def loss(self, batch, rng):
        x = self.views(batch, rng)
        guess = self.head(self.student(x).pooled).squeeze(1)
        gap = (guess - x.flatten(1).mean(dim=1) - 1 - 0 * self.level).square().mean()
        return Loss(gap, {"gap": gap.detach()})

    def after_step(self, step, total):  # noqa: ARG002
        self.level += 1
        self.teacher.update(self.head, 0.9)

    def encoder(self):
        return self.student


class Silent(Good):
    class Settings(Settings):
        secret: int = 3


class Nan(Good):
    def loss(self, batch, rng):
        loss = super().loss(batch, rng)
        return Loss(loss.total * float("nan"), loss.terms)


class Live(Good):
    def loss(self, batch, rng):
        loss = super().loss(batch, rng)
        return Loss(loss.total, {"gap": loss.total})


class GlobalNoise(Good):
    def views(self, batch, rng):
        x = super().views(batch, rng)
        return x + torch.rand(x.shape)


class Deaf(Good):
    def views(self, batch, rng):  # noqa: ARG002
        return batch.volumes[..., :32, :32, :32]


class GlobalWeights(Good):
    def __init__(self, settings, channels, rng):
        super().__init__(settings, channels, rng)
        self.more = nn.Linear(2, 2)
        self.more.requires_grad_(False)


class PerBatch(Good):
    def views(self, batch, rng):
        x = random_view(batch.volumes, self.settings.crop, rng)
        return x + 0.1 * torch.randn(x.shape, generator=rng)


class Forgetful(Good):
    def __init__(self, settings, channels, rng):
        super().__init__(settings, channels, rng)
        self.student.mask_token.requires_grad = True


class LiveTeacher(Good):
    def __init__(self, settings, channels, rng):
        super().__init__(settings, channels, rng)
        self.teacher = nn.Sequential(nn.Dropout(0.0))


class Rising(Good):
    def loss(self, batch, rng):
        loss = super().loss(batch, rng)
        return Loss(2 * loss.total.detach() - loss.total, loss.terms)


class Counting(Good):
    count = 0

    def loss(self, batch, rng):
        loss = super().loss(batch, rng)
        return Loss(loss.total * (1 + self.count), loss.terms)

    def after_step(self, step, total):  # noqa: ARG002
        self.count += 1


class Foreign(Good):
    def encoder(self):
        class Other(nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def forward(self, x: Tensor):
                return self.inner(x)

        return Other(self.student)


class VoxelsOnly(Good):
    """Learns from labels, but only where every voxel has one."""

    role = "supervised"

    def __init__(self, settings, channels, rng, source):  # noqa: ARG002
        super().__init__(settings, channels, rng)

    def loss(self, batch, rng):
        crop = tuple(self.settings.crop)
        seen = batch.labels[:, : crop[0], : crop[1], : crop[2]]
        loss = super().loss(batch, rng)
        return Loss(loss.total + 0 * seen.sum(), loss.terms)


class Greedy(Good):
    """Takes any file, whatever it holds."""

    role = "checkpoint"

    def load(self, path):
        have = load_file(path)
        self.student.load_state_dict(have, strict=False)
        return Imported(1.0)


class Blind(Greedy):
    """Says that it read the file, and did not."""

    def load(self, path):  # noqa: ARG002
        return Imported(1.0)


def test_a_good_method_keeps_every_clause():
    verdicts = [judge(clause, Subject(Good)) for clause in clauses_of(Good.role)]
    assert [v for v in verdicts if v.state != "kept"] == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Silent, "M01"), (Nan, "M02"), (Live, "M02"), (GlobalNoise, "M03"),
        (Deaf, "M03"), (GlobalWeights, "M04"), (PerBatch, "M05"), (Forgetful, "M06"),
        (LiveTeacher, "M07"), (Rising, "M08"), (Counting, "M09"), (Foreign, "M10"),
        (VoxelsOnly, "M11"), (Greedy, "M12"), (Blind, "M12"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)  # fmt: skip
def test_a_breach_is_seen(kind, code):
    (clause,) = [each for each in CLAUSES if each.code == code]
    verdict = judge(clause, Subject(kind))
    assert verdict.state in {"broken", "error"}
    assert verdict.said
    assert verdict.hint
