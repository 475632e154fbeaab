"""One self-contained HTML page that says what a fitted stack is and what it is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.files import published
from hpastack.models.stack_files import load_stack, read_manifest

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ name }}: report of a stack</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left; white-space: nowrap }
.warning { background: #fff3cd; border-left: 4px solid #e69f00; padding: .5rem 1rem }
.wide { overflow-x: auto }
svg { max-width: 100%; height: auto }
</style>
<h1>{{ name }}</h1>
<p>{{ n_fields }} training fields, {{ n_labels }} labels, {{ n_folds }} folds;
made with hpastack {{ version }}.</p>
{% for note in notes %}<p class="warning">{{ note }}</p>{% endfor %}
<h2>Scores</h2>
<p>Out of fold: each field is scored by boosters, and by a calibration and thresholds, that were
fitted on other folds, and folds keep clusters of near-duplicates together. Naive: blend,
calibration and thresholds are fitted on the very fields they are scored on. Believe the first.</p>
<table><tr><th></th><th>out of fold</th><th>95 % interval</th><th>naive</th></tr>
{% for row in scores %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Compared with what it is made of</h2>
<p>Thresholds chosen out of fold for all.</p>
{{ comparison }}
<h2>Label by label</h2>
<div class="wide">{{ label_table }}</div>
{{ label_figure }}
<h2>Calibration and prevalence</h2>
{{ reliability_figure }} {{ prevalence_figure }}
<h2>What is given instead of a missed label</h2>
{{ confusion_figure }}
<h2>How it was made</h2>
<table><tr><th>store</th><th>kind</th><th>content</th><th>fold plan</th></tr>
{% for row in stores %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<table><tr><th>parameter</th><th>value</th></tr>
{% for key, value in parameters %}<tr><td>{{ key }}</td><td>{{ value }}</td></tr>
{% endfor %}</table>
<p>Fold plan of the stack: <code>{{ fold_plan }}</code></p>
</html>
"""


def write_report(stack_folder, targets, path) -> Path:
    """Write the report of a stack.

    Parameters
    ----------
    stack_folder : path-like
        A stack as `hpastack.models.stack_files.save_stack` keeps it.
    targets : DataFrame of {0, 1}
        True labels of the training fields, indexed by image id, a column a
        label in the order of the stack.
    path : path-like
        The HTML file to write, in one rename; it needs no other file and no
        network.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    InputError
        If the folder is no stack, a training field of it has no label, or
        matplotlib or jinja2 is not installed.
    """
    # First, as it says what is missing where the extra is not installed.
    from hpastack.report import figures

    try:
        from jinja2 import Environment
        from markupsafe import Markup
    except ImportError:
        raise InputError("the report needs jinja2; pip install 'hpastack[report]'") from None

    stack_folder, path = Path(stack_folder), Path(path)
    manifest, stack = read_manifest(stack_folder), load_stack(stack_folder)
    image_ids = stack.oof_labels_.index
    missing = image_ids[~image_ids.isin(targets.index)]
    if len(missing):
        raise InputError(
            f"{stack_folder}: {len(missing)} of its training fields have no label in this "
            f"workspace: {shorten(missing)}"
        )
    y = targets.loc[image_ids].to_numpy()
    if y.shape != stack.oof_labels_.shape:
        raise InputError(f"{stack_folder} has {len(stack.labels_)} labels, not {y.shape[1]}")
    table, record = stack.label_table_, manifest["record"]
    start = "consensus" if "consensus_f1" in table else "prior"
    page = Environment(autoescape=True).from_string(_PAGE)
    text = page.render(
        name=stack_folder.resolve().name,
        version=manifest["hpastack"],
        n_fields=f"{len(image_ids):,}",
        n_labels=len(stack.labels_),
        n_folds=int(stack.fold_.max()) + 1,
        notes=record.get("notes", []),
        scores=_score_rows(stack.cv_results_),
        comparison=Markup(_html(stack.comparison_)),
        label_table=Markup(_html(table)),
        label_figure=Markup(figures.label_figure(table, start)),
        reliability_figure=Markup(
            figures.reliability_figure(y, stack.oof_probabilities_.to_numpy(dtype=float))
        ),
        prevalence_figure=Markup(figures.prevalence_figure(table)),
        confusion_figure=Markup(
            figures.confusion_figure(y, stack.oof_labels_.to_numpy(), stack.labels_)
        ),
        stores=[
            (name, made["kind"], made["content"], made["fold_plan"][:12] or "-")
            for name, made in record.get("stores", {}).items()
        ],
        parameters=manifest["parameters"].items(),
        fold_plan=manifest["fold_plan"],
    )
    with published(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _score_rows(scores: dict) -> list[tuple[str, str, str, str]]:
    titles = {
        "macro_f1": "macro F1",
        "macro_ap": "macro average precision",
        "ece": "expected calibration error",
    }
    rows = []
    for key, title in titles.items():
        low, high = scores.get(f"{key}_interval", (np.nan, np.nan))
        interval = "-" if np.isnan(low) else f"{low:.4f} to {high:.4f}"
        rows.append((title, f"{scores[key]:.4f}", interval, f"{scores[f'naive_{key}']:.4f}"))
    return rows


def _html(table: pd.DataFrame) -> str:
    # pandas escapes names; a label without positives has no average precision.
    return table.rename_axis(index=None).to_html(
        float_format="{:.3f}".format, na_rep="-", border=0, justify="unset"
    )
