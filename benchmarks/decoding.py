"""Decoding a field of four files: `read_field` compared with plain Pillow and scikit-image.

    python -m benchmarks.decoding [--size 512] [--fields 24] [--rounds 15]

A real field, if there is one beside the checkout, else a synthetic one, scaled to `size` and
written as PNG and JPEG. All methods are interleaved in one run, in one thread and in two; ratios
are medians over the rounds of each method's time divided by that of plain Pillow in the same round.
Pillow and scikit-image return four arrays of 8 bits and check only what their decoders check;
`read_field` checks every file and returns float32 in [0, 1], for which Pillow is also timed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.io
from PIL import Image

from benchmarks import REAL_DATA
from hpastack.fields import STAINS, read_field
from hpastack.parallel import in_threads
from hpastack.synthetic import draw_field

_REAL_FIELD = "000a6c98-bb9b-11e8-b2b9-ac1f6b6435d0"

Row = dict[str, str]


def main(size: int = 512, n_fields: int = 24, rounds: int = 15) -> None:
    pixels, what = _field(size)
    with tempfile.TemporaryDirectory() as folder:
        for ending, options in (("png", {}), ("jpg", {"quality": 90})):
            row = {s: str(Path(folder) / f"{s}.{ending}") for s in STAINS}
            for plane, path in zip(pixels, row.values()):
                Image.fromarray(plane).save(path, **options)
            _check(row)
            for threads in (1, 2):
                print(f"decoding, {what}, 4 x {size} px {ending.upper()}, {threads} thread(s):")
                _show(row, threads, n_fields, rounds)


def pillow(row: Row) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in row.values()]


def pillow_scaled(row: Row) -> np.ndarray:
    return np.stack([np.asarray(Image.open(p), np.float32) / np.float32(255) for p in row.values()])


def scikit_image(row: Row) -> list[np.ndarray]:
    return [skimage.io.imread(path) for path in row.values()]


WAYS: dict[str, Callable[[Row], object]] = {
    "Pillow, 8 bits": pillow,
    "Pillow, the same values": pillow_scaled,
    "scikit-image, 8 bits": scikit_image,
    "hpastack.read_field": read_field,
}


def _field(size: int) -> tuple[np.ndarray, str]:
    folder = REAL_DATA / "fields" / "kaggle"
    if folder.is_dir():
        found = [cv2.imread(str(folder / f"{_REAL_FIELD}_{s}.png"), -1) for s in STAINS]
        scaled = [cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in found]
        return np.stack(scaled), "a real field"
    return np.rint(draw_field("0", size=size, seed=0) * 255).astype(np.uint8), "a synthetic field"


def _check(row: Row) -> None:
    """Check that all methods return the same pixels."""
    np.testing.assert_array_equal(read_field(row), pillow_scaled(row))
    np.testing.assert_array_equal(pillow(row), scikit_image(row))


def _show(row: Row, threads: int, n_fields: int, rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, way in WAYS.items():
            taken = _seconds(way, row, threads, n_fields)
            if number:  # the first round is a warm-up
                seconds[name].append(taken)
    bare = seconds["Pillow, 8 bits"]
    print("method | ms per field | relative to Pillow, 8 bits")
    for name, taken in seconds.items():
        ratio = statistics.median(own / other for own, other in zip(taken, bare))
        print(f"{name} | {1000 * statistics.median(taken) / n_fields:.2f} | {ratio:.2f}")


def _seconds(way: Callable[[Row], object], row: Row, threads: int, n_fields: int) -> float:
    start = time.perf_counter()
    if threads == 1:
        for _ in range(n_fields):
            way(row)
        return time.perf_counter() - start
    # As fields are read elsewhere: with prefetching, each released when the next one is read.
    for future in in_threads(way, [row] * n_fields, jobs=threads, ahead=2 * threads):
        future.result()
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--fields", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    main(args.size, args.fields, args.rounds)
