"""SYNTHETIC lung nodules in the manner of chest CT, made from a seed: no patient.

A nodule has three latent parameters, spiculation, size and texture, each normal with
unit variance and with a mean that differs between benign and malignant by `EFFECTS`.
The classes thus overlap by construction: the best score that the true parameters allow
is the log likelihood ratio `suspicion`, whose AUC is known (`OPTIMAL_AUC`), and no
network can be expected to beat it. The grade 0-4 is the opinion of an imaginary
reader: the suspicion with some error of theirs, cut at `GRADE_CUTS`; grading by the
true suspicion agrees with it at `OPTIMAL_KAPPA` (quadratic). Vessels, pleura,
calcification, lobulation, place and noise are drawn without regard to class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, ndtr

from harness.schema.cases import CaseRef, Side
from harness.schema.identity import seed_for
from harness.volumes.painting import correlated_noise
from harness.volumes.raw import RawCase

VERSION = (
    1  # raise whenever a voxel of any case changes: it enters the data fingerprint
)

SIDE = 32  # voxels of 1 mm along each axis
PREVALENCE = 0.4  # of malignant nodules
PAIRS = 0.3  # share of patients with two nodules
# Difference of means, malignant less benign, in standard deviations.
EFFECTS = {"spiculation": 1.3, "size": 1.0, "texture": 0.8}
# Two normals of equal variance a distance d apart: AUC = Phi(d / sqrt 2).
OPTIMAL_AUC = float(ndtr(np.sqrt(sum(e * e for e in EFFECTS.values()) / 2)))
GRADE_CUTS = (-2.8, -1.0, 0.8, 2.6)  # of the log likelihood ratio
READER_SD = 0.9  # error of the reader on the same scale
OPTIMAL_KAPPA = 0.90  # measured on 6,000 draws; the test repeats it

F32 = NDArray[np.float32]
Where = tuple[F32, F32, F32]  # mm from the crop's centre along R, A, S


@dataclass(frozen=True)
class Nodule:
    """The truth about a nodule: latent parameters (in standard deviations), targets."""

    spiculation: float
    size: float
    texture: float
    malignant: int
    grade: int

    @property
    def suspicion(self) -> float:
        """Log likelihood ratio of malignant to benign given the latent parameters."""
        return float(sum(e * getattr(self, name) for name, e in EFFECTS.items()))

    @property
    def diameter(self) -> float:
        """Diameter in mm, 5 to 18."""
        return float(5 + 13 * ndtr(0.8 * self.size))

    @property
    def spike(self) -> float:
        """Mean length of spicules in mm, 0 to 6."""
        return float(6 * ndtr(0.9 * self.spiculation))

    @property
    def mixed(self) -> float:
        """How far from homogeneous and solid, 0 to 1."""
        return float(ndtr(0.9 * self.texture))


def nodule(case_id: str, seed: int) -> Nodule:
    """Return the true parameters and targets of a case."""
    rng = _rng(seed, case_id, "truth")
    malignant = int(rng.random() < PREVALENCE)
    latent = {
        name: rng.normal((malignant - 0.5) * effect, 1)
        for name, effect in EFFECTS.items()
    }
    seen = Nodule(**latent, malignant=malignant, grade=0).suspicion
    seen += rng.normal(0, READER_SD)
    grade = int(np.searchsorted(GRADE_CUTS, seen))
    return Nodule(**latent, malignant=malignant, grade=grade)


def cases(
    seed: int,
    *,
    target: Literal["malignant", "grade"] = "malignant",
    train: int = 200,
    val: int = 60,
    test: int = 120,
) -> list[CaseRef]:
    """List the nodules of imaginary patients, who have one or two, in order of sides.

    A patient is on one side only. The voxels do not depend on `target`.
    """
    stamp = f"phantom_nodules v{VERSION} seed {seed}"
    counts: dict[Side, int] = {"train": train, "val": val, "test": test}
    patients = _patients(seed, counts)
    listed = []
    for number, (side, patient) in enumerate(patients):
        case_id = f"nodule_{number:04d}"
        truth = nodule(case_id, seed)
        wanted = truth.grade if target == "grade" else truth.malignant
        listed.append(CaseRef(case_id, patient, target=wanted, side=side, stamp=stamp))
    return listed


def _patients(seed: int, counts: dict[Side, int]) -> Iterator[tuple[Side, str]]:
    """Yield the side and the patient of each nodule."""
    patient = 0
    for side, count in counts.items():
        left = count
        while left:
            name = f"patient_{patient:04d}"
            pair = left > 1 and _rng(seed, name, "pair").random() < PAIRS
            for _ in range(1 + pair):
                yield side, name
                left -= 1
            patient += 1


def make(
    case: CaseRef, seed: int, *, target: str = "malignant", **_counts: int
) -> RawCase:
    """Paint a case: image (1, 32, 32, 32) in HU at 1 mm, no label map.

    Equal bytes for equal case and seed, in any order and process. Two nodules of one
    patient share lung density and noise level.
    """
    del target  # the same images serve both targets
    truth = nodule(case.case_id, seed)
    rng = _rng(seed, case.case_id, "image")
    of_patient = _rng(seed, case.group_id, "scan")
    lung, noise = of_patient.uniform((-900, 18), (-800, 42))
    at = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2).astype(np.float32)
    where = (at[:, None, None], at[None, :, None], at[None, None, :])
    hu = np.full((SIDE,) * 3, lung, np.float32)
    hu += correlated_noise(rng, hu.shape, sigma=(2.0,) * 3, sd=15)
    _add_vessels(hu, where, rng)
    if rng.random() < 0.3:
        _add_pleura(hu, where, rng)
    _add_nodule(hu, where, truth, rng)
    hu = ndimage.gaussian_filter(hu, 0.5)
    hu += correlated_noise(rng, hu.shape, sigma=(0.6, 0.6, 0.5), sd=noise)
    image = np.asarray(np.clip(np.rint(hu), -1024, 3071), np.float32)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -(SIDE - 1) / 2
    return RawCase(image=image[None], label=None, affine=affine)


def _rng(seed: int, name: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng(seed_for(f"{seed}:{name}", purpose))


def _blend(hu: F32, share: F32, value: float | F32) -> None:
    """Mix `value` into voxels by their share of it (partial volume), in place."""
    hu += share * (value - hu)


def _edge(inside: F32) -> F32:
    """Return the share of a 1 mm voxel inside a surface `inside` mm beyond it."""
    return np.asarray(expit(inside / np.float32(0.3)), np.float32)


def _directions(rng: np.random.Generator, n: int) -> F32:
    """Return n unit vectors (n, 3), uniform on the sphere."""
    v = rng.normal(size=(n, 3))
    return np.asarray(v / np.sqrt((v * v).sum(1, keepdims=True)), np.float32)


def _along(where: Where, u: F32) -> F32:
    """Return the coordinate along the unit vector u, in mm, of each voxel."""
    return np.asarray(u[0] * where[0] + u[1] * where[1] + u[2] * where[2])


def _add_vessels(hu: F32, where: Where, rng: np.random.Generator) -> None:
    """Paint one to three vessels, 1.4 to 3.6 mm wide, that may touch the nodule."""
    for u in _directions(rng, int(rng.integers(1, 4))):
        x, y, z = (
            w - np.float32(o)
            for w, o in zip(where, rng.uniform(-12, 12, 3), strict=True)
        )
        along = _along((x, y, z), u)
        square = np.maximum(x * x + y * y + z * z - along * along, 0)
        radius = np.float32(rng.uniform(0.7, 1.8))
        _blend(hu, _edge(radius - np.sqrt(square)), rng.uniform(-20, 50))


def _add_pleura(hu: F32, where: Where, rng: np.random.Generator) -> None:
    """Paint the chest wall beyond a plane 9 to 14 mm from the centre."""
    u = _directions(rng, 1)[0] * np.array([1, 1, 0.3], np.float32)
    u /= np.sqrt((u * u).sum())
    _blend(hu, _edge(_along(where, u) - np.float32(rng.uniform(9, 14))), 35)


def _add_nodule(hu: F32, where: Where, truth: Nodule, rng: np.random.Generator) -> None:
    """Paint a lobulated and spiculated body with ground-glass rim and texture."""
    x, y, z = (
        w - np.float32(o) for w, o in zip(where, rng.uniform(-2, 2, 3), strict=True)
    )
    r = np.sqrt(x * x + y * y + z * z) + np.float32(1e-3)
    toward = (x / r, y / r, z / r)
    radius = np.float32(truth.diameter / 2)
    surface = np.full(hu.shape, radius)
    for u, lobe in zip(_directions(rng, 5), rng.uniform(-0.16, 0.16, 5), strict=True):
        surface += radius * np.float32(lobe) * np.exp(3 * (_along(toward, u) - 1))
    body = surface.copy()
    spikes = int(rng.integers(9, 15))
    sharp = 1.4 * np.maximum(radius, 3) ** 2  # spicules under 1 mm wide at their feet
    for u, length in zip(
        _directions(rng, spikes), rng.uniform(0.5, 1.5, spikes), strict=True
    ):
        bump = np.exp(sharp * (_along(toward, u) - 1))
        surface += np.float32(length * truth.spike) * bump
    _blend(hu, _edge(surface - r) * np.float32(0.9), rng.uniform(-120, -20))
    rim = np.float32(1 - 0.45 * truth.mixed)
    speckle = correlated_noise(
        rng, hu.shape, sigma=(1.1,) * 3, sd=15 + 170 * truth.mixed
    )
    _blend(hu, _edge(body - r), -330)
    _blend(hu, _edge(body * rim - r), rng.uniform(0, 70) + speckle)
    if rng.random() < 0.08:  # calcified, whatever the class
        _blend(hu, _edge(np.float32(0.35) * radius - r), 350)
