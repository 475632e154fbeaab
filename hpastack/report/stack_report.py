"""A self-contained HTML report on how a stack was made and how well it performs."""

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
    """Write the HTML report of a stack.

    Parameters
    ----------
    stack_folder : path-like
        A stack saved by `hpastack.StackClassifier.save`.
    targets : DataFrame of {0, 1}
        Annotated labels of its training fields, indexed by image id (other fields
        are ignored), one column per label, named and ordered as in the stack.
    path : path-like
        HTML file to write. It is self-contained and needs no network. It is
        replaced in one rename.
    clusters : Series, optional
        Cluster of each training field, indexed by image id, for the interval
        of the F1 of each label. If omitted, these intervals are not shown.
    catalogue : DataFrame, optional
        Table of `hpastack.read_catalogue`, for the sections on leaks, duplicates and domains.
    compare : sequence of path-like, default=()
        Other stacks, fitted on the same fields and labels, for the leaderboard.
    thumbnails : hpastack.pictures.Thumbnails, optional
        Pictures of the fields. If omitted, or if there are no images, fields are listed by
        their ids.
    n_pictures : int, optional
        Maximum number of pictures; 0 for none. Default: 400, or as many as fit in 4.5 MB.
    places : dict of str to Path, optional
        Files and folders of the workspace, by the names of the properties of
        `hpastack.Workspace`. If the stores that the stack was fitted on are in
        ``features``, the report shows the most important columns of each label.
    jobs : int, optional
        Number of workers. Default: the number of CPUs available to this process.
    overwrite : bool, default=False
        Whether an existing file may be replaced.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    Path
        The report, identical for the same stack, workspace and versions.

    Raises
    ------
    InputError
        If the file exists and `overwrite` is false, the folder is not a stack, one of
        its training fields has no label or cluster, the stack was fitted on other labels
        or clusters, a stack to compare with was fitted on other fields, or jinja2 is not
        installed.
    """
    # Imported here, so that this module can be imported without the extra.
    import hpastack.report._extra  # noqa: F401
    from hpastack.report.embedded import Pictures
    from hpastack.report.facts import gather_facts
    from hpastack.report.importance import stored_importance
    from hpastack.report.page import page_text
    from hpastack.report.seconds import Seconds, read_seconds

    path = Path(path)
    refuse_existing(path, overwrite)
    places = dict(places or {})

    def seconds_of(folder: str | os.PathLike[str]) -> Seconds:
        if "reports" not in places:
            return {}
        return read_seconds(places["reports"], Path(folder).resolve().name)

    facts = gather_facts(
        stack_folder,
        targets,
        clusters,
        catalogue=catalogue,
        pictures=Pictures(thumbnails, n_pictures, jobs),
        places=places,
        seconds=seconds_of(stack_folder),
        rivals=[gather_facts(rival, targets, seconds=seconds_of(rival)) for rival in compare],
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
