"""Write a synthetic data set in the file layout of the 2018 competition."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import joblib
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields import STAIN_INDEX, STAINS, to_8_bit
from hpastack.files import refuse_existing
from hpastack.parallel import cpu_budget, progress_bar
from hpastack.synthetic.dataset import SyntheticDataset
from hpastack.synthetic.fields import draw_field

#: File with the options of a data set, which also marks a folder that may be replaced.
ORIGIN = "synthesis.json"

_BATCH = 128


def write_dataset(
    folder: str | os.PathLike[str],
    dataset: SyntheticDataset,
    *,
    overwrite: bool = False,
    jobs: int | None = 1,
    progress: bool = True,
) -> Path:
    """Write a synthetic data set in the file layout of the 2018 competition.

    Parameters
    ----------
    folder : path-like
        Created by this function. Its files are listed under Notes.
    dataset : SyntheticDataset
        From `synthetic_dataset`.
    overwrite : bool, default=False
        Whether to replace a folder that this function wrote before.
    jobs : int or None, default=1
        Worker processes; None is the number of processors available to this
        process. The files do not depend on it.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    InputError
        If `folder` exists and is not empty, unless it was written by this
        function and `overwrite` is true.

    Notes
    -----
    - ``train/<Id>_<stain>.png`` and ``test/<Id>_<stain>.png``: 8-bit grey.
    - ``train.csv``: ``Id,Target`` of the training fields.
    - ``sample_submission.csv``: ``Id,Predicted`` of the test fields, all ``0``.
    - ``test_truth.csv``: ``Id,Target`` of the test fields, for scoring only.
    - ``groups.csv``: ``Id,well,plate,cell_line`` of all fields, as known in a
      laboratory.
    - ``planted_duplicates.csv``: ``Id,duplicate_of`` of the near-duplicates,
      for tests only.
    - ``synthesis.json``: the options of `synthetic_dataset`.

    All files are written to a hidden folder next to `folder`, which is renamed
    at the end.
    """
    folder = Path(folder)
    check_folder(folder, overwrite=overwrite)
    absolute = folder.absolute()
    partial = absolute.with_name(f".{absolute.name}.partial")
    replaced = absolute.with_name(f".{absolute.name}.replaced")
    # From an interrupted run.
    for leftover in (partial, replaced):
        if leftover.exists():
            shutil.rmtree(leftover)
    try:
        _write_tables(partial, dataset)
        _write_images(partial, dataset, jobs, progress)
        if absolute.exists():
            os.replace(absolute, replaced)
        os.replace(partial, absolute)
    finally:
        for leftover in (partial, replaced):
            if leftover.exists():
                shutil.rmtree(leftover)
    return folder


def check_folder(folder: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Check that `write_dataset` may write to a folder.

    Parameters
    ----------
    folder : path-like
    overwrite : bool
        Whether a synthetic data set may be replaced.

    Raises
    ------
    InputError
        If the folder has contents that must not be replaced.
    """
    folder = Path(folder)
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / ORIGIN).is_file():
        raise InputError(
            f"{folder} exists and is not a synthetic data set (it has no {ORIGIN}), so it is not "
            "replaced; choose another folder",
            "folder",
        )
    refuse_existing(folder, overwrite)


def _write_tables(folder: Path, dataset: SyntheticDataset) -> None:
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
    design = dataset.design.rename_axis("Id").reset_index()
    train, test = design[design["split"] == "train"], design[design["split"] == "test"]
    copies = design[design["duplicate_of"] != ""]
    tables = {
        "train": train[["Id", "target"]].rename(columns={"target": "Target"}),
        "test_truth": test[["Id", "target"]].rename(columns={"target": "Target"}),
        "sample_submission": pd.DataFrame({"Id": test["Id"], "Predicted": "0"}),
        "groups": design[["Id", "well", "plate", "cell_line"]],
        "planted_duplicates": copies[["Id", "duplicate_of"]],
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    origin = {"made_by": "hpastack.synthetic", "format": 1, "options": dataset.options}
    (folder / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")


def _write_images(
    folder: Path, dataset: SyntheticDataset, jobs: int | None, progress: bool
) -> None:
    image_ids = list(dataset.design.index)
    split_of = dataset.design["split"].to_dict()
    with (
        joblib.Parallel(n_jobs=jobs or cpu_budget()) as parallel,
        progress_bar(total=len(image_ids), what="drawing", unit="field", show=progress) as bar,
    ):
        # In batches, because not every backend returns results one at a time.
        for start in range(0, len(image_ids), _BATCH):
            batch = image_ids[start : start + _BATCH]
            parallel(
                joblib.delayed(_write_field)(
                    folder / split_of[image_id], image_id,
                    dataset.drawing(image_id),
                )
                for image_id in batch
            )  # fmt: skip
            bar.update(len(batch))


def _write_field(folder: Path, image_id: str, drawing: dict[str, Any]) -> None:
    threads = cv2.getNumThreads()
    # One thread per worker: there are as many workers as cores.
    cv2.setNumThreads(1)
    try:
        field = draw_field(**drawing)
    finally:
        cv2.setNumThreads(threads)
    for stain in STAINS:
        pixels = to_8_bit(field[STAIN_INDEX[stain]])
        # Encoded first, because OpenCV does not report a full disk.
        _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        (folder / f"{image_id}_{stain}.png").write_bytes(encoded.tobytes())
