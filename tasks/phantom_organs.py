"""SYNTHETIC abdomens in the manner of portal-venous CT, made from a seed: no patient.

A small body (about 165 mm wide) is painted from implicit shapes in body coordinates: mm
along R, A, S, origin between the kidneys. A case varies it by pose, size, place and shape of
each organ and a smooth deformation. Painting happens on a grid twice as fine along each
axis, so that averaging gives real partial volumes. Attenuations (HU) are drawn per case from
ranges that overlap between organs, as they do in enhanced CT; bowel with fluid, contrast or
gas, muscle, pancreas, bones and vertebrae are distractors without a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from harness.schema.cases import CaseRef, Side
from harness.schema.identity import seed_for
from harness.volumes.formats import RawCase

VERSION = 1  # raise whenever a voxel of any case changes: it enters the data fingerprint

SHAPE = (72, 56, 40)  # voxels along R, A, S
FINE = 2  # painted sub-voxels per voxel and axis
KNOTS = 5  # control points of the deformation per axis

LIVER, SPLEEN, KIDNEY_R, KIDNEY_L, STOMACH, GALLBLADDER = 1, 2, 3, 4, 5, 6
ADRENALS, AORTA, CAVA, TUMOUR = 7, 8, 9, 10
LABELS = 11  # with background
UNLABELLED = 0

# Mean and half range of the HU of each tissue; a case draws uniformly within.
TISSUE_HU: dict[str, tuple[float, float]] = {
    "air": (-1000, 0), "lung": (-820, 50), "fat": (-100, 8), "muscle": (58, 8),
    "bone": (330, 50), "marrow": (185, 35), "disc": (85, 10), "liver": (104, 16),
    "spleen": (116, 16), "cortex": (158, 24), "medulla": (128, 22), "wall": (74, 10),
    "content": (32, 22), "bile": (12, 8), "adrenal": (72, 12), "aorta": (148, 20),
    "cava": (122, 20), "pancreas": (86, 14), "gas": (-850, 80),
}  # fmt: skip

F32 = NDArray[np.float32]
Box = tuple[slice, slice, slice]


class Ball(NamedTuple):
    """An ellipsoid: centre and radii in mm, turned by `tilt` degrees about A, then R."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    tilt: tuple[float, float] = (0.0, 0.0)

    def turn(self) -> NDArray[np.float64]:
        """Return the rotation (3, 3) from body coordinates to the ball's own axes."""
        (ca, cr), (sa, sr) = np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))
        return np.array([[ca, 0, -sa], [-sr * sa, cr, -sr * ca], [cr * sa, sr, cr * ca]])

    def square(self, where: F32) -> F32:
        """Return (distance from the centre / radius)^2 at `where`, (3, ...) mm."""
        rows = (self.turn() / np.array(self.radii)[:, None]).astype(np.float32)
        x, y, z = (w - np.float32(c) for w, c in zip(where, self.centre, strict=True))
        total = np.zeros_like(x)
        for a, b, c in rows:
            along = a * x
            if b:
                along += b * y
            if c:
                along += c * z
            along *= along
            total += along
        return total


def cases(
    seed: int, *, train: int = 36, val: int = 8, test: int = 16, tumours: float = 0.6
) -> list[CaseRef]:
    """List the cases: one per imaginary patient, in the order train, val, test.

    tumours: share of cases with a liver tumour, in [0, 1]. No voxels are made.
    """
    stamp = f"phantom_organs v{VERSION} seed {seed} tumours {tumours}"
    sides: list[Side] = [*["train"] * train, *["val"] * val, *["test"] * test]
    return [
        CaseRef(f"organs_{i:04d}", f"organs_{i:04d}", side=side, stamp=stamp)
        for i, side in enumerate(sides)
    ]


def make(
    case: CaseRef, seed: int, *, tumours: float = 0.6, **_counts: int
) -> RawCase:
    """Paint a case: (1, 72, 56, 40) HU and its label map; equal bytes for equal arguments."""
    scene = Scene.draw(_rng(seed, case.case_id, "anatomy"))
    _paint_walls(scene)
    _paint_bowel(scene)
    _paint_organs(scene)
    _paint_vessels(scene)
    if _rng(seed, case.case_id, "tumour").random() < tumours:
        _paint_tumour(scene)
    image = _scan(scene, _rng(seed, case.case_id, "scanner"))
    affine = np.diag([*scene.spacing, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip(scene.spacing, SHAPE, strict=True)]
    return RawCase(image=image[None], label=_majority(scene.label), affine=affine)


def _rng(seed: int, case_id: str, purpose: str) -> np.random.Generator:
    return np.random.default_rng(seed_for(f"{seed}:{case_id}", purpose))


@dataclass
class Scene:
    """What is painted on: HU and label of each sub-voxel, and where it lies in the body.

    where: (3, 2D, 2H, 2W) mm in body coordinates; hu, label: (2D, 2H, 2W).
    reach: per axis, least and greatest `where` minus the scanner's coordinate, in mm.
    """

    rng: np.random.Generator
    spacing: tuple[float, float, float]
    where: F32
    scanner: tuple[F32, F32, F32]
    reach: tuple[tuple[float, float], ...]
    hu: F32
    label: NDArray[np.uint8]
    tissue: dict[str, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Scene:
        """Draw spacing, pose, deformation and the HU of each tissue; paint air."""
        plane = round(rng.uniform(2.6, 3.0), 3)
        spacing = (plane, plane, round(rng.uniform(4.0, 5.5), 3))
        fine = tuple(FINE * n for n in SHAPE)
        x, y, z = (
            ((np.arange(n) - (n - 1) / 2) * s / FINE).astype(np.float32)
            for n, s in zip(fine, spacing, strict=True)
        )
        where = _deformation(rng, fine) + _pose(rng, x, y, z)
        grid = (x[:, None, None], y[None, :, None], z[None, None, :])
        apart = [body - at for body, at in zip(where, grid, strict=True)]
        reach = tuple((float(a.min()), float(a.max())) for a in apart)
        drawn = {name: rng.uniform(m - h, m + h) for name, (m, h) in TISSUE_HU.items()}
        hu = np.full(fine, drawn["air"], np.float32)
        label = np.zeros(fine, np.uint8)
        return cls(rng, spacing, where, (x, y, z), reach, hu, label, drawn)

    def box(self, centre: tuple[float, ...], half: tuple[float, ...]) -> Box:
        """Return the sub-voxels that may lie within `half` mm of `centre` in the body."""
        edges = []
        for axis, c, h, (least, most) in zip(
            self.scanner, centre, half, self.reach, strict=True
        ):
            low, high = np.searchsorted(axis, (c - h - most, c + h - least))
            edges.append(slice(int(low), int(high)))
        return edges[0], edges[1], edges[2]

    def vary(self, ball: Ball, *, shift: float = 3.0, size: float = 0.1) -> Ball:
        """Return the ball moved by up to `shift` mm, resized by up to `size`, turned."""
        centre = np.add(ball.centre, self.rng.uniform(-shift, shift, 3))
        radii = np.multiply(ball.radii, self.rng.uniform(1 - size, 1 + size, 3))
        tilt = np.add(ball.tilt, self.rng.uniform(-8, 8, 2))
        return Ball(tuple(centre), tuple(radii), tuple(tilt))

    def depth(self, ball: Ball) -> tuple[Box, F32]:
        """Return a box round the ball and, in it, (distance / radius)^2: below 1 inside."""
        turn = ball.turn()
        half = np.sqrt(((turn * np.array(ball.radii)[:, None]) ** 2).sum(0))
        box = self.box(ball.centre, tuple(half))
        return box, ball.square(self.where[(slice(None), *box)])

    def paint(
        self, box: Box, mask: NDArray[np.bool_], hu: float, label: int | None
    ) -> None:
        """Set HU, and the label unless None, where `mask` holds in `box`."""
        np.copyto(self.hu[box], np.float32(hu), where=mask)
        if label is not None:
            np.copyto(self.label[box], np.uint8(label), where=mask)

    def fill(
        self, ball: Ball, hu: float, label: int, *, within: int | None = None,
        without: tuple[Ball, ...] = (),
    ) -> None:  # fmt: skip
        """Paint a ball, less the balls `without`, only over the label `within` if given."""
        box, square = self.depth(ball)
        mask = square < 1
        for hole in without:
            mask &= hole.square(self.where[(slice(None), *box)]) >= 1
        if within is not None:
            mask &= self.label[box] == within
        self.paint(box, mask, hu, label)


def _deformation(rng: np.random.Generator, fine: tuple[int, ...]) -> F32:
    """Return a smooth random displacement (3, *fine) in mm from 5^3 cubic control points."""
    knots = rng.normal(0, 4.5, (3, KNOTS, KNOTS, KNOTS)).astype(np.float32)
    weights = []
    for n in fine:
        at = np.linspace(0, KNOTS - 1, n)[:, None] - np.arange(KNOTS)[None, :]
        weights.append((np.exp(-0.5 * (at / 0.75) ** 2) / 1.88).astype(np.float32))
    # One axis at a time and without BLAS, whose sums depend on the number of threads.
    field = np.einsum("ck,pabc->pabk", weights[2].T, knots)
    field = np.einsum("bj,pabk->pajk", weights[1].T, field)
    return np.einsum("ai,pajk->pijk", weights[0].T, field).astype(np.float32)


def _pose(rng: np.random.Generator, x: F32, y: F32, z: F32) -> F32:
    """Return body coordinates (3, D, H, W) of a body scaled, shifted and turned a little."""
    angles = np.radians(rng.uniform(-5, 5, 3))
    (cr, ca, cs), (sr, sa, ss) = np.cos(angles), np.sin(angles)
    turn = np.array([
        [ca * cs, -ca * ss, sa],
        [cr * ss + sr * sa * cs, cr * cs - sr * sa * ss, -sr * ca],
        [sr * ss - cr * sa * cs, sr * cs + cr * sa * ss, cr * ca],
    ])  # fmt: skip
    turn *= rng.uniform(0.95, 1.1) * rng.uniform(0.96, 1.04, (3, 1))
    t = turn.astype(np.float32)
    shift = rng.uniform((-4, -3, -6), (4, 3, 6)).astype(np.float32)
    return np.stack([
        (t[i, 0] * x + shift[i])[:, None, None]
        + (t[i, 1] * y)[None, :, None]
        + (t[i, 2] * z)[None, None, :]
        for i in range(3)
    ])  # fmt: skip


def _paint_walls(scene: Scene) -> None:
    """Paint skin and fat, the muscle wall with ribs, lung bases, spine and back muscles."""
    x, y, z = scene.where
    hu, t, rng = scene.hu, scene.tissue, scene.rng
    fat = rng.uniform(4, 10)  # mm below the skin
    across, deep = (x / np.float32(82)) ** 2, (y / np.float32(57)) ** 2
    outline = across * across + deep * deep + np.float32(1.3) * across * deep
    wall, cavity = (outline < (1 - edge / 70) ** 4 for edge in (fat, fat + 7))
    np.copyto(hu, np.float32(t["fat"]), where=outline < 1)
    np.copyto(hu, np.float32(t["muscle"]), where=wall ^ cavity)
    ribs = np.nonzero((wall ^ cavity) & (z > -28) & (abs(x) > 20))
    phase = np.sin((z[ribs] + 0.45 * abs(x[ribs]) - 0.5 * y[ribs]) * (2 * np.pi / 21))
    hu[ribs] = np.where(phase > 0.55, np.float32(t["bone"]), hu[ribs])
    dome = z + ((abs(x) - 34) ** 2 + (y - 2) ** 2) / np.float32(75)
    np.copyto(hu, np.float32(t["lung"]), where=cavity & (dome > rng.uniform(55, 61)))
    for side in (-1, 1):
        scene.fill(Ball((23 * side, -41, 0), (17, 12, 400)), t["muscle"], UNLABELLED)
        scene.fill(Ball((19 * side, -26, -60), (8, 9, 62)), t["muscle"], UNLABELLED)
    box, spine = scene.depth(Ball((0, -29, 0), (15, 13, 500)))
    scene.paint(box, spine < 1, t["bone"], None)
    scene.paint(box, spine < 0.68, t["marrow"], None)
    discs = (spine < 0.68) & (np.sin(z[box] * np.float32(0.29)) > 0.86)
    scene.paint(box, discs, t["disc"], None)
    scene.fill(Ball((0, -47, 0), (5, 9, 500)), t["bone"], UNLABELLED)
    scene.fill(Ball((0, -43, 0), (6, 4.5, 500)), t["content"], UNLABELLED)


def _paint_bowel(scene: Scene) -> None:
    """Paint the pancreas and loops with fluid, positive contrast or gas, none labelled."""
    t, rng = scene.tissue, scene.rng
    for centre, radii in (((9, 5, -4), (11, 9, 12)), ((-16, -1, 6), (24, 6, 7))):
        ball = scene.vary(Ball(centre, radii, (12.0, 0.0)))
        scene.fill(ball, t["pancreas"], UNLABELLED)
    fills = (t["content"], t["content"] + 20, 150.0, t["gas"])
    for _ in range(22):
        centre = rng.uniform((-54, -6, -95), (54, 38, -20))
        radii, tilt = rng.uniform((9, 7, 8), (22, 12, 13)), rng.uniform(-60, 60, 2)
        box, square = scene.depth(Ball(tuple(centre), tuple(radii), tuple(tilt)))
        scene.paint(box, square < 1, t["wall"], None)
        hu = fills[rng.choice(4, p=(0.45, 0.2, 0.2, 0.15))]
        scene.paint(box, square < 0.6, hu, None)


def _paint_organs(scene: Scene) -> None:
    """Paint stomach, spleen, liver, gallbladder, kidneys and adrenals, in this order."""
    t, vary = scene.tissue, scene.vary
    _paint_stomach(scene)
    spleen = vary(Ball((-55, -13, 27), (17, 25, 30), (-12, 10)))
    scene.fill(spleen, t["spleen"], SPLEEN, without=(vary(Ball((-34, 2, 24), (15, 18, 24))),))
    porta = vary(Ball((8, -16, 2), (21, 24, 28)))
    below = vary(Ball((22, 34, -30), (44, 32, 34)), shift=6)
    lobes = (
        Ball((38, 0, 22), (35, 40, 46), (8, 0)), Ball((4, 22, 34), (36, 18, 22), (14, 0)),
    )  # fmt: skip
    for lobe in lobes:
        scene.fill(vary(lobe, size=0.14), t["liver"], LIVER, without=(porta, below))
    scene.fill(vary(Ball((25, 15, -2), (8, 9, 15), (25, 20))), t["bile"], GALLBLADDER)
    for side, label in ((1, KIDNEY_R), (-1, KIDNEY_L)):
        lower = 6 if side > 0 else 0  # the right kidney lies lower, under the liver
        kidney = vary(Ball((41 * side, -23, -12 - lower), (14, 14, 29), (9.0 * side, -8)))
        x, y, z = kidney.centre
        sinus = Ball((x - 12 * side, y + 3, z), (8, 7, 11))
        scene.fill(kidney, t["cortex"], label, without=(sinus,))
        box, square = scene.depth(kidney)
        medulla = (square < 0.5) & (scene.label[box] == label)
        scene.paint(box, medulla, t["medulla"], label)
    for side in (1, -1):
        for limb in (-1, 1):
            centre = (24.0 * side + 4 * limb, -19.0 + 2 * limb, 21.0)
            ball = Ball(centre, (3.2, 9.5, 11), (-18.0 * limb, 12.0))
            scene.fill(vary(ball, shift=1.5), t["adrenal"], ADRENALS)


def _paint_stomach(scene: Scene) -> None:
    """Paint fundus, body and antrum: a wall round heterogeneous content and a gas bubble."""
    t, rng = scene.tissue, scene.rng
    parts = (
        Ball((-34, -2, 36), (19, 21, 22)), Ball((-30, 18, 14), (16, 15, 25), (18, 0)),
        Ball((-9, 27, -2), (21, 11, 12), (-12, 0)),
    )  # fmt: skip
    full = rng.uniform(0.85, 1.12)
    balls = [scene.vary(p._replace(radii=tuple(full * r for r in p.radii))) for p in parts]
    for ball in balls:
        scene.fill(ball, t["wall"], STOMACH)
    level = rng.uniform(18, 34)  # gas rises to the front of a patient who lies on the back
    for ball in balls:
        box, square = scene.depth(ball)
        lumen = square < (1 - 2.5 / min(ball.radii)) ** 2
        scene.paint(box, lumen, t["content"], None)
        scene.paint(box, lumen & (scene.where[(1, *box)] > level), t["gas"], None)


def _paint_vessels(scene: Scene) -> None:
    """Paint the aorta (left of the midline, behind) and the vena cava (right)."""
    rng = scene.rng
    for name, label, centre, radii in (
        ("cava", CAVA, (12.0, -10.0), (7.6, 5.8)), ("aorta", AORTA, (-6.0, -10.5), (6.3, 6.3))
    ):  # fmt: skip
        cx, cy = np.add(centre, rng.uniform(-1.5, 1.5, 2))
        bend, phase = rng.uniform(1, 3.5), rng.uniform(0, 2 * np.pi)
        rx, ry = np.multiply(radii, rng.uniform(0.88, 1.12))
        box = scene.box((cx, cy, 0.0), (rx + bend, ry + bend, 300.0))
        x, y, z = scene.where[(slice(None), *box)]
        course = np.float32(bend) * np.sin(z * np.float32(0.03) + np.float32(phase))
        taper = np.clip(1 + z * np.float32(0.0016), 0.8, 1.15)
        dx, dy = (x - np.float32(cx) - course) / rx, (y - np.float32(cy) + course / 2) / ry
        mask = dx * dx + dy * dy < taper * taper
        scene.paint(box, mask, scene.tissue[name], label)


def _paint_tumour(scene: Scene) -> None:
    """Paint one lesion inside the liver, darker than it by 25 to 55 HU or, rarely, brighter."""
    rng = scene.rng
    contrast = rng.uniform(25, 55) * rng.choice((-1, 1), p=(0.85, 0.15))
    radii = tuple(rng.uniform(8, 14) * rng.uniform(0.85, 1.15, 3))
    centre = tuple(rng.uniform((30, -14, 18), (50, 18, 44)))
    hu = scene.tissue["liver"] + contrast
    scene.fill(Ball(centre, radii, tuple(rng.uniform(-30, 30, 2))), hu, TUMOUR, within=LIVER)


def _majority(fine: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the most frequent label (lowest on ties) of each voxel's 2x2x2 sub-voxels."""
    d, h, w = SHAPE
    blocks = fine.reshape(d, FINE, h, FINE, w, FINE).transpose(0, 2, 4, 1, 3, 5)
    flat = blocks.reshape(d * h * w, FINE**3).astype(np.int64)
    index = flat + LABELS * np.arange(len(flat))[:, None]
    counts = np.bincount(index.ravel(), minlength=len(flat) * LABELS)
    return counts.reshape(*SHAPE, LABELS).argmax(-1).astype(np.uint8)


def _scan(scene: Scene, rng: np.random.Generator) -> F32:
    """Average sub-voxels, then blur, texture and correlated noise; whole HU, float32."""
    d, h, w = SHAPE
    hu = scene.hu.reshape(d, FINE, h, FINE, w, FINE).mean((1, 3, 5), dtype=np.float32)
    hu = ndimage.gaussian_filter(hu, (0.45, 0.45, 0.25))
    soft = np.clip(1 - abs(hu - 60) / 250, 0, 1)  # texture of soft tissue, not of air or bone
    white = rng.standard_normal((2, *SHAPE), dtype=np.float32)
    texture = ndimage.gaussian_filter(white[0], (1.8, 1.8, 1.2))
    noise = ndimage.gaussian_filter(white[1], (0.6, 0.6, 0.3))
    hu += soft * (rng.uniform(4, 8) * texture / texture.std())
    hu += rng.uniform(12, 22) * noise / noise.std()
    return np.clip(np.rint(hu), -1024, 3071).astype(np.float32)
