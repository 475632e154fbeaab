"""Predictions and embeddings of a trained CNN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike

from hpastack.backbones import (
    Network,
    autocast,
    check_features_and_logits,
    features_and_logits,
    gpu_memory_guard,
    network_inputs,
    to_device,
)
from hpastack.backbones._torch import torch
from hpastack.cnn.augmentation import rotated
from hpastack.cnn.field_source import FieldSource


def predict_logits(
    model: Network, source: FieldSource, rows: ArrayLike, batch_size: int, *, views: int = 1,
    crops: int = 1, precision: str = "auto",
) -> np.ndarray:  # fmt: skip
    """Return the logits of fields, predicted by a trained model.

    Parameters
    ----------
    model : torch.nn.Module
        On any device.
    source : FieldSource
    rows : array-like of int, length n
        Positions in `source`.
    batch_size : int
    views, crops, precision
        As in `CnnSettings`.

    Returns
    -------
    ndarray of float32, shape (n, n_labels)
        Mean logits over views and crops.

    Raises
    ------
    InputError
        If the GPU runs out of memory.
    """

    def logits(inputs: torch.Tensor) -> torch.Tensor:
        outputs = [
            model(rotated(network_inputs(model, square), view)).float()
            for square in model.preprocessing.crops(inputs, crops)
            for view in range(views)
        ]
        return torch.stack(outputs).mean(dim=0)

    return _applied(model, logits, source, rows, batch_size, precision, model.num_classes)


def predict_features(
    model: Network,
    source: FieldSource,
    rows: ArrayLike,
    batch_size: int,
    *,
    precision: str = "auto",
) -> np.ndarray:
    """Return the embeddings of fields: the input of a trained model's classifier.

    Parameters
    ----------
    model, source, rows, batch_size, precision
        As in `predict_logits`.

    Returns
    -------
    ndarray of float32, shape (n, n_dimensions)
        Embeddings of the central crop, neither rotated nor flipped.

    Raises
    ------
    InputError
        If the model does not apply a classifier to a single vector, or the GPU runs out of memory.
    """
    check_features_and_logits(model)

    def features(inputs: torch.Tensor) -> torch.Tensor:
        (square,) = model.preprocessing.crops(inputs, 1)
        return features_and_logits(model, network_inputs(model, square))[0].float()

    n_dimensions = model.get_classifier().in_features
    return _applied(model, features, source, rows, batch_size, precision, n_dimensions)


def _applied(
    model: Network,
    function: Callable[[torch.Tensor], torch.Tensor],
    source: FieldSource,
    rows: ArrayLike,
    batch_size: int,
    precision: str,
    n_columns: int,
) -> np.ndarray:
    """Return the output of a function of fields, applied batch by batch."""
    rows = np.asarray(rows, dtype=np.intp)
    if len(rows) == 0:
        return np.zeros((0, n_columns), np.float32)
    model.eval()
    device = next(model.parameters()).device
    blocks = []
    batches = np.array_split(rows, math.ceil(len(rows) / batch_size))
    with (
        torch.inference_mode(), gpu_memory_guard(batch_size), autocast(device, precision)
    ):  # fmt: skip
        for pixels in source.batches(batches):
            inputs = to_device(torch.from_numpy(pixels), device).float() / 255
            blocks.append(function(inputs))
    # Copied from the GPU only at the end, so that it never waits.
    return torch.cat(blocks).cpu().numpy()


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Run torch reproducibly: the same seed gives the same numbers on the same machine.

    Parameters
    ----------
    device : torch.device
    """
    if device.type == "cuda":
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
        return
    # Sums depend on the number of threads, so always use one.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
