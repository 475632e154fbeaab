"""What a reader must know before trusting the scores: each thing once."""

from __future__ import annotations

import re

from hpastack.errors import shorten
from hpastack.report.facts import Facts
from hpastack.report.numbers import joined, score_text
from hpastack.stack import StackSettings


def warnings(facts: Facts) -> list[str]:
    """Return the notes of the record, those that say the same of several stores merged.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    list of str
    """
    return merged(list(facts.record.get("notes", [])))


def merged(notes: list[str]) -> list[str]:
    """Merge notes that differ only in the store they begin with.

    Parameters
    ----------
    notes : list of str
        Some of them ``<store>: <text>``.

    Returns
    -------
    list of str
        In the order in which each text first comes.

    Examples
    --------
    >>> merged(["a: label sets", "folds split clusters", "b: label sets", "a: label sets"])
    ['a and b: label sets', 'folds split clusters']
    """
    stores: dict[str, list[str]] = {}
    for note in notes:
        match = re.match(r"([\w.-]+): ", note)
        store, text = (match[1], note[match.end() :]) if match else ("", note)
        named = stores.setdefault(text, [])
        if store and store not in named:
            named.append(store)
    return [f"{joined(named)}: {text}" if named else text for text, named in stores.items()]


def remarks(facts: Facts) -> list[str]:
    """Return what the scores leave aside: labels without positives, and those too rare.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    list of str
    """
    stack, table, scores = facts.stack, facts.table, facts.stack.cv_results_
    lines = []
    absent = table.index[table["positives"] == 0]
    if len(absent) and facts.counts_labels:
        lines.append(
            f"{scores['n_labels_scored']} of {len(table)} labels had positives; macro F1, macro "
            f"average precision and calibration error are over these. No field has "
            f"{shorten(absent)}: with F1 0 for these, as in the competition, macro F1 is "
            f"{score_text(scores['macro_f1_all_labels'])}."
        )
    elif len(absent):
        lines.append(f"No field has {shorten(absent)}: F1 is 0, which counts in macro F1.")
    boosted = stack.boosted_labels()
    too_rare = [name for k, name in enumerate(table.index)
                if table["positives"].iloc[k] and k not in boosted]  # fmt: skip
    if too_rare and stack.members_:
        least = StackSettings.of(stack).least_positives
        lines.append(
            f"Too few positives for boosters of their own (fewer than {least} positives or "
            f"{stack.min_clusters} clusters in the smallest training part), so that the "
            f"{facts.start} is used: {shorten(too_rare)}."
        )
    return lines
