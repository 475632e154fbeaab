"""The nested scheme from its description: everything fitted from scratch for each outer fold."""

import numpy as np
from reference.shared_choice import best_candidates
from reference.staged import staged

from hpastack.boosting import PULLS, SharedBins
from hpastack.stack.consensus import Consensus, log_odds_bound
from hpastack.stack.members import FOREST, POOLED, AllFields, AllPairs, library_of, maker_of
from hpastack.stack.pairs import PairColumns, Pairs

PATIENCE = 2


def without(inputs, y, clusters, rows):
    """Fit a consensus on some rows; return its margin on all rows."""
    taken = inputs.take(rows)
    consensus = Consensus.fit(taken.logits, y[rows], clusters[rows])
    return consensus.margin(inputs.logits).astype(np.float32)


def values(member, inputs, y, margin, rows, held, labels, settings, stages):
    """Fit a member on some rows; return what it adds to others, (n_stages, n_held, n_labels)."""
    shared = np.concatenate([margin, inputs.features], axis=1).astype(np.float32)
    own = [np.concatenate([inputs.own(label), shared], axis=1) for label in labels]
    if member == FOREST:
        every = AllFields(labels, y, margin, shared)
        # Grown to the last stage: which of them is kept changes nothing but the file.
        model = every.fit(rows, settings, seed=0, stages=stages)
        log_odds = [model.log_odds(shared[held], PULLS[stage - 1]) for stage in stages]
        return np.stack(log_odds) - margin[np.ix_(held, labels)]
    if member == POOLED:
        known = PairColumns.fit(y[rows], np.zeros((inputs.features.shape[1], y.shape[1])))
        every = AllPairs(labels, y, margin, Pairs(known, inputs, margin, shared))
        model = every.fit(rows, settings, seed=0, stages=stages)
        found = staged(library_of(member), model, every.columns(held), stages)
        return found.reshape(len(stages), len(labels), len(held)).transpose(0, 2, 1)
    found = []
    bins = SharedBins(shared[rows], len(inputs.logits), log_odds_bound(), inputs.scores[:, rows])
    columns = np.arange(shared.shape[1])
    for label, x in zip(labels, own):
        target = y[rows, label].astype(np.float32)
        start = margin[rows, label]
        model = bins.fit(member, x[rows], target, start, columns, settings, seed=0, stages=stages)
        found.append(staged(library_of(member), model, x[held], stages))
    return np.stack(found, axis=2)


def log_loss(y, logits):
    p = 1 / (1 + np.exp(-logits.astype(float)))
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()


def last_stage(losses):
    """Return the stage after which a model grows no more: the loss has not fallen for two."""
    for stage in range(len(losses)):
        best = losses[: stage + 1].index(min(losses[: stage + 1]))
        if stage - best == PATIENCE:
            return stage
    return len(losses) - 1


def outer_fold(member, inputs, y, clusters, fold, k, settings, min_rounds):
    """Return what one outer fold is given: margin and added (n, n_labels), rounds (n_labels,)."""
    n, n_labels = y.shape
    labels = list(range(n_labels))
    margin, added = np.zeros((n, n_labels)), np.zeros((n, n_labels))
    stages = maker_of(member).stages(settings.rounds, min_rounds)
    outer, tested = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
    losses, start = np.zeros((n_labels, len(stages))), np.zeros(n_labels)
    furthest, found = np.zeros(n_labels, dtype=int), {}
    for j in range(fold.max() + 1):
        if j == k:
            continue
        rows, held = np.flatnonzero((fold != j) & (fold != k)), np.flatnonzero(fold == j)
        of_inner = without(inputs, y, clusters, rows)
        margin[held] = of_inner[held]
        grown = values(member, inputs, y, of_inner, rows, held, labels, settings, stages)
        # The pooled booster and the forest grow for all labels at once, the others for one each.
        for group in [labels] if member in (POOLED, FOREST) else [[label] for label in labels]:
            of_group = [
                sum(log_loss(y[held, i], of_inner[held, i] + grown[s][:, i]) for i in group)
                for s in range(len(stages))
            ]
            last = last_stage(of_group)
            for label in group:
                grown[last:, :, label] = grown[last, :, label]
                furthest[label] = max(furthest[label], last)
        found[j] = held, grown
        for label in labels:
            start[label] += log_loss(y[held, label], of_inner[held, label])
            for s in range(len(stages)):
                logits = of_inner[held, label] + grown[s][:, label]
                losses[label, s] += log_loss(y[held, label], logits)
    positives = [0] * n_labels if member in (POOLED, FOREST) else y[outer].sum(axis=0).tolist()
    best = best_candidates(losses.tolist(), start.tolist(), positives, [True] * n_labels)
    best = np.minimum(best, furthest)
    for held, grown in found.values():
        for label in labels:
            added[held, label] = grown[best[label], :, label]
    rounds = np.array(stages)[best]
    of_outer = without(inputs, y, clusters, outer)
    margin[tested] = of_outer[tested]
    for group in [labels] if member in (POOLED, FOREST) else [[label] for label in labels]:
        size = [int(rounds[group[0]])]
        whole = values(member, inputs, y, of_outer, outer, tested, group, settings, size)
        added[np.ix_(tested, group)] = whole[0]
    return margin, added, rounds
