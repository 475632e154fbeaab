"""The HTML page: sections in order, each from its template, in one self-contained file."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
from markupsafe import Markup

from hpastack.errors import counted
from hpastack.files.page_policy import page_policy
from hpastack.parallel import progress_bar
from hpastack.report._extra import jinja2
from hpastack.report.facts import Facts
from hpastack.report.numbers import score_text, seconds_text, signed_text, sort_key
from hpastack.report.sections import (
    cards,
    confusions,
    data,
    label_check,
    labels,
    leaderboard,
    provenance,
    training,
    verdict,
)

#: Title and function of each section by name, in display order. A section whose function
#: returns None is omitted.
SECTIONS: dict[str, tuple[str, Callable[[Facts], dict[str, Any] | None]]] = {
    "verdict": ("Verdict", verdict.context),
    "leaderboard": ("Leaderboard", leaderboard.context),
    "labels": ("Labels", labels.context),
    "cards": ("Label by label", cards.context),
    "confusions": ("Confusions", confusions.context),
    "label_check": ("Label check", label_check.context),
    "data": ("Data", data.context),
    "training": ("Training", training.context),
    "provenance": ("Provenance", provenance.context),
}


def page_text(facts: Facts, *, progress: bool = True) -> str:
    """Return the HTML page of a stack.

    Parameters
    ----------
    facts : Facts
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    str
        HTML, identical for identical facts.
    """
    environment = _environment()
    sections = []
    for name in progress_bar(SECTIONS, what="sections", unit="section", show=progress):
        title, make = SECTIONS[name]
        context = make(facts)
        if context is not None:
            body = environment.get_template(f"sections/{name}.html").render(**context)
            sections.append({"name": name, "title": title, "body": Markup(body)})
    style, script = (_resource(name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html").render(
        name=facts.name,
        summary=_summary(facts),
        sections=sections,
        style=Markup(style),
        script=Markup(script),
        policy=page_policy(style, script),
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hpastack.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        score=score_text,
        sort_key=sort_key,
        signed=signed_text,
        seconds=seconds_text,
        count="{:,}".format,
        counted=counted,
    )
    return environment


def _resource(name: str) -> str:
    return files("hpastack.report").joinpath("templates", name).read_text(encoding="utf-8")


def _summary(facts: Facts) -> str:
    stack = facts.stack
    in_clusters = ""
    if facts.clusters is not None:
        in_clusters = f" in {counted(len(np.unique(facts.clusters)), 'cluster')}"
    n_features = len(stack.feature_names_in_) - len(stack.cnns) * len(stack.labels_)
    return (
        f"{counted(len(stack.fold_), 'training field')}{in_clusters}, "
        f"{counted(len(stack.labels_), 'label')}, {counted(int(stack.fold_.max()) + 1, 'fold')}; "
        f"CNNs: {len(stack.cnns)}, feature columns: {n_features:,}; fitted with hpastack "
        f"{facts.manifest['hpastack']}."
    )
