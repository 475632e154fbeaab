"""Every plot and HTML representation in a notebook that is executed from a fresh kernel."""

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

# No magic command, and pyplot only at the end.
SET_UP = """
import numpy as np, pandas as pd, hpastack as hs
rng = np.random.default_rng(0)
ids = [f"field{number:03d}" for number in range(120)]
names = ["Golgi", "Rods", "Cytosol"]
y = pd.DataFrame((rng.random((120, 3)) < [0.5, 0.3, 0.2]).astype(int), ids, names)
p = (0.5 * y + 0.5 * rng.random(y.shape)).clip(0, 1)
X = p.set_axis(["net__0", "net__1", "net__2"], axis=1)
stack = hs.StackClassifier(["net"], boosters=["linear"], n_bootstrap=5, n_jobs=1)
stack.fit(X, y);
folds = np.arange(120) % 3
report = hs.fold_report(y, folds)
features = pd.DataFrame(rng.normal(size=(120, 5)), ids)
split = pd.Series(np.where(np.arange(120) % 3, "train", "test"), ids)
field = hs.draw_field("7", size=64);
"""
PLOTS = [
    "hs.plot.ReliabilityDisplay.from_stack(stack, y)",
    "hs.plot.ReliabilityDisplay.from_predictions(y, p, label='Golgi')",
    "hs.plot.PrecisionRecallDisplay.from_stack(stack, y)",
    "hs.plot.PrecisionRecallDisplay.from_predictions(y, p, thresholds=0.4)",
    "hs.plot.LabelScoresDisplay.from_stack(stack, y)",
    "hs.plot.LabelScoresDisplay.from_predictions(y, {'p': p}, score='ap', n_draws=5)",
    "hs.plot.ConfusionsDisplay.from_stack(stack, y)",
    "hs.plot.ConfusionsDisplay.from_predictions(y, (p > 0.5).astype(int))",
    "hs.plot.FoldBalanceDisplay.from_stack(stack, y)",
    "hs.plot.FoldBalanceDisplay.from_folds(y, folds)",
    "hs.plot.FoldBalanceDisplay(report)",
    "report.plot()",
    "hs.plot.DomainsDisplay.from_features(features, hs.domain_clusters(features, 3), split)",
    "hs.plot.ThresholdStabilityDisplay.from_stack(stack)",
    "hs.plot.ThresholdStabilityDisplay.from_predictions(y, p, folds=folds, n_draws=5)",
    "hs.plot.FieldDisplay(field, pixel_size=0.3)",
    "hs.plot.FieldSheetDisplay.from_pictures({'a': hs.field_tile(field)})",
    "hs.plot.ReliabilityDisplay.from_stack(stack, y).plot().figure_",
]
AFTER_PYPLOT = [
    # Whoever makes a figure shows it: once.
    "import matplotlib.pyplot as plt\n"
    "hs.plot.ReliabilityDisplay.from_stack(stack, y, label=0, ax=plt.subplots()[1])",
    "hs.plot.ReliabilityDisplay.from_stack(stack, y, label=0)",
    "report.plot()",
]
NOT_LOADED = "import sys\nassert 'matplotlib.pyplot' not in sys.modules"
NO_FIGURE_IS_KEPT = "assert plt.get_fignums() == []"
REPRESENTATIONS = [
    "hs.Workspace('nowhere')",
    "hs.HPA_2018",
    "report",
    "hs.adversarial_check(features, split == 'test', n_bootstrap=5, progress=False)",
    "stack",
    "hs.StackClassifier(['net'])",
]


def test_each_cell_shows_what_it_makes():
    codes = [SET_UP, *PLOTS, NOT_LOADED, *AFTER_PYPLOT, NO_FIGURE_IS_KEPT, *REPRESENTATIONS]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in codes],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    for cell in notebook.cells:
        shown = [output["data"] for output in cell["outputs"] if "data" in output]
        if cell["source"] in (*PLOTS, *AFTER_PYPLOT):
            images = [data["image/png"] for data in shown if "image/png" in data]
            assert len(images) == 1, cell["source"]
            assert images[0].startswith("iVBORw0KGgo"), cell["source"]
        elif cell["source"] in REPRESENTATIONS:
            (data,) = shown
            assert "text/html" in data, cell["source"]
