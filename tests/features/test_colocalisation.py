"""Co-localisation: worked by hand, against slow versions and scipy, degenerate, turned."""

import numpy as np
import pytest
from reference import stain_statistics as slow
from scipy import stats

from hpastack.errors import InputError
from hpastack.features.colocalisation import MEANINGS, colocalisation_features


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    shared = rng.random((20, 23)) ** 3
    first = 0.6 * shared + 0.2 * rng.random(shared.shape)
    second = 0.5 * shared + 0.3 * rng.random(shared.shape)
    return first.astype(np.float32), second.astype(np.float32)


def test_worked_by_hand():
    # Both lit in one pixel, each alone in one, neither in one.
    first = np.array([[1.0, 1.0], [0.0, 0.0]])
    second = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert colocalisation_features(first, second) == pytest.approx(
        {
            "colocalisation_pearson": 0,
            "colocalisation_spearman": 0,
            "colocalisation_m1": 0.5,
            "colocalisation_m2": 0.5,
            "colocalisation_overlap": 0.5,
            "colocalisation_slope": 0,
        }
    )


def test_correlations_agree_with_scipy(pair):
    values = colocalisation_features(*pair)
    assert list(values) == list(MEANINGS)
    first, second = (slow.to_levels(image).ravel() for image in pair)
    assert values["colocalisation_pearson"] == pytest.approx(
        stats.pearsonr(first, second).statistic
    )
    assert values["colocalisation_spearman"] == pytest.approx(
        stats.spearmanr(first, second).statistic
    )
    assert values["colocalisation_slope"] == pytest.approx(stats.linregress(second, first).slope)


def test_ranks_and_overlap_agree_with_the_slow_version(pair):
    values = colocalisation_features(*pair)
    first, second = (slow.to_levels(image).ravel().astype(float) for image in pair)
    ranks = np.corrcoef(slow.mean_ranks(first), slow.mean_ranks(second))[0, 1]
    assert values["colocalisation_spearman"] == pytest.approx(ranks)
    overlap = sum(first * second) / np.sqrt(sum(first**2) * sum(second**2))
    assert values["colocalisation_overlap"] == pytest.approx(overlap)


def test_manders_agrees_with_the_slow_version(pair):
    values = colocalisation_features(*pair)
    first, second = pair
    thresholds = [slow.otsu_level(slow.to_levels(image)) for image in pair]
    # The refined thresholds lie within half a level of these, which moves few pixels.
    assert values["colocalisation_m1"] == pytest.approx(
        slow.manders(first, second, *thresholds), abs=0.02
    )
    assert values["colocalisation_m2"] == pytest.approx(
        slow.manders(second, first, *thresholds[::-1]), abs=0.02
    )


def test_a_stain_goes_perfectly_with_itself(pair):
    values = colocalisation_features(pair[0], pair[0])
    assert list(values.values()) == pytest.approx([1.0] * 6, abs=0.01)


def test_exchanging_the_stains_exchanges_m1_and_m2(pair):
    there = colocalisation_features(*pair)
    back = colocalisation_features(*pair[::-1])
    assert there["colocalisation_m1"] == pytest.approx(back["colocalisation_m2"])
    for name in ("pearson", "spearman", "overlap"):
        assert there[f"colocalisation_{name}"] == pytest.approx(back[f"colocalisation_{name}"])


def test_constant_stain_goes_with_nothing(pair):
    flat, black = np.full_like(pair[0], 0.5), np.zeros_like(pair[0])
    for values in (
        colocalisation_features(pair[0], flat),
        colocalisation_features(flat, pair[0]),
    ):
        overlap = values.pop("colocalisation_overlap")
        assert 0 < overlap < 1
        assert set(values.values()) == {0.0}
    assert set(colocalisation_features(black, pair[0]).values()) == {0.0}
    assert set(colocalisation_features(black, black).values()) == {0.0}


def test_turning_and_mirroring_change_nothing(pair):
    values = colocalisation_features(*pair)
    for turn in (np.rot90, np.transpose, np.flipud, np.fliplr):
        assert colocalisation_features(*map(turn, pair)) == values


def test_stains_of_different_shape_are_refused(pair):
    with pytest.raises(InputError, match=r"shape \(20, 23\) and \(20, 22\)"):
        colocalisation_features(pair[0], pair[1][:, 1:])
