"""The figure of domains: what its panels hold."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from hpastack.report.domain_figure import domains_figure  # noqa: E402
from hpastack.report.figures import png, style  # noqa: E402


@pytest.mark.parametrize("n_components", [1, 3])
def test_panels_and_their_numbers(n_components):
    rng = np.random.default_rng(0)
    ids = [f"f{number:03d}" for number in range(200)]
    components = pd.DataFrame(rng.normal(size=(200, n_components)), ids)
    domains = pd.Series(rng.integers(12, size=200), ids)
    split = pd.Series(np.where(np.arange(200) < 150, "train", "test"), ids)
    line = pd.Series(np.where(np.arange(200) < 20, "", "HeLa"), ids)
    with style():
        figure = domains_figure(components, domains, split, {"cell_line": line})
        assert png(figure)[:4] == b"\x89PNG"
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == [
        "domain", "split", "cell line", "share of the fields of each split"
    ]  # fmt: skip
    legend = [text.get_text() for text in shown[0].get_legend().get_texts()]
    assert legend == [str(number) for number in range(12)]
    assert "others, unknown" in [text.get_text() for text in shown[2].get_legend().get_texts()]
    widths = [bar.get_width() for bar in shown[3].patches]
    assert sum(widths) == pytest.approx(2)
