"""Train one CNN: the loop is Lightning's, what it does is in `lightning_module`."""

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
from hpastack.errors import InputError
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
    """Fine-tune a backbone on some fields, watching others that it does not learn from.

    Parameters
    ----------
    model : torch.nn.Module
        Of `hpastack.create_backbone`, with a classifier.
    fields : FoldFields
    settings : CnnSettings
    processes : Processes
        Each shows the network its share of every batch.
    stream : int, default=0
        Which stream of random numbers, e.g. the fold.
    state : StateFile, optional
        Where the training goes on if it was stopped, and where its state is kept.
    report : callable, optional
        Called after each epoch with ``epoch``, ``learning_rate``, ``loss``
        and ``macro_ap`` (of the held-out fields; NaN without any label); with
        `patience` also ``watched_macro_ap``.
    report_step : callable, optional
        Called now and then with the number of the step, its loss and learning rate.
    progress : bool, default=False

    Returns
    -------
    model : torch.nn.Module
        The trained model (the best epoch's or the running mean of the weights, if asked
        for), on the device of this process, in evaluation mode.
    progress : TrainingProgress
        With a row for each epoch, also of those before the training was taken up.

    Raises
    ------
    InputError
        If there are fewer than two training fields for each process, the loss is no longer
        finite, or the GPU is out of memory.
    """
    together = min(settings.batch_size, len(fields.train))
    if together < 2 * processes.n_processes:
        raise InputError(
            f"{together} fields a batch for {processes.n_processes} processes to train a CNN on; "
            "each needs at least 2"
        )
    device = processes.device
    devices = [device] if device.type == "cuda" else []
    side_by_side = device.type == "cpu" and processes.n_processes == 1
    bar = progress_bar(
        total=settings.epochs, what=f"fold {stream}", unit="epoch",
        position=stream if side_by_side else 0,
        bar_format="{l_bar}{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}{postfix}]",
        show=progress and processes.is_first, delay=0,
    )  # fmt: skip
    with bar, torch.random.fork_rng(devices=devices), deterministic(device):
        # The head of the metric learning is drawn here.
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
        # State, curves and bar are kept by the module, which knows where it was taken up.
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )  # fmt: skip
