"""Near-duplicates: proportion found by shift, and time for 130,000 fields.

The alternative for comparison is imagehash's perceptual hashes, compared pair
by pair in a loop.
"""

from __future__ import annotations

import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.memory import peak_megabytes
from hpastack.clusters import (
    FieldHashes,
    duplicate_pairs,
    hash_fields,
    near_duplicates,
    shifted_pairs,
)
from hpastack.clusters.spectra import CODE_BYTES, THUMBNAIL_SIDE, WINDOWS
from hpastack.synthetic import draw_field, synthetic_dataset

SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
COPIES_PER_SHIFT = 200
MIRRORED = 200
N_FIELDS = 5000
SIZE = 96
N_LARGE = 130_000
N_LOOPED = 3000


def main() -> None:
    _recall()
    for part in ("hashes", "spectra"):
        # One process each, to measure its peak memory, with any number of threads.
        print(_in_process(part), end="")
    _imagehash_loop()


def _recall() -> None:
    """Plant copies among 5,000 fields, and search for them."""
    kinds = [(shift, False) for shift in SHIFTS for _ in range(COPIES_PER_SHIFT)]
    kinds += [(0.25 * number / MIRRORED, True) for number in range(MIRRORED)]
    n_originals = N_FIELDS - len(kinds)
    dataset = synthetic_dataset(n_originals, 0, size=SIZE, seed=0, duplicates=0)
    drawings = [dataset.drawing(image_id) for image_id in dataset.design.index]
    order = np.random.default_rng(0).permutation(n_originals)[: len(kinds)]
    jobs = [(drawings[row], None) for row in range(n_originals)]
    for number, row in enumerate(order):
        drawings[row] = {**drawings[row], "margin": 0.4}
        jobs[row] = (drawings[row], None)
        jobs.append((drawings[row], (*kinds[number], number)))
    parts = joblib.Parallel(n_jobs=-1)(
        joblib.delayed(_hashed)(jobs[start : start + 50]) for start in range(0, len(jobs), 50)
    )
    image_ids = [f"f{number:05d}" for number in range(len(jobs))]
    hashes = FieldHashes(
        image_ids,
        *(np.concatenate([getattr(part, name) for part in parts])
          for name in ("hashes", "valid", "codes", "thumbnails")),
    )  # fmt: skip
    table = pd.DataFrame(kinds, columns=["shift", "mirrored"])
    table["pair"] = [
        (image_ids[row], image_ids[n_originals + number]) for number, row in enumerate(order)
    ]
    for mirrored in (False, True):
        start = time.perf_counter()
        pairs = near_duplicates(hashes, mirrored=mirrored)
        seconds = time.perf_counter() - start
        found = set(zip(pairs["image_id"], pairs["twin"]))
        table[f"found, {mirrored=}"] = [pair in found for pair in table["pair"]]
        wrong = found - set(table["pair"])
        print(
            f"duplicates: {len(found)} pairs among {len(jobs):,} fields, {len(wrong)} of them "
            f"wrong, {seconds:.1f} s ({mirrored=})"
        )
    print(
        "duplicates: proportion of copies found, by shift along both axes in fractions of the side"
    )
    rates = table[~table["mirrored"]].groupby("shift")["found, mirrored=False"].mean()
    print(rates.to_string())
    rate = table.loc[table["mirrored"], "found, mirrored=True"].mean()
    print(f"duplicates: mirrored and shifted by up to 0.25: {rate:.4f}")


def _hashed(jobs: list) -> FieldHashes:
    fields = []
    for number, (drawing, copy) in enumerate(jobs):
        if copy is None:
            field = draw_field(**drawing)
        else:
            shift, mirrored, seed = copy
            signs = np.random.default_rng(seed).choice([-1, 1], 2)
            copied = {"copy_seed": seed, "copy_shift": tuple((shift * signs).tolist())}
            field = draw_field(**{**drawing, **copied})
            if mirrored:
                field = np.flip(field, 1 + seed % 2)
        fields.append((str(number), field))
    return hash_fields(fields)


def _in_process(part: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.duplicates", part],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def _large(part: str) -> None:
    """Search 130,000 unrelated fields with 2,000 planted copies."""
    rng = np.random.default_rng(0)
    copied, copy = rng.permutation(N_LARGE)[:4000].reshape(2, -1)
    hashes = rng.integers(0, 256, (N_LARGE, 4, 32), dtype=np.uint8)
    valid = rng.random((N_LARGE, 4)) < 0.98
    hashes[copy] = hashes[copied] ^ (rng.integers(0, 64, (2000, 4, 32)) == 0)  # one bit in 64 bytes
    valid[copied], valid[copy] = True, True
    hashes *= valid[:, :, None]
    codes = thumbnails = np.empty((0,), dtype=np.uint8)
    if part == "spectra":
        codes = rng.integers(0, 256, (N_LARGE, len(WINDOWS), CODE_BYTES), dtype=np.uint8)
        codes[copy] = codes[copied]
        shape = (N_LARGE, 4, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        thumbnails = rng.integers(0, 256, shape, dtype=np.uint8)
        thumbnails[copy] = thumbnails[copied]
    image_ids = [f"f{number:06d}" for number in range(N_LARGE)]
    start = time.perf_counter()
    if part == "hashes":
        pairs = duplicate_pairs(hashes, valid, image_ids)
    else:
        pairs = shifted_pairs(FieldHashes(image_ids, hashes, valid, codes, thumbnails))
    seconds = time.perf_counter() - start
    peak = peak_megabytes() / 1000
    print(
        f"duplicates: {part} of {N_LARGE:,} fields x 4 stains on {joblib.cpu_count()} cores: "
        f"{seconds:.1f} s, peak memory {peak:.2f} GB, {len(pairs)} of 2,000 planted pairs"
    )


def _imagehash_loop() -> None:
    try:
        import imagehash
    except ModuleNotFoundError:
        print("duplicates: imagehash is not installed: its loop is skipped")
        return
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (N_LOOPED, 4, 64, 64), dtype=np.uint8)
    start = time.perf_counter()
    hashes = [
        [imagehash.phash(Image.fromarray(stain), hash_size=16) for stain in field]
        for field in pictures
    ]
    hashed = time.perf_counter() - start
    start = time.perf_counter()
    n_pairs = 0
    for i, first in enumerate(hashes):
        for second in hashes[i + 1 :]:
            n_pairs += sum(one - other <= 48 for one, other in zip(first, second)) >= 3
    seconds = time.perf_counter() - start
    scale = (N_LARGE / N_LOOPED) ** 2
    print(
        f"duplicates: imagehash {imagehash.__version__}, loop over all pairs of {N_LOOPED:,} "
        f"fields x 4 stains: {seconds:.0f} s (and {hashed:.0f} s to hash), which is "
        f"{seconds * scale / 3600:.0f} h for {N_LARGE:,}; {n_pairs} pairs"
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        _large(sys.argv[1])
    else:
        main()
