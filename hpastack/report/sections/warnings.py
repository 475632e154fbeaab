"""Caveats on the scores, shown before them, and remarks on labels, shown after them."""

from __future__ import annotations

from hpastack.errors import counted, shorten
from hpastack.report.facts import Facts
from hpastack.report.numbers import score_text
from hpastack.stack import StackSettings, merge_notes


def warnings(facts: Facts) -> list[str]:
    """Return the notes in the record of a stack, one for all stores with the same note.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    list of str
    """
    record = facts.record
    return merge_notes(record.get("notes", []), record.get("stores", {}))


def remarks(facts: Facts) -> list[str]:
    """Return remarks on labels without positives and on labels too rare for boosters.

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
            f"{scores['n_labels_scored']} of {counted(len(table), 'label')} had positives; macro "
            "F1, macro average precision and calibration error are computed over these. No field "
            f"has {shorten(absent)}; if these count with F1 0, as in the competition, macro F1 is "
            f"{score_text(scores['macro_f1_all_labels'])}."
        )
    elif len(absent):
        lines.append(f"No field has {shorten(absent)}; macro F1 includes F1 0 for these.")
    boosted = stack.boosted_labels()
    too_rare = [name for k, name in enumerate(table.index)
                if table["positives"].iloc[k] and k not in boosted]  # fmt: skip
    if too_rare and stack.members_:
        least = StackSettings.of(stack).least_positives
        lines.append(
            f"Too few positives for boosters (fewer than {counted(least, 'positive')} or "
            f"{counted(stack.min_clusters, 'cluster')} in the smallest training part), so the "
            f"{facts.start} is used: {shorten(too_rare)}."
        )
    return lines
