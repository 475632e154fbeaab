"""Files of weights: found, read without running anything, and loaded strictly."""

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

# What training scripts put in front of the names of a backbone's weights.
_PREFIXES = ("module.", "_orig_mod.", "model.", "ema.", "teacher.", "student.", "backbone.")
# Where training scripts nest the weights in what they save; of several the first: a running mean
# is what their own evaluation uses.
_NESTS = (
    "state_dict_ema", "model_ema", "ema", "teacher", "state_dict", "model_state_dict", "model",
    "weights", "student",
)  # fmt: skip
# How the text begins that stands for a file whose content was not fetched.
_POINTER = b"version https://git-lfs"
# The key of safetensors metadata that holds this package's own record, as JSON.
_RECORD = "hpastack"
# What a folder of fine-tuned CNNs holds beside its weights.
_MANIFEST = "cnn.json"


def weight_file(path: str | Path) -> Path:
    """Find the file of weights that `path` means.

    Parameters
    ----------
    path : path-like
        A file, or a folder that holds one; safetensors are preferred.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there is none, it is a pointer of Git LFS, or a folder holds several, or fine-tuned
        CNNs: each of these is a fold's.
    """
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise InputError(
                    f"weights {path} is a pointer of Git LFS, not the weights; run git lfs pull "
                    "where it comes from, or download the file itself"
                )
        return path
    if not path.is_dir():
        raise InputError(
            f"weights {path}: there is no such file; give a file, 'pretrained' or 'random'"
        )
    for suffixes in ((".safetensors",), (".pth", ".pt", ".bin")):
        found = sorted(file for file in path.iterdir() if file.suffix in suffixes)
        names = shorten([file.name for file in found])
        if found and (path / _MANIFEST).is_file():
            raise InputError(
                f"weights {path} are fine-tuned CNNs, each trained without another fold; "
                f"name one of {names}"
            )
        if len(found) > 1:
            raise InputError(
                f"weights {path} holds {counted(len(found), 'file')}; name one of {names}"
            )
        if found:
            return weight_file(found[0])
    raise InputError(f"weights {path} holds no .safetensors, .pth, .pt or .bin file")


def save_weights(path: str | os.PathLike[str], model: Network, record: dict[str, Any]) -> None:
    """Save the weights of a model, with what is known of them.

    Parameters
    ----------
    path : path-like
        A safetensors file.
    model : torch.nn.Module
        Of `create_backbone`.
    record : dict
        JSON-able; the model's preprocessing is added.
    """
    record = {**record, "preprocessing": model.preprocessing.record()}
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    # One key only: safetensors writes several in an order that changes from run to run.
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
        Contiguous, on the CPU, none sharing memory with another.
    metadata : dict of str to str

    Raises
    ------
    InputError
        If it cannot be written, as on a full disk.
    """
    try:
        safetensors.torch.save_file(tensors, path, metadata=metadata)
    except safetensors.SafetensorError as error:
        # Not an OSError of its own, whatever the disk says.
        raise InputError(
            f"{Path(path).parent}: weights cannot be written ({error}); make room, and run it "
            "again: what is finished is kept"
        ) from error


def read_weights_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `save_weights` wrote beside the weights; empty for other files.

    A record whose key ``trained_on`` is there belongs to weights that have
    seen labels: see `embedding_kind`.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If a file called ``.safetensors`` is not one.
    """
    if Path(path).suffix != ".safetensors":
        return {}
    with _open_safetensors(path) as file:
        return json.loads((file.metadata() or {}).get(_RECORD, "{}"))


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the named tensors of a file of weights; nothing in it is executed.

    Parameters
    ----------
    path : Path
        Safetensors, or what `torch.save` made of plain tensors, nested as training scripts do.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    InputError
        If the file is damaged, would run code, or holds no tensors.
    """
    if path.suffix == ".safetensors":
        with _open_safetensors(path) as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            # torch.load raises whatever its unpickler trips over.
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
        raise InputError(f"weights {path} holds no named tensors")
    return {key: value for key, value in state.items() if torch.is_tensor(value)}


def strip_prefixes(state: dict[str, Value], expected: Sequence[str] = ()) -> dict[str, Value]:
    """Drop the prefixes that all names share, unless the backbone's own names have them.

    Parameters
    ----------
    state : dict of str to Tensor
    expected : sequence of str
        The backbone's own names.

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
    """Drop the prefixes of a backbone's names, and what stands outside them.

    Training scripts save a whole module: the backbone as one part of it, and beside it buffers
    of the loss, counters, or a second copy of the backbone.

    Parameters
    ----------
    state : dict of str to Tensor
    expected : sequence of str
        The backbone's own names.

    Returns
    -------
    state : dict of str to Tensor
    passed_over : list of str
        Names outside the prefix; empty if no name of the backbone has a prefix.

    Examples
    --------
    >>> state = {"n_averaged": 9, "module.fc.weight": 1, "module.fc.bias": 2}
    >>> strip_own_prefix(state, ["fc.weight", "fc.bias"])
    ({'fc.weight': 1, 'fc.bias': 2}, ['n_averaged'])
    """
    own, state = set(expected), strip_prefixes(state, expected)
    passed_over: list[str] = []
    within = state
    while within and own.isdisjoint(within):
        prefix = next((p for p in _PREFIXES if any(key.startswith(p) for key in within)), None)
        if prefix is None:
            return state, []
        passed_over += [key for key in within if not key.startswith(prefix)]
        within = {k.removeprefix(prefix): v for k, v in within.items() if k.startswith(prefix)}
    return within, passed_over


def load_weights(
    model: Network, state: dict[str, torch.Tensor], source: str, *, stem: str,
    stains: Sequence[str] = STAINS, are_of_colours: bool = False, is_published: bool = False,
) -> None:  # fmt: skip
    """Load named tensors into a backbone, all of it, or refuse them.

    Three things may be missing: the classifier, which is also left out where it does not fit;
    the exponent of `GemPooling`; and counters that older versions of torch did not keep.
    What stands outside the prefix of the backbone's names is ignored, with a warning.
    Positions of a vision transformer are resampled to its grid, as timm does.

    Parameters
    ----------
    model : torch.nn.Module
        With its ``pretrained_cfg``; changed in place.
    state : dict of str to Tensor
    source : str
        Where they are from, for messages.
    stem : {"average", "copy", "repeat", "random"}
        As `create_backbone`.
    stains : sequence of str
        Those that the model sees, in its order.
    are_of_colours : bool, default=False
        Whether the first layer is known to be made for three colours, also where the model sees
        three stains.
    is_published : bool, default=False
        Whether they are those of a published network for these stains: then
        a first layer for others belongs to another network, and is not adapted.

    Raises
    ------
    InputError
        If a name is missing or unexpected, a tensor has another shape, or the first layer has
        other channels than the stains and `stem` does not say what to do about it.
    """
    expected = model.state_dict()
    state, passed_over = strip_own_prefix(state, list(expected))
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
        value, wanted = state[key], expected[key].shape
        is_colour_stem = key in stems and are_of_colours and value.shape[1] == 3
        if value.shape == wanted and not is_colour_stem:
            loaded[key] = value
        elif is_colour_stem or is_other_width(value.shape, wanted):
            if stem == "random":
                continue
            if is_published:
                raise InputError(
                    f"{source}: {key} is for {value.shape[1]} channels; this published network "
                    f"sees {counted(len(stains), 'stain')} ({', '.join(stains)}), and filters for "
                    "others are "
                    "not adapted: take the file for these stains"
                )
            if value.shape[1] != 3:
                raise InputError(
                    f"{source}: {key} is for {value.shape[1]} channels, and the backbone sees "
                    f"{counted(len(stains), 'stain')} ({', '.join(stains)}); only three colours "
                    "can be "
                    "adapted; stem: random draws it anew"
                )
            loaded[key] = adapt_stem(value, stem, stains)
        elif key in stems and value.ndim == 2:
            if stem != "random":
                raise InputError(
                    f"{source}: {key} takes patches as rows of numbers, not by filters, and is not "
                    f"adapted to {counted(len(stains), 'stain')}; stem: random draws it anew"
                )
        elif key == "pos_embed" and _is_resampled(model, value, wanted):
            loaded[key] = timm.layers.resample_abs_pos_embed(
                value, new_size=model.patch_embed.grid_size,
                num_prefix_tokens=0 if model.no_embed_class else model.num_prefix_tokens,
            )  # fmt: skip
        elif not key.startswith(head):
            misfits.append(f"{key} {tuple(value.shape)} instead of {tuple(wanted)}")
    problems = [
        f"{what}: {shorten(keys)}"
        for what, keys in (
            ("missing", missing), ("unexpected", unexpected), ("of another shape", misfits)
        )
        if keys
    ]  # fmt: skip
    if problems:
        raise InputError(f"{source} does not fit the backbone; {'; '.join(problems)}")
    model.load_state_dict({**expected, **loaded}, strict=True)
    if passed_over:
        warnings.warn(
            f"{source}: not of the backbone, and ignored: {shorten(passed_over)}", stacklevel=3
        )


def _open_safetensors(path: str | os.PathLike[str]) -> Any:
    try:
        return safetensors.safe_open(path, framework="pt")
    except safetensors.SafetensorError:
        raise InputError(f"weights {path} is not a safetensors file, or is damaged") from None


def _head_prefixes(model: Network) -> tuple[str, ...]:
    names = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _is_resampled(model: Network, value: torch.Tensor, wanted: Sequence[int]) -> bool:
    """Say whether these are the positions of a square grid of another size."""
    if not isinstance(model, timm.models.VisionTransformer) or value.shape[2:] != wanted[2:]:
        return False
    n_cells = value.shape[1] - (0 if model.no_embed_class else model.num_prefix_tokens)
    return n_cells > 0 and math.isqrt(n_cells) ** 2 == n_cells
