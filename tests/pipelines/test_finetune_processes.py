"""Fine-tuning by several processes, killed, and stopped by its user."""

import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from hpastack.catalogue import read_catalogue, write_catalogue
from hpastack.store import open_store
from hpastack.workspace import Workspace

RECIPE = {
    "type": "cnn", "backbone": "test_convnext", "weights": "random", "size": 32, "epochs": 2,
    "batch_size": 8, "learning_rate": 0.001, "ema_decay": 0.9, "drop_rate": 0.0,
    "metric_group": "pair", "patience": 2, "watched_share": 0.2,
}  # fmt: skip


def new_workspace(root, shapes, **changes):
    workspace = Workspace(root)
    shutil.copytree(shapes.data, workspace.data)
    catalogue = read_catalogue(shapes.catalogue)
    catalogue["pair"] = [f"p{number // 2}" for number in range(len(catalogue))]
    write_catalogue(workspace.catalogue, catalogue)
    workspace.models.mkdir()
    text = yaml.safe_dump({**RECIPE, **changes})
    (workspace.models / "tiny.yaml").write_text(text, encoding="utf-8")
    return workspace


def arguments(workspace):
    return ["tiny", "--workspace", str(workspace.root), "--device", "cpu", "--jobs", "1"]


def finetune(given):
    from pipelines.finetune import main

    raise SystemExit(main(given))


def read(workspace):
    with open_store(workspace.store("tiny")) as store:
        members = store.members()
        return store.image_ids, store.fold.tolist(), store.values(), members


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_and_predict_as_one_does(tmp_path, shapes):
    one, two = (new_workspace(tmp_path / name, shapes) for name in ("one", "two"))
    for workspace, launcher in (
        (one, []),
        (two, ["-m", "torch.distributed.run", "--nproc-per-node", "2",
               "--master-port", str(free_port())]),
    ):  # fmt: skip
        subprocess.run(
            [sys.executable, *launcher, "-m", "pipelines.finetune", *arguments(workspace)],
            check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    (ids, fold, values, members), (other_ids, other_fold, other, other_members) = map(
        read, (one, two)
    )
    assert ids == other_ids == list(read_catalogue(one.catalogue).index)
    assert fold == other_fold
    # A network without batch statistics learns the same from two halves of a batch as from all.
    assert np.allclose(values, other, atol=1e-3)
    assert np.allclose(members, other_members, atol=1e-3)
    assert not (two.models / "tiny.parts").exists()


@pytest.mark.slow
def test_killed_at_twenty_moments_it_ends_alike(tmp_path, shapes):
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["hpastack.cnn.finetuning", "pipelines.finetune"])
    moments = random.Random(5)
    changes = {"backbone": "test_resnet", "epochs": 3, "drop_rate": 0.2}

    def start(workspace):
        process = spawn.Process(
            target=finetune, args=([*arguments(workspace), "--keep-every", "0"],)
        )
        process.start()
        return process

    wanted = new_workspace(tmp_path / "wanted", shapes, **changes)
    begun = time.monotonic()
    process = start(wanted)
    process.join(120)
    assert process.exitcode == 0
    duration = time.monotonic() - begun
    weights = [path.read_bytes() for path in sorted(wanted.models.glob("tiny/*.safetensors"))]
    assert len(weights) == 3

    n_kills, n_runs, stages = 0, 0, set()
    while n_kills < 20:
        workspace = new_workspace(tmp_path / f"run_{n_runs}", shapes, **changes)
        n_runs += 1
        while True:
            process = start(workspace)
            process.join(moments.uniform(0.02, 0.6) * duration)
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            n_kills += 1
            parts = workspace.models / "tiny.parts"
            stages.add(len(list(parts.glob("*.safetensors"))))
            if (workspace.models / "tiny" / "scores.csv").is_file():
                break  # all was done, but for the process's own end
        assert process.exitcode in (0, -signal.SIGKILL)
        found = [path.read_bytes() for path in sorted(workspace.models.glob("tiny/*.safetensors"))]
        assert found == weights
        assert read(workspace)[0] == read(wanted)[0]
        assert np.array_equal(read(workspace)[2], read(wanted)[2])
        left = [path.name for path in (workspace.models / "tiny").iterdir()]
        assert sorted(left) == sorted(p.name for p in (wanted.models / "tiny").iterdir())
    assert len(stages) > 1, "every kill came at the same stage"


@pytest.mark.slow
def test_stopped_by_its_user_it_says_how_to_go_on(tmp_path, shapes):
    workspace = new_workspace(tmp_path / "here", shapes, epochs=200)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.finetune", *arguments(workspace)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while not list(workspace.models.glob("tiny.parts/fold_0.state")):
            assert time.monotonic() < end
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert errors.rstrip().endswith("interrupted; run it again to resume")
    assert "Traceback" not in errors
