"""SYNTHETIC abdomens in the manner of portal-venous CT, made from a seed: no patient.

A small body (about 165 mm wide) is painted from ellipsoids and tubes in body
coordinates: mm along R, A, S, origin between the kidneys. A case varies it by pose and
size, place and shape of each organ and a smooth deformation. Painting happens on a
grid twice as fine along each axis, so that averaging gives real partial volumes.
Attenuations (HU) are drawn per case from ranges that overlap between organs, as they
do in enhanced CT; bowel with fluid, contrast or gas, pancreas, muscle and bones are
distractors without a label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from harness.schema.cases import CaseRef, Side
from harness.schema.identity import seed_for
from harness.volumes.painting import (
    Ball,
    Canvas,
    correlated_noise,
    majority_blocks,
    mean_blocks,
    pose,
    smooth_displacement,
)
from harness.volumes.raw import RawCase

VERSION = (
    1  # raise whenever a voxel of any case changes: it enters the data fingerprint
)

SHAPE = (72, 56, 40)  # voxels along R, A, S
FINE = 2  # painted sub-voxels per voxel and axis

LIVER, SPLEEN, KIDNEY_R, KIDNEY_L, STOMACH, GALLBLADDER = 1, 2, 3, 4, 5, 6
ADRENALS, AORTA, CAVA, TUMOUR = 7, 8, 9, 10
LABELS = 11  # with background
NONE = 0  # painted over a label, it takes it away

# Mean and half range of the HU of each tissue; a case draws uniformly within. Means are
# those of textbooks for the portal-venous phase, ranges wide enough to overlap.
TISSUE_HU: dict[str, tuple[float, float]] = {
    "air": (-1000, 0), "lung": (-820, 50), "fat": (-100, 8), "muscle": (58, 8),
    "bone": (330, 50), "marrow": (185, 35), "disc": (85, 10), "liver": (104, 16),
    "spleen": (116, 16), "cortex": (158, 24), "medulla": (128, 22), "wall": (74, 10),
    "content": (32, 22), "bile": (12, 8), "adrenal": (72, 12), "aorta": (148, 20),
    "cava": (122, 20), "pancreas": (86, 14), "gas": (-850, 80), "contrast": (150, 40),
}  # fmt: skip


def cases(
    seed: int, *, train: int = 36, val: int = 8, test: int = 16, tumours: float = 0.6
) -> list[CaseRef]:
    """List the cases: one per imaginary patient, in the order train, val, test.

    tumours: probability of a liver tumour in a case, in [0, 1]. No voxels are made.
    """
    stamp = f"phantom_organs v{VERSION} seed {seed} tumours {tumours:g}"
    counts: dict[Side, int] = {"train": train, "val": val, "test": test}
    sides = [side for side, count in counts.items() for _ in range(count)]
    names = [f"organs_{i:04d}" for i in range(len(sides))]
    return [
        CaseRef(name, name, side=side, stamp=stamp)
        for name, side in zip(names, sides, strict=True)
    ]


def make(case: CaseRef, seed: int, *, tumours: float = 0.6, **_counts: int) -> RawCase:
    """Paint a case: image (1, 72, 56, 40) in HU and its label map.

    Equal bytes for equal case id, seed and `tumours`, in any order and process.
    """
    scene = Scene.draw(_rng(seed, case.case_id, "anatomy"))
    _paint_walls(scene)
    _paint_bowel(scene)
    _paint_stomach(scene)
    _paint_liver_and_spleen(scene)
    _paint_kidneys_and_adrenals(scene)
    _paint_vessels(scene)
    if _rng(seed, case.case_id, "tumour").random() < tumours:
        _paint_tumour(scene)
    image = _scan(scene.canvas, _rng(seed, case.case_id, "scanner"))
    affine = np.diag([*scene.spacing, 1.0])
    affine[:3, 3] = [
        -s * (n - 1) / 2 for s, n in zip(scene.spacing, SHAPE, strict=True)
    ]
    label = majority_blocks(scene.canvas.label, FINE, LABELS)
    return RawCase(image=image[None], label=label, affine=affine)


def _rng(seed: int, case_id: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng(seed_for(f"{seed}:{case_id}", purpose))


@dataclass(frozen=True)
class Scene:
    """One patient in the making. hu: what each tissue attenuates in this case."""

    rng: np.random.Generator
    spacing: tuple[float, float, float]
    canvas: Canvas
    hu: dict[str, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Scene:
        """Draw spacing, pose, deformation and the HU of each tissue."""
        plane, slices = round(rng.uniform(2.6, 3.0), 3), round(rng.uniform(4.4, 5.6), 3)
        spacing = (plane, plane, slices)
        fine = tuple(FINE * n for n in SHAPE)
        x, y, z = (
            ((np.arange(n) - (n - 1) / 2) * s / FINE).astype(np.float32)
            for n, s in zip(fine, spacing, strict=True)
        )
        where = pose(rng, (x, y, z)) + smooth_displacement(rng, fine, knots=5, sd=4.0)
        hu = {name: rng.uniform(m - h, m + h) for name, (m, h) in TISSUE_HU.items()}
        return cls(rng, spacing, Canvas.blank(where, (x, y, z), hu["air"]), hu)

    def vary(self, ball: Ball, *, shift: float = 3.0, size: float = 0.1) -> Ball:
        """Return the ball as this patient has it."""
        return ball.vary(self.rng, shift, size)


def _paint_walls(scene: Scene) -> None:
    """Paint fat, the muscle wall with ribs, lung bases, back muscles and spine."""
    canvas, hu, rng = scene.canvas, scene.hu, scene.rng
    x, y, z = canvas.where
    whole = (slice(None), slice(None), slice(None))
    fat = rng.uniform(4, 10)  # mm below the skin
    across, deep = (x / np.float32(82)) ** 2, (y / np.float32(57)) ** 2
    outline = across * across + deep * deep + np.float32(1.3) * across * deep
    wall, cavity = (outline < (1 - edge / 70) ** 4 for edge in (fat, fat + 7))
    canvas.paint(whole, outline < 1, hu["fat"])
    canvas.paint(whole, wall ^ cavity, hu["muscle"])
    chest = np.nonzero((wall ^ cavity) & (z > -28) & (abs(x) > 20))
    slope = z[chest] + 0.45 * abs(x[chest]) - 0.5 * y[chest]  # ribs fall to the front
    ribs = tuple(index[np.sin(slope * (2 * np.pi / 21)) > 0.55] for index in chest)
    canvas.value[ribs] = hu["bone"]
    dome = z + ((abs(x) - 34) ** 2 + (y - 2) ** 2) / np.float32(75)
    canvas.paint(whole, cavity & (dome > rng.uniform(55, 61)), hu["lung"])
    for side in (-1, 1):
        canvas.fill(Ball((23 * side, -41, 0), (17, 12, 400)), hu["muscle"])
        canvas.fill(Ball((19 * side, -26, -60), (8, 9, 62)), hu["muscle"])
    box, spine = canvas.square(Ball((0, -29, 0), (15, 13, 500)))
    canvas.paint(box, spine < 1, hu["bone"])
    canvas.paint(box, spine < 0.68, hu["marrow"])
    discs = (spine < 0.68) & (np.sin(z[box] * np.float32(0.29)) > 0.86)
    canvas.paint(box, discs, hu["disc"])
    canvas.fill(Ball((0, -47, 0), (5, 9, 500)), hu["bone"])
    canvas.fill(Ball((0, -43, 0), (6, 4.5, 500)), hu["content"])


def _paint_bowel(scene: Scene) -> None:
    """Paint the pancreas and loops with fluid, contrast or gas, none labelled."""
    canvas, hu, rng = scene.canvas, scene.hu, scene.rng
    head, tail = Ball((9, 5, -4), (11, 9, 12)), Ball((-16, -1, 6), (24, 6, 7), (12, 0))
    for part in (head, tail):
        canvas.fill(scene.vary(part), hu["pancreas"])
    for _ in range(22):
        centre = rng.uniform((-54, -6, -95), (54, 38, -20))
        radii, tilt = rng.uniform((9, 7, 8), (22, 12, 13)), rng.uniform(-60, 60, 2)
        box, square = canvas.square(Ball(tuple(centre), tuple(radii), tuple(tilt)))
        filling = rng.choice(
            ["content", "wall", "contrast", "gas"], p=(0.45, 0.2, 0.2, 0.15)
        )
        canvas.paint(box, square < 1, hu["wall"])
        canvas.paint(box, square < 0.6, hu[filling])


def _paint_stomach(scene: Scene) -> None:
    """Paint fundus, body and antrum: a wall round fluid with gas in front."""
    canvas, hu, rng = scene.canvas, scene.hu, scene.rng
    full = rng.uniform(0.92, 1.16)
    parts = (
        Ball((-34, -2, 36), (19, 21, 22)),
        Ball((-30, 18, 14), (16, 15, 25), (18, 0)),
        Ball((-9, 27, 2), (21, 12, 13), (-12, 0)),
    )
    balls = []
    for centre, (a, b, c), tilt in parts:
        balls.append(scene.vary(Ball(centre, (full * a, full * b, full * c), tilt)))
        canvas.fill(balls[-1], hu["wall"], STOMACH)
    level = rng.uniform(
        18, 34
    )  # gas rises to the front of a patient who lies on the back
    for ball in balls:
        box, square = canvas.square(ball)
        lumen = square < (1 - 2.5 / min(ball.radii)) ** 2
        canvas.paint(box, lumen, hu["content"])
        canvas.paint(box, lumen & (canvas.where[(1, *box)] > level), hu["gas"])


def _paint_liver_and_spleen(scene: Scene) -> None:
    """Paint the spleen round its hilum, the liver round the porta, the gallbladder."""
    canvas, hu, vary = scene.canvas, scene.hu, scene.vary
    spleen = vary(Ball((-55, -13, 27), (17, 25, 30), (-12, 10)))
    hilum = vary(Ball((-34, 2, 24), (15, 18, 24)))
    canvas.fill(spleen, hu["spleen"], SPLEEN, without=(hilum,))
    porta = vary(Ball((8, -16, 2), (21, 24, 28)))
    below = vary(Ball((22, 34, -30), (44, 32, 34)), shift=6)
    right = Ball((38, 0, 20), (35, 40, 44), (8, 0))
    left = Ball((4, 22, 34), (36, 18, 22), (14, 0))
    for lobe in (right, left):
        lobe = vary(lobe, size=0.12)
        canvas.fill(lobe, hu["liver"], LIVER, without=(porta, below))
    bladder = vary(Ball((25, 15, -2), (8, 9, 15), (25, 20)))
    canvas.fill(bladder, hu["bile"], GALLBLADDER)


def _paint_kidneys_and_adrenals(scene: Scene) -> None:
    """Paint kidneys with cortex, medulla and sinus, and two limbs of each adrenal."""
    canvas, hu, vary = scene.canvas, scene.hu, scene.vary
    for side, label in ((1, KIDNEY_R), (-1, KIDNEY_L)):
        height = -18 if side > 0 else -12  # the right one lies lower, under the liver
        kidney = vary(Ball((41 * side, -23, height), (14, 14, 29), (9.0 * side, -8)))
        x, y, z = kidney.centre
        sinus = Ball((x - 12 * side, y + 3, z), (8, 7, 11))
        canvas.fill(kidney, hu["cortex"], label, without=(sinus,))
        box, square = canvas.square(kidney)
        medulla = (square < 0.5) & (canvas.label[box] == label)
        canvas.paint(box, medulla, hu["medulla"])
        for limb in (-1, 1):
            centre = (24.0 * side + 4 * limb, -19.0 + 2 * limb, 21.0)
            gland = vary(Ball(centre, (3.2, 9.5, 11), (-18.0 * limb, 12.0)), shift=1.5)
            canvas.fill(gland, hu["adrenal"], ADRENALS)


def _paint_vessels(scene: Scene) -> None:
    """Paint the vena cava (right) and the aorta (left of the midline), which bend."""
    canvas, rng = scene.canvas, scene.rng
    for name, label, centre, radii in (
        ("cava", CAVA, (12.0, -10.0), (7.6, 5.8)),
        ("aorta", AORTA, (-6.0, -10.5), (6.3, 6.3)),
    ):
        cx, cy = np.add(centre, rng.uniform(-1.5, 1.5, 2)).astype(np.float32)
        rx, ry = np.multiply(radii, rng.uniform(0.88, 1.12)).astype(np.float32)
        bend, phase = rng.uniform((1, 0), (3.5, 2 * np.pi)).astype(np.float32)
        half = np.array([1.15 * rx + bend, 1.15 * ry + bend, 300])
        box = canvas.box((float(cx), float(cy), 0.0), half)
        x, y, z = canvas.where[(slice(None), *box)]
        course = bend * np.sin(z * np.float32(0.03) + phase)
        taper = np.clip(1 + z * np.float32(0.0016), 0.8, 1.15)
        dx, dy = (x - cx - course) / rx, (y - cy + course / 2) / ry
        canvas.paint(box, dx * dx + dy * dy < taper * taper, scene.hu[name], label)


def _paint_tumour(scene: Scene) -> None:
    """Paint a lesion in the liver: darker than it by 25 to 55 HU, rarely brighter."""
    rng = scene.rng
    contrast = rng.uniform(25, 55) * rng.choice((-1, 1), p=(0.85, 0.15))
    radii = rng.uniform(8, 14) * rng.uniform(0.85, 1.15, 3)
    centre, tilt = rng.uniform((30, -14, 18), (50, 18, 44)), rng.uniform(-30, 30, 2)
    lesion = Ball(tuple(centre), tuple(radii), tuple(tilt))
    scene.canvas.fill(lesion, scene.hu["liver"] + contrast, TUMOUR, within=LIVER)


def _scan(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return what a scanner sees of the canvas: voxel means, blur, texture and noise.

    Whole HU from -1024 to 3071 in float32, as a 12-bit scanner stores them.
    """
    hu = ndimage.gaussian_filter(mean_blocks(canvas.value, FINE), (0.45, 0.45, 0.25))
    soft = np.clip(1 - abs(hu - 60) / 250, 0, 1)  # neither air nor bone has texture
    texture, noise = rng.uniform((4, 12), (8, 22))
    hu += soft * correlated_noise(rng, SHAPE, sigma=(1.8, 1.8, 1.2), sd=texture)
    hu += correlated_noise(rng, SHAPE, sigma=(0.6, 0.6, 0.3), sd=noise)
    return np.asarray(np.clip(np.rint(hu), -1024, 3071), np.float32)
