"""Records of a training: curves while it runs, and scores when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.files import atomic_write, remove
from hpastack.folds import FoldPlan
from hpastack.metrics import (
    average_precisions,
    cluster_draws,
    macro_average_precision,
    score_interval,
)

#: Subfolder of a CNN for TensorBoard's event files: one folder per fold, and one for the scores.
TENSORBOARD = "tensorboard"
#: The table of scores per label.
SCORES = "scores.csv"


class FoldCurves:
    """A writer of the curves of one training, to CSV and for TensorBoard, while it runs.

    Parameters
    ----------
    folder : Path
        Gets the table ``history_<fold>.csv`` and event files in ``tensorboard/fold_<fold>``.
    fold : int
    """

    def __init__(self, folder: Path, fold: int) -> None:
        self.path = live_history(folder, fold)
        self._events = folder / TENSORBOARD / f"fold_{fold}"
        self._writer = None

    def clear(self) -> None:
        """Remove the curves of an earlier training."""
        remove(self.path)
        remove(self._events)

    def step(self, n_steps: int, loss: float, learning_rate: float) -> None:
        """Write the loss and learning rate of an optimizer step."""
        writer = self._open(n_steps)
        writer.add_scalar("step/loss", loss, n_steps)
        writer.add_scalar("step/learning_rate", learning_rate, n_steps)

    def epoch(self, row: dict[str, Any]) -> None:
        """Write the row of an epoch, replacing rows from that epoch on."""
        earlier = pd.read_csv(self.path) if self.path.is_file() else pd.DataFrame(columns=[*row])
        earlier = earlier[earlier["epoch"] < row["epoch"]]
        with atomic_write(self.path) as draft:
            table = pd.DataFrame([*earlier.to_dict("records"), row])
            table.to_csv(draft, index=False, lineterminator="\n")
        writer = self._open(0)
        for name in ("loss", "macro_ap", "watched_macro_ap"):
            if name in row:
                writer.add_scalar(f"epoch/{name}", row[name], row["epoch"])
        writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, n_steps: int) -> Any:
        if self._writer is None:
            # Hide later steps of an interrupted training.
            self._writer = _summary_writer(self._events, purge_step=n_steps or None)
        return self._writer


def live_history(folder: Path, fold: int) -> Path:
    """Return the path of the table of epochs of a fold during training."""
    return folder / f"history_{fold}.csv"


def write_scores(
    folder: Path, plan: FoldPlan, indicator: np.ndarray, logits: np.ndarray,
    names: Sequence[str], image_ids: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    """Write the scores of out-of-fold predictions per label, to CSV and for TensorBoard.

    Parameters
    ----------
    folder : Path
        Folder of the CNN; gets ``scores.csv`` and ``tensorboard/out_of_fold``.
    plan : FoldPlan
    indicator : ndarray of {0, 1}, shape (n, n_labels)
    logits : ndarray of float, shape (n, n_labels)
        Out-of-fold logits.
    names : sequence of str, length n_labels
    image_ids : sequence of str, length n
        The training fields.

    Returns
    -------
    DataFrame
        One row per label and a last one for their mean (``macro``): ``label``, ``n_positives``,
        ``prevalence``, ``average_precision``, and its 95 % interval, ``low`` and ``high``, from
        a bootstrap over clusters.
    """
    draws = cluster_draws(plan.frame["cluster"].loc[list(image_ids)])
    each = average_precisions(indicator, logits)
    macro = macro_average_precision(indicator, logits)
    low, high = score_interval(each, average_precisions(indicator, logits, draws))
    macro_low, macro_high = score_interval(macro, macro_average_precision(indicator, logits, draws))
    prevalence = indicator.mean(axis=0)
    table = pd.DataFrame(
        {
            "label": [*names, "macro"],
            "n_positives": [*indicator.sum(axis=0).tolist(), int(indicator.sum())],
            "prevalence": [*prevalence, prevalence.mean()],
            "average_precision": [*each, macro],
            "low": [*low, macro_low],
            "high": [*high, macro_high],
        }
    )
    with atomic_write(folder / SCORES) as draft:
        table.to_csv(draft, index=False, lineterminator="\n")
    with atomic_write(folder / TENSORBOARD / "out_of_fold") as draft:
        writer = _summary_writer(draft)
        for number, row in enumerate(table.itertuples()):
            writer.add_scalar(f"average_precision/{number:02d}_{row.label}", row.average_precision)
        writer.close()
    return table


def _summary_writer(folder: Path, **options: Any) -> Any:
    # Imported here, as it is slow and only fine-tuning needs it.
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), **options)
