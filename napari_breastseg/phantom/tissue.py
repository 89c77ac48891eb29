"""Signals of the tissues of a phantom patient on the exam's voxels, before lesions and scanner.

Signals are those of a T1-weighted gradient echo in arbitrary units in which suppressed fat is
100. Contrast agent adds to them in two ways: like blood, and like slow tissue; each phase is a
sum of three maps. Imports `config`, `fields`, `anatomy`, `confounders` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import BREAST_BASE_MM, Anatomy, BreastShape
from .config import PhantomConfig, Tissue
from .confounders import Confounders
from .fields import Axes, Floats, noise, over, soft_inside, splat

__all__ = ["GLAND_SIGNAL", "Painted", "paint"]

FAT_SIGNAL, GLAND_SIGNAL, SKIN_SIGNAL, MUSCLE_SIGNAL = 100.0, 165.0, 150.0, 112.0
BLOOD_SIGNAL, BLOOD_GAIN = 80.0, 400.0
SKIN_MM = 1.8


@dataclass(frozen=True, eq=False)
class Painted:
    """Maps of shape (Z, Y, X), float32."""

    plain: Floats
    """Signal before contrast."""

    blood: Floats
    """What the peak of contrast in blood adds."""

    slow: Floats
    """What slow tissue has added at 90 s."""

    labels: NDArray[np.uint8]
    """`Tissue` values."""

    breasts: NDArray[np.uint8]
    """0, 1 right breast, 2 left breast."""


class _Canvas:
    """The maps while they are painted, one tissue over the other."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.plain = np.zeros(shape, np.float32)
        self.blood = np.zeros(shape, np.float32)
        self.slow = np.zeros(shape, np.float32)
        self.labels = np.zeros(shape, np.uint8)

    def paint(
        self,
        box: tuple[slice, ...],
        share: Floats,
        tissue: Tissue,
        plain: float | Floats,
        slow: float | Floats = 0.0,
        blood: float | Floats = 0.0,
    ) -> None:
        over(self.plain[box], plain, share)
        over(self.slow[box], slow, share)
        over(self.blood[box], blood, share)
        self.labels[box][share >= 0.5] = tissue


def paint(
    rng: np.random.Generator,
    anatomy: Anatomy,
    confounders: Confounders,
    axes: Axes,
    config: PhantomConfig,
) -> Painted:
    """Paint the patient on a voxel grid.

    Parameters
    ----------
    rng : Generator
        Gives the same texture whatever the grid is.
    axes : Axes
        Body positions of the voxels.
    """
    edge_mm = 1.1 * config.spacing_mm[1]
    canvas = _Canvas(axes.shape)
    everything = (slice(None),) * 3
    body = anatomy.body.at(axes)
    inner = body + np.float32(SKIN_MM)
    grain = noise(rng, 7.0).at(axes)
    fat = _fat(rng, grain, anatomy, axes, config)
    if confounders.bright_fat is not None:
        fat *= 1 + np.float32(2.6) * confounders.bright_fat
    canvas.paint(everything, soft_inside(body, edge_mm), Tissue.FAT, fat)

    pectoral = anatomy.pectoral.at(axes)
    in_breast = (body < 0) & (anatomy.plan.at(axes) < 0) & (pectoral > 0)
    in_breast &= axes.front[:, None] > BREAST_BASE_MM
    breasts = in_breast.astype(np.uint8) * np.where(axes.left < 0, np.uint8(1), np.uint8(2))
    _paint_gland(rng, canvas, anatomy, axes, in_breast & (body < -SKIN_MM), config, confounders)

    _paint_chest(rng, canvas, anatomy, axes, pectoral, grain, edge_mm)

    vessels = np.zeros(axes.shape, np.float32)
    splat(vessels, axes, anatomy.vessels.points_mm, anatomy.vessels.radii_mm)
    vessels *= soft_inside(body, edge_mm)
    canvas.paint(everything, vessels, Tissue.VESSEL, 110.0, 0.0, 330.0)
    for tubes, tissue, signals in (
        (confounders.vessels, Tissue.VESSEL, (125.0, 0.0, 330.0)),
        (confounders.nodes, Tissue.LYMPH_NODE, (130.0, 40.0, 260.0)),
    ):
        if len(tubes.radii_mm):
            share = np.zeros(axes.shape, np.float32)
            splat(share, axes, tubes.points_mm, tubes.radii_mm)
            share *= soft_inside(inner, edge_mm)
            canvas.paint(everything, share, tissue, *signals)
    nodes = np.zeros(axes.shape, np.float32)
    splat(nodes, axes, anatomy.nodes.points_mm, anatomy.nodes.radii_mm)
    nodes *= soft_inside(body, edge_mm)
    canvas.paint(everything, nodes, Tissue.LYMPH_NODE, 130.0, 150.0, 60.0)

    skin = soft_inside(body, edge_mm) * (1 - soft_inside(inner, edge_mm))
    canvas.paint(everything, skin, Tissue.SKIN, SKIN_SIGNAL, 38.0)
    _paint_nipples(canvas, anatomy, axes, edge_mm, config)
    # Where skin and air share a voxel in equal parts the paler one must not win by order alone.
    canvas.labels[(body >= 0) & (canvas.labels != Tissue.NIPPLE)] = Tissue.AIR
    return Painted(canvas.plain, canvas.blood, canvas.slow, canvas.labels, breasts)


def _fat(
    rng: np.random.Generator, grain: Floats, anatomy: Anatomy, axes: Axes, config: PhantomConfig
) -> Floats:
    """Signal of fat: faintly grained, and bright where its suppression failed."""
    spread = noise(rng, 38.0)
    fat = (1 + np.float32(0.09) * grain) * np.float32(FAT_SIGNAL * config.fat_level)
    if not config.fat_suppressed:
        fat *= np.float32(4.2)
        return fat
    if config.fat_suppression_failure == 0:
        return fat
    # The field is worst far from the middle of the magnet and in the cleft between the breasts.
    lattice = anatomy.body
    z, y, x = lattice.axes.open()
    worst = np.maximum(np.abs(z) / 75, 0) ** 2 + 1.3 * np.exp(
        -((x / 38) ** 2) - ((y + 5) / 22) ** 2
    )
    level = 0.8 * spread.at(lattice.axes) + worst
    threshold = 3.6 - 4.6 * config.fat_suppression_failure
    failed = 1 / (1 + np.exp(-np.clip((level - threshold) / 0.3, -30, 30)))
    fat *= 1 + np.float32(2.4) * lattice.with_values(failed).at(axes)
    return fat


def _paint_gland(
    rng: np.random.Generator,
    canvas: _Canvas,
    anatomy: Anatomy,
    axes: Axes,
    mask: NDArray[np.bool_],
    config: PhantomConfig,
    confounders: Confounders,
) -> None:
    """Fibroglandular tissue: lobes and strands that run to the nipple."""
    density = config.density
    drawn = float(np.exp(rng.uniform(np.log(0.03), np.log(0.5))))
    density = drawn if density is None else density
    texture = _GlandTexture(rng, anatomy.breasts)
    # The threshold that makes this share gland is found on the lattice, the same for any grid.
    spots = (np.arange(low, high, 5.0) for low, high in ((-70, 70), (-20, 140), (-140, 140)))
    points = np.stack(np.meshgrid(*spots, indexing="ij"), -1)
    level, _, _ = texture.at(points.reshape(-1, 3).T.astype(np.float32))
    level = level[level > -50]
    threshold = float(np.quantile(level, 1 - density)) if density > 0 else 1e9

    z, y, x = np.nonzero(mask)
    where = np.stack([axes.head[z], axes.front[y], axes.left[x]]).astype(np.float32)
    level, strands, crumbs = texture.at(where)
    share = np.clip((level - np.float32(threshold)) / np.float32(0.9) + np.float32(0.5), 0, 1)
    patchy = np.clip(1 + np.float32(0.45) * noise(rng, 9.0).at(axes)[z, y, x], 0.15, None)
    flat = np.ravel_multi_index((z, y, x), axes.shape)
    plain, slow = canvas.plain.reshape(-1), canvas.slow.reshape(-1)
    fat = plain[flat]
    # Thin septa are partial volumes: they are drawn, but most of their voxel is fat.
    covered = np.maximum(share, np.float32(0.48) * strands)
    gland = np.float32(GLAND_SIGNAL) * (
        1 + np.float32(0.08) * (patchy - 1) + np.float32(0.07) * crumbs
    )
    fat *= 1 + np.float32(0.07) * crumbs
    plain[flat] = fat + covered * (gland - fat)
    uptake = np.float32(config.bpe) * patchy
    if confounders.patches is not None:
        uptake = np.maximum(uptake, confounders.patches[z, y, x])
    slow[flat] = covered * gland * uptake
    canvas.labels.reshape(-1)[flat[covered >= 0.5]] = Tissue.GLAND

    foci = np.zeros(axes.shape, np.float32)
    splat(foci, axes, anatomy.foci.points_mm, anatomy.foci.radii_mm)
    foci *= mask
    canvas.paint(
        (slice(None),) * 3,
        foci,
        Tissue.GLAND,
        GLAND_SIGNAL,
        GLAND_SIGNAL * min(0.35 + config.bpe, 1.2),
    )


class _GlandTexture:
    """Noise in coordinates that fan out from the nipple, sampled from tables."""

    def __init__(self, rng: np.random.Generator, breasts: tuple[BreastShape, BreastShape]) -> None:
        from scipy import ndimage

        self.breasts = breasts
        # Table axes: along the ducts, and two angles across them.
        self.tables = []
        for grain in ((6, 3.2, 3.2), (8, 1.2, 1.2), (1.8, 1.3, 1.3)):
            table = rng.standard_normal((64, 80, 80), dtype=np.float32)
            table = ndimage.gaussian_filter(table, grain, mode="wrap", truncate=3.0)
            self.tables.append(table / table.std())
        self.shift = rng.uniform(0, 80, (2, 3)).astype(np.float32)

    def at(self, where: Floats) -> tuple[Floats, Floats, Floats]:
        """Level of gland (high in the lobes), share of septa (0 to 1), grain; points are (3, N)."""
        from scipy import ndimage

        level = np.full(where.shape[1], -99.0, np.float32)
        strands, grain = np.zeros((2, where.shape[1]), np.float32)
        for number, breast in enumerate(self.breasts):
            chosen = np.flatnonzero((where[2] < 0) == (breast.side == "right"))
            z, y, x = where[:, chosen]
            tip = np.float32(breast.tip_mm)
            behind = tip - y
            fan = np.maximum(behind, 0) + np.float32(22)
            across = np.stack([(z - breast.head_mm) / fan, (x - breast.left_mm) / fan])
            index = np.stack([behind / 1.3, across[0] * 48, across[1] * 48])
            index += self.shift[number][:, None]
            lobes, septa, crumbs = (
                ndimage.map_coordinates(t, index, order=1, mode="grid-wrap") for t in self.tables
            )
            # The gland fills a cone behind the nipple and thins out towards chest and skin.
            depth = behind / (tip - np.float32(BREAST_BASE_MM))
            reach = np.sqrt(
                ((z - breast.head_mm) / breast.half_height_mm) ** 2
                + ((x - breast.left_mm) / breast.half_width_mm) ** 2
            )
            cone = 1 - ((depth - 0.36) / 0.42) ** 2 - (reach / 0.85) ** 2
            # It thins out before it ends, lest the end be seen.
            cone -= 15 * (np.maximum(depth - 0.85, 0) + np.maximum(reach - 0.88, 0))
            inside = (reach < 1) & (depth > 0) & (depth < 1.05)
            level[chosen] = np.where(
                inside, 1.1 * cone + 0.65 * lobes + 0.4 * septa + 0.75 * crumbs, -99.0
            )
            ridge = np.exp(-((septa / np.float32(0.16)) ** 2))
            grain[chosen] = crumbs
            strands[chosen] = ridge * np.clip(0.5 + 0.4 * cone + 0.5 * crumbs, 0, 1)
        return level, strands, grain


def _paint_chest(
    rng: np.random.Generator,
    canvas: _Canvas,
    anatomy: Anatomy,
    axes: Axes,
    pectoral: Floats,
    grain: Floats,
    edge_mm: float,
) -> None:
    rows = np.flatnonzero(axes.front < 15)
    fibers = noise(rng, (5.0, 3.0, 14.0))
    if not len(rows):
        return
    box = (slice(None), slice(int(rows[0]), None), slice(None))
    inner = axes.take(*box)
    grain = grain[box]
    cage = anatomy.cage.at(inner)
    muscle = MUSCLE_SIGNAL * (1 + np.float32(0.1) * fibers.at(inner))
    # Fat planes part the muscles.
    muscle -= np.float32(40) * np.exp(-((pectoral[box] / 1.6) ** 2))
    canvas.paint(box, soft_inside(pectoral[box], edge_mm), Tissue.MUSCLE, muscle, 12.0, 6.0)

    z, y, x = inner.open()
    slope = z + np.float32(0.45) * np.abs(x) + np.float32(0.3) * (y + 60)
    rib = soft_inside(
        np.float32(6) * (np.float32(0.45) - np.cos(slope * np.float32(2 * np.pi / 30))), 1.5
    )
    rib *= np.abs(x) > 22
    sternum = soft_inside((np.abs(x) - 17) * np.ones_like(cage), 2.0)
    rib = np.maximum(rib, sternum) * soft_inside(np.abs(cage + 5) - 4, edge_mm)
    canvas.paint(box, rib, Tissue.BONE, 62.0 + 10.0 * grain, 10.0, 8.0)

    lung = soft_inside(cage + 10, edge_mm)
    canvas.paint(box, lung, Tissue.LUNG, 12.0, 0.0, 12.0)
    abdomen = anatomy.abdomen.at(inner)
    is_liver: Floats = np.clip(np.float32(0.5) - (x - 22) / np.float32(12), 0, 1)
    organ = soft_inside(abdomen, 2 * edge_mm) * lung
    mottled = np.clip(1 + np.float32(0.06) * grain, 0.2, 2)
    canvas.paint(
        box,
        organ,
        Tissue.ABDOMEN,
        (70 + 80 * is_liver) * mottled,
        (20 + 80 * is_liver) * mottled,
        40.0 + 30.0 * is_liver,
    )
    tubes = np.zeros(inner.shape, np.float32)
    splat(tubes, inner, anatomy.lung_vessels.points_mm, anatomy.lung_vessels.radii_mm)
    tubes *= lung * (1 - organ)
    canvas.paint(box, tubes, Tissue.GREAT_VESSEL, BLOOD_SIGNAL, 0.0, BLOOD_GAIN * 0.8)
    heart = soft_inside(anatomy.heart.at(inner), 2 * edge_mm) * lung
    heart *= 1 - organ
    canvas.paint(box, heart, Tissue.HEART, 85.0, 25.0, 90.0 + 10.0 * grain)
    pools = soft_inside(anatomy.pools.at(inner), 2.5 * edge_mm) * heart
    canvas.paint(box, pools, Tissue.HEART, BLOOD_SIGNAL, 0.0, BLOOD_GAIN * (1 + 0.05 * grain))
    great = soft_inside(anatomy.great.at(inner), 1.5 * edge_mm) * lung
    canvas.paint(box, great, Tissue.GREAT_VESSEL, BLOOD_SIGNAL, 0.0, BLOOD_GAIN)
    spine = soft_inside(anatomy.spine.at(inner), edge_mm)
    canvas.paint(box, spine, Tissue.BONE, 70.0 + 12.0 * grain, 20.0, 15.0)


def _paint_nipples(
    canvas: _Canvas, anatomy: Anatomy, axes: Axes, edge_mm: float, config: PhantomConfig
) -> None:
    for center in anatomy.nipples_mm:
        box = tuple(
            slice(*np.flatnonzero(np.abs(axis - c) < 12)[[0, -1]] + (0, 1))
            if (np.abs(axis - c) < 12).any()
            else slice(0, 0)
            for axis, c in zip((axes.head, axes.front, axes.left), center, strict=True)
        )
        if any(b.start == b.stop for b in box):
            continue
        z, y, x = axes.take(*box).open()
        radius = np.sqrt(
            ((z - center[0]) / 5.5) ** 2
            + ((y - center[1] - 0.5) / 5.0) ** 2
            + ((x - center[2]) / 6.0) ** 2
        )
        share = soft_inside(((radius - 1) * 5.5).astype(np.float32), edge_mm)
        canvas.paint(box, share, Tissue.NIPPLE, 165.0, 110.0 + 40.0 * config.bpe, 40.0)
