"""SYNTHETIC pigmented skin lesions in colour, made from a seed: no patient.

A lesion is a patch of pigment with a darker core. Two latent parameters, the
irregularity of its border and the size of its core, are normal with unit variance and a
mean that differs between benign and malignant by `EFFECTS`, so that the classes overlap
by construction: no score beats the log likelihood ratio of the true parameters, whose
AUC is `OPTIMAL_AUC`. Skin tone, light, place, size and hairs are drawn without regard
to class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from harness.schema.cases import CaseRef, Side
from harness.schema.identity import seed_for
from harness.volumes.painting import correlated_noise
from harness.volumes.raw import RawCase

VERSION = (
    1  # raise whenever a pixel of any case changes: it enters the data fingerprint
)

SIDE = 64  # pixels along each axis
PIXEL = 0.25  # mm
PREVALENCE = 0.5  # of malignant lesions
# Difference of means, malignant less benign, in standard deviations.
EFFECTS = {"irregularity": 1.6, "core": 1.0}
# Two normals of equal variance a distance d apart: AUC = Phi(d / sqrt 2).
OPTIMAL_AUC = float(ndtr(np.sqrt(sum(e * e for e in EFFECTS.values()) / 2)))
PIGMENT, CORE = 1, 2  # label values
_SKIN = np.array([222.0, 178.0, 150.0])  # red, green, blue, 0 to 255
_BROWN = np.array([142.0, 88.0, 60.0])
_DARK = np.array([62.0, 38.0, 36.0])

F64 = NDArray[np.float64]


class Lesion(NamedTuple):
    """The truth about a lesion: latent parameters in standard deviations, its class."""

    irregularity: float
    core: float
    malignant: int

    @property
    def suspicion(self) -> float:
        """Log likelihood ratio of malignant to benign given the latent parameters."""
        return float(sum(e * getattr(self, name) for name, e in EFFECTS.items()))


def lesion(case_id: str, seed: int) -> Lesion:
    """Return the true parameters and the class of a case."""
    rng = _rng(seed, case_id, "truth")
    malignant = int(rng.random() < PREVALENCE)
    latent = {
        name: float(rng.normal((malignant - 0.5) * effect, 1))
        for name, effect in EFFECTS.items()
    }
    return Lesion(**latent, malignant=malignant)


def cases(
    seed: int, *, labels: bool = False, train: int = 160, val: int = 40, test: int = 80
) -> list[CaseRef]:
    """List the lesions, one of each imaginary patient, in order of sides.

    labels: whether they have a label map in place of a class.
    """
    stamp = f"phantom_lesions v{VERSION} seed {seed}"
    counts: dict[Side, int] = {"train": train, "val": val, "test": test}
    sides = [side for side, count in counts.items() for _ in range(count)]
    listed = []
    for number, side in enumerate(sides):
        case_id = f"lesion_{number:04d}"
        target = None if labels else lesion(case_id, seed).malignant
        listed.append(
            CaseRef(case_id, f"patient_{number:04d}", target=target, side=side,
                    stamp=stamp)
        )  # fmt: skip
    return listed


def make(case: CaseRef, seed: int, *, labels: bool = False, **_counts: int) -> RawCase:
    """Paint a case: image (3, 64, 64), red, green and blue from 0 to 255."""
    truth = lesion(case.case_id, seed)
    rng = _rng(seed, case.case_id, "image")
    at = (np.arange(SIDE) - (SIDE - 1) / 2) * PIXEL
    rows, columns = np.meshgrid(at, at, indexing="ij")
    middle = rng.uniform(-1.5, 1.5, 2)
    body = _inside(
        rows - middle[0], columns - middle[1], rng.uniform(3, 4.5),
        0.02 + 0.2 * ndtr(truth.irregularity), rng,
    )  # fmt: skip
    place = middle + rng.uniform(-0.6, 0.6, 2)
    core = _inside(
        rows - place[0], columns - place[1], 0.6 + 1.6 * ndtr(truth.core), 0.06, rng
    )
    core = np.minimum(core, body - 0.3)  # it ends within the lesion
    image = np.empty((3, SIDE, SIDE))
    tone, light = rng.uniform(0.75, 1.05), rng.uniform(-0.01, 0.01, 2)
    shade = tone * (1 + light[0] * rows + light[1] * columns)
    hairs = _hairs(rows, columns, rng)
    for channel in range(3):
        skin = _SKIN[channel] * shade
        skin += _soft(body) * (_BROWN[channel] * shade - skin)
        skin += _soft(core) * (_DARK[channel] * shade - skin)
        skin += hairs * (40 - skin)
        image[channel] = skin + correlated_noise(
            rng, skin.shape, sigma=(1.0, 1.0), sd=6
        )
    label = None
    if labels:
        label = np.where(core > 0, CORE, np.where(body > 0, PIGMENT, 0))
        label = label.astype(np.uint8)
    return RawCase(
        np.clip(np.rint(image), 0, 255).astype(np.float32), label,
        np.diag([PIXEL, PIXEL, 1.0, 1.0]),
    )  # fmt: skip


def _rng(seed: int, name: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng(seed_for(f"{seed}:{name}", purpose))


def _soft(inside: F64) -> F64:
    """Return the share of a pixel inside an edge that lies `inside` mm beyond it."""
    return np.asarray(expit(inside / 0.12))


def _inside(
    rows: F64, columns: F64, radius: float, wobble: float, rng: np.random.Generator
) -> F64:
    """Return how far (mm) pixels lie inside a closed curve whose radius varies."""
    angle, far = np.arctan2(rows, columns), np.hypot(rows, columns)
    edge = np.full(rows.shape, radius)
    for order in range(2, 8):
        share = wobble * rng.normal() / np.sqrt(order)
        edge += radius * share * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.maximum(edge, 0.3 * radius) - far)


def _hairs(rows: F64, columns: F64, rng: np.random.Generator) -> F64:
    """Return the share of each pixel that up to three thin hairs cover."""
    cover = np.zeros(rows.shape)
    for _ in range(int(rng.integers(0, 4))):
        turn, off = rng.uniform(0, np.pi), rng.uniform(-7, 7)
        bend = rng.uniform(-0.03, 0.03)
        along = np.cos(turn) * columns + np.sin(turn) * rows
        across = np.cos(turn) * rows - np.sin(turn) * columns
        cover = np.maximum(
            cover, 0.7 * _soft(0.1 - np.abs(across - off - bend * along**2))
        )
    return cover
