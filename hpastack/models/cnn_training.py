"""Train one CNN, and predict with it: the schedule and the loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
from tqdm import tqdm

from hpastack._torch import torch
from hpastack.embeddings import autocast, gpu_memory_guard, to_device
from hpastack.errors import InputError
from hpastack.metrics import macro_average_precision
from hpastack.models.cnn_batches import augment, mixed, repeat_factors, repeated_rows, turned
from hpastack.models.cnn_fields import FieldSource
from hpastack.models.cnn_losses import label_loss, label_weights
from hpastack.models.cnn_settings import CnnSettings

# The learning rate ends at this share of its highest value.
_FINAL_RATE = 0.01


def train_model(
    model,
    source: FieldSource,
    indicator: np.ndarray,
    train_rows: np.ndarray,
    held_out_rows: np.ndarray,
    settings: CnnSettings,
    *,
    device,
    stream: int = 0,
    report: Callable[[dict], None] | None = None,
    progress: bool = False,
):
    """Fine-tune a backbone on some fields, watching others that it does not learn from.

    Parameters
    ----------
    model : torch.nn.Module
        Of `hpastack.create_backbone`, with a classifier.
    source : FieldSource
    indicator : ndarray of {0, 1}, shape (n_fields, n_labels)
        Labels of all fields of `source`.
    train_rows, held_out_rows : ndarray of int
        Positions in `source`. The held-out ones are looked at once an epoch
        and have no say in the weights.
    settings : CnnSettings
    device : torch.device
    stream : int, default=0
        Which stream of random numbers, e.g. the fold.
    report : callable, optional
        Called after each epoch with ``epoch``, ``learning_rate``, ``loss``
        and ``macro_ap`` (of the held-out fields; NaN without any label).
    progress : bool, default=False

    Returns
    -------
    torch.nn.Module
        The trained model (the running mean of the weights, if asked for), on
        `device`, in evaluation mode.

    Raises
    ------
    InputError
        If there are fewer than two training fields, the loss is no longer
        finite, or the GPU is out of memory.
    """
    if len(train_rows) < 2:
        raise InputError(f"{len(train_rows)} fields to train a CNN on; it needs at least 2")
    rng = np.random.default_rng([settings.seed, stream])
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), repeatable(device):
        torch.manual_seed(int(rng.integers(2**31)))
        return _train(
            model, source, indicator, train_rows, held_out_rows, settings, device, rng,
            report, tqdm(
                total=settings.epochs, desc=f"fold {stream}", unit="epoch", position=stream,
                disable=not progress,
            ),
        )  # fmt: skip


def _train(
    model, source, indicator, train_rows, held_out_rows, settings, device, rng, report, bar
):  # fmt: skip
    model = model.to(device)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    labels = torch.from_numpy(indicator.astype(np.float32))
    # With pseudo-counts, so that a label without positives has finite log-odds.
    prevalence = (indicator[train_rows].sum(axis=0) + 0.5) / (len(train_rows) + 1)
    prevalence = torch.from_numpy(prevalence.astype(np.float32))
    start_at_prevalence(model, prevalence)
    smoothing = settings.label_smoothing
    targets = (labels * (1 - smoothing) + prevalence * smoothing).to(device)
    weights = label_weights(prevalence.to(device), settings.label_weight_power)
    optimizer = _optimizer(model, settings, device)
    average = copy.deepcopy(model) if settings.ema_decay else None
    repeats = repeat_factors(indicator[train_rows], settings.repeat_threshold)
    n_steps = 0
    with bar:
        for epoch in range(settings.epochs):
            order = rng.permutation(repeated_rows(train_rows, repeats, rng))
            batches = np.array_split(order, math.ceil(len(order) / settings.batch_size))
            model.train()
            total = 0.0
            for number, pixels in enumerate(source.batches(batches)):
                done = (epoch + number / len(batches)) / settings.epochs
                rate = settings.learning_rate * rate_at(done, settings.warm_up)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                with gpu_memory_guard(len(pixels)):
                    loss = _step(
                        model, pixels, targets[batches[number]], weights, optimizer, rng, settings
                    )
                total += float(loss) * len(pixels)
                n_steps += 1
                if average is not None:
                    _update_average(average, model, settings.ema_decay, n_steps)
            if not math.isfinite(total):
                raise InputError(f"the loss is {total} in epoch {epoch}; lower learning_rate")
            shown = model if average is None else average
            scores = predict_logits(shown, source, held_out_rows, settings.batch_size)
            row = {
                "epoch": epoch,
                "learning_rate": rate,
                "loss": total / len(order),
                "macro_ap": macro_average_precision(indicator[held_out_rows], scores),
            }
            bar.set_postfix(loss=f"{row['loss']:.4f}", macro_ap=f"{row['macro_ap']:.3f}")
            bar.update()
            if report is not None:
                report(row)
    return shown.eval()


def _step(model, pixels, targets, weights, optimizer, rng, settings):
    device = targets.device
    inputs = to_device(torch.from_numpy(pixels), device).float() / 255
    inputs = augment(inputs, rng, settings)
    inputs, targets = mixed(inputs, targets, rng, settings.mixup)
    with autocast(device):
        logits = model(model.preprocessing.scale(inputs))
    loss = label_loss(logits.float(), targets, settings, weights)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def predict_logits(model, source: FieldSource, rows, batch_size: int, *, views: int = 1):
    """Predict fields with a trained model.

    Parameters
    ----------
    model : torch.nn.Module
        On any device.
    source : FieldSource
    rows : array-like of int, length n
        Positions in `source`.
    batch_size : int
    views : {1, 8}, default=1
        As `CnnSettings`.

    Returns
    -------
    ndarray of float32, shape (n, n_labels)
        Logits.

    Raises
    ------
    InputError
        If the GPU is out of memory.
    """
    rows = np.asarray(rows, dtype=np.intp)
    if len(rows) == 0:
        return np.zeros((0, model.num_classes), np.float32)
    model.eval()
    device = next(model.parameters()).device
    blocks = []
    batches = np.array_split(rows, math.ceil(len(rows) / batch_size))
    with torch.inference_mode(), gpu_memory_guard(batch_size), autocast(device):
        for pixels in source.batches(batches):
            inputs = to_device(torch.from_numpy(pixels), device).float() / 255
            inputs = model.preprocessing.scale(inputs)
            logits = [model(turned(inputs, view)).float() for view in range(views)]
            blocks.append(torch.stack(logits).mean(dim=0).cpu().numpy())
    return np.concatenate(blocks)


def rate_at(done: float, warm_up: float) -> float:
    """Return the learning rate as a share of its highest value.

    Parameters
    ----------
    done : float
        Share of the training that is done.
    warm_up : float
        Share over which the rate rises.

    Returns
    -------
    float

    Examples
    --------
    >>> [round(rate_at(done, 0.5), 3) for done in (0, 0.25, 0.5, 0.75, 1)]
    [0.01, 0.505, 1.0, 0.505, 0.01]
    """
    if done < warm_up:
        return _FINAL_RATE + (1 - _FINAL_RATE) * done / warm_up
    angle = math.pi * (done - warm_up) / max(1 - warm_up, 1e-9)
    return _FINAL_RATE + (1 - _FINAL_RATE) * (1 + math.cos(angle)) / 2


def start_at_prevalence(model, prevalence) -> None:
    """Set the biases of the classifier so that it begins by predicting the prevalences.

    Saves the epochs in which a network learns no more than that most labels
    are rare. A classifier without biases is left alone.

    Parameters
    ----------
    model : torch.nn.Module
    prevalence : Tensor, shape (n_labels,)
    """
    bias = getattr(model.get_classifier(), "bias", None)
    if bias is not None:
        with torch.no_grad():
            bias.copy_(torch.logit(prevalence))


def _optimizer(model, settings: CnnSettings, device):
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=device.type == "cuda")


def _update_average(average, model, decay: float, n_steps: int) -> None:
    # Short memory at first, or the running mean would keep the random start for long.
    decay = min(decay, (1 + n_steps) / (10 + n_steps))
    with torch.no_grad():
        latest = model.state_dict()
        for key, value in average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(latest[key], 1 - decay)
            else:
                value.copy_(latest[key])


@contextmanager
def repeatable(device):
    """Run torch so that the same seed gives the same numbers on the same machine.

    Parameters
    ----------
    device : torch.device
    """
    if device.type == "cuda":
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
        return
    # Sums depend on the number of threads, so it is one whatever --jobs says.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
