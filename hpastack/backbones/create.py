"""One door to every network: timm's, and the published ones for the Human Protein Atlas."""

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
    """Make a backbone that takes the stains of a field.

    Weights trained on colour pictures have three filters in the first layer.
    `stem` says how they become one for each stain, by default red, green, blue, yellow:

    - ``average``: every stain gets the mean of the three;
    - ``copy``: red, green and blue keep theirs, yellow gets the mean;
    - ``repeat``: red, green, blue, red again, in the order of the stains, as timm does;
    - ``random``: none; the first layer is drawn anew.

    The first three are multiplied by 3/4 (3 by the number of stains), so that (but for
    ``repeat``, which does so only on average) a field whose stains are all equal gives the same
    activations as a grey picture.

    Parameters
    ----------
    name : str
        Any model name of timm, with or without a weight tag, or one of `PUBLIC_MODELS`.
    weights : {"pretrained", "random"} or path-like, default="pretrained"
        ``pretrained`` takes timm's own (downloaded once, by timm); nothing else touches the
        network. A path is a file of weights (safetensors, or ``.pth``, ``.pt``, ``.bin`` of
        plain tensors) or a folder that holds one.
    stem : {"average", "copy", "repeat", "random"}, default="average"
        See above. Not used for weights that already have a filter for each stain, nor
        for random weights. The first layer of a published network is never adapted.
    stains : sequence of str, optional
        The stains that the network sees, in its order; if left out those that the weights were
        saved with, or all four.
    size : int, optional
        Side of the fields in pixels; if left out that which the weights were saved with, or the
        backbone's own.
    crop : int, optional
        Side of the square in the middle that the network sees, and is built for. If left out,
        that which the weights were saved with for fields of this size, or the whole field.
    statistics : mapping of str to (float, float), optional
        Mean and sd of each stain, to scale with instead of those that come with the weights.
    num_classes : int, default=0
        Outputs of the classifier; 0 for none, so that the model gives
        embeddings. A classifier in the weights is loaded where it fits.
    pool : str, optional
        timm's ``global_pool`` (``avg``, ``max``, ``catavgmax``, ...), or ``gem``, see
        `hpastack.backbones.pooling.GemPooling`; the backbone's own if left out.
    drop_rate : float, default=0.0
        Dropout before the classifier.
    seed : int, default=0
        For everything that is drawn.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU, with its `Preprocessing` as
        ``model.preprocessing``: that saved with the weights, if it was, or that of the published
        network; else, for pretrained weights and files, timm's mean and sd for the
        backbone averaged over the colours; for random weights 0.5 and 0.5.

    Raises
    ------
    InputError
        If there is no such model, the weights cannot be had, do not fit,
        or would leave part of the model random, if the first layer cannot be
        adapted, if the pooling is not possible, or if the backbone cannot take fields of this size.

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
        with _drawn_from(seed):
            model = public.build(side, num_classes, drop_rate)
    else:
        if pool is not None:
            options["global_pool"] = "avg" if pool == "gem" else pool
        if _timm_config(name).fixed_input_size:
            # Models with a grid of positions are built for one size.
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
    """Return the stains that a backbone sees, before its weights are read or downloaded.

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
        raise InputError(f"stem {stem!r} is unknown; it is one of {', '.join(STEMS)}")
    if public is None:
        if not timm.is_model(name):
            known = [*PUBLIC_MODELS, *timm.list_models()]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {shorten(near)}?" if near else "timm.list_models() lists all"
            raise InputError(f"timm knows no backbone {name!r}; {hint}")
        return
    if pool is not None:
        raise InputError(f"backbone {name} has a pooling of its own; leave pool out")
    if weights == "pretrained":
        raise InputError(
            f"the weights of {name} are not downloaded; give weights: FILE, from {public.source}"
        )


def _preprocessing(
    name: str, public: PublicModel | None, record: dict[str, Any], *, is_random: bool,
    stains: Sequence[str] | None, size: int | None, crop: int | None,
    statistics: Mapping[str, tuple[float, float]] | None,
) -> Preprocessing:  # fmt: skip
    """Settle how fields are prepared: what is asked for, over what comes with the weights."""
    if "preprocessing" in record:
        base = Preprocessing.from_record(record["preprocessing"])
    elif public is not None:
        base = public.preprocessing
    else:
        config = _timm_config(name)
        mean, sd = float(np.mean(config.mean)), float(np.mean(config.std))
        mean, sd = (0.5, 0.5) if is_random else (mean, sd)
        own = tuple(stains or STAINS)
        base = Preprocessing(
            config.input_size[-1], (mean,) * len(own), (sd,) * len(own), stains=own
        )
    if stains is not None and tuple(stains) != base.stains:
        raise InputError(
            f"the weights are for the stains {', '.join(base.stains)}, in this order; leave "
            "stains out"
        )
    size = size or base.size
    if crop is None and size == base.size:
        crop = base.crop
    changes: dict[str, Any] = {"size": size, "crop": crop}
    if statistics is not None:
        if base.scaling != "fixed":
            raise InputError(
                f"backbone {name} scales each field by its own values ({base.scaling}); leave "
                "statistics out"
            )
        unknown = [stain for stain in base.stains if stain not in statistics]
        if unknown:
            raise InputError(f"statistics lack the stains {shorten(unknown)}")
        changes["mean"], changes["sd"] = zip(*(statistics[stain] for stain in base.stains))
    return replace(base, **changes)


def _timm_config(name: str) -> Any:
    return timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    # Not `seed` alone: the caller's own random numbers must not change with what is made here.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _create(
    name: str, *, options: dict[str, Any], in_chans: int, seed: int, pretrained: bool = False
) -> Network:
    with _drawn_from(seed):
        try:
            model: Any = timm.create_model(
                name, pretrained=pretrained, in_chans=in_chans, **options
            )
            return model
        except OSError:  # of the hub, whose "not found" was a ValueError too before its version 1
            raise
        except (AssertionError, TypeError, ValueError) as error:
            reason = str(error) or "not possible"
            raise InputError(f"backbone {name} with {options}: {reason}") from error


def _pretrained_state(name: str, options: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
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


def _public_state(
    public: PublicModel, state: dict[str, torch.Tensor], model: Network, path: Path
) -> dict[str, torch.Tensor]:
    try:
        return public.rename(strip_prefixes(state), model)
    except InputError as error:
        raise InputError(f"weights {path}: {error}") from None


def _check_size(model: Network, name: str) -> None:
    size, side = model.preprocessing.size, model.preprocessing.input_size
    cell = _patch_side(model)
    if cell is not None and side % cell:
        # timm would leave the last pixels out without a word.
        low = max(side // cell, 1) * cell
        raise InputError(
            f"backbone {name} cuts fields into patches of {cell} px, which {side} px is no "
            f"multiple of; use {low} or {low + cell}"
        )
    try:
        embed_batch(model, np.zeros((1, len(STAINS), size, size), np.float32))
    except (AssertionError, RuntimeError) as error:
        n_stains, reason = len(model.preprocessing.stains), str(error) or "it needs another size"
        raise InputError(
            f"backbone {name} cannot take fields of {side} px and {counted(n_stains, 'stain')}: "
            f"{reason}"
        ) from error


def _patch_side(model: Network) -> int | None:
    """Return the side of the patches that a backbone cuts fields into; None if they overlap."""
    layer = getattr(model, "patch_embed", None)
    # A number in some backbones, one for height and width in others.
    patch, stride = (
        value if isinstance(value, int) or value is None else value[0]
        for value in (
            getattr(layer, "patch_size", None),
            getattr(getattr(layer, "proj", None), "stride", None),
        )
    )
    # Patches that overlap are padded at the edges.
    return patch if stride in (None, patch) else None
