"""Prevalence and confusions as figures of matplotlib."""

from __future__ import annotations

import base64
from typing import Any

from hpastack.report import figures
from hpastack.report.facts import Facts

# At which figures are shown: their text is then as large as that of the page.
_PIXELS_PER_INCH = 106


def context(facts: Facts) -> dict[str, Any]:
    """Return the figures."""
    found = figures.ScoredFields(facts.names, facts.y, facts.labels, facts.probabilities)
    images = {}
    with figures.style():
        for name, figure in (
            ("prevalence", figures.prevalence_figure(facts.table, len(facts.y))),
            ("confusions", figures.confusion_figure(found)),
        ):
            images[name] = {
                "base64": base64.b64encode(figures.png(figure)).decode("ascii"),
                "width": round(_PIXELS_PER_INCH * figure.get_figwidth()),
            }
    return {"images": images}
