"""The state of an unfinished training, saved often enough that an interruption costs minutes.

One safetensors file contains the weights, their running mean, the best weights so far and the
optimizer's moments; its metadata contain the progress of the training, as JSON.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hpastack.backbones import write_tensors
from hpastack.backbones._torch import safetensors, torch
from hpastack.files import atomic_write

# Key in the file's metadata.
_PROGRESS = "hpastack_training"
# Prefix of the number of a parameter and the name of its moment.
_OPTIMIZER = "optimizer"


@dataclass
class TrainingProgress:
    """The progress of a training.

    Attributes
    ----------
    epoch, batch : int
        The next epoch and batch; batches are those of all processes together.
    n_steps : int
        Steps of the optimizer so far.
    n_shown, total_loss : float
        Number of fields used in this epoch so far, and the sum of their losses.
    best_epoch : int
        Epoch with the highest score on the validation fields; -1 before the first.
    best_score : float
    history : list of dict
        One row per finished epoch.
    is_done : bool
        Whether early stopping has ended the training.
    """

    epoch: int = 0
    batch: int = 0
    n_steps: int = 0
    n_shown: int = 0
    total_loss: float = 0.0
    best_epoch: int = -1
    best_score: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    is_done: bool = False

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights are kept: the best, or the last without early stopping."""
        return self.best_epoch if self.best_epoch >= 0 else self.epoch - 1


class StateFile:
    """A file with the state of a training.

    Parameters
    ----------
    path : path-like
        A safetensors file, which need not exist.
    fingerprint : str
        Digest of everything that determines the weights; a state with another one is ignored.
    seconds : float, default=300.0
        Interval between saved states; 0 saves after every step.
    """

    def __init__(
        self, path: str | os.PathLike[str], fingerprint: str, seconds: float = 300.0
    ) -> None:
        self.path = Path(path)
        self.fingerprint = fingerprint
        self.seconds = seconds
        self._kept_at = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the state must be saved again."""
        return time.monotonic() - self._kept_at >= self.seconds

    def is_there(self) -> bool:
        """Return whether a state with this fingerprint exists."""
        return self._progress() is not None

    def save(
        self,
        progress: TrainingProgress,
        modules: dict[str, torch.nn.Module],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Write the state, atomically.

        Parameters
        ----------
        progress : TrainingProgress
        modules : dict of str to torch.nn.Module
        optimizer : torch.optim.Optimizer
        """
        tensors = {
            f"{name}/{key}": value
            for name, module in modules.items()
            for key, value in module.state_dict().items()
        }
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{_OPTIMIZER}/{number}/{key}": value for key, value in moments.items()}
        # Copied, as modules may share tensors, which the file format does not allow.
        tensors = {
            key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for key, value in tensors.items()
        }
        text = json.dumps({"fingerprint": self.fingerprint, **asdict(progress)})
        with atomic_write(self.path) as draft:
            write_tensors(draft, tensors, {_PROGRESS: text})
        self._kept_at = time.monotonic()

    def restore(
        self, modules: dict[str, torch.nn.Module], optimizer: torch.optim.Optimizer
    ) -> TrainingProgress:
        """Restore the last saved state.

        Parameters
        ----------
        modules, optimizer
            As in `save`; their state is replaced.

        Returns
        -------
        TrainingProgress
            The initial progress if there is no saved state.
        """
        progress = self._progress()
        if progress is None:
            return TrainingProgress()
        tensors = safetensors.torch.load_file(self.path)
        for name, module in modules.items():
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            module.load_state_dict(own, strict=True)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{_OPTIMIZER}/"):
                _, number, name = key.split("/")
                moments.setdefault(int(number), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return progress

    def _progress(self) -> TrainingProgress | None:
        """Read the progress without the weights; None if no state has this fingerprint."""
        if not self.path.is_file():
            return None
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                values = json.loads((file.metadata() or {}).get(_PROGRESS, "{}"))
        except (safetensors.SafetensorError, ValueError):
            return None
        if values.pop("fingerprint", None) != self.fingerprint:
            return None
        if set(values) != {item.name for item in fields(TrainingProgress)}:
            return None
        return TrainingProgress(**values)

    def remove(self) -> None:
        """Remove the file once the training has ended."""
        self.path.unlink(missing_ok=True)
