"""Fields in, vectors out: a backbone that waits for nothing, on a CPU or a GPU."""

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

# Batches that a GPU has before it when the first of them is waited for.
_LAUNCHED = 2


def embed_stream(
    model: Network, images: Iterable[Outcome], *, batch_size: int, jobs: int = 1
) -> Outcomes:  # fmt: skip
    """Turn a stream of fields into a stream of vectors.

    On a CPU one field at a time passes through the model in each of the
    threads, so that sums depend neither on their number nor on what other
    fields there are. On a GPU batches are put together ahead in a thread, in
    pinned memory, and the vectors of one are fetched when the next are
    under way; the last batch is filled up with blank fields.

    Parameters
    ----------
    model : torch.nn.Module
        Of `hpastack.create_backbone`, on any device, or of `compiled`.
    images : iterable of ndarray of uint8, shape (4, size, size), or InputError
        What is no field passes through at its place.
    batch_size : int
        Fields that pass through the model together on a GPU.
    jobs : int, default=1
        Threads that pass fields through the model on a CPU. Give torch one
        thread (`hpastack.parallel.one_thread_each`) where there are several.

    Yields
    ------
    ndarray of float32, shape (n_dimensions,), or InputError
        In the order of the fields. On a CPU the vectors are those of
        `hpastack.embed_batch` for ``image / 255`` alone.

    Raises
    ------
    InputError
        If the memory of the GPU does not suffice.
    """
    if next(model.parameters()).device.type == "cpu":
        return _on_processor(model, images, jobs)
    return _in_batches(model, images, batch_size)


def compiled(model: Network, batch_size: int) -> Network:
    """Compile a backbone for the one shape of batches in which `embed_stream` uses it.

    Parameters
    ----------
    model : torch.nn.Module
        Of `hpastack.create_backbone`, on the device where it will be used.
    batch_size : int
        As `embed_stream`.

    Returns
    -------
    torch.nn.Module
        Gives what `model` gives, but for rounding.

    Raises
    ------
    InputError
        If it cannot be compiled here, for instance without a C++ compiler.
    """
    n_fields = 1 if next(model.parameters()).device.type == "cpu" else batch_size
    size = model.preprocessing.size
    faster: Any = torch.compile(model, dynamic=False)
    try:
        # At once: what is wrong is found before any work, and threads find it done.
        _launch(faster, torch.zeros((n_fields, len(STAINS), size, size), dtype=torch.uint8))()
    except InputError:
        raise
    except Exception as error:  # the compiler fails in as many ways as it has parts
        reason = [*str(error).strip().splitlines(), type(error).__name__][0]
        raise InputError(
            f"the backbone cannot be compiled here ({reason}); leave out compile"
        ) from error
    return faster


def _on_processor(model: Network, images: Iterable[Outcome], jobs: int) -> Outcomes:
    own = threading.local()

    def embed(image: Outcome) -> Outcome:
        if isinstance(image, InputError):
            return image
        # The room for floats is taken once a thread: getting it anew costs as much as filling it.
        if not hasattr(own, "field"):
            own.field = torch.empty((1, *image.shape))
        field = own.field.copy_(torch.from_numpy(image)).div_(255)
        return embed_batch(model, field.numpy())[0]

    # A queue, not whole batches: no worker waits for the slowest of a batch.
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
    """Put batches together, on the host, where a GPU can take them from by itself."""
    size = model.preprocessing.size
    pinned = next(model.parameters()).device.type == "cuda"
    for batch in _chunks(images, batch_size):
        shape = (batch_size, len(STAINS), size, size)
        pixels = torch.zeros(shape, dtype=torch.uint8, pin_memory=pinned)
        array = pixels.numpy()
        for place, image in enumerate(batch):
            # A bad field is blank, so that the others see the same batch without it.
            if not isinstance(image, InputError):
                array[place] = image
        yield batch, pixels


def _launch(model: Network, pixels: torch.Tensor) -> Callable[[], np.ndarray]:
    """Start a batch on its device; return what waits for its vectors."""
    device = next(model.parameters()).device
    with (
        torch.inference_mode(),
        gpu_memory_guard(len(pixels)),
        autocast(device),
    ):
        # As bytes: a quarter of what floats take on their way.
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
