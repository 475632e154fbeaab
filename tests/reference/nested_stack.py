"""The nested scheme from its description: everything fitted from scratch for each outer fold."""

import numpy as np

from hpastack.boosting import SharedBins, staged
from hpastack.stack.consensus import Consensus, log_odds_bound
from hpastack.stack.cross_fitting import MIN_STOPPING_POSITIVES, stages_of


def without(inputs, y, clusters, rows):
    """Fit a consensus on some rows; return its margin on all rows."""
    taken = inputs.take(rows)
    consensus = Consensus.fit(taken.logits, y[rows], clusters[rows])
    return consensus.margin(inputs.logits).astype(np.float32)


def boosters(name, inputs, y, margin, rows, label, settings, rounds):
    """Fit boosters on some rows; return them, and a function that gives their columns."""
    shared = np.concatenate([margin, inputs.features], axis=1).astype(np.float32)
    x = np.concatenate([inputs.own(label), shared], axis=1)
    bins = SharedBins(shared[rows], len(inputs.logits), log_odds_bound(), inputs.scores[:, rows])
    columns = np.arange(shared.shape[1])
    target = y[rows, label].astype(np.float32)
    model = bins.fit(
        name, x[rows], target, margin[rows, label], columns, settings, seed=0, rounds=rounds
    )
    return model, x


def log_loss(y, logits):
    p = 1 / (1 + np.exp(-logits.astype(float)))
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()


def outer_fold(name, inputs, y, clusters, fold, k, settings, min_rounds):
    """Return what one outer fold is given: margin and added (n, n_labels), rounds (n_labels,)."""
    n, n_labels = y.shape
    margin, added = np.zeros((n, n_labels)), np.zeros((n, n_labels))
    rounds = np.zeros(n_labels, dtype=int)
    stages = stages_of(settings.rounds, min_rounds)
    inner = [j for j in range(fold.max() + 1) if j != k]
    inner_margins = {}
    for j in inner:
        rows = np.flatnonzero((fold != j) & (fold != k))
        inner_margins[j] = without(inputs, y, clusters, rows)
        margin[fold == j] = inner_margins[j][fold == j]
    outer = np.flatnonzero(fold != k)
    outer_margin = without(inputs, y, clusters, outer)
    margin[fold == k] = outer_margin[fold == k]
    for label in range(n_labels):
        losses, found = np.zeros(len(stages)), {}
        for j in inner:
            rows = np.flatnonzero((fold != j) & (fold != k))
            model, x = boosters(
                name, inputs, y, inner_margins[j], rows, label, settings, stages[-1]
            )
            held = fold == j
            found[j] = staged(name, model, x[held], stages)
            for s in range(len(stages)):
                logits = inner_margins[j][held, label] + found[j][s]
                losses[s] += log_loss(y[held, label], logits)
        best = int(losses.argmin())
        if y[outer, label].sum() < MIN_STOPPING_POSITIVES:
            best = len(stages) // 2
        for j in inner:
            added[fold == j, label] = found[j][best]
        rounds[label] = stages[best]
        model, x = boosters(
            name, inputs, y, outer_margin, outer, label, settings, int(rounds[label])
        )
        added[fold == k, label] = staged(name, model, x[fold == k], [int(rounds[label])])[0]
    return margin, added, rounds
