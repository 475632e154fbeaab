"""Creation of all backbones: those of timm, and published ones for the Human Protein Atlas."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpastack.backbones._torch import timm, torch
from hpastack.backbones.choices import STEMS
from hpastack.backbones.embedding import embed_batch
from hpastack.backbones.network import Network
from hpastack.backbones.pooling import use_gem_pooling
from hpastack.backbones.preprocessing import Preprocessing
from hpastack.backbones.published import PUBLIC_MODELS, PublicModel
from hpastack.backbones.weights import (
    load_weights,
    read_state,
    read_weights_record,
    strip_prefixes,
    weight_file,
)
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import STAINS


def create_backbone(
    name: str,
    *,
    weights: str | Path = "pretrained",
    stem: str = "average",
    stains: Sequence[str] | None = None,
    size: int | None = None,
    crop: int | None = None,
    statistics: Mapping[str, tuple[float, float]] | None = None,
    num_classes: int = 0,
    pool: str | None = None,
    drop_rate: float = 0.0,
    seed: int = 0,
) -> Network:
    """Create a backbone whose input channels are the stains of a field.

    Weights trained on natural images have three input channels in the first layer. `stem` is
    the way to adapt them to the stains, by default red, green, blue, yellow:

    - ``average``: every stain gets the mean of the three;
    - ``copy``: red, green and blue keep their own, yellow gets the mean;
    - ``repeat``: red, green, blue, red again, in the order of the stains, as in timm;
    - ``random``: none; the first layer is initialised randomly.

    The first three are multiplied by 3/4 (3 divided by the number of stains), so that a field
    with four equal stains gives the same activations as a grey image (for ``repeat`` only on
    average).

    Parameters
    ----------
    name : str
        Any model name of timm, with or without a weight tag, or one of `PUBLIC_MODELS`.
    weights : {"pretrained", "random"} or path-like, default="pretrained"
        ``pretrained``: the weights of timm (downloaded once, by timm); no other choice accesses
        the internet. A path is that of a file of weights (safetensors, or ``.pth``, ``.pt``,
        ``.bin`` of plain tensors) or of a folder with a single such file.
    stem : {"average", "copy", "repeat", "random"}, default="average"
        See above. Not used for weights that already have one input channel per stain, nor
        for random weights. The first layer of a published network is never adapted.
    stains : sequence of str, optional
        The input channels of the network, in order. Default: the stains that the weights were
        saved with, or all four.
    size : int, optional
        Side of the fields in pixels. Default: the size that the weights were saved with, or
        that of the backbone.
    crop : int, optional
        Side of the central square, in pixels, that is the input of the network. Default: the
        crop that the weights were saved with for fields of this size, or the whole field.
    statistics : mapping of str to (float, float), optional
        Mean and standard deviation of each stain, used for scaling instead of those of the
        weights.
    num_classes : int, default=0
        Number of outputs of the classifier; with 0 there is no classifier and the outputs are
        embeddings. A classifier in the weights is loaded if its shape matches.
    pool : str, optional
        timm's ``global_pool`` (``avg``, ``max``, ``catavgmax``, ...), or ``gem``, see
        `hpastack.backbones.pooling.GemPooling`. Default: the pooling of the backbone.
    drop_rate : float, default=0.0
        Dropout before the classifier.
    seed : int, default=0
        Seed of all random initialisation.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU, with its `Preprocessing` as
        ``model.preprocessing``: that saved with the weights, if any, or that of the published
        network; otherwise, for pretrained weights and files, timm's mean and standard deviation
        for the backbone averaged over the colours; for random weights 0.5 and 0.5.

    Raises
    ------
    InputError
        If there is no such model, the weights are not available, do not match or would leave
        part of the model random, the first layer cannot be adapted, the pooling is not possible,
        or the backbone does not accept fields of this size.

    Examples
    --------
    >>> model = create_backbone("test_resnet", weights="random", size=32)
    >>> model.preprocessing.size
    32
    >>> embed_batch(model, np.zeros((2, 4, 32, 32), np.float32)).shape
    (2, 96)
    """
    public = PUBLIC_MODELS.get(name)
    _check_choices(name, public, weights, stem, pool)
    path = None if weights in ("pretrained", "random") else weight_file(weights)
    record = {} if path is None else read_weights_record(path)
    preprocessing = _preprocessing(
        name, public, record, is_random=weights == "random",
        stains=stains, size=size, crop=crop, statistics=statistics,
    )  # fmt: skip
    stains, side = preprocessing.stains, preprocessing.input_size
    options: dict[str, Any] = {"num_classes": num_classes, "drop_rate": drop_rate}
    if public is not None:
        with _seeded(seed):
            model = public.build(side, num_classes, drop_rate)
    else:
        if pool is not None:
            options["global_pool"] = "avg" if pool == "gem" else pool
        if _timm_config(name).fixed_input_size:
            # Models with a grid of position embeddings are built for a single size.
            options["img_size"] = side
        model = _create(name, options=options, in_chans=len(stains), seed=seed)
        if pool == "gem":
            use_gem_pooling(model, name)
    if path is not None:
        state = read_state(path)
        if public is not None and not record:
            state = _public_state(public, state, model, path)
        load_weights(
            model, state, str(path), stem=stem, stains=stains, is_published=public is not None
        )
    elif weights == "pretrained":
        load_weights(
            model, _pretrained_state(name, options, seed), f"the pretrained weights of {name}",
            stem=stem, stains=stains, are_of_colours=True,
        )  # fmt: skip
    model.preprocessing = preprocessing
    model.to(memory_format=torch.channels_last).eval()
    _check_size(model, name)
    return model


def expected_stains(
    name: str, weights: str | Path = "pretrained", stains: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the input stains of a backbone before its weights are read or downloaded.

    Parameters
    ----------
    name, weights, stains
        As `create_backbone`.

    Returns
    -------
    tuple of str

    Raises
    ------
    InputError
        If there is no such file of weights.
    """
    if stains is not None:
        return tuple(stains)
    path = None if weights in ("pretrained", "random") else weight_file(weights)
    record = {} if path is None else read_weights_record(path)
    if "preprocessing" in record:
        return Preprocessing.from_record(record["preprocessing"]).stains
    public = PUBLIC_MODELS.get(name)
    return STAINS if public is None else public.preprocessing.stains


def _check_choices(
    name: str, public: PublicModel | None, weights: str | Path, stem: str, pool: str | None
) -> None:
    if stem not in STEMS:
        raise InputError(f"stem {stem!r} is unknown; it must be one of {', '.join(STEMS)}", "stem")
    if public is None:
        if not timm.is_model(name):
            known = [*PUBLIC_MODELS, *timm.list_models()]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {shorten(near)}?" if near else "timm.list_models() lists all"
            raise InputError(f"timm has no backbone {name!r}; {hint}")
        return
    if pool is not None:
        raise InputError(f"pool: backbone {name} has its own pooling; omit pool", "pool")
    if weights == "pretrained":
        raise InputError(
            f"the weights of {name} are not downloaded; set weights to a file, from "
            f"{public.source}",
            "weights",
        )


def _preprocessing(
    name: str, public: PublicModel | None, record: dict[str, Any], *, is_random: bool,
    stains: Sequence[str] | None, size: int | None, crop: int | None,
    statistics: Mapping[str, tuple[float, float]] | None,
) -> Preprocessing:  # fmt: skip
    """Return the preprocessing: the requested options, else those of the weights."""
    if "preprocessing" in record:
        base = Preprocessing.from_record(record["preprocessing"])
    elif public is not None:
        base = public.preprocessing
    else:
        config = _timm_config(name)
        mean, sd = float(np.mean(config.mean)), float(np.mean(config.std))
        mean, sd = (0.5, 0.5) if is_random else (mean, sd)
        chosen = tuple(stains or STAINS)
        base = Preprocessing(
            config.input_size[-1], (mean,) * len(chosen), (sd,) * len(chosen), stains=chosen
        )
    if stains is not None and tuple(stains) != base.stains:
        raise InputError(
            f"the weights are for the stains {', '.join(base.stains)}, in this order; omit stains",
            "stains",
        )
    size = size or base.size
    if crop is None and size == base.size:
        crop = base.crop
    changes: dict[str, Any] = {"size": size, "crop": crop}
    if statistics is not None:
        if base.scaling != "fixed":
            raise InputError(
                f"backbone {name} scales each field by its own values ({base.scaling}); omit "
                "statistics",
                "statistics",
            )
        unknown = [stain for stain in base.stains if stain not in statistics]
        if unknown:
            raise InputError(f"statistics lack the stains {shorten(unknown)}")
        changes["mean"], changes["sd"] = zip(*(statistics[stain] for stain in base.stains))
    return replace(base, **changes)


def _timm_config(name: str) -> Any:
    return timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # The state of the global generator is restored, so that the caller's random numbers do not
    # change.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _create(
    name: str, *, options: dict[str, Any], in_chans: int, seed: int, pretrained: bool = False
) -> Network:
    with _seeded(seed):
        try:
            model: Any = timm.create_model(
                name, pretrained=pretrained, in_chans=in_chans, **options
            )
            return model
        except (
            OSError
        ):  # of huggingface_hub, whose "not found" was also a ValueError before version 1
            raise
        except (AssertionError, TypeError, ValueError) as error:
            reason = str(error) or "not possible"
            raise InputError(f"backbone {name} with {options}: {reason}") from error


def _pretrained_state(name: str, options: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    remedy = "set weights to a file, or to 'random'"
    try:
        colour = _create(name, options=options, in_chans=3, seed=seed, pretrained=True)
    except (OSError, RuntimeError) as error:
        # huggingface_hub raises several exceptions, most of them OSErrors, all with long messages.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"pretrained weights of {name} are not available ({reason}); {remedy}", "weights"
        ) from error
    return colour.state_dict()


def _public_state(
    public: PublicModel, state: dict[str, torch.Tensor], model: Network, path: Path
) -> dict[str, torch.Tensor]:
    try:
        return public.rename(strip_prefixes(state), model)
    except InputError as error:
        raise InputError(f"weights {path}: {error}") from None


def _check_size(model: Network, name: str) -> None:
    size, side = model.preprocessing.size, model.preprocessing.input_size
    patch = _patch_side(model)
    if patch is not None and side % patch:
        # timm would silently drop the last pixels.
        low = max(side // patch, 1) * patch
        raise InputError(
            f"backbone {name} divides fields into patches of {patch} px, but {side} px is not a "
            f"multiple of that; use {low} or {low + patch}"
        )
    try:
        embed_batch(model, np.zeros((1, len(STAINS), size, size), np.float32))
    except (AssertionError, RuntimeError) as error:
        n_stains = len(model.preprocessing.stains)
        reason = str(error) or "it needs a different size"
        raise InputError(
            f"backbone {name} does not accept fields of {side} px and "
            f"{counted(n_stains, 'stain')}: {reason}"
        ) from error


def _patch_side(model: Network) -> int | None:
    """Return the side of the patches of a backbone; None if it has none or they overlap."""
    layer = getattr(model, "patch_embed", None)
    # A single number in some backbones, a pair (height, width) in others.
    patch, stride = (
        value if isinstance(value, int) or value is None else value[0]
        for value in (
            getattr(layer, "patch_size", None),
            getattr(getattr(layer, "proj", None), "stride", None),
        )
    )
    # Overlapping patches are padded at the edges, so any size is accepted.
    return patch if stride in (None, patch) else None
