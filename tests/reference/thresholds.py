"""The slow obvious way to choose thresholds: try every midpoint and score it."""

import numpy as np
from sklearn.metrics import f1_score


def candidates(probability):
    values = np.unique(probability)
    return np.r_[max(0.0, values[0] - 1e-6), (values[1:] + values[:-1]) / 2]


def best_f1(y, probability):
    """Highest F1 of one label over all thresholds."""
    return max(
        f1_score(y, probability >= threshold, zero_division=0)
        for threshold in candidates(probability)
    )


def best_macro_f1(y, probabilities):
    """Highest macro F1 over all common thresholds."""
    return max(
        f1_score(y, probabilities >= threshold, average="macro", zero_division=0)
        for threshold in candidates(probabilities.ravel())
    )


def slow_thresholds(y, probabilities, policy, shrinkage=300.0, max_ratio=3.0):
    """Thresholds by the documented rules, each candidate tried on each label."""
    labels = range(y.shape[1])
    if policy == "plug-in":
        thresholds = [plug_in(probabilities[:, k]) for k in labels]
    elif policy == "prevalence":
        thresholds = [nearest_count(y[:, k], probabilities[:, k]) for k in labels]
    else:
        own = [own_threshold(y[:, k], probabilities[:, k]) for k in labels]
        common = common_threshold(y, probabilities)
        thresholds = {
            "per-label": own,
            "global": [common for _ in labels],
            "shrunk": [drawn(own[k], [common], common, y[:, k].sum(), shrinkage) for k in labels],
            "combined": [
                drawn(
                    own[k],
                    [common, plug_in(probabilities[:, k])],
                    common,
                    y[:, k].sum(),
                    shrinkage,
                )
                for k in labels
            ],
        }[policy]
    return np.array(
        [guarded(thresholds[k], y[:, k], probabilities[:, k], max_ratio) for k in labels]
    )


def cuts(probability):
    """Thresholds between distinct scores, from one above all (but never above 1) downwards."""
    falling = np.unique(probability)[::-1]
    between = (falling[:-1] + falling[1:]) / 2
    lowest = (falling[-1] + max(0.0, falling[-1] - 1e-6)) / 2
    return [min(1.0, falling[0] + 1e-6), *between, lowest]


def plain_f1(y, given):
    total = y.sum() + given.sum()
    return 2 * (y & given).sum() / total if total else 0.0


def own_threshold(y, probability):
    nothing, *candidates = cuts(probability)
    f1 = [plain_f1(y, (probability >= cut).astype(int)) for cut in candidates]
    return candidates[int(np.argmax(f1))] if y.any() else nothing


def common_threshold(y, probabilities):
    nothing, *candidates = cuts(probabilities.ravel())
    if not y.any():
        return nothing
    macro = []
    for cut in candidates:
        given = (probabilities >= cut).astype(int)
        macro.append(sum(plain_f1(y[:, k], given[:, k]) for k in range(y.shape[1])))
    return candidates[int(np.argmax(np.array(macro) >= max(macro) - 1e-12))]


def drawn(own, centres, common, positives, shrinkage):
    if not positives:
        return common
    weight = positives / (positives + shrinkage)
    own, *centres = np.clip([own, *centres], 1e-6, 1 - 1e-6)
    centre = np.mean([np.log(value / (1 - value)) for value in centres])
    mean = weight * np.log(own / (1 - own)) + (1 - weight) * centre
    return 1 / (1 + np.exp(-mean))


def nearest_count(y, probability):
    counts = [0] + [(probability >= cut).sum() for cut in cuts(probability)[1:]]
    return cuts(probability)[int(np.argmin(np.abs(np.array(counts) - y.sum())))]


def plug_in(probability):
    if not probability.any():
        return cuts(probability)[0]
    best = 0.0
    for cut in probability:
        given = probability >= cut
        best = max(best, 2 * probability[given].sum() / (probability.sum() + given.sum()))
    return best / 2


def guarded(threshold, y, probability, max_ratio):
    def fits(cut):
        return not y.any() or (probability >= cut).sum() <= max_ratio * y.sum()

    return threshold if fits(threshold) else [cut for cut in cuts(probability) if fits(cut)][-1]
