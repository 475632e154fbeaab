"""One self-contained HTML page that says what a fitted stack is and what it is worth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from hpastack.files import atomic_write, refuse_existing
from hpastack.parallel import cpu_budget
from hpastack.pictures import Thumbnails


def write_report(
    stack_folder: str | os.PathLike[str],
    targets: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    clusters: pd.Series | None = None,
    catalogue: pd.DataFrame | None = None,
    compare: Sequence[str | os.PathLike[str]] = (),
    thumbnails: Thumbnails | None = None,
    n_pictures: int | None = None,
    places: Mapping[str, Path] | None = None,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write the report of a stack.

    Parameters
    ----------
    stack_folder : path-like
        A stack as `hpastack.StackClassifier.save` keeps it.
    targets : DataFrame of {0, 1}
        Annotated labels of its training fields, indexed by image id (other fields
        are ignored), one column per label, named and ordered as in the stack.
    path : path-like
        The HTML file to write, in one rename; it needs no other file and no
        network.
    clusters : Series, optional
        Cluster of each training field, indexed by image id, for the interval
        of each label's F1. If omitted, there are no such intervals.
    catalogue : DataFrame, optional
        As `hpastack.read_catalogue` returns it, for what is known of the fields.
    compare : sequence of path-like, default=()
        Other stacks, fitted on the same fields and labels, for the leaderboard.
    thumbnails : hpastack.pictures.Thumbnails, optional
        Pictures of the fields. If omitted, or where there are no images, fields are named by
        their ids.
    n_pictures : int, optional
        Pictures at most; 0 for none. If omitted, 400, or as many as fit in 4.5 MB.
    places : dict of str to Path, optional
        Files and folders of the workspace, by the names of the properties of
        `hpastack.Workspace`. Where the stores that the stack was fitted on lie in
        ``features``, the report says which columns move each label.
    jobs : int, optional
        Workers; as many as this process may use if omitted.
    overwrite : bool, default=False
        Whether an earlier file may be replaced.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    Path
        The report. The same stack and versions give the same bytes.

    Raises
    ------
    InputError
        If the file exists and `overwrite` is false, the folder is no stack, a
        training field of it has no label or cluster, labels or clusters are
        not those it was fitted on, a stack to compare with was fitted on other fields,
        or matplotlib or jinja2 is not installed.
    """
    # Here, so that the name can be imported without the extra.
    import hpastack.report._extra  # noqa: F401
    from hpastack.report.embedded import Pictures
    from hpastack.report.facts import gather_facts
    from hpastack.report.importance import stored_importance
    from hpastack.report.page import page_text

    path = Path(path)
    refuse_existing(path, overwrite)
    places = dict(places or {})
    facts = gather_facts(
        stack_folder,
        targets,
        clusters,
        catalogue=catalogue,
        pictures=Pictures(thumbnails, n_pictures, jobs),
        places=places,
        rivals=[gather_facts(rival, targets) for rival in compare],
    )
    facts.pictures.measure([str(image_id) for image_id in facts.image_ids])
    if "features" in places:
        facts.stack.n_jobs = jobs or cpu_budget()
        stores = facts.record.get("stores", {})
        importance = stored_importance(facts.stack, stores, places["features"])
        facts = replace(facts, importance=importance)
    text = page_text(facts, progress=progress)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
