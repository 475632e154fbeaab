"""Files of weights: found, read without executing code, and loaded strictly."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from hpastack.backbones._torch import safetensors, timm, torch
from hpastack.backbones.network import Network
from hpastack.backbones.pooling import gem_names
from hpastack.backbones.stems import adapt_stem, is_other_width, stem_names
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import STAINS

Value = TypeVar("Value")

# Prefixes that training scripts add to the names of a backbone's weights.
_PREFIXES = ("module.", "_orig_mod.", "model.", "ema.", "teacher.", "student.", "backbone.")
# Keys under which training scripts save weights, in order of preference: a running mean (EMA)
# comes first, as it is what their own evaluation uses.
_NESTS = (
    "state_dict_ema", "model_ema", "ema", "teacher", "state_dict", "model_state_dict", "model",
    "weights", "student",
)  # fmt: skip
# First bytes of a Git LFS pointer, a text file in place of content that was not fetched.
_POINTER = b"version https://git-lfs"
# Key of the safetensors metadata with the record of this package, as JSON.
_RECORD = "hpastack"
# File that marks a folder of fine-tuned CNNs.
_MANIFEST = "cnn.json"


def weight_file(path: str | Path) -> Path:
    """Return the file of weights at a path.

    Parameters
    ----------
    path : path-like
        A file, or a folder with a single file of weights; safetensors are preferred.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there is no file, it is a Git LFS pointer, or a folder has several files or is one of
        fine-tuned CNNs, of which each belongs to a fold.
    """
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise InputError(
                    f"weights {path}: the file is a Git LFS pointer, not the weights; run git lfs "
                    "pull in its repository, or download the file itself"
                )
        return path
    if not path.is_dir():
        raise InputError(
            f"weights {path}: there is no such file; pass a file, 'pretrained' or 'random'"
        )
    for suffixes in ((".safetensors",), (".pth", ".pt", ".bin")):
        files = sorted(file for file in path.iterdir() if file.suffix in suffixes)
        names = shorten([file.name for file in files])
        if files and (path / _MANIFEST).is_file():
            raise InputError(
                f"weights {path}: the folder has fine-tuned CNNs, each trained without one fold; "
                f"name one of {names}"
            )
        if len(files) > 1:
            raise InputError(
                f"weights {path}: the folder has {counted(len(files), 'file')} of weights; name "
                f"one of {names}"
            )
        if files:
            return weight_file(files[0])
    raise InputError(
        f"weights {path}: the folder has no .safetensors, .pth, .pt or .bin file; pass a file"
    )


def save_weights(path: str | os.PathLike[str], model: Network, record: dict[str, Any]) -> None:
    """Save the weights of a model, with a record of their origin.

    Parameters
    ----------
    path : path-like
        Path of a safetensors file.
    model : torch.nn.Module
        From `create_backbone`.
    record : dict
        A dict that can be written as JSON; the model's preprocessing is added.
    """
    record = {**record, "preprocessing": model.preprocessing.record()}
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    # A single key, because safetensors writes several keys in an order that varies between runs.
    metadata = {_RECORD: json.dumps(record, sort_keys=True)}
    write_tensors(path, state, metadata)


def write_tensors(
    path: str | os.PathLike[str], tensors: dict[str, torch.Tensor], metadata: dict[str, str]
) -> None:
    """Write a safetensors file.

    Parameters
    ----------
    path : path-like
    tensors : dict of str to Tensor
        Contiguous, on the CPU, without shared memory.
    metadata : dict of str to str

    Raises
    ------
    InputError
        If the file cannot be written, for example on a full disk.
    """
    try:
        safetensors.torch.save_file(tensors, path, metadata=metadata)
    except safetensors.SafetensorError as error:
        # safetensors raises this instead of an OSError.
        raise InputError(
            f"{Path(path).parent}: weights cannot be written ({error}); free disk space and run it "
            "again: finished work is kept"
        ) from error


def read_weights_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record that `save_weights` saved with the weights; empty for other files.

    A record with the key ``trained_on`` belongs to weights that were trained on
    labels: see `embedding_kind`.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If a file with the suffix ``.safetensors`` is not a valid safetensors file.
    """
    if Path(path).suffix != ".safetensors":
        return {}
    with _open_safetensors(path) as file:
        return json.loads((file.metadata() or {}).get(_RECORD, "{}"))


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the named tensors of a file of weights; no code in it is executed.

    Parameters
    ----------
    path : Path
        A safetensors file, or plain tensors saved by `torch.save`, nested as training scripts
        do.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    InputError
        If the file is corrupt, would execute code, or contains no tensors.
    """
    if path.suffix == ".safetensors":
        with _open_safetensors(path) as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            # torch.load passes on all kinds of exceptions of its unpickler.
            raise InputError(
                f"weights {path} cannot be read as plain tensors "
                f"({type(error).__name__}); convert it to safetensors"
            ) from error
        while isinstance(state, dict):
            nest = next((name for name in _NESTS if isinstance(state.get(name), dict)), None)
            if nest is None:
                break
            state = state[nest]
    if not isinstance(state, dict) or not any(torch.is_tensor(v) for v in state.values()):
        raise InputError(f"weights {path}: the file contains no named tensors")
    return {key: value for key, value in state.items() if torch.is_tensor(value)}


def strip_prefixes(state: dict[str, Value], expected: Sequence[str] = ()) -> dict[str, Value]:
    """Remove the prefixes that all names share, unless the backbone's names have them too.

    Parameters
    ----------
    state : dict of str to Tensor
    expected : sequence of str
        Names of the backbone's tensors.

    Returns
    -------
    dict of str to Tensor

    Examples
    --------
    >>> list(strip_prefixes({"module.model.fc.weight": 1, "module.model.fc.bias": 2}))
    ['fc.weight', 'fc.bias']
    """
    while state:
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None or (expected and all(key.startswith(prefix) for key in expected)):
            return state
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def strip_own_prefix(
    state: dict[str, Value], expected: Sequence[str]
) -> tuple[dict[str, Value], list[str]]:
    """Remove the prefix of a backbone's names, and all tensors without this prefix.

    Training scripts save a whole module, of which the backbone is one part, together with
    buffers of the loss, counters, or a second copy of the backbone.

    Parameters
    ----------
    state : dict of str to Tensor
    expected : sequence of str
        Names of the backbone's tensors.

    Returns
    -------
    state : dict of str to Tensor
    ignored : list of str
        Names without the prefix; empty if no name of the backbone has a prefix.

    Examples
    --------
    >>> state = {"n_averaged": 9, "module.fc.weight": 1, "module.fc.bias": 2}
    >>> strip_own_prefix(state, ["fc.weight", "fc.bias"])
    ({'fc.weight': 1, 'fc.bias': 2}, ['n_averaged'])
    """
    names, state = set(expected), strip_prefixes(state, expected)
    ignored: list[str] = []
    within = state
    while within and names.isdisjoint(within):
        prefix = next((p for p in _PREFIXES if any(key.startswith(p) for key in within)), None)
        if prefix is None:
            return state, []
        ignored += [key for key in within if not key.startswith(prefix)]
        within = {k.removeprefix(prefix): v for k, v in within.items() if k.startswith(prefix)}
    return within, ignored


def load_weights(
    model: Network, state: dict[str, torch.Tensor], source: str, *, stem: str,
    stains: Sequence[str] = STAINS, are_of_colours: bool = False, is_published: bool = False,
) -> None:  # fmt: skip
    """Load named tensors into a backbone; they must match all of its weights.

    Only these may be missing: the classifier, which is also ignored if its shape differs; the
    exponent of `GemPooling`; and counters that older versions of torch did not save. Tensors
    without the prefix of the backbone's names are ignored, with a warning. Position embeddings
    of a vision transformer are resampled to its grid, as in timm.

    Parameters
    ----------
    model : torch.nn.Module
        With its ``pretrained_cfg``; changed in place.
    state : dict of str to Tensor
    source : str
        Origin of the weights, for error messages.
    stem : {"average", "copy", "repeat", "random"}
        As `create_backbone`.
    stains : sequence of str
        The input channels of the model, in order.
    are_of_colours : bool, default=False
        Whether the first layer is known to be for three colours, also if the model has three
        input stains.
    is_published : bool, default=False
        Whether the weights are those of a published network for these stains: then a first layer
        for other channels belongs to another network and is not adapted.

    Raises
    ------
    InputError
        If a name is missing or unexpected, a tensor has a different shape, or the channels of
        the first layer are not the stains and `stem` cannot adapt them.
    """
    expected = model.state_dict()
    state, ignored = strip_own_prefix(state, list(expected))
    head, stems = _head_prefixes(model), stem_names(model)
    optional = gem_names(model) | {key for key in expected if key.endswith("num_batches_tracked")}
    if stem == "random":
        optional |= set(stems)
    missing = [
        key for key in expected if key not in state | dict.fromkeys(optional)
        and not key.startswith(head)
    ]  # fmt: skip
    unexpected = [key for key in state if key not in expected and not key.startswith(head)]
    misfits, loaded = [], {}
    for key in (key for key in state if key in expected):
        value, shape = state[key], expected[key].shape
        is_colour_stem = key in stems and are_of_colours and value.shape[1] == 3
        if value.shape == shape and not is_colour_stem:
            loaded[key] = value
        elif is_colour_stem or is_other_width(value.shape, shape):
            if stem == "random":
                continue
            if is_published:
                raise InputError(
                    f"{source}: {key} is for {counted(value.shape[1], 'channel')}, but this "
                    f"published network has {counted(len(stains), 'stain')} "
                    f"({', '.join(stains)}) and its filters are not adapted; "
                    "use the file for these stains"
                )
            if value.shape[1] != 3:
                raise InputError(
                    f"{source}: {key} is for {counted(value.shape[1], 'channel')}, but the "
                    f"backbone has {counted(len(stains), 'stain')} ({', '.join(stains)}), "
                    "and only filters for three colours can be adapted; set stem to 'random' to "
                    "initialise the first layer randomly",
                    "stem",
                )
            loaded[key] = adapt_stem(value, stem, stains)
        elif key in stems and value.ndim == 2:
            if stem != "random":
                raise InputError(
                    f"{source}: {key} is a linear layer on flattened patches, not a convolution, "
                    f"and cannot be adapted to {counted(len(stains), 'stain')}; set stem to "
                    "'random' to initialise it randomly",
                    "stem",
                )
        elif key == "pos_embed" and _can_be_resampled(model, value, shape):
            loaded[key] = timm.layers.resample_abs_pos_embed(
                value, new_size=model.patch_embed.grid_size,
                num_prefix_tokens=0 if model.no_embed_class else model.num_prefix_tokens,
            )  # fmt: skip
        elif not key.startswith(head):
            misfits.append(f"{key} {tuple(value.shape)} instead of {tuple(shape)}")
    problems = [
        f"{problem}: {shorten(keys)}"
        for problem, keys in (
            ("missing", missing), ("unexpected", unexpected), ("of another shape", misfits)
        )
        if keys
    ]  # fmt: skip
    if problems:
        raise InputError(f"{source} does not match the backbone; {'; '.join(problems)}")
    model.load_state_dict({**expected, **loaded}, strict=True)
    if ignored:
        warnings.warn(
            f"{source}: tensors that are not of the backbone are ignored: {shorten(ignored)}",
            stacklevel=3,
        )


def _open_safetensors(path: str | os.PathLike[str]) -> Any:
    try:
        return safetensors.safe_open(path, framework="pt")
    except safetensors.SafetensorError:
        raise InputError(f"weights {path}: not a safetensors file, or a corrupt one") from None


def _head_prefixes(model: Network) -> tuple[str, ...]:
    names = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _can_be_resampled(model: Network, value: torch.Tensor, shape: Sequence[int]) -> bool:
    """Return whether these are position embeddings of a square grid of another size."""
    if not isinstance(model, timm.models.VisionTransformer) or value.shape[2:] != shape[2:]:
        return False
    n_cells = value.shape[1] - (0 if model.no_embed_class else model.num_prefix_tokens)
    return n_cells > 0 and math.isqrt(n_cells) ** 2 == n_cells
