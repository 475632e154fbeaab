"""One training: that it learns, stops, goes on after a kill, and does what its settings say."""

import resource
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

from hpastack.backbones import create_backbone
from hpastack.cnn import CnnSettings, Processes
from hpastack.cnn.augmentation import augment
from hpastack.cnn.lightning_module import shared_batch_norms
from hpastack.cnn.optimizer import rate_at
from hpastack.cnn.training import train_model
from hpastack.cnn.training_state import StateFile
from hpastack.errors import InputError

SETTINGS = CnnSettings(
    "test_resnet", weights="random", size=32, epochs=6, batch_size=8, learning_rate=0.003
)
QUICK = replace(SETTINGS, epochs=2)


def new_model(seed=0, **options):
    return create_backbone(
        "test_resnet", weights="random", size=32, num_classes=3, seed=seed, **options
    )


def numbers(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()]).numpy()


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "focal"},
        {"loss": "asymmetric"},
        {"loss": "lsep", "label_smoothing": 0.05},
        {"label_weight_power": 0.5},
        {"zoom": 0.2, "stain_dropout": 0.1},
        {"cutout": 0.2},
        # Also among those of the test below, which is quick.
        pytest.param({"mixup": 0.2}, marks=pytest.mark.slow),
        pytest.param({"ema_decay": 0.9}, marks=pytest.mark.slow),
        {"label_smoothing": 0.1},
        {"repeat_threshold": 0.9},
        {"crop": 28},
        {"batch_size": 4, "accumulate": 2, "clip_norm": 1.0},
        {"precision": "bfloat16"},
        pytest.param({"metric_group": "pair"}, marks=pytest.mark.slow),
        {"pool": "gem"},
    ],
)
def test_options_still_learn(fold_fields, alone, change):
    settings = replace(SETTINGS, **change)
    model = create_backbone(
        "test_resnet", weights="random", size=32, crop=settings.crop, num_classes=3,
        pool=settings.pool,
    )  # fmt: skip
    fields = fold_fields
    if settings.metric_group:
        fields = replace(fields, groups=np.arange(len(fields.indicator)) // 2)
    _, reached = train_model(model, fields, settings, alone)
    assert [row["epoch"] for row in reached.history] == list(range(6))
    assert reached.history[-1]["macro_ap"] > fields.indicator.mean() + 0.15


def test_loss_that_runs_away(fold_fields, alone):
    model = new_model()
    with torch.no_grad():
        model.get_classifier().weight.fill_(torch.inf)
    with pytest.raises(InputError, match="lower learning_rate"):
        train_model(model, fold_fields, QUICK, alone)


class Killed(Exception):
    """Stands for a kill in the middle of a step."""


def killed_after(n_steps):
    """Return a `report_step` that ends the process's work, as it is seen from outside."""
    counted = iter(range(n_steps))

    def count(*_):
        if next(counted, None) is None:
            raise Killed

    return count


ALL = replace(
    QUICK, epochs=3, ema_decay=0.9, drop_rate=0.2, mixup=0.2, patience=5, accumulate=2,
    batch_size=4, metric_group="pair",
)  # fmt: skip


@pytest.mark.parametrize(
    "n_steps",
    [0, pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(7, marks=pytest.mark.slow), 11],
)
def test_taken_up_anywhere_it_ends_alike(tmp_path, monkeypatch, fold_fields, alone, n_steps):
    monkeypatch.setattr("hpastack.cnn.lightning_module._REPORTED_STEPS", 1)
    fields = replace(
        fold_fields, train=fold_fields.train[:32], validation=fold_fields.train[32:],
        groups=np.arange(60) // 2,
    )  # fmt: skip
    undisturbed, wanted = train_model(new_model(drop_rate=0.2), fields, ALL, alone)
    state = StateFile(tmp_path / "fold.state", "mine", 0)
    with pytest.raises(Killed):
        train_model(
            new_model(drop_rate=0.2), fields, ALL, alone, state=state,
            report_step=killed_after(n_steps),
        )  # fmt: skip
    seen = []
    model, reached = train_model(
        new_model(drop_rate=0.2), fields, ALL, alone, state=state, report=seen.append
    )
    assert np.array_equal(numbers(model), numbers(undisturbed))
    assert reached.history == wanted.history
    # It went on, and did not begin anew.
    assert len(seen) == 3 - n_steps // 4  # four steps an epoch
    again, _ = train_model(new_model(drop_rate=0.2), fields, ALL, alone, state=state)
    assert np.array_equal(numbers(again), numbers(undisturbed))


def test_state_of_another_training_is_not_taken_up(tmp_path, fold_fields, alone):
    first, _ = train_model(
        new_model(1), fold_fields, QUICK, alone, state=StateFile(tmp_path / "s", "a", 0)
    )
    broken = save({"a": torch.zeros(1)}, metadata={"hpastack_training": "{half"})
    for content in (None, b"", b"half a file", broken):
        if content is not None:
            (tmp_path / "s").write_bytes(content)
        state = StateFile(tmp_path / "s", "b", 0)
        model, reached = train_model(new_model(), fold_fields, QUICK, alone, state=state)
        assert len(reached.history) == 2
        assert not np.array_equal(numbers(model), numbers(first))


def test_stops_when_the_validation_fields_get_no_better(fold_fields, alone, monkeypatch):
    scores = iter([0.5, 0.6, 0.6, 0.4, 0.9])
    monkeypatch.setattr(
        "hpastack.cnn.lightning_module.FoldTraining._score",
        lambda self, rows: next(scores) if len(rows) == 4 else 0.0,
    )
    settings = replace(SETTINGS, patience=2)
    fields = replace(fold_fields, train=fold_fields.train[4:], validation=fold_fields.train[:4])
    model, reached = train_model(new_model(), fields, settings, alone)
    assert [row["watched_macro_ap"] for row in reached.history] == [0.5, 0.6, 0.6, 0.4]
    assert reached.kept_epoch == 1
    scores = iter([0.5, 0.6, 0.6, 0.4])
    kept = {}

    def keep(row):
        kept[row["epoch"]] = numbers(training_model)

    training_model = new_model()
    train_model(training_model, fields, settings, alone, report=keep)
    assert np.array_equal(numbers(model), kept[1])


def test_held_out_fields_have_no_say(fold_fields, alone):
    settings = replace(QUICK, patience=1)
    fields = replace(fold_fields, train=fold_fields.train[8:], validation=fold_fields.train[:8])
    other = fields.indicator.copy()
    other[fields.held_out] = 1 - other[fields.held_out]
    one, _ = train_model(new_model(), fields, settings, alone)
    same, _ = train_model(new_model(), replace(fields, indicator=other), settings, alone)
    assert np.array_equal(numbers(one), numbers(same))


def test_accumulated_batches_are_one_large_one(fold_fields, alone, monkeypatch):
    # Without batch statistics and random changes, two halves add up to the whole.
    still = replace(
        QUICK, epochs=1, turns=False, shift=0.0, brightness=0.0, offset=0.0, repeat_threshold=0.0,
        warm_up=0.0,
    )  # fmt: skip
    fields = replace(fold_fields, train=fold_fields.train[:16])
    monkeypatch.setattr("hpastack.cnn.lightning_module._REPORTED_STEPS", 1)
    found, losses = [], []
    for batch_size, accumulate in ((16, 1), (8, 2)):
        model = create_backbone("test_convnext", weights="random", size=32, num_classes=3)
        settings = replace(still, batch_size=batch_size, accumulate=accumulate)
        trained, _ = train_model(
            model, fields, settings, alone, report_step=lambda _, loss, rate: losses.append(loss)
        )
        found.append(numbers(trained))
    start = numbers(create_backbone("test_convnext", weights="random", size=32, num_classes=3))
    moved = np.abs(found[0] - start).max()
    assert np.abs(found[0] - found[1]).max() < 0.02 * moved
    # That of the second half of the batch, before the step: of the size of the whole one's.
    assert losses[1] == pytest.approx(losses[0], rel=0.3)


def test_fields_are_changed_in_full_precision(fold_fields, alone, monkeypatch):
    precise = []

    def spy(batch, *others):
        # Of the grid that a zoom samples at.
        precise.append((batch[0, 0] @ batch[0, 0]).dtype == torch.float32)
        return augment(batch, *others)

    monkeypatch.setattr("hpastack.cnn.lightning_module.augment", spy)
    settings = replace(QUICK, epochs=1, precision="bfloat16", zoom=0.1)
    train_model(new_model(), fold_fields, settings, alone)
    assert precise and all(precise)


def test_memory_that_runs_out_names_a_smaller_batch(fold_fields, alone, tmp_path):
    model = new_model()

    def full(*_):
        raise torch.cuda.OutOfMemoryError("out of memory")

    model.forward = full
    state = StateFile(tmp_path / "fold.state", "mine", 0)
    with pytest.raises(InputError, match="8 fields per batch; set batch_size to 4"):
        train_model(model, fold_fields, QUICK, alone, state=state)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_too_small_for_its_processes(fold_fields):
    several = Processes(0, 5, torch.device("cpu"))
    with pytest.raises(InputError, match="batches of 8 fields are too small for 5 processes"):
        train_model(new_model(), fold_fields, QUICK, several)


def test_a_full_disk_is_named(fold_fields, alone, tmp_path):
    state = StateFile(tmp_path / "fold.state", "mine", 0)
    limits, on_excess = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    # As a full disk does: less fits than the state needs.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match="weights cannot be written .*; free disk space"):
            train_model(new_model(), fold_fields, QUICK, alone, state=state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, on_excess)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_compiled_training_is_the_same_but_for_rounding(fold_fields, alone):
    settings = replace(QUICK, epochs=1)
    plain, _ = train_model(new_model(), fold_fields, settings, alone)
    compiled, _ = train_model(new_model(), fold_fields, replace(settings, compile=True), alone)
    assert np.allclose(numbers(plain), numbers(compiled), atol=0.05)


@pytest.mark.parametrize("backbone", ["test_resnet", "densenet121", "tf_efficientnetv2_b0"])
def test_shared_batch_norms_keep_their_activations(backbone):
    model = create_backbone(backbone, weights="random", size=64, num_classes=3)
    inputs, names = torch.randn(2, 4, 64, 64), list(model.state_dict())
    with torch.no_grad():
        wanted = model(inputs)
        shared = shared_batch_norms(model).eval()
        assert torch.equal(shared(inputs), wanted)
    assert any(isinstance(part, torch.nn.SyncBatchNorm) for part in shared.modules())
    assert list(shared.state_dict()) == names


def test_rate_rises_and_falls_over_the_whole_training(tmp_path, fold_fields, alone, monkeypatch):
    monkeypatch.setattr("hpastack.cnn.lightning_module._REPORTED_STEPS", 1)
    settings = replace(QUICK, warm_up=0.25, learning_rate=0.01, repeat_threshold=0.0)
    rates = []
    state = StateFile(tmp_path / "fold.state", "mine", 0)
    for n_steps in (7, 99):

        def step(number, loss, rate, last=n_steps):
            rates.append(rate)
            if number == last:
                raise Killed

        try:
            train_model(new_model(), fold_fields, settings, alone, state=state, report_step=step)
        except Killed:
            rates.pop()
    # 40 fields, 8 a batch, 2 epochs.
    assert rates == pytest.approx([0.01 * rate_at(step / 10, 0.25) for step in range(10)])
