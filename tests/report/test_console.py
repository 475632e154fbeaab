"""Text that the commands print on clusters, folds and scores."""

import numpy as np
import pandas as pd
import pytest

from hpastack.folds import fold_report
from hpastack.report.console import clusters_text, folds_text, scores_text
from hpastack.stack import StackClassifier

pytestmark = pytest.mark.core


def test_clusters_and_the_labels_that_disagree():
    clusters = pd.Series({"a": "a", "b": "a", "c": "c"})
    pairs = pd.DataFrame({"image_id": ["a"], "twin": ["b"]})
    line = "1 pair of near-duplicates; 2 clusters of 3 fields, the largest (a) with 2"
    nothing = pd.DataFrame({"cluster": []})
    assert clusters_text(clusters, pairs, nothing) == line
    disagreements = pd.DataFrame({"image_id": ["a", "b"], "cluster": ["a", "a"]})
    assert clusters_text(clusters, pairs, disagreements) == (
        f"{line}\nin 1 cluster the labels of training fields disagree: a (data/disagreements.csv)"
    )


def test_folds_and_how_even_they_are():
    fold = np.array([0, 0, 1, 1, 1])
    report = fold_report(np.array([[1], [0], [1], [0], [0]]), fold)
    text = folds_text(report, fold)
    assert text.startswith("2 folds of 2 to 3 fields; positives of a label differ from an equal")
    assert f"by {report.measures['relative_deviation']:.2%} on average" in text


def test_scores_say_which_labels_they_are_over():
    rng = np.random.default_rng(0)
    X = rng.random((80, 3))
    y = (X > 0.5).astype(int)
    settings = {"boosters": ["lightgbm"], "min_positives": 100, "n_bootstrap": 5, "n_jobs": 1}
    whole = scores_text(StackClassifier(**settings).fit(X, y))
    assert "3 of 3 labels had positives" in whole and "over all 3 labels" not in whole
    y[:, 1] = 0
    stack = StackClassifier(**settings).fit(X, y)
    lines = scores_text(stack).splitlines()
    scores = stack.cv_results_
    at = next(i for i, line in enumerate(lines) if line.startswith("2 of 3 labels had positives"))
    low, high = scores["macro_f1_interval"]
    assert lines[at + 1].startswith(f"macro F1: {scores['macro_f1']:.4f} [{low:.4f}, {high:.4f}]")
    over_all = f"without positives: {scores['macro_f1_all_labels']:.4f}"
    assert any(line.startswith("macro F1 over all 3") and line.endswith(over_all) for line in lines)
    assert scores["macro_f1_all_labels"] < scores["macro_f1"]
