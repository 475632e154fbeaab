"""The Lightning module that trains one CNN.

All random numbers are derived from the seed, the fold, the epoch and the number of
the batch. A resumed training therefore continues exactly as if it had not been
interrupted, and all processes draw the same numbers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpastack.backbones import (
    Network,
    check_features_and_logits,
    features_and_logits,
    network_inputs,
)
from hpastack.backbones._torch import timm, torch
from hpastack.cnn._lightning import lightning
from hpastack.cnn.arcface import ArcFaceHead
from hpastack.cnn.augmentation import augment, draw_augmentation, draw_mixing
from hpastack.cnn.distributed import Processes
from hpastack.cnn.field_source import FieldSource
from hpastack.cnn.inference import predict_logits
from hpastack.cnn.losses import label_loss, label_weights
from hpastack.cnn.optimizer import make_optimizer, rate_at, start_at_prevalence, update_average
from hpastack.cnn.sampling import repeat_factors, repeated_rows
from hpastack.cnn.settings import CnnSettings
from hpastack.cnn.training_state import StateFile, TrainingProgress
from hpastack.errors import InputError
from hpastack.metrics import macro_average_precision
from hpastack.parallel import Progress

# The loss is copied from the GPU, which stalls it, only once in this many steps.
_REPORTED_STEPS = 20


@dataclass(frozen=True)
class FoldFields:
    """The training, held-out and validation fields of one CNN.

    Attributes
    ----------
    source : FieldSource
    indicator : ndarray of {0, 1}, shape (n_fields, n_labels)
        Labels of all fields of `source`.
    train, held_out : ndarray of int
        Positions in `source`. The held-out fields are scored once per epoch
        and do not affect the weights.
    validation : ndarray of int, default=()
        Validation fields for early stopping, with `patience`; not trained on.
    groups : ndarray of int64, shape (n_fields,), optional
        From `hpastack.cnn.arcface.group_numbers`; required with `metric_group`.
    """

    source: FieldSource
    indicator: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    validation: np.ndarray = field(default_factory=lambda: np.array([], dtype=int))
    groups: np.ndarray | None = None


class FoldTraining(lightning.LightningModule):
    """The training of a backbone, with optional early stopping; created by `train_model`.

    Parameters
    ----------
    model : torch.nn.Module
        From `hpastack.create_backbone`, with a classifier.
    fields : FoldFields
    settings : CnnSettings
    processes : Processes
    stream : int
        Number of the random stream, e.g. the fold.
    state : StateFile or None
        Where the training state is restored from and saved to.
    report, report_step : callable or None
        As in `train_model`.
    bar : Progress
        Progress that counts epochs.
    """

    def __init__(
        self, model: Network, fields: FoldFields, settings: CnnSettings, processes: Processes, *,
        stream: int, state: StateFile | None, report: Callable[[dict[str, float]], None] | None,
        report_step: Callable[[int, float, float], None] | None, bar: Progress,
    ) -> None:  # fmt: skip
        super().__init__()
        if processes.n_processes > 1 and processes.device.type == "cuda":
            model = shared_batch_norms(model)
        self.model = model.to(processes.device)
        self.fields, self.settings, self.processes = fields, settings, processes
        self.stream, self.state = stream, state
        self.report, self.report_step, self.bar = report, report_step, bar
        self.repeats = repeat_factors(fields.indicator[fields.train], settings.repeat_threshold)
        self._set_targets()
        self.head = self._metric_head()
        self.average = self._frozen_copy() if settings.ema_decay else None
        self.best = self._frozen_copy() if settings.patience else None
        trained = [self.model] if self.head is None else [self.model, self.head]
        self.optimizer = make_optimizer(trained, settings, processes.device)
        apply_network: Callable[..., tuple[Any, torch.Tensor]] = (
            _logits_only if self.head is None else features_and_logits
        )
        if settings.compile:
            apply_network = torch.compile(apply_network, dynamic=False)
        self.apply_network = apply_network
        self.progress = TrainingProgress()
        if state is not None:
            self.progress = state.restore(self._kept(), self.optimizer)
        self.total_loss = torch.tensor(self.progress.total_loss, device=processes.device)
        self.n_batches = 0
        bar.n = self.progress.epoch

    def result(self) -> Network:
        """Return the trained model in evaluation mode: best epoch, running mean or last epoch."""
        return (self.best if self.best is not None else self._evaluated()).eval()

    @property
    def n_epochs_left(self) -> int:
        """Return the number of remaining epochs."""
        return 0 if self.progress.is_done else self.settings.epochs - self.progress.epoch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return self.optimizer

    def train_dataloader(self) -> _EpochBatches:
        """Return the remaining batches of this epoch."""
        batches = self._epoch_rows()
        self.n_batches = len(batches)
        return _EpochBatches(self.fields.source, batches, self.progress.batch, self.processes)

    def transfer_batch_to_device(
        self, batch: _Batch, device: torch.device, dataloader_idx: int
    ) -> _Batch:
        """Move the pixels of a batch to the device, asynchronously."""
        batch.pixels = batch.pixels.to(device, non_blocking=True)
        return batch

    def on_train_epoch_start(self) -> None:
        """Set the model to training mode."""
        self.model.train()

    def on_train_batch_start(self, batch: _Batch, batch_idx: int) -> None:
        """Set the learning rate."""
        done = (self.progress.epoch + batch.number / self.n_batches) / self.settings.epochs
        rate = self.settings.learning_rate * rate_at(done, self.settings.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def training_step(self, batch: _Batch, batch_idx: int) -> torch.Tensor:
        """Return the loss of this process's share of a batch."""
        settings = self.settings
        rng = self._rng(batch.number + 1)
        augmentation = draw_augmentation(batch.n_together, rng, settings).of(self.processes.share)
        seed = int(rng.integers(2**31)) + self.processes.rank
        # For dropout and other random operations of the backbone.
        torch.manual_seed(seed)
        # In float32: in bfloat16 a zoom would displace pixels.
        with torch.autocast(self.processes.device.type, enabled=False):
            inputs = augment(batch.pixels.float() / 255, augmentation, settings)
        mixing = draw_mixing(
            len(inputs), np.random.default_rng(seed), settings.mixup, inputs.device
        )
        inputs, targets = mixing.of(inputs), mixing.of(self.targets[batch.rows])
        features, logits = self.apply_network(self.model, network_inputs(self.model, inputs))
        loss = label_loss(logits.float(), targets, settings, self.label_weights)
        if self.head is not None:
            groups = self.groups[batch.rows]
            of_groups = self.head(features, groups)
            if mixing.share < 1:
                of_others = self.head(features, groups[mixing.other])
                of_groups = mixing.share * of_groups + (1 - mixing.share) * of_others
            loss = loss + settings.metric_weight * of_groups
        self.total_loss = self.total_loss + loss.detach() * len(batch.rows)
        # Makes the mean over processes the mean over fields; shares may differ by one field.
        return loss * (len(batch.rows) * self.processes.n_processes / batch.n_together)

    def on_train_batch_end(self, outputs: Any, batch: _Batch, batch_idx: int) -> None:
        """Update the progress, and save the state if it is due."""
        progress = self.progress
        progress.batch = batch.number + 1
        progress.n_shown += len(batch.rows)
        is_last = progress.batch == self.n_batches
        if not is_last:
            self.bar.update(1 / self.n_batches)
        if not is_last and (batch_idx + 1) % self.settings.accumulate:
            return
        progress.n_steps += 1
        if self.average is not None:
            update_average(self.average, self.model, self.settings.ema_decay, progress.n_steps)
        if self.report_step is not None and progress.n_steps % _REPORTED_STEPS == 0:
            rate = self.optimizer.param_groups[0]["lr"]
            # Lightning divides the loss by the number of accumulated batches.
            loss = float(outputs["loss"]) * self.settings.accumulate
            self.report_step(progress.n_steps, loss, rate)
        if not is_last and self.state is not None and self.state.is_due():
            self._keep()

    def on_train_epoch_end(self) -> None:
        """Score the held-out and validation fields, save the state, and decide whether to stop."""
        progress = self.progress
        loss = float(self.total_loss) / progress.n_shown
        if not math.isfinite(loss):
            raise InputError(f"the loss is {loss} in epoch {progress.epoch}; lower learning_rate")
        row = {
            "epoch": progress.epoch,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "loss": loss,
            "macro_ap": self._score(self.fields.held_out),
        }
        if self.best is not None:
            row["watched_macro_ap"] = self._score(self.fields.validation)
            if row["watched_macro_ap"] > progress.best_score:
                progress.best_score, progress.best_epoch = row["watched_macro_ap"], progress.epoch
                self.best.load_state_dict(self._evaluated().state_dict())
            progress.is_done = progress.epoch - progress.best_epoch >= self.settings.patience
        progress.history.append(row)
        progress.epoch, progress.batch, progress.n_shown = progress.epoch + 1, 0, 0
        self.total_loss = torch.zeros_like(self.total_loss)
        self._keep()
        # Set, not added: the parts of an epoch may sum to slightly more than one.
        self.bar.n = progress.epoch
        self.bar.set_postfix(loss=f"{row['loss']:.4f}", macro_ap=f"{row['macro_ap']:.3f}")
        if self.report is not None:
            self.report(row)
        if progress.is_done:
            self.trainer.should_stop = True

    def _set_targets(self) -> None:
        settings, device = self.settings, self.processes.device
        learnt = self.fields.indicator[self.fields.train]
        # With pseudo-counts, so that a label without positives has finite log-odds.
        prevalence = (learnt.sum(axis=0) + 0.5) / (len(learnt) + 1)
        prevalence = torch.from_numpy(prevalence.astype(np.float32)).to(device)
        start_at_prevalence(self.model, prevalence)
        labels = torch.from_numpy(self.fields.indicator.astype(np.float32)).to(device)
        smoothing = settings.label_smoothing
        self.targets = labels * (1 - smoothing) + prevalence * smoothing
        self.label_weights = label_weights(prevalence, settings.label_weight_power)

    def _metric_head(self) -> ArcFaceHead | None:
        groups, settings = self.fields.groups, self.settings
        if groups is None:
            return None
        check_features_and_logits(self.model)
        self.groups = torch.from_numpy(groups).to(self.processes.device)
        head = ArcFaceHead(
            self.model.get_classifier().in_features, int(groups.max()) + 1,
            scale=settings.metric_scale, margin=settings.metric_margin,
        )  # fmt: skip
        return head.to(self.processes.device)

    def _frozen_copy(self) -> Network:
        return copy.deepcopy(self.model).requires_grad_(False).eval()

    def _evaluated(self) -> Network:
        return self.model if self.average is None else self.average

    def _kept(self) -> dict[str, torch.nn.Module]:
        named = {
            "model": self.model, "head": self.head, "average": self.average, "best": self.best,
        }  # fmt: skip
        return {name: module for name, module in named.items() if module is not None}

    def _keep(self) -> None:
        if self.state is not None and self.processes.is_first:
            self.progress.total_loss = float(self.total_loss)
            self.state.save(self.progress, self._kept(), self.optimizer)

    def _rng(self, number: int) -> np.random.Generator:
        """Return the random stream of a batch of this epoch, from 1; 0 is that of the order."""
        return np.random.default_rng([self.settings.seed, self.stream, self.progress.epoch, number])

    def _epoch_rows(self) -> list[np.ndarray]:
        """Return the rows of each batch of this epoch, over all processes."""
        rng, size = self._rng(0), self.settings.batch_size
        order = rng.permutation(repeated_rows(self.fields.train, self.repeats, rng))
        if len(order) <= size:
            return [order]
        # The last batch is filled with fields of this epoch, so that all have the same shape.
        n_batches = math.ceil(len(order) / size)
        return list(np.resize(order, (n_batches, size)))

    def _score(self, rows: np.ndarray) -> float:
        """Return the macro average precision on some fields; NaN without labels."""
        settings, processes = self.settings, self.processes
        logits = predict_logits(
            self._evaluated(), self.fields.source, rows[processes.share],
            math.ceil(settings.batch_size / processes.n_processes), precision=settings.precision,
        )  # fmt: skip
        return macro_average_precision(self.fields.indicator[rows], processes.gather(logits))


def shared_batch_norms(model: Network) -> Network:
    """Return a model whose batch norms use statistics of the batches of all processes.

    Parameters
    ----------
    model : torch.nn.Module
        Modified in place.

    Returns
    -------
    torch.nn.Module
    """
    # torch's conversion (and Lightning's) would drop the activation inside timm's batch norms.
    return timm.layers.convert_sync_batchnorm(model)


@dataclass
class _Batch:
    """One process's share of a batch."""

    pixels: torch.Tensor
    rows: np.ndarray
    number: int
    n_together: int


class _EpochBatches:
    """The batches of an epoch from `start` on, as an iterable for Lightning."""

    def __init__(
        self, source: FieldSource, batches: list[np.ndarray], start: int, processes: Processes
    ) -> None:
        self.source, self.batches, self.start, self.processes = source, batches, start, processes

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __iter__(self) -> Iterator[_Batch]:
        pin = self.processes.device.type == "cuda"
        remaining = self.batches[self.start :]
        own = [rows[self.processes.share] for rows in remaining]
        for number, pixels in enumerate(self.source.batches(own)):
            tensor = torch.from_numpy(pixels)
            yield _Batch(
                tensor.pin_memory() if pin else tensor, own[number], self.start + number,
                len(remaining[number]),
            )  # fmt: skip


def _logits_only(model: Network, inputs: torch.Tensor) -> tuple[None, torch.Tensor]:
    return None, model(inputs)
