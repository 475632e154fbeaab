"""What embeddings know of labels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from hpastack.backbones.published import PUBLIC_MODELS
from hpastack.backbones.weights import read_weights_record, weight_file
from hpastack.files import read_text_table, sha256


def embedding_kind(
    backbone: str, weights: str | Path, image_ids: Iterable[str]
) -> Literal["target_free", "in_sample"]:
    """Say what embeddings of some fields know of labels.

    Weights that were trained on labels make embeddings that are ``in_sample``: whether the labels
    were those of these very fields is not known. Where the weights lie in the folder that
    fine-tuning left, it is: if the network started from weights that had seen none of these
    labels, and none of these fields is in its fold plan (held out or not: settings may have been
    chosen by any), the embeddings are ``target_free``.
    Near-duplicates of the fields that it was trained on are for the caller to keep apart.

    Parameters
    ----------
    backbone : str
        As `create_backbone`.
    weights : {"pretrained", "random"} or path-like
    image_ids : iterable of str
        The fields that are embedded, training and test.

    Returns
    -------
    {"target_free", "in_sample"}
    """
    public = PUBLIC_MODELS.get(backbone)
    if weights != "random" and public is not None and public.trained_on:
        return "in_sample"
    if weights in ("pretrained", "random"):
        return "target_free"
    path = weight_file(weights)
    if "trained_on" not in read_weights_record(path):
        return "target_free"
    seen = _fields_seen(path)
    return "in_sample" if seen is None or seen & set(image_ids) else "target_free"


def _fields_seen(path: Path) -> set[str] | None:
    """Return the fields that fine-tuned weights were trained on; None if that is not known."""
    try:
        manifest = json.loads((path.parent / "cnn.json").read_text(encoding="utf-8"))
        started_from, digest = manifest["settings"]["weights"], manifest["weights"][path.name]
        plan = read_text_table(path.parent / "folds.csv")["image_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if sha256(path) != digest or started_from not in ("pretrained", "random"):
        return None
    return set(plan)
