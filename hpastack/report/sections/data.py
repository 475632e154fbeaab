"""The data behind the scores: duplicates, folds, domains and label prevalence."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpastack.clusters import read_leaks
from hpastack.errors import counted
from hpastack.files import read_text_table
from hpastack.report.facts import Facts
from hpastack.report.sections.balance import fold_balance, prevalence
from hpastack.report.sections.domain_map import domain_map

#: Maximum number of pairs of each kind: pictures, and rows of a table without pictures.
_PAIRS, _ROWS = 4, 12


def context(facts: Facts) -> dict[str, Any]:
    """Return the parts of the section; None for data that the workspace does not have."""
    allowed = facts.pictures.allowed("data")
    n_pairs = min(_PAIRS, allowed // 8)
    return {
        "leaks": _leaks(facts, n_pairs),
        "disagreements": _disagreements(facts, n_pairs),
        "folds": fold_balance(facts),
        "map": domain_map(facts, n_pictures=allowed // 2),
        "prevalence": prevalence(facts),
    }


def _leaks(facts: Facts, n_pairs: int) -> dict[str, Any] | None:
    """Return the test fields that have a duplicate among the training fields."""
    if facts.catalogue is None or "leaks" not in facts.places:
        return None
    table = read_leaks(facts.places["leaks"], facts.catalogue)
    strongest = table.drop_duplicates("image_id")
    if "strength" in strongest:  # earlier versions did not write it
        order = np.argsort(-pd.to_numeric(strongest["strength"]).to_numpy(), kind="stable")
        strongest = strongest.iloc[order]
    shown = strongest.head(n_pairs or _ROWS)
    predicted = facts.submitted
    pairs = []
    for leak in shown.to_dict("records"):
        test = {"image_id": leak["image_id"], "role": "test", "target": None}
        if predicted is not None and leak["image_id"] in predicted.index:
            numbers = np.flatnonzero(predicted.loc[leak["image_id"]])
            test |= {"target": " ".join(map(str, numbers)), "verb": "predicted"}
        training = {"image_id": leak["twin"], "role": f"training, {leak['twin_source']}",
                    "target": leak["twin_target"], "verb": "annotated"}  # fmt: skip
        pairs.append({"words": _evidence(leak), "fields": [test, training]})
    n_test = int((facts.catalogue["split"] == "test").sum())
    return {"n_fields": len(strongest), "n_test": n_test, "pairs": _shown(facts, pairs, n_pairs)}


def _evidence(leak: Mapping[Hashable, Any]) -> str:
    known = {name: leak[name] for name in ("evidence", "strength") if leak.get(name)}
    return "; ".join(f"{name}: {value}" for name, value in known.items())


def _disagreements(facts: Facts, n_pairs: int) -> dict[str, Any] | None:
    """Return pairs of duplicates among the training fields with different annotations."""
    if facts.catalogue is None or "disagreements" not in facts.places:
        return None
    table = read_text_table(facts.places["disagreements"])
    table = table[table["image_id"].isin(facts.catalogue.index)]
    pairs: list[dict[str, Any]] = []
    for cluster, fields in table.groupby("cluster", sort=True):
        if len(pairs) == (n_pairs or _ROWS):
            break
        label_sets = fields["target"].map(_label_set)
        two = fields[~label_sets.duplicated()].head(2)
        if len(two) < 2:
            continue
        shown = [
            {"image_id": row["image_id"], "role": row["source"], "target": row["target"],
             "verb": "annotated"}
            for row in two.to_dict("records")
        ]  # fmt: skip
        n_fields = counted(len(fields), "training field")
        pairs.append({"words": f"cluster {cluster}, {n_fields}", "fields": shown})
    return {
        "n_fields": len(table),
        "n_clusters": table["cluster"].nunique(),
        "pairs": _shown(facts, pairs, n_pairs),
    }


def _label_set(target: str) -> str:
    return " ".join(sorted(target.split()))


def _shown(facts: Facts, pairs: list[dict[str, Any]], n_pairs: int) -> list[dict[str, Any]]:
    """Add label names and pictures to the fields of pairs."""
    fields = [field for pair in pairs for field in pair["fields"]]
    if n_pairs:
        facts.pictures.prepare(field["image_id"] for field in fields)
    for field in fields:
        names = _names(facts, field["target"].split()) if field["target"] is not None else None
        field["names"] = names
        field["src"] = facts.pictures.uri(field["image_id"]) if n_pairs else None
        labels = f", {field['verb']}: {', '.join(names) or 'nothing'}" if names is not None else ""
        field["alt"] = (
            f"Field {field['image_id']} ({field['role']}), merged stains beside the protein alone"
            f"{labels}."
        )
    return pairs


def _names(facts: Facts, numbers: Iterable[str]) -> list[str]:
    known = facts.names
    return [known[int(k)] if k.isdecimal() and int(k) < len(known) else k for k in numbers]
