"""The map of domains: fields arranged by appearance, coloured by their metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hpastack.clusters import read_assignment
from hpastack.errors import InputError
from hpastack.files import read_text_table, take_rows
from hpastack.pictures import OTHER_STYLE
from hpastack.report.facts import Facts
from hpastack.report.svg import Chart
from hpastack.report.symbols import legend, symbol

#: Maximum number of points, to avoid overplotting; maximum number of values with their own symbol.
_MOST_POINTS, _MOST_GROUPS = 900, 8
_COLUMNS = ("cell_line", "source")


def domain_map(facts: Facts, n_pictures: int) -> dict[str, Any] | None:
    """Return the map of fields, once for each way to colour them.

    Parameters
    ----------
    facts : Facts
    n_pictures : int
        Maximum number of pictures of typical fields.

    Returns
    -------
    dict or None
        None if the workspace has no domains.
    """
    places = facts.places
    if facts.catalogue is None or not {"domains", "domain_map"} <= set(places):
        return None
    ids, remedy = facts.catalogue.index, "run: hpastack domains --overwrite"
    domains = take_rows(read_assignment(places["domains"], "domain"), ids,
                        str(places["domains"]), remedy)  # fmt: skip
    points = take_rows(_read_map(places["domain_map"]), ids, str(places["domain_map"]), remedy)
    typical = _typical(points.to_numpy(), domains.to_numpy(), max(n_pictures, 0))
    rows = _sampled_rows(len(ids), typical)
    groups = _groups(facts, domains)
    known = {name: values.iloc[rows].tolist() for name, values in groups.items()}
    xy = points.to_numpy()[rows]
    facts.pictures.prepare(str(ids[row]) for row in typical)
    pictures = [
        {"image_id": str(ids[row]), "domain": domains.iloc[row],
         "src": facts.pictures.uri(str(ids[row]))}
        for row in typical
    ]  # fmt: skip
    return {
        "n_shown": len(rows),
        "n_fields": len(ids),
        "n_domains": domains.nunique(),
        "maps": [_map(xy, name, values, groups[name]) for name, values in known.items()],
        "fields": [
            {
                "image_id": str(ids[row]),
                "words": _words(facts, str(ids[row]), {name: known[name][k] for name in known}),
            }
            for k, row in enumerate(rows)
        ],
        "pictures": [picture for picture in pictures if picture["src"]],
    }


def _words(facts: Facts, image_id: str, known: dict[str, str]) -> str:
    words = [f"{name} {value}" for name, value in known.items() if value and name != "label"]
    if image_id in facts.image_ids:
        annotated = np.flatnonzero(facts.y[facts.image_ids.get_loc(image_id)])
        names = ", ".join(facts.names[k] for k in annotated)
        words.append(f"annotated {names or 'nothing'}")
    return "; ".join(words)


def _read_map(path: Any) -> pd.DataFrame:
    table = read_text_table(path)
    columns = ["component_1", "component_2"]
    missing = [name for name in ("image_id", *columns) if name not in table]
    if missing:
        raise InputError(f"{path}: no column {missing[0]}; run: hpastack domains --overwrite")
    try:
        return table.set_index("image_id")[columns].astype(float)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _typical(points: np.ndarray, domains: np.ndarray, n_fields: int) -> list[int]:
    """Return the field nearest to the median of each of the first domains."""
    chosen = []
    for name in sorted(set(domains.tolist()), key=lambda name: (len(name), name))[:n_fields]:
        rows = np.flatnonzero(domains == name)
        distance = np.linalg.norm(points[rows] - np.median(points[rows], axis=0), axis=1)
        chosen.append(int(rows[np.argmin(distance)]))
    return chosen


def _sampled_rows(n_fields: int, always: list[int]) -> list[int]:
    order = np.random.default_rng(0).permutation(n_fields)
    others = [row for row in order.tolist() if row not in set(always)]
    return sorted(always + others[: max(_MOST_POINTS - len(always), 0)])


def _groups(facts: Facts, domains: pd.Series) -> dict[str, pd.Series]:
    """Return the variables to colour by: one text per field, empty if unknown."""
    catalogue = facts.catalogue
    assert catalogue is not None
    groups = {"domain": domains, "split": catalogue["split"]}
    for name in _COLUMNS:
        if name in catalogue and catalogue.loc[catalogue[name] != "", name].nunique() > 1:
            groups[name.replace("_", " ")] = catalogue[name].fillna("").astype(str)
    rarest = pd.Series("", catalogue.index)
    common = np.argsort(-facts.y.sum(axis=0), kind="stable")[:_MOST_GROUPS]
    for k in common:  # the rarest label of a field is assigned last
        rarest[facts.image_ids[facts.y[:, k] == 1]] = facts.names[k]
    groups["label"] = rarest
    return groups


def _map(xy: np.ndarray, name: str, values: list[str], of_all: pd.Series) -> dict[str, Any]:
    counts = of_all[of_all != ""].value_counts()
    most = len(counts) if name == "domain" else _MOST_GROUPS
    # Ties are broken by name, independently of the version of pandas.
    ranked = sorted(counts.index, key=lambda value: (-counts[value], value))[:most]
    named = sorted(ranked, key=lambda value: (len(value), value)) if name == "domain" else ranked
    place = {value: k for k, value in enumerate(named)}
    margin = 0.04 * (np.ptp(xy, axis=0) + 1e-9)
    low, high = xy.min(axis=0) - margin, xy.max(axis=0) + margin
    chart = Chart(
        f"Map of fields by {name}: {', '.join(named)}",
        x=(low[0], high[0]),
        y=(low[1], high[1]),
        width=640,
        height=460,
        x_ticks=(),
        y_ticks=(),
        left=8,
    )
    others = 0
    # Fields without a symbol of their own are drawn below the others.
    for k in sorted(range(len(values)), key=lambda k: values[k] in place):
        css, marker, radius = "unknown", OTHER_STYLE.symbol.name, 5.0
        if values[k] in place:
            (css, marker), radius = symbol(place[values[k]]), 3.6
        others += values[k] not in place
        chart.point(*xy[k], radius=radius, css=css, marker=marker, data=f'data-i="{k}"')
    return {
        "name": name,
        "chart": chart.markup(),
        "legend": legend(named),
        "n_others": others,
        "others": "other labels, or not annotated" if name == "label" else "others, unknown",
    }
