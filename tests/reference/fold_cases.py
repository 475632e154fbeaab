"""Rows to cut into folds, drawn by hypothesis."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def labelled_groups(draw):
    """Labels (some rows empty), groups of any shape, a number of folds they can fill, a seed."""
    n_splits = draw(st.integers(2, 4))
    n_rows = draw(st.integers(n_splits, 30))
    n_labels = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    y = (rng.random((n_rows, n_labels)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(int)
    shape = draw(st.sampled_from(["single", "giant", "mixed"]))
    if shape == "single":
        groups = np.arange(n_rows)
    elif shape == "giant":
        groups = np.r_[np.arange(n_splits), np.zeros(n_rows - n_splits, dtype=int)]
    else:
        groups = np.r_[np.arange(n_splits), rng.integers(0, n_rows, n_rows - n_splits)]
    if draw(st.booleans()):
        groups = np.array([f"well {group}" for group in groups], dtype=object)
    return y, groups, n_splits, seed
