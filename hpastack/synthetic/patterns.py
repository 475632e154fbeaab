"""The 28 patterns: one drawing function for each label of HPA 2018.

A pattern takes the cells of a field and a random generator, and returns a map
of shape (H, W) of the protein, 0 where it is absent. Diffuse patterns (cytosol)
are dimmer than concentrated ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from hpastack.synthetic.cells import Cells, bridge_line
from hpastack.synthetic.drawing import blur, smooth_noise, splat, stamp, walks

Pattern = Callable[[Cells, np.random.Generator], np.ndarray]

#: Drawing function of each label, by its name.
PATTERNS: dict[str, Pattern] = {}


def _pattern(name: str) -> Callable[[Pattern], Pattern]:
    def register(draw: Pattern) -> Pattern:
        PATTERNS[name] = draw
        return draw

    return register


def _inside(cells: Cells) -> np.ndarray:
    """Map of the nuclei, with soft rims."""
    return np.clip(cells.depth / (1.2 * cells.unit), 0, 1)


def _around(cells: Cells, reach: float) -> np.ndarray:
    """Map of the cytoplasm, decaying over `reach` units with the distance from the nucleus."""
    fade = np.exp(-cells.gap / (reach * cells.unit))
    return cells.cytoplasm * np.where(cells.mitotic[cells.label], 0.3, fade)


def _thread(
    cells: Cells,
    y: np.ndarray,
    x: np.ndarray,
    number: ArrayLike,
    weight: ArrayLike = 1.0,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """Draw the parts of curves that are within their own cell, equally intense at every size."""
    own = cells.at(cells.label, y, x) == np.asarray(number)[:, None]
    if within is not None:
        own &= cells.at(within, y, x)
    weight = np.broadcast_to(np.asarray(weight, np.float32), y.shape)
    return splat(cells.shape, y[own], x[own], weight[own] * cells.unit)


# ---------------------------------------------------------------- the nucleus


@_pattern("Nucleoplasm")
def nucleoplasm(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Fill the nuclei except for the nucleoli."""
    grain = 1 + 0.18 * smooth_noise(cells.shape, 3 * cells.unit, rng)
    return 0.6 * _inside(cells) * grain * (1 - 0.85 * cells.nucleoli)


@_pattern("Nuclear membrane")
def nuclear_membrane(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw a thin rim around each nucleus, with a dim interior."""
    rim = np.exp(-(((cells.depth - 1.2 * cells.unit) / (1.0 * cells.unit)) ** 2))
    uneven = np.clip(1 + 0.25 * smooth_noise(cells.shape, 7 * cells.unit, rng), 0.3, None)
    return (cells.depth > 0) * np.maximum(0.85 * rim * uneven, 0.12 * _inside(cells))


@_pattern("Nucleoli")
def nucleoli(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Fill the nucleoli of each nucleus."""
    grain = 1 + 0.12 * smooth_noise(cells.shape, 2 * cells.unit, rng)
    return np.maximum(0.85 * cells.nucleoli * grain, 0.08 * _inside(cells))


@_pattern("Nucleoli fibrillar center")
def fibrillar_centers(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw small bright spots inside the nucleoli."""
    table = cells.nucleolus_table
    number = np.repeat(np.arange(len(table)), rng.integers(2, 5, len(table), endpoint=True))
    turn = rng.uniform(0, 2 * np.pi, len(number))
    far = table[number, 2] * 0.85 * np.sqrt(rng.random(len(number)))
    spots = stamp(
        cells.shape,
        table[number, 0] + far * np.sin(turn),
        table[number, 1] + far * np.cos(turn),
        rng.uniform(0.8, 1.2, len(number)) * cells.unit,
        weight=rng.uniform(1.2, 1.8, len(number)),
    )
    return np.maximum(spots * (cells.depth > 0), 0.15 * cells.nucleoli)


@_pattern("Nuclear speckles")
def speckles(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw 20 to 38 irregular, partly fused spots in each nucleus."""
    free = (cells.depth > 1.8 * cells.unit) * (cells.nucleoli < 0.1)
    y, x, _ = cells.points(rng, 20, 38, free)
    n = len(y)
    spots = stamp(
        cells.shape, y, x, rng.uniform(0.8, 1.5, n) * cells.unit,
        aspect=rng.uniform(1, 1.8, n), angle=rng.uniform(0, np.pi, n),
        weight=rng.uniform(0.55, 1.0, n),
    )  # fmt: skip
    return np.maximum(spots * (cells.depth > 0), 0.14 * _inside(cells) * (1 - cells.nucleoli))


@_pattern("Nuclear bodies")
def nuclear_bodies(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw a few small round spots in each nucleus."""
    free = (cells.depth > 2.5 * cells.unit) * (cells.nucleoli < 0.1)
    y, x, _ = cells.points(rng, 2, 6, free)
    spots = stamp(cells.shape, y, x, rng.uniform(1.3, 1.9, len(y)) * cells.unit, weight=1.5)
    return np.maximum(spots, 0.12 * _inside(cells))


# --------------------------------------------------- membranes inside the cell


@_pattern("Endoplasmic reticulum")
def endoplasmic_reticulum(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw the mesh around the nucleus, as in the yellow stain."""
    grain = np.clip(1 + 0.2 * smooth_noise(cells.shape, 3 * cells.unit, rng), 0.2, None)
    return 0.9 * cells.reticulum * grain


@_pattern("Golgi apparatus")
def golgi(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw a compact, folded ribbon on one side of the nucleus."""
    unit = cells.unit
    number = np.repeat(cells.resting, 9)
    # The ribbon extends along the rim of the nucleus more than away from it.
    out = cells.mtoc - cells.centre
    side = np.arctan2(out[:, 0], out[:, 1])[number] + np.pi / 2
    spread, lift = rng.normal(0, 5.5, len(number)) * unit, rng.normal(1.5, 2.2, len(number)) * unit
    y = cells.mtoc[number, 0] + spread * np.sin(side) - lift * np.cos(side)
    x = cells.mtoc[number, 1] + spread * np.cos(side) + lift * np.sin(side)
    heading = side + rng.normal(0, 0.6, len(number))
    y, x, _ = walks(rng, y, x, heading, 9 * unit, bend=0.3 / np.sqrt(unit))
    ribbon = blur(_thread(cells, y, x, number, within=~cells.nucleus), 1.0 * unit)
    return 1.2 * (1 - np.exp(-2.2 * ribbon))


@_pattern("Peroxisomes")
def peroxisomes(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw many tiny puncta throughout the cytoplasm."""
    y, x, _ = cells.points(rng, 110, 170, cells.cytoplasm * (cells.edge > 2 * cells.unit))
    return stamp(
        cells.shape, y, x, rng.uniform(0.35, 0.65, len(y)) * cells.unit,
        weight=rng.uniform(0.6, 1.0, len(y)),
    )  # fmt: skip


@_pattern("Endosomes")
def endosomes(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw medium-sized hollow puncta throughout the cytoplasm."""
    y, x, _ = cells.points(rng, 22, 38, cells.cytoplasm * (cells.edge > 4 * cells.unit))
    size = rng.uniform(1.1, 1.7, len(y)) * cells.unit
    weight = rng.uniform(0.6, 1.3, len(y))
    rims = stamp(cells.shape, y, x, size, ring=0.9 * cells.unit, weight=weight)
    return np.maximum(rims, 0.05 * cells.cytoplasm)


@_pattern("Lysosomes")
def lysosomes(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw large filled puncta clustered on one side of the nucleus."""
    unit = cells.unit
    pole = cells.mtoc[cells.label]
    rows, columns = np.indices(cells.shape, dtype=np.float32)
    far = np.hypot(rows - pole[..., 0], columns - pole[..., 1]) / unit
    y, x, _ = cells.points(rng, 16, 28, cells.cytoplasm * (np.exp(-((far / 11) ** 2)) + 0.01))
    return stamp(
        cells.shape, y, x, rng.uniform(1.4, 2.5, len(y)) * unit,
        weight=rng.uniform(0.6, 1.2, len(y)),
    )  # fmt: skip


@_pattern("Lipid droplets")
def lipid_droplets(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw clusters of round droplets of different sizes, with bright rims."""
    unit = cells.unit
    y, x, number = cells.points(rng, 2, 3, _around(cells, 14) * (cells.edge > 5 * unit))
    seed = np.repeat(np.arange(len(y)), rng.integers(5, 9, len(y), endpoint=True))
    y = y[seed] + rng.normal(0, 5.0 * unit, len(seed))
    x = x[seed] + rng.normal(0, 5.0 * unit, len(seed))
    own = (cells.at(cells.label, y, x) == number[seed]) & (cells.at(cells.gap, y, x) > 2 * unit)
    y, x = y[own], x[own]
    size = rng.uniform(1.9, 3.6, len(y)) * unit
    weight = rng.uniform(0.8, 1.3, len(y))
    rims = stamp(cells.shape, y, x, size, ring=1.0 * unit, weight=weight)
    return np.maximum(rims, stamp(cells.shape, y, x, size, weight=0.25 * weight))


@_pattern("Mitochondria")
def mitochondria(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw short, bent threads, denser near the nucleus."""
    unit = cells.unit
    y, x, number = cells.points(rng, 60, 85, _around(cells, 16) * (cells.edge > 3 * unit))
    heading = rng.uniform(0, 2 * np.pi, len(y))
    y, x, _ = walks(rng, y, x, heading, 11 * unit, bend=0.2 / np.sqrt(unit))
    inside = (cells.gap > 0.5 * unit) & (cells.edge > unit)
    threads = _thread(cells, y, x, number, within=inside)
    return 0.9 * (1 - np.exp(-1.7 * blur(threads, 0.6 * unit)))


# ---------------------------------------------------------- the cytoskeleton


@_pattern("Intermediate filaments")
def intermediate_filaments(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw a cage of wavy bundles around the nucleus."""
    unit = cells.unit
    y, x, number = cells.points(rng, 60, 75, _around(cells, 8))
    out = np.arctan2(y - cells.centre[number, 0], x - cells.centre[number, 1])
    heading = out + np.pi / 2 + rng.normal(0, 0.45, len(y))
    y, x, _ = walks(
        rng, y, x, heading, 38 * unit, bend=0.04 / np.sqrt(unit), wave=0.5, wavelength=15 * unit
    )
    bundles = _thread(cells, y, x, number, within=~cells.nucleus)
    return 1 - np.exp(-1.1 * blur(bundles, 0.55 * unit))


@_pattern("Actin filaments")
def actin_filaments(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw straight, nearly parallel stress fibres in each cell, and its cortex."""
    unit = cells.unit
    y, x, number = cells.points(rng, 28, 38, (cells.edge > 1.5 * unit).astype(np.float32))
    lean = rng.normal(0, 0.35, len(cells.radius))
    heading = (cells.angle + lean)[number] + rng.normal(0, 0.06, len(y))
    length = 1.25 * cells.radius.max()
    y, x = y - 0.5 * length * np.sin(heading), x - 0.5 * length * np.cos(heading)
    y, x, _ = walks(rng, y, x, heading, length, bend=0.004)
    weight = rng.uniform(0.25, 0.9, (len(y), 1))
    fibres = _thread(cells, y, x, number, weight, cells.edge > 0.5 * unit)
    cortex = np.exp(-(((cells.edge - unit) / (1.3 * unit)) ** 2)) * (cells.edge > 0)
    return np.maximum(1 - np.exp(-1.3 * blur(fibres, 0.45 * unit)), 0.28 * cortex)


@_pattern("Focal adhesion sites")
def focal_adhesions(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw short streaks along the periphery of the cell, pointing inwards."""
    unit = cells.unit
    brim = (cells.edge > 1.5 * unit) & (cells.edge < 7 * unit)
    y, x, number = cells.points(rng, 26, 40, brim.astype(np.float32))
    heading = np.arctan2(cells.centre[number, 0] - y, cells.centre[number, 1] - x)
    n = len(y)
    streaks = stamp(
        cells.shape, y, x, rng.uniform(0.7, 1.0, n) * unit, aspect=rng.uniform(2.8, 4.5, n),
        angle=heading + rng.normal(0, 0.2, n), weight=rng.uniform(0.6, 1.0, n),
    )  # fmt: skip
    return np.maximum(streaks * (cells.edge > 0), 0.05 * cells.cytoplasm)


@_pattern("Microtubules")
def microtubules(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw the microtubules, as in the red stain."""
    grain = np.clip(1 + 0.2 * smooth_noise(cells.shape, 5 * cells.unit, rng), 0.2, None)
    return 0.9 * cells.microtubules * grain


@_pattern("Microtubule ends")
def microtubule_ends(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw short comets at the ends of microtubules, mostly in the outer cell."""
    unit = cells.unit
    y, x, heading = cells.microtubule_tips
    kept = rng.random(len(y)) < 0.7
    y, x, heading = y[kept], x[kept], heading[kept]
    size = 0.75 * unit
    comets = stamp(
        cells.shape, y - 2.2 * unit * np.sin(heading), x - 2.2 * unit * np.cos(heading), size,
        aspect=2.2, angle=heading, weight=rng.uniform(1.0, 1.6, len(y)),
    )  # fmt: skip
    return np.maximum(comets * (cells.edge > 0), 0.12 * cells.microtubules)


@_pattern("Cytokinetic bridge")
def cytokinetic_bridge(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw the bridge between two daughter cells."""
    image = np.zeros(cells.shape, np.float32)
    for first, second in cells.bridges:
        image += bridge_line(rng, cells, first, second)
        middle = (cells.centre[first] + cells.centre[second]) / 2
        image += stamp(cells.shape, [middle[0]], [middle[1]], 1.6 * cells.unit, weight=1.5)
    return 1.4 * (1 - np.exp(-1.3 * image))


@_pattern("Mitotic spindle")
def mitotic_spindle(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw the bipolar spindle of the dividing cells."""
    grain = np.clip(1 + 0.15 * smooth_noise(cells.shape, 3 * cells.unit, rng), 0.2, None)
    return 1.2 * cells.spindle * grain


@_pattern("Microtubule organizing center")
def organizing_center(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw one spot in a cloud where the microtubules of a cell converge."""
    unit = cells.unit
    y, x = cells.mtoc[cells.resting].T
    core = stamp(cells.shape, y, x, 2.0 * unit)
    number = np.repeat(cells.resting, 45)
    spread = rng.normal(0, 4.0 * unit, (2, len(number)))
    y, x = cells.mtoc[number].T + spread
    cloud = splat(cells.shape, y, x, unit**2)
    return np.maximum(
        1.5 * blur(core, 0.8 * unit), 0.9 * (1 - np.exp(-2.0 * blur(cloud, 1.0 * unit)))
    )


@_pattern("Centrosome")
def centrosome(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw two tiny spots side by side, close to the nucleus."""
    unit = cells.unit
    place = cells.mtoc[cells.resting]
    turn = rng.uniform(0, 2 * np.pi, len(place))
    apart = rng.uniform(1.5, 2.2, len(place)) * unit
    step = np.column_stack([np.sin(turn), np.cos(turn)]) * apart[:, None]
    y, x = np.concatenate([place - step, place + step]).T
    return stamp(cells.shape, y, x, 1.2 * unit, weight=1.8)


# ------------------------------------------------------------- the border


@_pattern("Plasma membrane")
def plasma_membrane(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw the thin outline of every cell."""
    unit = cells.unit
    line = np.exp(-(((cells.edge - 1.2 * unit) / (1.1 * unit)) ** 2)) * (cells.edge > 0)
    ruffles = np.clip(1 + 0.35 * smooth_noise(cells.shape, 6 * unit, rng), 0.25, None)
    return np.maximum(0.8 * line * ruffles, 0.07 * cells.cytoplasm)


@_pattern("Cell junctions")
def cell_junctions(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw beaded borders where two cells touch, and nothing elsewhere."""
    unit = cells.unit
    beads = np.clip(1 + 0.5 * smooth_noise(cells.shape, 3.5 * unit, rng), 0.25, None)
    return np.clip(0.9 * blur(cells.contacts, 0.8 * unit) * beads, 0, 1.3)


# ------------------------------------------------------------- the cytoplasm


@_pattern("Aggresome")
def aggresome(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw one large blob beside each nucleus."""
    unit = cells.unit
    out = cells.mtoc - cells.centre
    out = out / np.maximum(np.hypot(*out.T), 1e-6)[:, None]
    y, x = (cells.mtoc + 1.5 * unit * out)[cells.resting].T
    n = len(y)
    blob = stamp(
        cells.shape, y, x, rng.uniform(4.0, 5.5, n) * unit,
        aspect=rng.uniform(1, 1.4, n), angle=rng.uniform(0, np.pi, n),
    )  # fmt: skip
    grain = 1 + 0.1 * smooth_noise(cells.shape, 2.5 * unit, rng)
    return np.maximum(blur(blob, 0.6 * unit) * grain * ~cells.nucleus, 0.05 * cells.cytoplasm)


@_pattern("Cytosol")
def cytosol(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Fill the cells smoothly, except for the nuclei."""
    cloud = np.clip(1 + 0.12 * smooth_noise(cells.shape, 12 * cells.unit, rng), 0.4, None)
    return 0.5 * cells.cytoplasm * cloud


@_pattern("Cytoplasmic bodies")
def cytoplasmic_bodies(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw a few bright round spots in the cytoplasm of each cell."""
    unit = cells.unit
    y, x, _ = cells.points(rng, 3, 7, (cells.gap > 3 * unit) & (cells.edge > 5 * unit))
    spots = stamp(cells.shape, y, x, rng.uniform(1.6, 2.3, len(y)) * unit, weight=1.4)
    return np.maximum(spots, 0.05 * cells.cytoplasm)


@_pattern("Rods & rings")
def rods_and_rings(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Draw one to three straight rods and one or two rings in each cell."""
    unit = cells.unit
    free = (cells.gap > 3 * unit) & (cells.edge > 6 * unit)
    y, x, _ = cells.points(rng, 1, 3, free)
    rods = stamp(
        cells.shape, y, x, 0.8 * unit,
        aspect=rng.uniform(6, 9, len(y)), angle=rng.uniform(0, np.pi, len(y)),
    )  # fmt: skip
    y, x, _ = cells.points(rng, 1, 2, free)
    rings = stamp(cells.shape, y, x, rng.uniform(3.2, 4.6, len(y)) * unit, ring=1.5 * unit)
    return np.maximum(rods, rings)
