"""One self-contained HTML page that says what a fitted stack is and what it is worth."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hpastack.files import atomic_write, refuse_existing

if TYPE_CHECKING:
    from hpastack.report.embedded import Thumbnails


def write_report(
    stack_folder: str | os.PathLike[str],
    targets: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    clusters: pd.Series | None = None,
    catalogue: pd.DataFrame | None = None,
    thumbnails: Thumbnails | None = None,
    n_pictures: int = 400,
    importance: pd.DataFrame | None = None,
    places: Mapping[str, Path] | None = None,
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
    thumbnails : object, optional
        What draws a small picture of a field (``jpeg(image_id) -> bytes``). If omitted,
        fields are named by their ids.
    n_pictures : int, default=400
        Pictures at most, about 10 kB each.
    importance : DataFrame, optional
        As `hpastack.stack.column_importance` returns it.
    places : dict of str to Path, optional
        Files and folders of the workspace, by the names of its properties.
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
        not those it was fitted on, or matplotlib or jinja2 is not installed.
    """
    # Here, so that the name can be imported without the extra.
    import hpastack.report._extra  # noqa: F401
    from hpastack.report.embedded import Pictures
    from hpastack.report.facts import gather_facts
    from hpastack.report.page import page_text

    path = Path(path)
    refuse_existing(path, overwrite)
    facts = gather_facts(
        stack_folder,
        targets,
        clusters,
        catalogue=catalogue,
        pictures=Pictures(thumbnails, n_pictures),
        importance=importance,
        places=dict(places or {}),
    )
    text = page_text(facts, progress=progress)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
