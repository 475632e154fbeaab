"""Seconds to draw and write 1,000 synthetic fields of 256 px."""

import tempfile
import time
from pathlib import Path

from hpastack.synthetic import synthetic_dataset, write_dataset


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        dataset = synthetic_dataset(800, 200, size=256)
        write_dataset(Path(folder) / "fields", dataset, jobs=None, progress=False)
        print(f"synthetic: 1,000 fields of 256 px in {time.perf_counter() - start:.0f} s")
