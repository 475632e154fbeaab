"""Reading a store of 31,000 fields and 1,000 columns, whole and by id, compared with plain h5py."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from hpastack.store import StoreHeader, open_store, verify_store, write_store

N_FIELDS = 31_000
N_COLUMNS = 1_000
N_ASKED = 10_000
ROUNDS = 9


def _interleaved(ways: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median milliseconds of each method; all are interleaved, after a warm-up round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:
                taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in taken.items()}


def _show(what: str, times: dict[str, float]) -> None:
    ours = next(iter(times.values()))
    print(what)
    for name, milliseconds in times.items():
        print(f"  {name:<44} {milliseconds:8.1f} ms  {milliseconds / ours:6.2f} times hpastack's")


def main() -> None:
    rng = np.random.default_rng(0)
    image_ids = [f"{number:08x}-bbb5-11e8-b2ba-ac1f6b6435d0" for number in range(N_FIELDS)]
    values = rng.normal(size=(N_FIELDS, N_COLUMNS)).astype(np.float32)
    rows = np.sort(rng.choice(N_FIELDS, N_ASKED, replace=False))
    in_order = [image_ids[row] for row in rows]
    shuffled = [image_ids[row] for row in rng.permutation(rows)]
    print(f"store of {N_FIELDS:,} x {N_COLUMNS:,}, h5py {h5py.__version__}, "
          f"HDF5 {h5py.version.hdf5_version}, warm cache, medians of {ROUNDS}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        columns = [f"column_{number}" for number in range(N_COLUMNS)]
        singles = Path(folder, "singles.h5")
        halves = Path(folder, "halves.h5")
        chunked = Path(folder, "chunked.h5")
        for path, storage in ((singles, "float32"), (halves, "float16")):
            header = StoreHeader("target_free", "features", columns, storage=storage)
            write_store(path, header, image_ids, values)
        with h5py.File(chunked, "w") as file:
            file.create_dataset("values", data=values, chunks=(256, N_COLUMNS))

        def opened() -> int:
            with open_store(singles) as store:
                return len(store)

        with (
            open_store(singles) as store,
            open_store(halves) as half_store,
            h5py.File(singles) as whole_file,
            h5py.File(chunked) as chunked_file,
        ):
            plain, in_chunks = whole_file["values"], chunked_file["values"]
            assert np.array_equal(store.rows(in_order), values[rows])
            _show(
                "whole",
                _interleaved(
                    {
                        "store.values()": store.values,
                        "h5py, contiguous": lambda: plain[()],
                        "h5py, in chunks of 256 rows": lambda: in_chunks[()],
                        "store.values() of 16 bits": half_store.values,
                    }
                ),
            )
            _show(
                f"{N_ASKED:,} random ids",
                _interleaved(
                    {
                        "store.rows(), sorted": lambda: store.rows(in_order),
                        "store.rows(), shuffled": lambda: store.rows(shuffled),
                        "store.rows() of 16 bits, shuffled": lambda: half_store.rows(shuffled),
                        "h5py fancy indexing, sorted, contiguous": lambda: plain[rows],
                        "h5py fancy indexing, sorted, in chunks": lambda: in_chunks[rows],
                        "h5py whole, then rows, contiguous": lambda: plain[()][rows],
                    }
                ),
            )
            few = slice(None, None, 100)
            _show(
                f"{N_ASKED // 100} random ids",
                _interleaved(
                    {
                        "store.rows(), sorted": lambda: store.rows(in_order[few]),
                        "h5py fancy indexing, sorted, contiguous": lambda: plain[rows[few]],
                        "h5py fancy indexing, sorted, in chunks": lambda: in_chunks[rows[few]],
                    }
                ),
            )
        _show("open and check", _interleaved({"open_store": opened}))
        _show("verify", _interleaved({"verify_store": lambda: verify_store(singles)}, rounds=3))


if __name__ == "__main__":
    main()
