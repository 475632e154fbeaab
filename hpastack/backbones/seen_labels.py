"""Whether the weights behind embeddings were trained on labels of the embedded fields."""

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
    """Kind of the embeddings of some fields: target-free or in-sample.

    Embeddings by weights that were trained on labels are ``in_sample``, because it is not known
    whether these were the labels of the embedded fields. For weights in the folder written by
    fine-tuning it is known: if the network started from weights that had not been trained on any
    of these labels, and none of the embedded fields is in its fold plan (held out or not, as
    settings may have been chosen by any of them), the embeddings are ``target_free``.
    Near-duplicates of the fields on which it was trained are not detected: excluding them is up
    to the caller.

    Parameters
    ----------
    backbone : str
        As `create_backbone`.
    weights : {"pretrained", "random"} or path-like
    image_ids : iterable of str
        The embedded fields, training and test.

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
    plan = _fields_of_plan(path)
    return "in_sample" if plan is None or plan & set(image_ids) else "target_free"


def _fields_of_plan(path: Path) -> set[str] | None:
    """Return the fields in the fold plan of fine-tuned weights; None if they are not known."""
    try:
        manifest = json.loads((path.parent / "cnn.json").read_text(encoding="utf-8"))
        started_from, digest = manifest["settings"]["weights"], manifest["weights"][path.name]
        plan = read_text_table(path.parent / "folds.csv")["image_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if sha256(path) != digest or started_from not in ("pretrained", "random"):
        return None
    return set(plan)
