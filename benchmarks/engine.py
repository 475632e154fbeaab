"""Overhead of the engine relative to decoding, and memory as the number of fields grows.

    python -m benchmarks.engine [--size 512] [--fields 480] [--rounds 7]

Rate of a whole extraction of a trivial feature (the mean of each stain), from files to the
published store, relative to decoding alone with the same number of threads; interleaved in one
run, medians over the rounds. Then hand-crafted features at three sizes with one worker, in threads
and in processes, and the peak memory of processes that extract from 500 and from 2,000 fields. The
fields are synthetic.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.drawn_fields import write_drawn_fields
from benchmarks.memory import peak_megabytes
from hpastack.extraction import engine, extract_features
from hpastack.fields import read_field, stain_rows
from hpastack.parallel import backend, cpu_budget, in_threads, one_thread_each, spread


def main(
    size: int = 512, n_fields: int = 480, rounds: int = 7, n_measured: int = 48,
    sizes_measured: Sequence[int] = (128, 256, 512), n_in_memory: Sequence[int] = (500, 2000),
    n_columns: int = 1000,
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fields = write_drawn_fields(Path(folder), size, n_fields)
        jobs = cpu_budget()
        # Files are in the page cache in every round.
        decode(fields, size, jobs)
        ways: dict[str, Callable[[], object]] = {
            "decoding alone": lambda: decode(fields, size, jobs),
            "the whole engine": lambda: trivial(Path(folder), fields, size, jobs),
        }
        _show(f"a trivial feature at {size} px, {jobs} threads", ways, n_fields, rounds)
    for small in sizes_measured:
        backends(small, n_measured * max(sizes_measured) // small, rounds)
    _memory(n_in_memory, n_columns)


def backends(size: int, n_fields: int, rounds: int) -> None:
    """Measure hand-crafted features with one worker, in threads and in processes."""
    jobs = cpu_budget()
    with tempfile.TemporaryDirectory() as folder:
        fields = write_drawn_fields(Path(folder), size, n_fields)

        def measure(where: str, jobs: int) -> None:
            with backend(where):
                extract_features(
                    Path(folder) / "made.h5", fields, size=size, jobs=jobs, overwrite=True,
                    progress=False,
                )  # fmt: skip

        ways: dict[str, Callable[[], object]] = {
            "one worker": lambda: measure("threads", 1),
            "threads": lambda: measure("threads", jobs),
            "processes": lambda: measure("loky", jobs),
        }
        measure("loky", jobs)  # starts the processes
        _show(f"all hand-crafted features at {size} px, {jobs} workers", ways, n_fields, rounds)


def decode(fields: pd.DataFrame, size: int, threads: int) -> None:
    """Decode every field in threads, without using it."""
    outcomes = in_threads(
        lambda row: read_field(row, size), stain_rows(fields), jobs=threads, ahead=2 * threads
    )
    with one_thread_each(), closing(outcomes):
        for outcome in outcomes:
            outcome.result()


def trivial(folder: Path, fields: pd.DataFrame, size: int, jobs: int, n_columns: int = 4) -> Path:
    """Make a store of the means of the stains, repeated to fill `n_columns` columns."""

    def measure(rows: pd.DataFrame):
        return spread(_means, ((row, size, n_columns) for row in stain_rows(rows)), jobs)

    made = engine.extract(
        folder / "trivial.h5", fields, measure,
        columns=[f"mean_{number}" for number in range(n_columns)], kind="target_free", record={},
        shard=engine.WHOLE, on_error="raise",
        overwrite=True, progress=False,
    )  # fmt: skip
    return made.path


def _means(row: dict[str, str], size: int, n_columns: int) -> np.ndarray:
    means = [float(stain.mean()) for stain in read_field(row, size)]
    return np.resize(np.float32(means), n_columns)


def _show(what: str, ways: dict[str, Callable[[], object]], n_fields: int, rounds: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            rates[name].append(n_fields / (time.perf_counter() - began))
    first = next(iter(ways))
    print(f"engine, {what}:")
    print(f"method | fields per second | relative to {first} (median of the rounds)")
    for name, own in rates.items():
        ratio = statistics.median(a / b for a, b in zip(own, rates[first]))
        print(f"{name} | {statistics.median(own):.1f} | {ratio:.3f}")


def peak(folder: str, n_columns: int) -> dict:
    """Return the peak memory of an extraction at 128 px; run in a separate process."""
    fields = pd.read_pickle(Path(folder) / "fields.pickle")
    before = peak_megabytes()
    trivial(Path(folder), fields, 128, 2, n_columns)
    return {"fields": len(fields), "megabytes": peak_megabytes(), "megabytes before": before}


def _memory(numbers: Sequence[int], n_columns: int) -> None:
    code = (
        "import json, sys; from benchmarks import engine; "
        "print(json.dumps(engine.peak(sys.argv[1], int(sys.argv[2]))))"
    )
    found = []
    for n_fields in numbers:
        with tempfile.TemporaryDirectory() as folder:
            write_drawn_fields(Path(folder), 128, n_fields).to_pickle(
                Path(folder) / "fields.pickle"
            )
            words = [sys.executable, "-c", code, folder, str(n_columns)]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"engine, peak memory with {n_columns} columns: {json.dumps(found[-1])}")
    ratio = found[-1]["megabytes"] / found[0]["megabytes"]
    print(f"engine, peak memory, ratio of most to fewest fields: {ratio:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--fields", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    main(args.size, args.fields, args.rounds)
