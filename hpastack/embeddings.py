"""timm backbones that see the four stains, and the vectors they give.

A backbone carries the `Preprocessing` that its weights expect as
``model.preprocessing``; everything that applies the backbone scales with it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpastack._torch import safetensors, timm, torch
from hpastack.channels import STAINS
from hpastack.errors import InputError, shorten

#: Ways to fit the three colour filters of a first layer to four stains.
STEMS = ("average", "copy", "repeat", "random")

# What training scripts put in front of the names of a backbone's weights.
_PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.")
# Where training scripts nest the weights in what they save.
_NESTS = ("state_dict", "model", "model_state_dict", "weights")
# The key of safetensors metadata that holds this package's own record, as JSON.
_RECORD = "hpastack"


@dataclass(frozen=True)
class Preprocessing:
    """Say how a field is brought into the form that a model was trained on.

    Fields in [0, 1] are scaled so that their longer side has `size` pixels,
    padded with zeros to a square, and each stain becomes ``(x - mean) / sd``.

    Parameters
    ----------
    size : int
        Side of the square, in pixels.
    mean, sd : tuple of float, length 4
        Per stain, for values in [0, 1].
    stains : tuple of str
        Order of the stains in a batch.

    Raises
    ------
    InputError
        If the numbers do not fit the stains, an `sd` is not above 0, or the
        stains are not those of this package in its order.
    """

    size: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    stains: tuple[str, ...] = STAINS

    def __post_init__(self):
        if tuple(self.stains) != STAINS:
            raise InputError(f"preprocessing for stains {self.stains}; fields have {STAINS}")
        if len(self.mean) != len(STAINS) or len(self.sd) != len(STAINS):
            raise InputError(f"preprocessing needs one mean and one sd for each of {STAINS}")
        if not all(sd > 0 for sd in self.sd):
            raise InputError(f"preprocessing: every sd must be above 0, not {self.sd}")

    def scale(self, batch):
        """Scale a batch.

        Parameters
        ----------
        batch : Tensor of float, shape (n, 4, h, w)
            Values in [0, 1].

        Returns
        -------
        Tensor
            Of the same shape, on the same device.
        """
        shape = (1, len(STAINS), 1, 1)
        mean = torch.tensor(self.mean, dtype=batch.dtype, device=batch.device).view(shape)
        sd = torch.tensor(self.sd, dtype=batch.dtype, device=batch.device).view(shape)
        return (batch - mean) / sd

    def record(self) -> dict:
        """Return the preprocessing as a JSON-able dict."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_record(cls, record: dict) -> Preprocessing:
        """Make the preprocessing that `record` was made from.

        Parameters
        ----------
        record : dict

        Returns
        -------
        Preprocessing

        Raises
        ------
        InputError
            If a key is missing or unknown.
        """
        try:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in record.items()
            }
            return cls(**values)
        except TypeError:
            raise InputError(f"not a preprocessing record: {shorten(record)}") from None


def create_backbone(
    name: str,
    *,
    weights: str | Path = "pretrained",
    stem: str = "average",
    size: int | None = None,
    num_classes: int = 0,
    pool: str | None = None,
    drop_rate: float = 0.0,
    seed: int = 0,
):
    """Make a timm backbone that takes the four stains of a field.

    Weights trained on colour pictures have three filters in the first layer.
    `stem` says how they become four, in the order red, green, blue, yellow:

    - ``average``: every stain gets the mean of the three;
    - ``copy``: red, green and blue keep theirs, yellow gets the mean;
    - ``repeat``: red, green, blue, red again, as timm does;
    - ``random``: none; the first layer is drawn anew.

    The first three are multiplied by 3/4, so that (but for ``repeat``, which
    does so only on average) a field whose stains are all equal gives the same
    activations as a grey picture.

    Parameters
    ----------
    name : str
        Any model name of timm, with or without a weight tag.
    weights : {"pretrained", "random"} or path-like, default="pretrained"
        ``pretrained`` takes timm's own (downloaded once, by timm). A path is
        a file of weights (safetensors, or ``.pth``, ``.pt``, ``.bin`` of
        plain tensors) or a folder that holds one.
    stem : {"average", "copy", "repeat", "random"}, default="average"
        See above. Not used for weights that already have four filters, nor
        for random weights.
    size : int, optional
        Side of the fields in pixels; the backbone's own if left out.
    num_classes : int, default=0
        Outputs of the classifier; 0 for none, so that the model gives
        embeddings. A classifier in the weights is loaded where it fits.
    pool : str, optional
        timm's ``global_pool`` (``avg``, ``max``, ``catavgmax``, ...); the
        backbone's own if left out.
    drop_rate : float, default=0.0
        Dropout before the classifier.
    seed : int, default=0
        For everything that is drawn.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU, with its `Preprocessing` as
        ``model.preprocessing``: that saved with the weights, if it was;
        else, for pretrained weights and files, timm's mean and sd for the
        backbone averaged over the colours; for random weights 0.5 and 0.5.

    Raises
    ------
    InputError
        If timm knows no such model, the weights cannot be had, do not fit,
        or would leave part of the model random, if the first layer cannot be
        adapted, or if the backbone cannot take fields of this size.

    Examples
    --------
    >>> model = create_backbone("test_resnet", weights="random", size=32)
    >>> model.preprocessing.size
    32
    >>> embed_batch(model, np.zeros((2, 4, 32, 32), np.float32)).shape
    (2, 96)
    """
    _check_name(name)
    if stem not in STEMS:
        raise InputError(f"stem {stem!r} is unknown; it is one of {', '.join(STEMS)}")
    options: dict = {"num_classes": num_classes, "drop_rate": drop_rate}
    if pool is not None:
        options["global_pool"] = pool
    config = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    size = size or config.input_size[-1]
    if config.fixed_input_size:
        # Models with a grid of positions are built for one size.
        options["img_size"] = size
    model = _create(name, options=options, in_chans=len(STAINS), seed=seed)
    mean, sd = float(np.mean(config.mean)), float(np.mean(config.std))
    preprocessing = Preprocessing(size, (mean,) * len(STAINS), (sd,) * len(STAINS))
    if weights == "random":
        preprocessing = Preprocessing(size, (0.5,) * len(STAINS), (0.5,) * len(STAINS))
    elif weights == "pretrained":
        state = _pretrained_state(name, options, seed)
        _load(model, state, stem, f"the pretrained weights of {name}")
    else:
        path = weight_file(weights)
        saved = read_weights_record(path).get("preprocessing")
        if saved is not None:
            saved = Preprocessing.from_record(saved)
            preprocessing = Preprocessing(size, saved.mean, saved.sd)
        _load(model, _read_state(path), stem, str(path))
    model.preprocessing = preprocessing
    model.eval()
    _check_size(model, name, size)
    return model


def embedding_dimension(model) -> int:
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


def embed_batch(model, batch) -> np.ndarray:
    """Turn a batch of fields into vectors.

    A field's vector does not depend on the others in its batch (to 1e-5 on
    the CPU, where the order of sums may change with the size of the batch).

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone`, on any device. On a GPU it runs in bfloat16
        with the channels last.
    batch : ndarray of float32, shape (n, 4, size, size)
        Fields in [0, 1], not yet scaled.

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
        inputs = model.preprocessing.scale(to_device(torch.from_numpy(batch), device))
        outputs = model(inputs)
    return outputs.float().cpu().numpy()


def features_and_logits(model, inputs):
    """Return what the classifier of a model sees, and what it says, in one forward pass.

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone` with a classifier; see `check_features_and_logits`.
    inputs : Tensor of float, shape (n, n_stains, h, w)
        Scaled by the model's preprocessing, on its device.

    Returns
    -------
    features : Tensor, shape (n, n_dimensions)
        Pooled; in training mode with the dropout that stands before the classifier.
    logits : Tensor, shape (n, n_labels)
        Those that ``model(inputs)`` gives.

    Notes
    -----
    Gradients flow through both. Nothing is kept on the model, so that threads may share it.
    """
    features = model.forward_head(model.forward_features(inputs), pre_logits=True)
    return features, model.get_classifier()(features)


def check_features_and_logits(model) -> None:
    """Refuse a model whose logits are not its classifier applied to its pooled features.

    Compares `features_and_logits` with the model itself on a made-up field, once.

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone`, on any device, in any mode; it is left as it was.

    Raises
    ------
    InputError
        If the model has no classifier, has several, or does more between features and logits.
    """
    name = model.pretrained_cfg.get("architecture") or type(model).__name__
    remedy = "use another backbone where both are needed"
    if not model.num_classes:
        raise InputError(f"backbone {name} has no classifier, so it gives no logits")
    if not isinstance(model.get_classifier(), torch.nn.Module):
        raise InputError(f"backbone {name} has more than one classifier; {remedy}")
    like, size = next(model.parameters()), model.preprocessing.size
    ramp = torch.linspace(-1, 1, len(STAINS) * size * size, dtype=like.dtype, device=like.device)
    inputs = ramp.view(1, len(STAINS), size, size)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            wanted = model(inputs)
            features, logits = features_and_logits(model, inputs)
        same = features.ndim == 2 and logits.shape == wanted.shape
        # 1e-3 of the largest: sums in another order, and TF32 on a GPU.
        same = same and bool((logits - wanted).abs().max() <= 1e-3 * wanted.abs().max())
    except (AttributeError, RuntimeError, TypeError):
        same = False
    finally:
        for module in training:
            module.training = True
    if not same:
        raise InputError(
            f"backbone {name} does not apply one classifier to its pooled features; {remedy}"
        )


def choose_device(device: str = "auto"):
    """Turn the name of a device into a torch device that is there.

    Parameters
    ----------
    device : str, default="auto"
        ``auto`` is the first GPU, or the CPU where there is none; or a name
        of torch's: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Returns
    -------
    torch.device

    Raises
    ------
    InputError
        If there is no such device on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"device {device!r} is not on this machine; use auto or cpu") from None
    return chosen


def to_device(batch, device):
    """Move a batch of fields to a device, channels last and without waiting on a GPU.

    Parameters
    ----------
    batch : Tensor, shape (n, 4, h, w)
    device : torch.device

    Returns
    -------
    Tensor
    """
    if device.type != "cuda":
        return batch.to(device)
    batch = batch.pin_memory().to(device, non_blocking=True)
    return batch.contiguous(memory_format=torch.channels_last)


def autocast(device):
    """Return the context in which a model runs: bfloat16 on a GPU, float32 elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


@contextmanager
def gpu_memory_guard(batch_size: int):
    """Turn a GPU that is out of memory into a mistake with a remedy."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"the GPU is out of memory with {batch_size} fields a batch; "
            f"set batch_size to {max(1, batch_size // 2)}"
        ) from None


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
        If there is none, or a folder holds several.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(
            f"weights {path}: there is no such file; give a file, 'pretrained' or 'random'"
        )
    for suffixes in ((".safetensors",), (".pth", ".pt", ".bin")):
        found = sorted(file for file in path.iterdir() if file.suffix in suffixes)
        if len(found) > 1:
            names = shorten([file.name for file in found])
            raise InputError(f"weights {path} holds {len(found)} files; name one of {names}")
        if found:
            return found[0]
    raise InputError(f"weights {path} holds no .safetensors, .pth, .pt or .bin file")


def save_weights(path, model, record: dict) -> None:
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
    safetensors.torch.save_file(state, path, metadata=metadata)


def read_weights_record(path) -> dict:
    """Return what `save_weights` wrote beside the weights; empty for other files.

    A record whose key ``trained_on`` is there belongs to weights that have
    seen labels: embeddings made with them are not label-free.

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


def _open_safetensors(path):
    try:
        return safetensors.safe_open(path, framework="pt")
    except safetensors.SafetensorError:
        raise InputError(f"weights {path} is not a safetensors file, or is damaged") from None


def _check_name(name: str) -> None:
    if timm.is_model(name):
        return
    near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
    hint = f"did you mean {shorten(near)}?" if near else "timm.list_models() lists all"
    raise InputError(f"timm knows no backbone {name!r}; {hint}")


def _create(name: str, *, options: dict, in_chans: int, seed: int, pretrained: bool = False):
    # Not `seed` alone: the caller's own random numbers must not change with what is made here.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return timm.create_model(name, pretrained=pretrained, in_chans=in_chans, **options)
        except (AssertionError, TypeError, ValueError) as error:
            reason = str(error) or "not possible"
            raise InputError(f"backbone {name} with {options}: {reason}") from error


def _pretrained_state(name: str, options: dict, seed: int) -> dict:
    remedy = "give weights: FILE, or weights: random"
    try:
        colour = _create(name, options=options, in_chans=3, seed=seed, pretrained=True)
    except (OSError, RuntimeError) as error:
        # The hub answers with several exceptions, most of them OSErrors and all of them long.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"pretrained weights of {name} cannot be had ({reason}); {remedy}") from (
            error
        )
    return colour.state_dict()


def _read_state(path: Path) -> dict:
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
        for nest in _NESTS:
            if isinstance(state, dict) and isinstance(state.get(nest), dict):
                state = state[nest]
                break
    if not isinstance(state, dict) or not any(torch.is_tensor(v) for v in state.values()):
        raise InputError(f"weights {path} holds no named tensors")
    return {key: value for key, value in state.items() if torch.is_tensor(value)}


def _load(model, state: dict, stem: str, source: str) -> None:
    expected = model.state_dict()
    state = _strip_prefixes(state, expected)
    head = _head_prefixes(model)

    def is_head(key):
        return key.startswith(head)

    missing = [key for key in expected if key not in state and not is_head(key)]
    unexpected = [key for key in state if key not in expected and not is_head(key)]
    misfits = []
    loaded = {}
    for key in (key for key in state if key in expected):
        value, wanted = state[key], expected[key].shape
        if value.shape == wanted:
            loaded[key] = value
        elif _is_colour_stem(value.shape, wanted):
            if stem != "random":
                loaded[key] = adapt_stem(value, stem)
        elif not is_head(key):
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


def adapt_stem(filters, stem: str):
    """Turn the filters of a first layer for colour pictures into filters for stains.

    Parameters
    ----------
    filters : Tensor, shape (n_filters, 3, h, w)
        For red, green and blue light.
    stem : {"average", "copy", "repeat"}
        As `create_backbone`.

    Returns
    -------
    Tensor, shape (n_filters, 4, h, w)
        For the stains red, green, blue and yellow.

    Examples
    --------
    >>> filters = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    >>> adapt_stem(filters, "copy").flatten().tolist()
    [0.75, 1.5, 4.5, 2.25]
    """
    mean = filters.mean(dim=1, keepdim=True)
    if stem == "average":
        adapted = mean.repeat(1, len(STAINS), 1, 1)
    elif stem == "copy":
        adapted = torch.cat([filters, mean], dim=1)
    elif stem == "repeat":
        adapted = torch.cat([filters, filters[:, :1]], dim=1)
    else:
        raise InputError(f"stem {stem!r} does not adapt filters")
    return adapted * (filters.shape[1] / len(STAINS))


def _is_colour_stem(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return (
        len(shape) == len(wanted) == 4
        and (shape[1], wanted[1]) == (3, len(STAINS))
        and (shape[0], *shape[2:]) == (wanted[0], *wanted[2:])
    )


def _head_prefixes(model) -> tuple[str, ...]:
    names = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _strip_prefixes(state: dict, expected: dict) -> dict:
    """Drop the prefixes that all names share, unless the backbone's own names have them."""
    while state:
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None or all(key.startswith(prefix) for key in expected):
            return state
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _check_size(model, name: str, size: int) -> None:
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    # A number in some backbones, one for height and width in others.
    side = patch if isinstance(patch, int) or patch is None else patch[0]
    if side is not None and size % side:
        # timm would leave the last pixels out without a word.
        low = max(size // side, 1) * side
        raise InputError(
            f"backbone {name} cuts fields into patches of {side} px, which {size} px is no "
            f"multiple of; use {low} or {low + side}"
        )
    try:
        embed_batch(model, np.zeros((1, len(STAINS), size, size), np.float32))
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"backbone {name} cannot take fields of {size} px: {error}") from error
