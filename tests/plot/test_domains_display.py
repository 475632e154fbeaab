"""The display of domains: what its panels hold."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from hpastack.errors import InputError  # noqa: E402
from hpastack.plot import DomainsDisplay  # noqa: E402

pytestmark = pytest.mark.core

IDS = [f"f{number:03d}" for number in range(200)]
SPLIT = pd.Series(np.where(np.arange(200) < 150, "train", "test"), IDS)
LINE = pd.Series(np.where(np.arange(200) < 20, "", "HeLa"), IDS)


def groups(axes):
    """Colour, symbol and vertices of each group that is drawn."""
    dots = [dots for dots in axes.collections if len(dots.get_offsets())]
    return [(tuple(d.get_facecolor()[0]), d.get_paths()[0].vertices.tobytes()) for d in dots]


@pytest.mark.parametrize("n_components", [1, 3])
def test_panels_and_their_numbers(n_components):
    rng = np.random.default_rng(0)
    components = pd.DataFrame(rng.normal(size=(200, n_components)), IDS)
    domains = pd.Series(rng.integers(12, size=200), IDS)
    display = DomainsDisplay(components, domains, SPLIT, {"cell_line": LINE}).plot()
    assert display._repr_png_()[:4] == b"\x89PNG"
    shown = display.ax_
    assert [axes.get_title() for axes in shown] == [
        "domain", "split", "cell line", "share of the fields of each split"
    ]  # fmt: skip
    legend = [text.get_text() for text in shown[0].get_legend().get_texts()]
    assert legend == [str(number) for number in range(12)]
    assert "others, unknown" in [text.get_text() for text in shown[2].get_legend().get_texts()]
    widths = [bar.get_width() for bar in shown[3].patches]
    assert sum(widths) == pytest.approx(2)


def test_groups_differ_in_symbol_and_splits_in_hatching():
    rng = np.random.default_rng(0)
    components = pd.DataFrame(rng.normal(size=(200, 2)), IDS)
    domains = pd.Series(np.arange(200) % 8, IDS)
    display = DomainsDisplay(components, domains, SPLIT).plot()
    for axes, n_groups in zip(display.ax_, (8, 2)):
        drawn = groups(axes)
        assert len({symbol for _, symbol in drawn}) == len(drawn) == n_groups
    train, test = display.ax_[2].containers
    assert train[0].get_hatch() != test[0].get_hatch()
    domain, split = (groups(axes) for axes in display.ax_[:2])
    assert not {colour for colour, _ in domain} & {colour for colour, _ in split}


def test_from_features_joins_by_id():
    features = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 4)), IDS)
    domains = pd.Series(np.arange(200) % 2, IDS)
    shuffled = DomainsDisplay.from_features(features, domains[::-1], SPLIT[::-1])
    assert (
        shuffled._repr_png_() == DomainsDisplay.from_features(features, domains, SPLIT)._repr_png_()
    )
    with pytest.raises(InputError, match="domains lack 1 fields"):
        DomainsDisplay.from_features(features, domains[1:], SPLIT)
