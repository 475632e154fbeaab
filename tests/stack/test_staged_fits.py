"""Models that grow: they stop when nothing is gained, and no fold knows of the other's labels."""

import numpy as np
import pytest
from scipy.special import expit

from hpastack.boosting import SharedBins, TreeSettings, library
from hpastack.boosting.tree_settings import doubled_rounds
from hpastack.stack import staged_fits
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.members import (
    FOREST,
    MEMBERS,
    POOLED,
    AllFields,
    AllPairs,
    OneLabel,
    maker_of,
)
from hpastack.stack.pairs import PairColumns, Pairs
from hpastack.stack.seen_columns import SeenByBooster, SeenByForest
from hpastack.stack.staged_fits import PATIENCE, fit_stages, fit_whole

pytestmark = pytest.mark.core

N, LABELS = 240, 2
SETTINGS = TreeSettings(rounds=64, min_leaf=5, l2=1.0, learning_rate=0.3)
STAGES = [2, 4, 8, 16, 32, 64]
TRAIN, FIRST, SECOND = np.split(np.arange(N), [120, 180])


@pytest.fixture(params=MEMBERS)
def member(request):
    if request.param == "catboost":
        pytest.importorskip("catboost")
    return request.param


def draw(member, seed=0, labels=None):
    """Rows of a member, its labels and margin; what is to be learned is soon learned."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(1, N, LABELS)).astype(np.float32)
    features = rng.normal(size=(N, 4)).astype(np.float32)
    y = (rng.random((N, LABELS)) < expit(1.5 * features[:, :1] - 0.5)).astype(int)
    if labels is not None:
        y = labels
    margin = np.full((N, LABELS), -0.5, dtype=np.float32)
    none = np.empty((0, N, LABELS), np.float32)
    shared, columns = np.concatenate([margin, features], axis=1), np.arange(6)
    if member == POOLED:
        known = PairColumns(np.zeros(LABELS), np.zeros((LABELS, LABELS)), np.arange(4))
        inputs = ColumnBlocks(logits, none, features)
        return AllPairs([0, 1], y, margin, Pairs(known, inputs, margin, shared)), y, margin
    if member == FOREST:
        return AllFields([0, 1], y, margin, shared), y, margin
    bins = SharedBins(shared[TRAIN], 1, 5.0, none[:, TRAIN])
    rows = OneLabel(member, 1, bins, logits[0, :, 1:], shared, columns, y[:, 1], margin[:, 1])
    return rows, y, margin


def seen_of(member, rows, part):
    """Return what a kept model is applied to, for each label of some fields."""
    seen = []
    for number, label in enumerate(rows.labels):
        columns = rows.columns(part)
        if member == FOREST:
            seen.append(SeenByForest(columns.shared, columns.margin[:, [number]], [label]))
        else:
            of_label = np.split(columns, len(rows.labels))[number]
            seen.append(SeenByBooster(member, lambda of_label=of_label: of_label))
    return seen


def grow(member, y=None, seeds=(0,)):
    rows, _, _ = draw(member, labels=y)
    stages = maker_of(member).stages(0, 0) if member in ("linear", FOREST) else STAGES
    added, reached = fit_stages(rows, TRAIN, (FIRST, SECOND), SETTINGS, list(seeds), stages)
    return rows, added, reached, stages


def test_what_is_said_of_one_fold_does_not_depend_on_labels_of_the_other(member):
    _, y, _ = draw(member)
    _, added, reached, _ = grow(member)
    rng = np.random.default_rng(1)
    differs = 0
    for mine, other, rows in ((0, 1, SECOND), (1, 0, FIRST)):
        for kind in ("permuted", "flipped"):
            changed = y.copy()
            changed[rows] = y[rng.permutation(rows)] if kind == "permuted" else 1 - y[rows]
            _, others, reached_now, _ = grow(member, changed)
            np.testing.assert_array_equal(added[mine], others[mine])
            assert reached[mine] == reached_now[mine]
            differs += reached[other] != reached_now[other]
    # The labels do count for their own fold, so that the test can fail.
    assert differs


def test_until_it_stops_it_is_the_plain_model_and_then_stays_as_it_was(member):
    rows, added, reached, stages = grow(member)
    model = rows.fit(TRAIN, SETTINGS, seed=0, stages=stages)
    for part, values, last in zip((FIRST, SECOND), added, reached):
        assert values.shape == (len(stages), 60, len(rows.labels))
        x = rows.columns(part)
        plain = np.stack([rows.added(model, x, 0, stage) for stage in stages])
        np.testing.assert_allclose(values[: last + 1], plain[: last + 1], atol=1e-5)
        assert (values[last:] == values[last]).all()


def test_where_it_stops_the_loss_has_not_fallen_for_two_stages(member):
    rows, added, reached, stages = grow(member)
    _, y, margin = draw(member)
    for part, values, last in zip((FIRST, SECOND), added, reached):
        own = np.ix_(part, rows.labels)
        logits = margin[own] + values
        losses = (np.logaddexp(0, logits) - y[own] * logits).sum(axis=(1, 2))[: last + 1]
        best = int(losses.argmin())
        if last < len(stages) - 1:
            assert last - best == PATIENCE
        waited = [k - int(losses[: k + 1].argmin()) for k in range(last)]
        assert max(waited) < PATIENCE


def test_no_more_trees_are_grown_than_either_fold_needs(monkeypatch):
    grown = []
    plain = library("lightgbm").fit

    def spy(*arguments, **options):
        grown.append(plain(*arguments, **options))
        return grown[-1]

    monkeypatch.setattr(library("lightgbm"), "fit", staticmethod(spy))
    _, _, reached, _ = grow("lightgbm")
    assert max(reached) < len(STAGES) - 1  # it does stop early
    assert grown[0].current_iteration() == STAGES[max(reached)]


def test_models_of_several_seeds_are_averaged():
    _, both, reached, _ = grow("xgboost", seeds=(0, 1))
    singles = [grow("xgboost", seeds=(seed,)) for seed in (0, 1)]
    for part in (0, 1):
        mean = sum(added[part] for _, added, _, _ in singles) / 2
        np.testing.assert_allclose(both[part], mean, atol=1e-6)
        assert reached[part] == max(one[part] for _, _, one, _ in singles)


def test_trees_that_end_between_two_stages_are_all_there(monkeypatch):
    # LightGBM ends where no split is worth its leaves.
    settings = TreeSettings(rounds=64, min_leaf=55, l2=0.0, leaves=2, learning_rate=1.0)
    rows, _, _ = draw("lightgbm")
    monkeypatch.setattr(staged_fits, "PATIENCE", 99)
    monkeypatch.setattr("hpastack.stack.members.library_of", lambda name: Ending)
    monkeypatch.setattr(rows.bins, "fit", lambda *_, at_stage, **__: Ending.grow(at_stage))
    (first, _), reached = fit_stages(rows, TRAIN, (FIRST, SECOND), settings, [0], STAGES)
    assert first[:, 0, 0].tolist() == [2, 4, 5, 5, 5, 5] and reached == (5, 5)


class Ending:
    """Each tree adds 1; there are no more than five."""

    @staticmethod
    def grow(at_stage):
        for number in range(sum(size <= 5 for size in STAGES)):
            at_stage("model", number)
        return "model"

    @staticmethod
    def added(model, x, start, stop):
        return np.full(len(x), float(max(0, min(stop, 5) - start)))


@pytest.mark.parametrize("seeds", [[0], [0, 5]])
def test_a_whole_model_predicts_what_its_file_does(member, seeds):
    rows, _, _ = draw(member)
    models, added = fit_whole(member, rows, TRAIN, FIRST, SETTINGS, seeds, 4)
    assert len(models) == len(seeds) and added.shape == (len(FIRST), len(rows.labels))
    seen = seen_of(member, rows, FIRST)
    of_files = np.column_stack(
        [np.mean([of.added(model)[:, 0] for model in models], axis=0) for of in seen]
    )
    np.testing.assert_allclose(added, of_files, atol=1e-5)
    assert np.abs(added).max() > 0.01


def test_numbers_of_trees_double():
    assert doubled_rounds(320, 5) == [5, 10, 20, 40, 80, 160, 320]
    assert doubled_rounds(60, 10) == [10, 18, 33, 60]  # nearest to twice that ends at 60
    assert doubled_rounds(3, 10) == [3]
    assert doubled_rounds(10, 10) == [10]
    assert doubled_rounds(2, 1) == [1, 2]
    for most in range(1, 200, 7):
        for least in (1, 2, 5, 10):
            numbers = doubled_rounds(most, least)
            assert numbers == sorted(set(numbers))
            assert (numbers[0], numbers[-1]) == (min(least, most), most)
