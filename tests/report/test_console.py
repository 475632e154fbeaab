"""What the commands print of clusters and folds; scores are looked at with the stack."""

import numpy as np
import pandas as pd

from hpastack.folds import fold_report
from hpastack.report.console import clusters_text, folds_text


def test_clusters_and_the_labels_that_disagree():
    clusters = pd.Series({"a": "a", "b": "a", "c": "c"})
    pairs = pd.DataFrame({"image_id": ["a"], "twin": ["b"]})
    line = "1 pairs of near-duplicates; 2 clusters of 3 fields, the largest (a) with 2"
    nothing = pd.DataFrame({"cluster": []})
    assert clusters_text(clusters, pairs, nothing) == line
    disagreements = pd.DataFrame({"image_id": ["a", "b"], "cluster": ["a", "a"]})
    assert clusters_text(clusters, pairs, disagreements) == (
        f"{line}\nin 1 clusters the labels of training fields disagree: a (data/disagreements.csv)"
    )


def test_folds_and_how_even_they_are():
    fold = np.array([0, 0, 1, 1, 1])
    report = fold_report(np.array([[1], [0], [1], [0], [0]]), fold)
    text = folds_text(report, fold)
    assert text.startswith("2 folds of 2 to 3 fields; positives of a label differ from an equal")
    assert f"by {report.measures['relative_deviation']:.2%} on average" in text
