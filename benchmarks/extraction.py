"""How well the engine keeps a network busy, from packed fields and from PNG.

    python -m benchmarks.extraction [--backbone resnet18] [--size 512] [--fields 24] [--rounds 7]

Rate of `extract_embeddings`, store included, relative to the bare forward pass on tensors
in memory, interleaved in one run; results are medians over the rounds. If there is a GPU, also
for larger backbones in bfloat16. The fields are synthetic. The backbone is created, and its
dimensions counted, beforehand.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import joblib
import numpy as np
import timm
import torch

from benchmarks.drawn_fields import write_drawn_fields
from benchmarks.memory import peak_megabytes
from hpastack.backbones import autocast, create_backbone, network_inputs
from hpastack.errors import InputError
from hpastack.extraction import extract_embeddings
from hpastack.fields import STAINS, PackedFields, pack_fields, stream_square_images
from hpastack.parallel import one_thread_each
from hpastack.store import open_store

#: Backbones that are timed on a GPU, with a common batch size at 512 px.
ON_GPU = {"resnet50": 64, "densenet121": 64}


def main(
    backbone: str = "resnet18", size: int = 512, n_fields: int = 24, rounds: int = 7,
    n_in_memory: Sequence[int] = (500, 2000), n_on_gpu: int = 1024,
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fields = Fields(Path(folder), size, n_fields)
        _decoding(fields, rounds)
        _on_processor(fields, backbone, rounds)
        _beside_timm(Fields(Path(folder) / "small", min(size, 128), 40), backbone)
        _memory(Path(folder), n_in_memory)
        if not torch.cuda.is_available():
            print("extraction: no GPU: this part is skipped")
            return
        many = Fields(Path(folder) / "many", size, n_on_gpu)
        for name in ON_GPU:
            _on_gpu(many, name, rounds)


class Fields:
    """Synthetic fields in files, and packed."""

    def __init__(self, folder: Path, size: int, n_fields: int):
        self.folder, self.size = folder, size
        folder.mkdir(exist_ok=True)
        self.catalogue = write_drawn_fields(folder, size, n_fields)
        self.packed = pack_fields(folder / "fields.h5", self.catalogue, size, progress=False)

    def __len__(self):
        return len(self.catalogue)

    def images(self) -> np.ndarray:
        """Return all fields as bytes, read from the packed file."""
        return np.stack([self.packed.read(row) for row in range(len(self))])

    def embed(self, model, packed: PackedFields | None = None, **options) -> np.ndarray:
        """Make a store of embeddings with an existing backbone; return its values."""
        ready = {
            "create_backbone": lambda *_, **__: model,
            "embedding_dimension": lambda model: model.num_features,
        }
        with mock.patch.multiple("hpastack.backbones", **ready):
            made = extract_embeddings(
                self.folder / "made.h5", self.catalogue, "ready", packed=packed, size=self.size,
                weights="random", overwrite=True, progress=False, **options,
            )  # fmt: skip
        with open_store(made.path) as store:
            return store.values()


class Rates(NamedTuple):
    """Fields per second in every round, by wall time and by processor time."""

    clock: list[float]
    processor: list[float]


def _rates(ways: dict[str, Callable[[], object]], n_fields: int, rounds: int) -> dict[str, Rates]:
    """Time the methods, interleaved."""
    found = {name: Rates([], []) for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            work()
            found[name].clock.append(n_fields / (time.perf_counter() - clock))
            found[name].processor.append(n_fields / (time.process_time() - processor))
    return found


def _show(what: str, rates: dict[str, Rates], bare: str) -> None:
    print(f"extraction, {what}; ratios are medians of the rounds:")
    print(f"method | fields per second | relative to {bare} | by processor time")
    for name, (clock, processor) in rates.items():
        # Ratios are taken within rounds, so that other load affects both alike. Processor time
        # hardly depends on it.
        ratios = [
            statistics.median(a / b for a, b in zip(own, other))
            for own, other in zip((clock, processor), rates[bare])
        ]
        print(
            " | ".join([name, *(f"{value:.3f}" for value in (statistics.median(clock), *ratios))])
        )


def _decoding(fields: Fields, rounds: int) -> None:
    def read(packed):
        for image in stream_square_images(fields.catalogue, fields.size, packed=packed):
            assert not isinstance(image, InputError)

    ways = {"PNG": lambda: read(None), "packed": lambda: read(fields.packed)}
    rates = _rates(ways, len(fields), rounds)
    _show(f"reading {fields.size} px on {joblib.cpu_count()} cores", rates, "PNG")


def _on_processor(fields: Fields, name: str, rounds: int) -> None:
    model = create_backbone(name, weights="random", size=fields.size)
    inputs = network_inputs(model, torch.from_numpy(fields.images()).float() / 255)

    def forward(rows: slice) -> None:
        with torch.inference_mode():
            model(inputs[rows])

    def in_batches():
        for start in range(0, len(fields), 32):
            forward(slice(start, start + 32))

    def in_threads():
        with one_thread_each(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
            list(pool.map(forward, [slice(row, row + 1) for row in range(len(fields))]))

    before = torch.get_num_threads()
    torch.set_num_threads(joblib.cpu_count())
    try:
        ways = {
            "bare, batches of 32": in_batches,
            "bare, one field per core": in_threads,
            "engine, packed": lambda: fields.embed(model, fields.packed, device="cpu"),
            "engine, PNG": lambda: fields.embed(model, device="cpu"),
        }
        forward(slice(0, 2))
        rates = _rates(ways, len(fields), rounds)
    finally:
        torch.set_num_threads(before)
    _show(f"{name} at {fields.size} px on {joblib.cpu_count()} cores", rates, list(ways)[1])


def _beside_timm(fields: Fields, name: str) -> None:
    """Compare the engine's values with those of a plain timm loop over the same fields."""
    model = create_backbone(name, weights="random", size=fields.size)
    plain = timm.create_model(name, in_chans=len(STAINS), num_classes=0).eval()
    plain.load_state_dict(model.state_dict())
    images = torch.from_numpy(fields.images())
    wanted = {}
    with torch.inference_mode():
        for batch_size in (1, 7, 32):
            batches = images.float().div(255).sub(0.5).div(0.5).split(batch_size)
            wanted[batch_size] = torch.cat([plain(batch) for batch in batches]).numpy()
    largest = 0.0
    for batch_size, vectors in wanted.items():
        for jobs in (1, 2):
            for packed in (None, fields.packed):
                found = fields.embed(model, packed, device="cpu", batch_size=batch_size, jobs=jobs)
                largest = max(largest, float(np.abs(found - vectors).max()))
    print(
        f"extraction: largest difference from a timm loop (batches of 1, 7, 32; 1 and 2 jobs; "
        f"packed and PNG): {largest:.1e}, of vectors up to {np.abs(wanted[1]).max():.1f}"
    )


def peak(folder: str, n_fields: int) -> dict:
    """Return the peak memory of embedding fields of 128 px; run in a separate process."""
    fields = Fields(Path(folder), 128, n_fields)
    model = create_backbone("test_resnet", weights="random", size=128)
    before = peak_megabytes()
    fields.embed(model, device="cpu", jobs=2)
    return {"fields": n_fields, "megabytes": peak_megabytes(), "megabytes before": before}


def _memory(folder: Path, numbers: Sequence[int]) -> None:
    code = (
        "import json, sys; from benchmarks import extraction; "
        "print(json.dumps(extraction.peak(sys.argv[1], int(sys.argv[2]))))"
    )
    for n_fields in numbers:
        words = [sys.executable, "-c", code, str(folder / f"of_{n_fields}"), str(n_fields)]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        print("extraction, peak memory:", json.dumps(json.loads(done.stdout.splitlines()[-1])))


def _on_gpu(fields: Fields, name: str, rounds: int) -> None:
    batch_size = ON_GPU[name]
    device = torch.device("cuda")
    model = create_backbone(name, weights="random", size=fields.size).to(device)
    rows = np.arange(batch_size) % len(fields)
    batch = torch.from_numpy(fields.images()[rows]).to(device).float() / 255
    batch = network_inputs(model, batch)
    n_batches = -(-len(fields) // batch_size)

    def bare():
        with torch.inference_mode(), autocast(device):
            for _ in range(n_batches):
                model(batch)
        torch.cuda.synchronize()

    bare()
    torch.cuda.reset_peak_memory_stats()
    options = {"device": "cuda", "batch_size": batch_size}
    ways = {
        "bare, bfloat16": bare,
        "engine, packed": lambda: fields.embed(model, fields.packed, **options),
        "engine, PNG": lambda: fields.embed(model, **options),
    }
    rates = _rates(ways, len(fields), rounds)
    what = f"{name} at {fields.size} px, batches of {batch_size}, {torch.cuda.get_device_name()}"
    _show(what, rates, "bare, bfloat16")
    print(f"extraction: peak GPU memory {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--fields", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    main(args.backbone, args.size, args.fields, args.rounds)
