"""The slow obvious estimate of new prevalences: expectation maximisation, field by field."""


def em_prevalence(probabilities, train_prevalence, n_steps):
    """Prevalence of one label after `n_steps` of equation 2.9 of Saerens and others, 2002."""
    prior = train_prevalence
    for _ in range(n_steps):
        total = 0.0
        for p in probabilities:
            present = prior / train_prevalence * p
            absent = (1 - prior) / (1 - train_prevalence) * (1 - p)
            total += present / (present + absent)
        prior = total / len(probabilities)
    return prior
