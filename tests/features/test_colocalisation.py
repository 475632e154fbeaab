"""Co-localisation: worked by hand, against slow versions and others, degenerate, turned."""

import numpy as np
import pytest
from reference import stain_statistics as slow
from reference.colocalisation import colocalisation_of_pair
from scipy import stats
from skimage.metrics import structural_similarity

from hpastack.errors import InputError
from hpastack.features import colocalisation
from hpastack.features.colocalisation import (
    MEANINGS,
    colocalisation_features,
    colocalisation_of_pairs,
)

pytestmark = pytest.mark.core


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
            "colocalisation_rwc1": 0.5,
            "colocalisation_rwc2": 0.5,
            # One window: means 1/2, variances 1/3, covariance 0; constants 0.01**2 and 0.03**2.
            "colocalisation_ssim": 0.0009 / (2 / 3 + 0.0009),
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
    assert list(values.values()) == pytest.approx([1.0] * 9, abs=0.01)


def test_exchanging_the_stains_exchanges_m1_and_m2(pair):
    there = colocalisation_features(*pair)
    back = colocalisation_features(*pair[::-1])
    assert there["colocalisation_m1"] == pytest.approx(back["colocalisation_m2"])
    assert there["colocalisation_rwc1"] == pytest.approx(back["colocalisation_rwc2"])
    for name in ("pearson", "spearman", "overlap", "ssim"):
        assert there[f"colocalisation_{name}"] == pytest.approx(back[f"colocalisation_{name}"])


def test_constant_stain_goes_with_nothing(pair):
    flat, black = np.full_like(pair[0], 0.5), np.zeros_like(pair[0])
    for values in (
        colocalisation_features(pair[0], flat),
        colocalisation_features(flat, pair[0]),
    ):
        assert 0 < values.pop("colocalisation_overlap") < 1
        assert 0 < values.pop("colocalisation_ssim") < 1
        assert set(values.values()) == {0.0}
    for other, similarity in ((pair[0], pytest.approx(0, abs=0.05)), (black, 1.0)):
        values = colocalisation_features(black, other)
        assert values.pop("colocalisation_ssim") == similarity
        assert set(values.values()) == {0.0}


def test_turning_and_mirroring_change_nothing(pair):
    values = colocalisation_features(*pair)
    for turn in (np.rot90, np.transpose, np.flipud, np.fliplr):
        assert colocalisation_features(*map(turn, pair)) == pytest.approx(values, rel=1e-12)


def test_stains_of_different_shape_are_refused(pair):
    with pytest.raises(InputError, match=r"shape \(20, 23\) and \(20, 22\)"):
        colocalisation_features(pair[0], pair[1][:, 1:])


def test_rank_weights_worked_by_hand():
    # Dense ranks 0 1 2 and 0 2 1 of 3; all but the pixel that is black in both is signal.
    first, second = np.array([[0, 100, 200]]) / 255, np.array([[0, 250, 50]]) / 255
    values = colocalisation_features(first, second, thresholds=(0.1, 0.1))
    assert values["colocalisation_m1"] == values["colocalisation_m2"] == 1
    assert values["colocalisation_rwc1"] == pytest.approx(2 / 3)
    assert values["colocalisation_rwc2"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("shape", [(20, 23), (7, 7), (8, 64), (64, 51)])
def test_agrees_with_the_slow_version(shape):
    rng = np.random.default_rng(3)
    first = rng.random(shape) ** 3
    second = 0.5 * first + 0.5 * rng.random(shape)
    # 1e-6 for ssim, which is taken from whole numbers in 32 bit; the others differ less.
    assert colocalisation_features(first, second) == pytest.approx(
        colocalisation_of_pair(first, second), rel=1e-9, abs=1e-6
    )


def test_ssim_agrees_with_scikit_image_where_little_varies():
    # Bright and nearly flat: the variance is the small difference of two large numbers.
    rng = np.random.default_rng(4)
    first, second = 250 + rng.integers(0, 3, (2, 50, 40))
    values = colocalisation_features(first / 255, second / 255)
    assert values["colocalisation_ssim"] == pytest.approx(
        structural_similarity(first, second, data_range=255), abs=1e-6
    )


def test_ssim_is_the_same_in_strips(pair, monkeypatch):
    whole = colocalisation_features(*pair)
    monkeypatch.setattr(colocalisation, "_STRIP_PIXELS", 3 * pair[0].shape[1])
    assert colocalisation_features(*pair) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (6, 30)])
def test_window_of_ssim_shrinks_to_a_narrow_image(shape):
    image = np.random.default_rng(5).random(shape)
    assert colocalisation_features(image, image)["colocalisation_ssim"] == pytest.approx(1)
    assert -1 < colocalisation_features(image, 1 - image)["colocalisation_ssim"] < 1


def test_agrees_with_cp_measure_at_its_thresholds(pair):
    core = pytest.importorskip("cp_measure.core.measurecolocalization")
    levels = [slow.to_levels(image) for image in pair]
    # Signal is what reaches 15 % of the maximum. Half way below a level, no level counts in part.
    thresholds = tuple((np.ceil(0.15 * image.max()) - 0.5) / 255 for image in levels)
    values = colocalisation_features(*pair, thresholds=thresholds)
    first, second = (image / 255 for image in levels)
    everywhere = np.ones(first.shape, dtype=int)
    theirs = {}
    for measure in (core.get_correlation_manders_fold, core.get_correlation_rwc):
        theirs |= measure(first, second, everywhere)
    # Their slope gives the second stain from the first, and their overlap is of signal only.
    theirs |= core.get_correlation_pearson(second, first, everywhere)
    theirs |= core.get_correlation_overlap(first, second, everywhere, thr=0)
    for ours, name in {
        "pearson": core.F_CORRELATION_FORMAT,
        "slope": core.F_SLOPE_FORMAT,
        "m1": f"{core.F_MANDERS_FORMAT}_1",
        "m2": f"{core.F_MANDERS_FORMAT}_2",
        "rwc1": f"{core.F_RWC_FORMAT}_1",
        "rwc2": f"{core.F_RWC_FORMAT}_2",
        "overlap": core.F_OVERLAP_FORMAT,
    }.items():
        # Both take the same sums in 64 bit, in another order.
        assert values[f"colocalisation_{ours}"] == pytest.approx(theirs[name][0], rel=1e-9), ours


def test_otsu_is_the_threshold_left_out(pair):
    values = colocalisation_features(*pair)
    lower = colocalisation_features(*pair, thresholds=(0, 0))
    assert lower["colocalisation_m1"] > values["colocalisation_m1"]
    assert lower["colocalisation_pearson"] == values["colocalisation_pearson"]


def test_nothing_above_the_threshold_is_a_share_of_0(pair):
    values = colocalisation_features(pair[0] / 2, pair[1] / 2, thresholds=(0.9, 0.9))
    for name in ("m1", "m2", "rwc1", "rwc2"):
        assert values[f"colocalisation_{name}"] == 0


def test_pairs_are_measured_as_one_by_one(pair):
    images = [*pair, pair[0] ** 2, np.zeros_like(pair[0])]
    pairs = [(1, 0), (0, 2), (2, 1), (3, 0), (1, 1)]
    assert colocalisation_of_pairs(images, pairs) == [
        colocalisation_features(images[stain], images[reference]) for stain, reference in pairs
    ]


def test_wrong_thresholds_and_pairs_are_refused(pair):
    with pytest.raises(InputError, match=r"threshold 1.5 is outside \[0, 1\]"):
        colocalisation_features(*pair, thresholds=(0.1, 1.5))
    with pytest.raises(InputError, match=r"the pair \(0, 2\) is out of range for 2 stains"):
        colocalisation_of_pairs(pair, [(0, 2)])
    assert colocalisation_of_pairs(pair, []) == []
