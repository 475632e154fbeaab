"""Embeddings of a stream of fields, pipelined to keep a CPU or a GPU busy."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np

from hpastack.backbones._torch import torch
from hpastack.backbones.device import autocast, gpu_memory_guard, to_device
from hpastack.backbones.embedding import embed_batch, network_inputs
from hpastack.backbones.network import Network
from hpastack.errors import InputError
from hpastack.fields import STAINS, Outcome, Outcomes
from hpastack.parallel import in_threads, read_ahead

# Number of batches queued on a GPU before the result of the first is awaited.
_LAUNCHED = 2


def embed_stream(
    model: Network, images: Iterable[Outcome], *, batch_size: int, jobs: int = 1
) -> Outcomes:  # fmt: skip
    """Compute the embeddings of a stream of fields.

    On a CPU each thread applies the model to one field at a time, so that the
    results depend neither on the number of threads nor on the other fields. On
    a GPU a thread assembles batches ahead of time in pinned memory, and the
    embeddings of a batch are fetched while the next batches are computed; the
    last batch is padded with empty fields.

    Parameters
    ----------
    model : torch.nn.Module
        From `hpastack.create_backbone`, on any device, or from `compiled`.
    images : iterable of ndarray of uint8, shape (4, size, size), or InputError
        An InputError in place of a field is passed on unchanged.
    batch_size : int
        Number of fields per batch on a GPU.
    jobs : int, default=1
        Number of threads that apply the model on a CPU. With several, limit
        torch to one thread each (`hpastack.parallel.one_thread_each`).

    Yields
    ------
    ndarray of float32, shape (n_dimensions,), or InputError
        In the order of the fields. On a CPU the embeddings are those of
        `hpastack.embed_batch` for ``image / 255`` alone.

    Raises
    ------
    InputError
        If the GPU is out of memory.
    """
    if next(model.parameters()).device.type == "cpu":
        return _on_processor(model, images, jobs)
    return _in_batches(model, images, batch_size)


def compiled(model: Network, batch_size: int) -> Network:
    """Compile a backbone for the shape of the batches of `embed_stream`.

    Parameters
    ----------
    model : torch.nn.Module
        From `hpastack.create_backbone`, on the device where it will be used.
    batch_size : int
        As `embed_stream`.

    Returns
    -------
    torch.nn.Module
        Its outputs are those of `model`, except for rounding.

    Raises
    ------
    InputError
        If it cannot be compiled on this machine, for instance without a C++
        compiler.
    """
    n_fields = 1 if next(model.parameters()).device.type == "cpu" else batch_size
    size = model.preprocessing.size
    faster: Any = torch.compile(model, dynamic=False)
    try:
        # Compile now, so that errors are found before any work and threads need not compile.
        _launch(faster, torch.zeros((n_fields, len(STAINS), size, size), dtype=torch.uint8))()
    except InputError:
        raise
    except Exception as error:  # each part of the compiler raises its own exceptions
        reason = [*str(error).strip().splitlines(), type(error).__name__][0]
        raise InputError(
            f"the backbone cannot be compiled on this machine ({reason}); set compile to false",
            "compile",
        ) from error
    return faster


def _on_processor(model: Network, images: Iterable[Outcome], jobs: int) -> Outcomes:
    buffers = threading.local()

    def embed(image: Outcome) -> Outcome:
        if isinstance(image, InputError):
            return image
        # Allocated once per thread: allocating costs as much time as filling the buffer.
        if not hasattr(buffers, "field"):
            buffers.field = torch.empty((1, *image.shape))
        field = buffers.field.copy_(torch.from_numpy(image)).div_(255)
        return embed_batch(model, field.numpy())[0]

    # A queue instead of batches, so that no thread waits for the slowest field of a batch.
    vectors = in_threads(embed, images, jobs=jobs, ahead=2 * jobs)
    with closing(vectors):
        for vector in vectors:
            yield vector.result()


def _in_batches(model: Network, images: Iterable[Outcome], batch_size: int) -> Outcomes:
    batches = read_ahead(_assembled(model, images, batch_size))
    launched: deque[tuple[list[Outcome], Callable[[], np.ndarray]]] = deque()
    with closing(batches):
        for batch, pixels in batches:
            launched.append((batch, _launch(model, pixels)))
            if len(launched) > _LAUNCHED:
                yield from _fetched(*launched.popleft())
        while launched:
            yield from _fetched(*launched.popleft())


def _assembled(
    model: Network, images: Iterable[Outcome], batch_size: int
) -> Iterator[tuple[list[Outcome], Any]]:  # fmt: skip
    """Assemble batches on the host, in pinned memory if the model is on a GPU."""
    size = model.preprocessing.size
    pinned = next(model.parameters()).device.type == "cuda"
    for batch in _chunks(images, batch_size):
        shape = (batch_size, len(STAINS), size, size)
        pixels = torch.zeros(shape, dtype=torch.uint8, pin_memory=pinned)
        array = pixels.numpy()
        for place, image in enumerate(batch):
            # An invalid field is replaced by zeros, so that the batch keeps its shape.
            if not isinstance(image, InputError):
                array[place] = image
        yield batch, pixels


def _launch(model: Network, pixels: torch.Tensor) -> Callable[[], np.ndarray]:
    """Start a batch on its device; return a function that waits for its embeddings."""
    device = next(model.parameters()).device
    with (
        torch.inference_mode(),
        gpu_memory_guard(len(pixels)),
        autocast(device),
    ):
        # Transferred as bytes: a quarter of the size of floats.
        fields = to_device(pixels, device).float() / 255
        (square,) = model.preprocessing.crops(fields)
        outputs = model(network_inputs(model, square)).float()
        if device.type != "cuda":
            return lambda: outputs.cpu().numpy()
        vectors = torch.empty(outputs.shape, dtype=torch.float32, pin_memory=True)
        vectors.copy_(outputs, non_blocking=True)
        done = torch.cuda.Event()
        done.record()

    def wait() -> np.ndarray:
        done.synchronize()
        return vectors.numpy()

    return wait


def _fetched(batch: list[Outcome], wait: Callable[[], np.ndarray]) -> Iterator[Outcome]:
    for image, vector in zip(batch, wait()):
        yield image if isinstance(image, InputError) else vector


def _chunks(items: Iterable[Outcome], size: int) -> Iterator[list[Outcome]]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk
