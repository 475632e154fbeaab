"""The fields whose annotation the out-of-fold predictions contradict most."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pandas as pd

from hpastack.report.facts import Facts
from hpastack.report.tiles import field_tiles
from hpastack.review import label_issues

#: Maximum number of fields: pictures, and rows of a table without pictures.
_MOST_PICTURES, _ROWS = 24, 25
#: Name of the review page, in the folder of the report.
REVIEW_PAGE = "review.html"


def context(facts: Facts) -> dict[str, Any] | None:
    """Return the most suspicious annotations, one per field."""
    n_pictures = min(_MOST_PICTURES, facts.pictures.allowed("label_check"))
    issues = doubted_fields(facts, n_pictures or _ROWS)
    if issues.empty:
        return None
    rows = facts.image_ids.get_indexer(pd.Index(issues["image_id"]))
    facts.pictures.prepare([str(image_id) for image_id in issues["image_id"]])
    tiles = field_tiles(facts, rows, pictures=n_pictures > 0)
    has_page = "reports" in facts.places and (facts.places["reports"] / REVIEW_PAGE).is_file()
    for tile, issue in zip(tiles, issues.itertuples()):
        tile["label"] = issue.label
        tile["is_annotated"] = issue.annotated == 1
        tile["doubted"] = issue.probability
        tile["score"] = issue.score
        tile["href"] = f"{REVIEW_PAGE}#{quote(tile['image_id'], safe='')}" if has_page else None
    return {"tiles": tiles, "has_page": has_page, "n_fields": len(facts.y), "name": facts.name}


def doubted_fields(facts: Facts, n_fields: int) -> pd.DataFrame:
    """Return the most suspicious annotation of each of the most suspicious fields.

    Parameters
    ----------
    facts : Facts
    n_fields : int

    Returns
    -------
    DataFrame
        Table of `hpastack.label_issues`, without pairs of field and label with score 0.
    """
    probabilities = facts.stack.oof_probabilities_
    y = pd.DataFrame(facts.y, probabilities.index, probabilities.columns)
    # A field can be in several pairs, at most one per label.
    n_pairs = min(n_fields * len(facts.names), probabilities.size)
    if not n_pairs:
        return pd.DataFrame(columns=["image_id"])
    predicted = facts.stack.oof_labels_
    issues = label_issues(y, probabilities, predicted=predicted, n_most=n_pairs)
    return issues[issues["score"] > 0].drop_duplicates("image_id").head(n_fields)
