"""The cells of a synthetic field: positions, outlines, nuclei and the reference stains.

Lengths are in units of 1/256 of the side of the field, so that a field of any
size shows the same cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from hpastack.synthetic.drawing import blur, smooth_noise, splat, stamp, walks


@dataclass(frozen=True)
class CellLine:
    """Morphology and intensity of the cells of a cell line.

    Attributes
    ----------
    radius : float
        Mean radius of a cell, in 1/256 of the side of the field.
    elongation : float
        Ratio of the long to the short axis of a typical cell.
    crowding : float
        Fraction of the field that the cells would cover without overlap.
    spacing : float
        Minimum distance between two cell centres, relative to the sum of their
        radii; cells touch below about 0.8.
    wobble : float
        Irregularity of the outline, as a fraction of the radius.
    nucleus : float
        Ratio of the radius of the nucleus to that of the cell.
    brightness : tuple of 4 floats
        Intensity of red, green, blue and yellow, relative to a typical cell line.
    """

    radius: float
    elongation: float
    crowding: float
    spacing: float
    wobble: float
    nucleus: float
    brightness: tuple[float, float, float, float]


#: Cell lines by name, from the most common to the rarest in the training fields.
CELL_LINES = {
    "U-2 OS": CellLine(46, 1.25, 0.95, 0.80, 0.09, 0.42, (1.0, 1.0, 1.0, 1.0)),
    "A-431": CellLine(38, 1.10, 1.15, 0.70, 0.06, 0.47, (0.9, 1.1, 1.1, 1.0)),
    "U-251 MG": CellLine(44, 1.75, 0.80, 0.80, 0.11, 0.40, (1.1, 0.9, 0.9, 1.0)),
    "HeLa": CellLine(40, 1.35, 0.90, 0.80, 0.08, 0.45, (1.0, 1.0, 1.0, 0.9)),
    "MCF7": CellLine(36, 1.15, 1.15, 0.66, 0.05, 0.50, (0.8, 1.1, 1.0, 1.1)),
    "PC-3": CellLine(43, 1.45, 0.75, 0.85, 0.13, 0.40, (1.1, 0.9, 1.0, 1.1)),
    "HEK 293": CellLine(33, 1.20, 1.05, 0.70, 0.07, 0.52, (0.8, 0.9, 1.2, 0.8)),
    "BJ": CellLine(50, 2.20, 0.70, 0.80, 0.07, 0.37, (1.2, 0.8, 0.8, 0.9)),
}


@dataclass
class Cells:
    """The cells of one field, as maps of shape (H, W) and tables with one row per cell.

    Cell numbers start at 1; 0 in `label` is the background. Tables also have a
    row for number 0, so that they can be indexed with `label`.
    """

    unit: float
    """Pixels in 1/256 of the side of the field."""
    centre: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    mitotic: np.ndarray
    """Whether a cell is dividing: round, with a metaphase plate and no nucleus."""
    bridges: list[tuple[int, int]]
    """Pairs of daughter cells connected by a cytokinetic bridge."""
    label: np.ndarray
    edge: np.ndarray
    """Distance of a pixel inside a cell from the outline of the cell; 0 in the background."""
    contacts: np.ndarray
    """1 along the borders between two cells, else 0."""
    nucleus: np.ndarray = field(init=False)
    depth: np.ndarray = field(init=False)
    """Distance of a pixel inside a nucleus from its rim; 0 elsewhere."""
    gap: np.ndarray = field(init=False)
    """Distance of a pixel outside the nuclei from the nearest nucleus; 0 inside."""
    nucleoli: np.ndarray = field(init=False)
    plate: np.ndarray = field(init=False)
    mtoc: np.ndarray = field(init=False)
    """Microtubule organising centre of each cell, beside its nucleus."""
    cytoplasm: np.ndarray = field(init=False)
    """Thickness of the cell outside its nucleus, from 0 to 1."""
    microtubules: np.ndarray = field(init=False)
    microtubule_tips: tuple[np.ndarray, np.ndarray, np.ndarray] = field(init=False)
    """y, x and direction of the ends of the microtubules."""
    spindle: np.ndarray = field(init=False)
    reticulum: np.ndarray = field(init=False)
    nucleolus_table: np.ndarray = field(init=False)
    """One row (y, x, radius) for each nucleolus."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the maps, in pixels."""
        return self.label.shape

    @property
    def numbers(self) -> np.ndarray:
        """Numbers of all cells."""
        return np.arange(1, len(self.radius))

    @property
    def resting(self) -> np.ndarray:
        """Numbers of the cells with a nucleus (in interphase)."""
        return self.numbers[~self.mitotic[1:]]

    def at(self, table: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the values of a map at points; -1 (False, or 255 of uint8) outside the image."""
        row, column = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
        height, width = self.shape
        inside = (row >= 0) & (column >= 0) & (row < height) & (column < width)
        values = table[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        outside = np.array(0 if table.dtype == bool else -1).astype(table.dtype)
        return np.where(inside, values, outside)

    def points(
        self, rng: Generator, low: int, high: int, weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample `low` to `high` points in each cell, with probabilities from the map `weight`.

        Returns
        -------
        y, x : ndarray of float
        number : ndarray of int
            The cell of each point.
        """
        chosen = []
        for number in self.numbers:
            count = rng.integers(low, high, endpoint=True)
            pixels = self._pixels[number]
            total = np.cumsum(weight.ravel()[pixels], dtype=np.float64)
            draws = rng.random(count)
            if len(total) and total[-1] > 0:
                chosen.append(pixels[np.searchsorted(total, draws * total[-1], side="right")])
        place = np.concatenate(chosen) if chosen else np.empty(0, np.intp)
        row, column = np.divmod(place, self.shape[1])
        y = row + rng.random(len(place))
        x = column + rng.random(len(place))
        return y, x, self.label.ravel()[place].astype(np.intp)

    def __post_init__(self) -> None:
        order = np.argsort(self.label.ravel(), kind="stable")
        bounds = np.searchsorted(self.label.ravel()[order], np.arange(len(self.radius) + 1))
        self._pixels = [order[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def grow_cells(
    rng: Generator, line: CellLine, side: int, unit: float, *, n_mitotic: int, n_bridges: int,
    touching: bool,
) -> Cells:  # fmt: skip
    """Generate the cells of a field and their structures in the reference stains.

    Cells are placed at random until no more fit. Each pixel is assigned to the
    cell in which it is deepest, so that adjacent cells share straight borders
    and isolated ones keep their outline.

    Parameters
    ----------
    rng : numpy.random.Generator
    line : CellLine
    side : int
        Side of the drawing, in pixels.
    unit : float
        Pixels in 1/256 of the side of the field.
    n_mitotic, n_bridges : int
        Numbers of dividing cells and of pairs of daughter cells to place near
        the centre.
    touching : bool
        Whether cells must touch each other, regardless of the cell line.

    Returns
    -------
    Cells
    """
    centre, radius, squeeze, bridges = _places(
        rng, line, side, unit, n_mitotic, n_bridges, touching
    )
    n_cells = len(radius)
    mitotic = np.zeros(n_cells, dtype=bool)
    mitotic[:n_mitotic] = True
    common = rng.uniform(0, np.pi)
    angle = np.where(
        rng.random(n_cells) < 0.5,
        rng.normal(common, 0.3, n_cells),
        rng.uniform(0, np.pi, n_cells),
    )
    for first, second in bridges:
        dy, dx = centre[second] - centre[first]
        angle[[first, second]] = np.arctan2(dy, dx) + np.pi / 2

    label = np.zeros((side, side), np.uint8)
    nearest = np.ones((side, side), np.float32)
    for cell in range(n_cells):
        window, distance = _outline_distance(
            rng, centre[cell], radius[cell], squeeze[cell], angle[cell],
            line.wobble * (0.3 if mitotic[cell] else 1.0), side,
        )  # fmt: skip
        closer = distance < nearest[window]
        label[window][closer] = cell + 1
        nearest[window][closer] = distance[closer]
    inner = cv2.dilate(label, np.ones((3, 3))) == cv2.erode(label, np.ones((3, 3)))
    edge = cv2.distanceTransform((inner & (label > 0)).astype(np.uint8), cv2.DIST_L2, 5)

    cells = Cells(
        unit=unit,
        centre=np.vstack([[0, 0], centre]),
        radius=np.append(0.0, radius),
        angle=np.append(0.0, angle),
        mitotic=np.append(False, mitotic),
        bridges=[(first + 1, second + 1) for first, second in bridges],
        label=label,
        edge=edge,
        contacts=_contacts(label, unit),
    )
    _add_nuclei(rng, cells, line)
    _add_cytoplasm(cells)
    _add_microtubules(rng, cells)
    _add_reticulum(rng, cells)
    return cells


def _places(
    rng: Generator, line: CellLine, side: int, unit: float, n_mitotic: int, n_bridges: int,
    touching: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]:  # fmt: skip
    """Choose centres, radii and elongations; dividing cells come first."""
    typical = line.radius * unit
    spacing = min(line.spacing, 0.68) if touching else line.spacing
    crowding = max(line.crowding, 1.15) if touching else line.crowding
    n_tries = int(round(crowding * rng.uniform(0.8, 1.1) * side**2 / (np.pi * typical**2)))
    centres, radii, squeezes, taken, bridges = [], [], [], [], []

    def add(place: np.ndarray, radius: float, squeeze: float) -> None:
        centres.append(place)
        radii.append(radius)
        squeezes.append(squeeze)
        taken.append((*place, radius))

    def free(place: np.ndarray, radius: float) -> bool:
        return all(
            np.hypot(place[0] - y, place[1] - x) > spacing * (radius + other)
            for y, x, other in taken
        )

    def throw(radius: float, margin: float) -> np.ndarray | None:
        for _ in range(60):
            place = rng.uniform(margin * side, (1 - margin) * side, 2)
            if free(place, radius):
                return place
        return None

    for _ in range(n_mitotic):
        radius = 0.68 * typical * rng.normal(1, 0.06)
        place = throw(radius, 0.25)
        add(rng.uniform(0.35, 0.65, 2) * side if place is None else place, radius, 1.05)
    for _ in range(n_bridges):
        radius, reach = 0.62 * typical, 0.62 * typical + rng.uniform(8, 12) * unit
        middle = throw(reach, 0.3)
        if middle is None:
            middle = rng.uniform(0.35, 0.65, 2) * side
        turn = rng.uniform(0, np.pi)
        apart = np.array([np.sin(turn), np.cos(turn)]) * reach
        bridges.append((len(centres), len(centres) + 1))
        add(middle - apart, radius, 1.2)
        add(middle + apart, radius, 1.2)
        # Keeps the space between the daughter cells empty.
        taken.append((*middle, radius))
    for _ in range(n_tries):
        radius = typical * float(np.exp(rng.normal(0, 0.13)))
        place = throw(radius, -0.03)
        if place is not None:
            add(place, radius, max(1.0, line.elongation * float(np.exp(rng.normal(0, 0.15)))))
    return np.array(centres), np.array(radii), np.array(squeezes), bridges


def _outline_distance(
    rng: Generator, centre: np.ndarray, radius: float, squeeze: float, angle: float,
    wobble: float, side: int, *, orders: int = 6,
) -> tuple[tuple[slice, slice], np.ndarray]:  # fmt: skip
    """Distances of pixels from the centre of a cell, in cell radii, in a window around it."""
    reach = 1.6 * radius * np.sqrt(squeeze)
    low = np.clip(np.floor(centre - reach), 0, side).astype(int)
    high = np.clip(np.ceil(centre + reach), 0, side).astype(int)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    dy = np.arange(low[0], high[0], dtype=np.float32)[:, None] - np.float32(centre[0])
    dx = np.arange(low[1], high[1], dtype=np.float32)[None, :] - np.float32(centre[1])
    stretch = np.float32(radius * np.sqrt(squeeze)), np.float32(radius / np.sqrt(squeeze))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = (dx * cos + dy * sin) / stretch[0], (dy * cos - dx * sin) / stretch[1]
    turns = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    outline = np.ones(256)
    for order in range(2, 2 + orders):
        outline += (
            wobble
            * rng.normal()
            / np.sqrt(order - 1)
            * np.cos(order * turns + rng.uniform(0, 2 * np.pi))
        )
    outline = np.clip(outline, 0.6, 1.5).astype(np.float32)
    direction = np.arctan2(across, along) * np.float32(256 / (2 * np.pi))
    return window, np.hypot(along, across) / outline[direction.astype(np.int16) & 255]


def _contacts(label: np.ndarray, unit: float) -> np.ndarray:
    """Mark the pixels close to two cells."""
    width = 2 * max(1, round(unit)) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    highest = cv2.dilate(label, brush)
    lowest = cv2.erode(np.where(label == 0, np.uint8(255), label), brush)
    return ((highest > 0) & (lowest < 255) & (highest != lowest)).astype(np.float32)


def _add_nuclei(rng: Generator, cells: Cells, line: CellLine) -> None:
    unit, side = cells.unit, cells.shape[0]
    n_rows = len(cells.radius)
    nucleus = np.zeros(cells.shape, dtype=bool)
    plate = np.zeros(cells.shape, np.float32)
    cells.mtoc = np.zeros((n_rows, 2))
    nucleoli = []
    for cell in cells.numbers:
        radius, centre = cells.radius[cell], cells.centre[cell]
        if cells.mitotic[cell]:
            cells.mtoc[cell] = centre
            thick = stamp(
                cells.shape, [centre[0]], [centre[1]], 2.6 * unit,
                aspect=rng.uniform(3.4, 4.2), angle=cells.angle[cell] + np.pi / 2,
            )  # fmt: skip
            plate = np.maximum(plate, thick)
            continue
        size = line.nucleus * radius * rng.normal(1, 0.07)
        middle = centre + rng.normal(0, 0.07, 2) * radius
        window, distance = _outline_distance(
            rng, middle, size, rng.uniform(1.05, 1.1 + 0.4 * (line.elongation - 1) + 0.25),
            cells.angle[cell] + rng.normal(0, 0.15), 0.04, side, orders=3,
        )  # fmt: skip
        inside = (distance < 1) & (cells.label[window] == cell) & (cells.edge[window] > 2 * unit)
        nucleus[window] |= inside
        turn = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.sin(turn), np.cos(turn)])
        cells.mtoc[cell] = middle + direction * (size * 1.12 + 3 * unit)
        for _ in range(rng.integers(1, 4, endpoint=True)):
            turn, far = rng.uniform(0, 2 * np.pi), 0.62 * size * np.sqrt(rng.random())
            spot = middle + far * np.array([np.sin(turn), np.cos(turn)])
            nucleoli.append((*spot, rng.uniform(0.16, 0.27) * size))
    cells.nucleus = nucleus
    cells.plate = plate
    cells.depth = cv2.distanceTransform(nucleus.astype(np.uint8), cv2.DIST_L2, 5)
    cells.gap = cv2.distanceTransform((~nucleus).astype(np.uint8), cv2.DIST_L2, 5)
    table = np.array(nucleoli).reshape(-1, 3)
    table = table[cells.at(cells.depth, table[:, 0], table[:, 1]) > 2.5 * unit]
    cells.nucleolus_table = table
    blobs = stamp(
        cells.shape, table[:, 0], table[:, 1], table[:, 2],
        aspect=rng.uniform(1, 1.5, len(table)), angle=rng.uniform(0, np.pi, len(table)),
    )  # fmt: skip
    cells.nucleoli = blobs * (cells.depth > unit)


def _add_cytoplasm(cells: Cells) -> None:
    thick = 1 - np.exp(-cells.edge / (7 * cells.unit))
    cells.cytoplasm = thick * (1 - blur(cells.nucleus.astype(np.float32), 0.7 * cells.unit))


def _add_microtubules(rng: Generator, cells: Cells) -> None:
    unit = cells.unit
    number = np.repeat(cells.resting, 120)
    start = cells.mtoc[number] + rng.normal(0, 2.0 * unit, (len(number), 2))
    angle = rng.uniform(0, 2 * np.pi, len(number))
    # Half of the filaments are detached from the organising centre, in the outer cell.
    loose = np.arange(len(number)) % 2 == 0
    reach = np.abs(rng.normal(0, 0.75, (len(number), 1))) * cells.radius[number][:, None]
    away = np.column_stack([np.sin(angle), np.cos(angle)])
    start = np.where(loose[:, None], cells.centre[number] + away * reach, start)
    angle = angle + np.where(loose, rng.normal(0, 1.3, len(number)), 0)
    longest = 1.7 * cells.radius.max()
    y, x, heading = walks(rng, start[:, 0], start[:, 1], angle, longest, bend=0.085 / np.sqrt(unit))
    own = cells.at(cells.label, y, x) == number[:, None]
    own &= np.arange(y.shape[1]) * 0.7 < longest * rng.uniform(0.25, 1, (len(number), 1))
    own = np.logical_and.accumulate(own, axis=1)
    last = own.sum(axis=1) - 1
    row = np.flatnonzero(last > 0)
    cells.microtubule_tips = y[row, last[row]], x[row, last[row]], heading[row, last[row]]
    weight = np.where(cells.at(cells.nucleus, y[own], x[own]), 0.25, 1.0)
    lines = splat(cells.shape, y[own], x[own], weight * 0.38 * unit)
    lines = blur(lines, 0.3 * unit)

    spindle = np.zeros(cells.shape, np.float32)
    for cell in np.flatnonzero(cells.mitotic).tolist():
        spindle += _spindle(rng, cells, cell)
    cells.spindle = 1 - np.exp(-0.55 * spindle)
    for first, second in cells.bridges:
        lines += 1.2 * bridge_line(rng, cells, first, second)
    cells.microtubules = 1 - np.exp(-0.9 * (lines + spindle))


def _spindle(rng: Generator, cells: Cells, cell: int) -> np.ndarray:
    unit = cells.unit
    bulge = rng.uniform(-1, 1, 46)[:, None] * 8 * unit
    along = np.linspace(-1, 1, int(60 * max(1, unit)))[None, :]
    length = 12.5 * unit
    across = bulge * np.cos(along * np.pi / 2) + rng.normal(0, 0.25 * unit, bulge.shape)
    cos, sin = np.cos(cells.angle[cell]), np.sin(cells.angle[cell])
    y = cells.centre[cell, 0] + along * length * sin + across * cos
    x = cells.centre[cell, 1] + along * length * cos - across * sin
    poles = cells.centre[cell] + np.array([[-1], [1]]) * length * np.array([sin, cos])
    caps = stamp(cells.shape, poles[:, 0], poles[:, 1], 1.8 * unit)
    fibres = blur(splat(cells.shape, y, x, 0.45 * unit), 0.3 * unit)
    return fibres + 1.5 * blur(caps, 0.8 * unit)


def bridge_line(rng: Generator, cells: Cells, first: int, second: int) -> np.ndarray:
    """Draw the bridge between two daughter cells, thickest in its middle."""
    start, end = cells.centre[first], cells.centre[second]
    way = np.linspace(0, 1, int(np.hypot(*(end - start)) * 3))
    y, x = start[0] + way * (end - start)[0], start[1] + way * (end - start)[1]
    sway = np.sin(way * np.pi) * rng.normal(0, 1.5 * cells.unit)
    normal = np.array([(end - start)[1], -(end - start)[0]]) / np.hypot(*(end - start))
    y, x = y + sway * normal[0], x + sway * normal[1]
    # The bridge extends slightly into both cells.
    own = (cells.at(cells.edge, y, x) < 5 * cells.unit) & (cells.at(cells.depth, y, x) <= 0)
    spread = rng.normal(0, 0.9 * cells.unit, (2, 5, own.sum()))
    thread = splat(cells.shape, y[own] + spread[0], x[own] + spread[1], 0.22 * cells.unit)
    return blur(thread, 0.3 * cells.unit)


def _add_reticulum(rng: Generator, cells: Cells) -> None:
    unit = cells.unit
    mesh = np.exp(-((smooth_noise(cells.shape, 4.5 * unit, rng) / 0.55) ** 2))
    sheet = np.exp(-cells.gap / (9 * unit))
    reach = np.exp(-cells.gap / (0.42 * cells.radius[cells.label] + unit))
    reach = np.where(cells.mitotic[cells.label], 0.5, reach)
    cells.reticulum = cells.cytoplasm * reach * np.maximum(0.15 + 0.85 * mesh, 0.75 * sheet)
