"""The forest against scikit-learn and a slow reference; its file against whoever damages it."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from sklearn.ensemble import ExtraTreesRegressor

from hpastack.boosting import PULLS, Forest
from hpastack.boosting import forest as module
from hpastack.boosting.forest_file import write_forest
from hpastack.errors import InputError

N, COLUMNS = 300, 4
LABELS = [0, 2, 5]


def draw(seed=0, n=N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, COLUMNS)).astype(np.float32)
    y = (x[:, [0, 1, 0]] + rng.normal(size=(n, 3)) > [0, 0.5, 1]).astype(int)
    return x, y


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(module, "N_TREES", 10)


def test_without_pull_shares_are_those_of_scikit_learn():
    x, y = draw()
    trees = Forest.fit(x, y, LABELS, seed=3, stage=1)
    fresh, _ = draw(1)
    theirs = ExtraTreesRegressor(100, max_features="sqrt", max_depth=60, random_state=3)
    shares = theirs.fit(x, y.astype(float)).predict(fresh)
    prior = (y.sum(axis=0) + 0.5) / (N + 1)
    expected = logit(prior) + 2 * (logit((100 * shares + prior) / 101) - logit(prior))
    np.testing.assert_allclose(trees.log_odds(fresh, 0.0), expected, atol=1e-5)


def test_thresholds_divide_fields_as_in_double_precision():
    # A column of neighbouring numbers, between which only double precision can cut.
    steps = np.full(64, 1.0, dtype=np.float32)
    for k in range(1, 64):
        steps[k] = np.nextafter(steps[k - 1], np.float32(2))
    x, y = steps[:, None], (np.arange(64) % 2)[:, None]
    trees = Forest.fit(x, y, [0], seed=0, stage=1)
    assert ((trees.log_odds(x, 0.0) > 0) == y).all()


def slow_log_odds(trees, x, pull):
    """Follow each field down each tree by the definition of hierarchical shrinkage."""
    arrays = trees.arrays
    inner = {int(node): k for k, node in enumerate(np.flatnonzero(arrays.left >= 0))}
    leaf = {int(node): k for k, node in enumerate(np.flatnonzero(arrays.left < 0))}

    def totals(node):
        if node in leaf:
            return int(arrays.counts[leaf[node]]), arrays.positives[leaf[node]].astype(float)
        parts = [totals(int(child[node])) for child in (arrays.left, arrays.right)]
        return parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]

    found = []
    for row in x:
        shares = np.zeros(len(arrays.labels))
        for root in arrays.roots.tolist():
            node, (count, positives) = root, totals(root)
            share = positives / count
            while node in inner:
                value = row[arrays.feature[inner[node]]]
                if np.isnan(value):
                    value = arrays.medians[arrays.feature[inner[node]]]
                is_left = value <= arrays.threshold[inner[node]]
                child = int((arrays.left if is_left else arrays.right)[node])
                of_child = totals(child)
                share = share + (of_child[1] / of_child[0] - positives / count) / (1 + pull / count)
                node, (count, positives) = child, of_child
            shares += share
        prior = arrays.prevalence
        p = (shares + prior) / (len(arrays.roots) + 1)
        found.append(logit(prior) + 2 * np.sqrt(1 + pull / 8) * (logit(p) - logit(prior)))
    return np.array(found)


@pytest.mark.parametrize("pull", [0.0, 1.0, 64.0])
def test_log_odds_are_what_their_description_says(few_trees, pull):
    x, y = draw()
    x[::5, 1] = np.nan
    trees = Forest.fit(x, y, LABELS, seed=0, stage=1)
    fresh = draw(1, 20)[0]
    fresh[::3, 0] = np.nan
    np.testing.assert_allclose(
        trees.log_odds(fresh, pull), slow_log_odds(trees, fresh, pull), atol=1e-4
    )


def test_chunks_of_fields_change_nothing(few_trees, monkeypatch):
    x, y = draw()
    trees = Forest.fit(x, y, LABELS, seed=0, stage=2)
    whole, parts = trees.log_odds(x, 8.0), trees.contributions(x, 1)
    monkeypatch.setattr(module, "_CHUNK", 70)
    assert np.array_equal(trees.log_odds(x.copy(), 8.0), whole)
    assert np.array_equal(trees.contributions(x, 1), parts)
    assert trees.log_odds(x[:0], 8.0).shape == (0, 3)
    assert trees.contributions(x[:0], 1).shape == (0, COLUMNS + 1)


@pytest.mark.parametrize("stage", [1, len(PULLS)])
def test_a_kept_forest_says_the_same_and_parts_add_up(few_trees, stage):
    x, y = draw()
    trees = Forest.fit(x, y, LABELS, seed=0, stage=stage)
    content = Forest.to_bytes(trees)
    assert content == Forest.to_bytes(Forest.fit(x, y, LABELS, seed=0, stage=stage))
    assert content != Forest.to_bytes(Forest.fit(x, y, LABELS, seed=1, stage=stage))
    Forest.check(content)
    again, fresh = Forest.of_bytes(content), draw(1)[0]
    assert again.arrays.pull == PULLS[stage - 1]
    expected = trees.log_odds(fresh, PULLS[stage - 1])
    assert np.array_equal(again.log_odds(fresh, again.arrays.pull), expected)
    for position in range(3):
        parts = again.contributions(fresh, position)
        np.testing.assert_allclose(parts.sum(axis=1), expected[:, position], atol=1e-6)
        # The columns that count are found.
        sizes = np.abs(parts[:, :COLUMNS]).mean(axis=0)
        assert sizes.argmax() == [0, 1, 0][position]


def test_one_forest_has_all_stages(few_trees):
    x, y = draw()
    first, last = (Forest.fit(x, y, LABELS, seed=0, stage=stage) for stage in (1, 5))
    for pull in PULLS:
        assert np.array_equal(first.log_odds(x, pull), last.log_odds(x, pull))
    for one, other in zip(PULLS, PULLS[1:]):
        assert one > other and not np.allclose(first.log_odds(x, one), first.log_odds(x, other))


def test_large_sets_are_drawn_from(few_trees, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 100)
    x, y = draw()
    trees = Forest.fit(x, y, LABELS, seed=0, stage=7)
    assert trees.arrays.counts.sum() == 10 * 100
    parts = trees.contributions(x, 0)
    np.testing.assert_allclose(parts.sum(axis=1), trees.log_odds(x, PULLS[6])[:, 0], atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 1.0, np.nan], ids=str)
@pytest.mark.parametrize("n_labels", [1, 3])
def test_nothing_to_learn_is_no_error(few_trees, constant, n_labels):
    x, y = draw()
    labels = LABELS[:n_labels]
    blank = np.full_like(x, constant)
    nothing = np.zeros_like(y)
    for columns, targets in ((blank, y), (x, nothing), (x, 1 - nothing)):
        trees = Forest.fit(columns, targets[:, :n_labels], labels, seed=0, stage=7)
        Forest.check(Forest.to_bytes(trees))
        for said in (trees.log_odds(x, 1.0), trees.contributions(x, 0)):
            assert np.isfinite(said).all()


def test_other_columns_than_were_fitted_are_an_error(few_trees):
    x, y = draw()
    trees = Forest.fit(x, y, LABELS, seed=0, stage=1)
    for use in (lambda: trees.log_odds(x[:, :3], 1.0), lambda: trees.contributions(x[:, :3], 0)):
        with pytest.raises(InputError, match="x has 3 columns; the model was fitted on 4"):
            use()


def changed(content, **keys):
    line, _, packed = content.partition(b"\n")
    return json.dumps(json.loads(line) | keys).encode() + b"\n" + packed


@pytest.fixture(scope="module")
def small():
    x, y = draw(n=40)
    return Forest.fit(x, y, LABELS, seed=0, stage=1)


def at(values, place, value):
    values = values.copy()
    values[place] = value
    return values


DAMAGES = {
    "labels": lambda a: {"labels": a.labels[::-1]},
    "negative label": lambda a: {"labels": at(a.labels, 0, -1)},
    "prevalence": lambda a: {"prevalence": at(a.prevalence, 0, 1.0)},
    "NaN prevalence": lambda a: {"prevalence": at(a.prevalence, 0, np.nan)},
    "medians": lambda a: {"medians": at(a.medians, 0, np.nan)},
    "threshold": lambda a: {"threshold": at(a.threshold, 0, np.inf)},
    "feature": lambda a: {"feature": at(a.feature, 0, COLUMNS)},
    "negative feature": lambda a: {"feature": at(a.feature, 0, -2)},
    "empty leaf": lambda a: {"counts": at(a.counts, 0, 0)},
    "positives": lambda a: {"positives": at(a.positives, (0, 0), a.counts[0] + 1)},
    "negative positives": lambda a: {"positives": at(a.positives, (0, 0), -1)},
    "loop": lambda a: {"left": at(a.left, int(np.flatnonzero(a.left > 0)[3]), 0)},
    "itself": lambda a: {"left": at(a.left, a.roots[1], a.roots[1])},
    "beyond": lambda a: {"right": at(a.right, 0, len(a.right))},
    "two parents": lambda a: {"right": at(a.right, 0, a.left[0])},
    "one child": lambda a: {"right": at(a.right, 0, -1)},
    "leaf with a child": lambda a: {"right": at(a.right, np.flatnonzero(a.left < 0)[0], 5)},
    "more leaves": lambda a: {"left": at(a.left, 0, -1)},
    "root": lambda a: {"roots": at(a.roots, 1, a.roots[1] + 1)},
    "pull": lambda a: {"pull": -1.0},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_arrays_that_do_not_fit_are_an_error(small, damage):
    arrays = replace(small.arrays, **DAMAGES[damage](small.arrays))
    with pytest.raises(InputError, match="not a forest: "):
        Forest.check(write_forest(arrays))


@pytest.mark.parametrize(
    "keys",
    [{"trees": 0}, {"trees": True}, {"trees": 10**9}, {"labels": 2.0}, {"leaves": 10**12},
     {"columns": 5}, {"leaves": 50}, {"labels": 2**29}, {"pull": "1"}, {"pull": 1},
     {"pull": float("inf")}, {"format": "other"}, {"more": 1}],
    ids=str,
)  # fmt: skip
def test_a_first_line_that_does_not_fit_is_an_error(small, keys):
    with pytest.raises(InputError, match="not a forest: "):
        Forest.check(changed(Forest.to_bytes(small), **keys))


def test_what_is_no_forest_is_an_error(small):
    content = Forest.to_bytes(small)
    line, _, packed = content.partition(b"\n")
    bomb = line + b"\n" + zlib.compress(bytes(10**8))
    others = [b"", b"\n", b"[" * 900, b"{}\n", packed, line, line + b"\n", content + b"x", bomb]
    for other in others + [content[: len(content) * k // 20] for k in range(20)]:
        with pytest.raises(InputError, match="not a forest: "):
            Forest.check(other)


def test_trees_that_are_too_deep_are_an_error(small):
    n = module.MAX_DEPTH + 1
    # One tree: each inner node has a leaf, and the next node, below it.
    left = np.full(2 * n + 1, -1)
    right = left.copy()
    left[0 : 2 * n : 2], right[0 : 2 * n : 2] = np.arange(1, 2 * n, 2), np.arange(2, 2 * n + 1, 2)

    def chain(depth):
        return replace(
            small.arrays,
            roots=np.zeros(1, dtype=np.int32),
            feature=np.zeros(depth, dtype=np.int32),
            threshold=np.zeros(depth, dtype=np.float32),
            left=np.where(np.arange(2 * depth + 1) < 2 * depth, left[: 2 * depth + 1], -1),
            right=np.where(np.arange(2 * depth + 1) < 2 * depth, right[: 2 * depth + 1], -1),
            counts=np.ones(depth + 1, dtype=np.int32),
            positives=np.zeros((depth + 1, 3), dtype=np.int32),
        )

    Forest.check(write_forest(chain(n - 1)))
    with pytest.raises(InputError, match="deeper than 60"):
        Forest.check(write_forest(chain(n)))


def test_mutated_files_are_an_error_or_end(small):
    content = Forest.to_bytes(small)
    line, _, packed = content.partition(b"\n")
    plain, x = zlib.decompress(packed), np.zeros((5, COLUMNS), dtype=np.float32)
    passed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        mutated = bytearray(plain)
        place = int(rng.integers(len(plain)))
        mutated[place] = int(rng.integers(256))
        other = line + b"\n" + zlib.compress(bytes(mutated))
        try:
            Forest.check(other)
        except InputError:
            continue
        passed += 1
        trees = Forest.of_bytes(other)
        assert np.isfinite(trees.log_odds(x, trees.arrays.pull)).all()
        assert np.isfinite(trees.contributions(x, 0)).all()
    assert passed < 200
