"""Prevalence and confusions as figures of matplotlib."""

from __future__ import annotations

import base64
from typing import Any

from hpastack.metrics import confusions
from hpastack.pictures.figures import figure_png, style
from hpastack.plot import ConfusionsDisplay
from hpastack.report import figures
from hpastack.report.facts import Facts

# At which figures are shown: their text is then as large as that of the page.
_PIXELS_PER_INCH = 106


def context(facts: Facts) -> dict[str, Any]:
    """Return the figures."""
    display = ConfusionsDisplay(facts.names, *confusions(facts.y, facts.labels)).plot()
    with style():
        prevalence = figures.prevalence_figure(facts.table, len(facts.y))
    images = {
        name: {
            "base64": base64.b64encode(figure_png(figure)).decode("ascii"),
            "width": round(_PIXELS_PER_INCH * figure.get_figwidth()),
        }
        for name, figure in (("prevalence", prevalence), ("confusions", display.figure_))
    }
    return {"images": images}
