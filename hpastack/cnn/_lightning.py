"""The only import of Lightning, which runs the training loop and is slow to import."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hpastack.errors import InputError
from hpastack.files import any_backend

try:
    with any_backend():  # its metrics import matplotlib if it is installed
        import lightning.pytorch as lightning
        from lightning.pytorch.plugins.environments import (
            LightningEnvironment,
            TorchElasticEnvironment,
        )
except ModuleNotFoundError as error:
    raise InputError(
        f"fine-tuning needs {error.name}, which is not installed; run: pip install 'hpastack[cnn]'"
    ) from error

__all__ = ["cluster_environment", "lightning", "quietly"]


def cluster_environment(n_processes: int) -> LightningEnvironment | TorchElasticEnvironment:
    """Return the cluster environment from which Lightning reads the rank of this process.

    Set explicitly: in a scheduler's job, Lightning would otherwise take the job's tasks for
    training processes.
    """
    return LightningEnvironment() if n_processes == 1 else TorchElasticEnvironment()


@contextmanager
def quietly() -> Iterator[None]:
    """Run a trainer without its banners, with Ctrl-C raising KeyboardInterrupt as usual."""
    logger = logging.getLogger("lightning.pytorch")
    level, on_interrupt = logger.level, signal.getsignal(signal.SIGINT)
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Advice on data loaders and on GPUs that are deliberately unused.
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    except SystemExit as stop:
        # The trainer turns Ctrl-C into SystemExit, and ignores further ones.
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    finally:
        logger.setLevel(level)
