"""The choice of a candidate label by label, in plain loops."""


def best_candidates(losses, start, positives, learnable):
    """Return the candidate of each label; losses are lists by label, then candidate."""
    taken = [label for label, is_learned in enumerate(learnable) if is_learned]
    if not taken:
        return [0] * len(losses)
    relative = [[loss / start[label] for loss in losses[label]] for label in range(len(losses))]
    chosen = []
    for label, own in enumerate(relative):
        share = positives[label] / (positives[label] + 100)
        drawn = []
        for candidate in range(len(own)):
            mean = sum(relative[other][candidate] for other in taken) / len(taken)
            drawn.append(share * own[candidate] + (1 - share) * mean)
        chosen.append(drawn.index(min(drawn)))
    return chosen
