"""Fields in, vectors out."""

from __future__ import annotations

import numpy as np

from hpastack.backbones._torch import torch
from hpastack.backbones.device import autocast, gpu_memory_guard, to_device
from hpastack.backbones.network import Network
from hpastack.errors import InputError
from hpastack.fields import STAINS


def embedding_dimension(model: Network) -> int:
    """Return how many numbers `model` gives for a field.

    Found by passing an empty field through it, as timm's own count is off for
    some backbones.

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone`.

    Returns
    -------
    int
    """
    size = model.preprocessing.size
    return embed_batch(model, np.zeros((1, len(STAINS), size, size), np.float32)).shape[1]


def embedding_columns(store_name: str, n_dimensions: int) -> list[str]:
    """Name the columns of a store of embeddings.

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
    """Bring squares of fields into the form that a network takes.

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone`.
    squares : Tensor of float, shape (n, 4, h, w)
        Values in [0, 1]; as the crops of its preprocessing.

    Returns
    -------
    Tensor, shape (n, n_stains, h, w)
        Scaled, the channels last, as the filters of the model are: up to half as fast again,
        on a CPU too.
    """
    scaled = model.preprocessing.scale(squares)
    return scaled.contiguous(memory_format=torch.channels_last)


def embed_batch(model: Network, batch: np.ndarray) -> np.ndarray:
    """Turn a batch of fields into vectors.

    A field's vector does not depend on the others in its batch (to 1e-5 on
    the CPU, where the order of sums may change with the size of the batch).

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone`, on any device. On a GPU it runs in bfloat16.
    batch : ndarray of float32, shape (n, 4, size, size)
        Fields in [0, 1], with their four stains, neither cropped nor scaled yet.

    Returns
    -------
    ndarray of float32, shape (n, n_dimensions)
        The outputs of the model: embeddings, or logits if it has a
        classifier.

    Raises
    ------
    InputError
        If the fields are not of the size and stains that the model takes, or
        the memory of the GPU does not suffice.
    """
    size = model.preprocessing.size
    batch = np.ascontiguousarray(batch, dtype=np.float32)
    if batch.ndim != 4 or batch.shape[1:] != (len(STAINS), size, size):
        raise InputError(
            f"a batch of shape {batch.shape}; the model takes (n, {len(STAINS)}, {size}, {size})"
        )
    if len(batch) == 0:
        return np.zeros((0, embedding_dimension(model)), np.float32)
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), gpu_memory_guard(len(batch)), autocast(device):
        (square,) = model.preprocessing.crops(to_device(torch.from_numpy(batch), device))
        outputs = model(network_inputs(model, square))
    return outputs.float().cpu().numpy()
