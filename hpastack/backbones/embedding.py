"""Embeddings of batches of fields."""

from __future__ import annotations

import numpy as np

from hpastack.backbones._torch import torch
from hpastack.backbones.device import autocast, gpu_memory_guard, to_device
from hpastack.backbones.network import Network
from hpastack.errors import InputError
from hpastack.fields import STAINS


def embedding_dimension(model: Network) -> int:
    """Return the number of outputs of `model` for a field.

    It is found by applying the model to an empty field, as timm's number of
    features is wrong for some backbones.

    Parameters
    ----------
    model : torch.nn.Module
        From `create_backbone`.

    Returns
    -------
    int
    """
    size = model.preprocessing.size
    return embed_batch(model, np.zeros((1, len(STAINS), size, size), np.float32)).shape[1]


def embedding_columns(store_name: str, n_dimensions: int) -> list[str]:
    """Return the column names of a store of embeddings.

    Parameters
    ----------
    store_name : str
    n_dimensions : int

    Returns
    -------
    list of str
        ``<store name>__<dimension>``.

    Examples
    --------
    >>> embedding_columns("resnet18", 2)
    ['resnet18__0', 'resnet18__1']
    """
    return [f"{store_name}__{dimension}" for dimension in range(n_dimensions)]


def network_inputs(model: Network, squares: torch.Tensor) -> torch.Tensor:
    """Convert squares of fields to the inputs of a network.

    Parameters
    ----------
    model : torch.nn.Module
        From `create_backbone`.
    squares : Tensor of float, shape (n, 4, h, w)
        Values in [0, 1]; crops of its preprocessing.

    Returns
    -------
    Tensor, shape (n, n_stains, h, w)
        Scaled, in channels-last memory format like the filters of the model, which is up to 1.5
        times as fast, also on a CPU.
    """
    scaled = model.preprocessing.scale(squares)
    return scaled.contiguous(memory_format=torch.channels_last)


def embed_batch(model: Network, batch: np.ndarray) -> np.ndarray:
    """Compute the embeddings of a batch of fields.

    The embedding of a field does not depend on the others in its batch (to
    1e-5 on the CPU, where the order of sums may change with the batch size).

    Parameters
    ----------
    model : torch.nn.Module
        From `create_backbone`, on any device. On a GPU it runs in bfloat16.
    batch : ndarray of float32, shape (n, 4, size, size)
        Fields in [0, 1], with all four stains, neither cropped nor scaled.

    Returns
    -------
    ndarray of float32, shape (n, n_dimensions)
        The outputs of the model: embeddings, or logits if it has a
        classifier.

    Raises
    ------
    InputError
        If the fields do not have four stains and the size that the model
        requires, or the GPU is out of memory.
    """
    size = model.preprocessing.size
    batch = np.ascontiguousarray(batch, dtype=np.float32)
    if batch.ndim != 4 or batch.shape[1:] != (len(STAINS), size, size):
        raise InputError(
            f"batch has shape {batch.shape}; the model takes (n, {len(STAINS)}, {size}, {size})"
        )
    if len(batch) == 0:
        return np.zeros((0, embedding_dimension(model)), np.float32)
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), gpu_memory_guard(len(batch)), autocast(device):
        (square,) = model.preprocessing.crops(to_device(torch.from_numpy(batch), device))
        outputs = model(network_inputs(model, square))
    return outputs.float().cpu().numpy()
