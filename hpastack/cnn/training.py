"""Training of one CNN with Lightning's loop; the steps are in `lightning_module`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from hpastack.backbones import Network, gpu_memory_guard, network_precision
from hpastack.backbones._torch import torch
from hpastack.cnn._lightning import cluster_environment, lightning, quietly
from hpastack.cnn.distributed import Processes
from hpastack.cnn.inference import deterministic
from hpastack.cnn.lightning_module import FoldFields, FoldTraining
from hpastack.cnn.settings import CnnSettings
from hpastack.cnn.training_state import StateFile, TrainingProgress
from hpastack.errors import InputError, counted
from hpastack.parallel import progress_bar

_PRECISIONS: dict[str, Any] = {"bfloat16": "bf16-mixed", "float32": "32-true"}


def train_model(
    model: Network,
    fields: FoldFields,
    settings: CnnSettings,
    processes: Processes,
    *,
    stream: int = 0,
    state: StateFile | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    report_step: Callable[[int, float, float], None] | None = None,
    progress: bool = False,
) -> tuple[Network, TrainingProgress]:
    """Fine-tune a backbone, optionally with early stopping on validation fields.

    Parameters
    ----------
    model : torch.nn.Module
        From `hpastack.create_backbone`, with a classifier.
    fields : FoldFields
    settings : CnnSettings
    processes : Processes
        Each process trains on its share of every batch.
    stream : int, default=0
        Number of the random stream, e.g. the fold.
    state : StateFile, optional
        Where the training state is saved, and an interrupted training resumed from.
    report : callable, optional
        Called after each epoch with a dict of ``epoch``, ``learning_rate``, ``loss``
        and ``macro_ap`` (of the held-out fields; NaN without labels); with
        `patience` also ``watched_macro_ap`` (of the validation fields).
    report_step : callable, optional
        Called periodically with the number of the step, its loss and its learning rate.
    progress : bool, default=False

    Returns
    -------
    model : torch.nn.Module
        The trained model (the weights of the best epoch with `patience`, their running mean
        with `ema_decay`), on the device of this process, in evaluation mode.
    progress : TrainingProgress
        Its history has one row per epoch, including those before a resume.

    Raises
    ------
    InputError
        If there are fewer than two training fields per process, the loss is not finite,
        or the GPU runs out of memory.
    """
    together = min(settings.batch_size, len(fields.train))
    if together < 2 * processes.n_processes:
        raise InputError(
            f"batches of {counted(together, 'field')} are too small for "
            f"{counted(processes.n_processes, 'process', 'processes')}; each needs at least 2 "
            "training fields"
        )
    device = processes.device
    devices = [device] if device.type == "cuda" else []
    in_parallel = device.type == "cpu" and processes.n_processes == 1
    bar = progress_bar(
        total=settings.epochs, what=f"fold {stream}", unit="epoch",
        position=stream if in_parallel else 0,
        bar_format="{l_bar}{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}{postfix}]",
        show=progress and processes.is_first, delay=0,
    )  # fmt: skip
    with bar, torch.random.fork_rng(devices=devices), deterministic(device):
        # The ArcFace head is initialised here.
        torch.manual_seed(int(np.random.default_rng([settings.seed, stream]).integers(2**31)))
        training = FoldTraining(
            model, fields, settings, processes, stream=stream, state=state, report=report,
            report_step=report_step, bar=bar,
        )  # fmt: skip
        if training.n_epochs_left:
            with quietly(), gpu_memory_guard(settings.batch_size):
                _trainer(training).fit(training)
    return training.result().to(device), training.progress


def _trainer(training: FoldTraining) -> lightning.Trainer:
    settings, processes = training.settings, training.processes
    device = processes.device
    devices: int | list[int] = int(os.environ.get("LOCAL_WORLD_SIZE", processes.n_processes))
    if processes.n_processes == 1:
        devices = 1 if device.index is None else [device.index]
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=devices,
        num_nodes=processes.n_processes // devices if isinstance(devices, int) else 1,
        strategy="auto" if processes.n_processes == 1 else "ddp",
        plugins=[cluster_environment(processes.n_processes)],
        precision=_PRECISIONS[network_precision(device, settings.precision)],
        max_epochs=training.n_epochs_left,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip_norm or None,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        # The module saves the state and writes the curves and the bar, as it can resume.
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )  # fmt: skip
