"""Draw synthetic fields: cells, reference stains, protein and the imaging model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from hpastack.errors import InputError, shorten
from hpastack.fields import STAIN_INDEX, STAINS
from hpastack.labels import HPA_2018
from hpastack.synthetic.cells import CELL_LINES, CellLine, Cells, grow_cells
from hpastack.synthetic.drawing import blur, smooth_noise
from hpastack.synthetic.patterns import PATTERNS

# Thin lines are lost in drawings with a smaller side; smaller fields are drawn larger and reduced.
_SMALLEST_DRAWING = 192


def draw_field(
    targets: str | Iterable[int],
    *,
    size: int = 256,
    seed: int = 0,
    cell_line: str = "U-2 OS",
    well_seed: int | None = None,
    plate_seed: int | None = None,
    copy_seed: int | None = None,
    copy_shift: tuple[float, float] | None = None,
    margin: float = 0.06,
) -> np.ndarray:
    """Draw a field of cells whose protein is in the locations of `targets`.

    Cells are placed at random; the red, blue and yellow stains are derived from
    them, and the green stain is the sum of one pattern per label. Uneven
    illumination, blur and photon noise are added, and values are clipped at 1.

    Parameters
    ----------
    targets : str or iterable of int
        Labels of the HPA 2018 vocabulary, as a target (``"16 0"``) or as ids;
        at least one.
    size : int, default=256
        Side of the field, in pixels, at least 32. The cells scale with it.
    seed : int, default=0
        Seed of the cells and patterns. The same arguments and library versions
        give the same bytes.
    cell_line : str, default="U-2 OS"
        A key of `CELL_LINES`.
    well_seed, plate_seed : int, optional
        Seeds of the properties common to the fields of a well (expression,
        staining) and of a plate (illumination, background, sharpness). Default:
        `seed`.
    copy_seed : int, optional
        If passed, a near-duplicate is drawn: the same cells, shifted by about a
        third of `margin` up to `margin`, slightly brighter and noisier.
    copy_shift : (float, float), optional
        Shift of the near-duplicate down and to the right, as fractions of the
        side. Default: random.
    margin : float, default=0.06
        Border drawn around the field, as a fraction of the side, which is the
        maximum shift of a near-duplicate. It must be the same for a field and
        its near-duplicates.

    Returns
    -------
    ndarray of float32, shape (4, size, size)
        Red, green, blue and yellow in [0, 1].

    Raises
    ------
    InputError
        If a label or the cell line is unknown, `targets` is empty, `size` is too
        small, or `copy_shift` is passed without `copy_seed` or exceeds `margin`.

    Notes
    -----
    The patterns follow the irregular shapes of the cells, and their intensity
    varies between cells; there is always a dim haze of unspecific staining.
    Photon noise is Gaussian with the variance of the counts.

    Examples
    --------
    >>> field = draw_field("16 0", size=64, seed=1)
    >>> field.shape, str(field.dtype)
    ((4, 64, 64), 'float32')
    """
    labels = _label_ids(targets)
    line = CELL_LINES.get(cell_line)
    if line is None:
        raise InputError(
            f"unknown cell line {cell_line!r}; it must be one of {shorten(CELL_LINES, 20)}",
            "cell_line",
        )
    if size < 32:
        raise InputError(f"size is {size}; it must be at least 32 pixels", "size")

    if copy_shift is not None and (copy_seed is None or max(map(abs, copy_shift)) > margin):
        raise InputError(
            f"copy_shift is {copy_shift}; it needs copy_seed, and must not exceed margin, {margin}",
            "copy_shift", "copy_seed", "margin",
        )  # fmt: skip

    reduction = int(np.ceil(_SMALLEST_DRAWING / size))
    unit = size * reduction / 256
    border = int(np.ceil(margin * size))  # pixels of the field
    side = (size + 2 * border) * reduction
    # Separate random streams, so that an additional label does not change the cells.
    layout, green_rng, *label_seeds = np.random.SeedSequence([seed, 0]).spawn(2 + len(HPA_2018))
    well = _WellLook.draw(seed if well_seed is None else well_seed)
    plate = _PlateLook.draw(seed if plate_seed is None else plate_seed)
    camera = np.random.default_rng([seed, 1] if copy_seed is None else [copy_seed, 2])

    cells = _cells_for(labels, np.random.default_rng(layout), line, side, unit)
    drawing = np.empty((len(STAINS), side, side), np.float32)
    reference_rng = np.random.default_rng(green_rng)
    drawing[STAIN_INDEX["red"]] = 0.75 * cells.microtubules
    drawing[STAIN_INDEX["blue"]] = _blue(cells, reference_rng)
    drawing[STAIN_INDEX["yellow"]] = 0.8 * cells.reticulum
    for stain in ("red", "yellow"):
        drawing[STAIN_INDEX[stain]] *= _cell_brightness(cells, reference_rng, 0.2)
    drawing[STAIN_INDEX["green"]] = _green(cells, labels, label_seeds, reference_rng, well)

    shift = np.zeros(2, int)
    if copy_seed is not None:
        # At least about a third of the maximum shift, so that the images differ.
        far = border * camera.uniform(0.35, 1.0)
        turn = camera.uniform(0, 2 * np.pi)
        shift = np.rint([far * np.sin(turn), far * np.cos(turn)]).astype(int)
    if copy_shift is not None:
        shift = np.rint(np.multiply(copy_shift, size)).astype(int)
    field = np.empty((len(STAINS), size, size), np.float32)
    low = (border + shift) * reduction
    window = (slice(low[0], low[0] + size * reduction), slice(low[1], low[1] + size * reduction))
    for index in range(len(STAINS)):
        field[index] = cv2.resize(
            blur(drawing[index], plate.blur * unit)[window], (size, size),
            interpolation=cv2.INTER_AREA,
        )  # fmt: skip
    return _photograph(field, camera, line, well, plate, copy=copy_seed is not None)


def _label_ids(targets: str | Iterable[int]) -> list[int]:
    if not isinstance(targets, str):
        targets = " ".join(str(label) for label in targets)
    return HPA_2018.parse(targets)


@dataclass(frozen=True)
class _WellLook:
    """Properties common to the fields of one well."""

    expression: float
    haze: float
    brightness: np.ndarray
    """Of the four stains."""
    balance: np.ndarray
    """Relative intensity of each label."""

    @classmethod
    def draw(cls, seed: int) -> _WellLook:
        rng = np.random.default_rng([seed, 3])
        return cls(
            expression=float(np.exp(rng.normal(0, 0.3))),
            haze=float(rng.uniform(0.01, 0.09)),
            brightness=np.exp(rng.normal(0, 0.15, len(STAINS))),
            balance=rng.uniform(0.6, 1.0, len(HPA_2018)),
        )


@dataclass(frozen=True)
class _PlateLook:
    """Properties common to the fields of one plate."""

    light: np.ndarray
    """Row and column of the brightest point, as fractions of the side, and the loss at a corner."""
    background: np.ndarray
    photons: float
    read_noise: float
    blur: float

    @classmethod
    def draw(cls, seed: int) -> _PlateLook:
        rng = np.random.default_rng([seed, 4])
        return cls(
            light=np.append(rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.35)),
            background=rng.uniform(0.005, 0.03, len(STAINS)),
            photons=float(rng.uniform(150, 500)),
            read_noise=float(rng.uniform(0.006, 0.014)),
            blur=float(rng.uniform(0.45, 0.75)),
        )


def _cells_for(
    labels: list[int], rng: np.random.Generator, line: CellLine, side: int, unit: float
) -> Cells:
    names = {HPA_2018.names[label] for label in labels}
    # Dividing cells also occur if no label requires them.
    n_mitotic, n_bridges = int(rng.random() < 0.12), int(rng.random() < 0.06)
    if "Mitotic spindle" in names:
        n_mitotic = int(rng.integers(1, 2, endpoint=True))
    if "Cytokinetic bridge" in names:
        n_bridges = 1
    return grow_cells(
        rng, line, side, unit, n_mitotic=n_mitotic, n_bridges=n_bridges,
        touching="Cell junctions" in names,
    )  # fmt: skip


def _cell_brightness(cells: Cells, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Return a map of a random intensity per cell; 1 in the background."""
    brightness = np.exp(rng.normal(0, spread, len(cells.radius))).astype(np.float32)
    brightness[0] = 1
    return brightness[cells.label]


def _blue(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    texture = 1 + 0.16 * smooth_noise(cells.shape, 3.5 * cells.unit, rng)
    rim = np.clip(cells.depth / (1.5 * cells.unit), 0, 1)
    nuclei = 0.55 * rim * texture * (1 - 0.55 * cells.nucleoli)
    return np.maximum(nuclei * _cell_brightness(cells, rng, 0.15), 0.95 * cells.plate)


def _green(
    cells: Cells,
    labels: list[int],
    label_seeds: list[np.random.SeedSequence],
    rng: np.random.Generator,
    well: _WellLook,
) -> np.ndarray:
    shade = _cell_brightness(cells, rng, 0.3)
    green = well.haze * (0.5 * cells.cytoplasm + 0.5 * (cells.depth > 0)) * shade
    balance = well.balance[labels]
    balance = balance / balance.max()
    for label, share in zip(labels, balance, strict=True):
        pattern_rng = np.random.default_rng(label_seeds[label])
        pattern = PATTERNS[HPA_2018.names[label]](cells, pattern_rng)
        green = green + share * pattern * _cell_brightness(cells, pattern_rng, 0.25) * shade
    return 0.75 * well.expression * green


def _photograph(
    field: np.ndarray,
    rng: np.random.Generator,
    line: CellLine,
    well: _WellLook,
    plate: _PlateLook,
    *,
    copy: bool,
) -> np.ndarray:
    size = field.shape[1]
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size
    row, column, loss = plate.light
    light = 1 - 2 * loss * ((steps[:, None] - row) ** 2 + (steps[None, :] - column) ** 2)
    gain = np.asarray(line.brightness) * well.brightness
    read_noise = plate.read_noise
    if copy:
        gain = gain * rng.uniform(1.03, 1.12)
        read_noise = read_noise * rng.uniform(1.3, 1.9)
    signal = field * (gain.astype(np.float32)[:, None, None] * light.astype(np.float32))
    signal += plate.background.astype(np.float32)[:, None, None]
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    return np.clip(signal + noise * np.sqrt(signal / plate.photons + read_noise**2), 0, 1)
