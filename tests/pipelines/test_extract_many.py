"""Extraction over shards, signals and clusters, as commands."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.extract import main
from pipelines.prepare import main as prepare
from pipelines.synthesize import main as synthesize

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "SLURM_ARRAY_TASK_ID",
             "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP")  # fmt: skip


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    options = ["--train", "9", "--test", "3", "--size", "32", "--tail", "0"]
    assert synthesize([str(folder / "fields"), *options]) == 0
    return folder / "fields"


@pytest.fixture
def workspace(fields, tmp_path):
    assert prepare([str(fields), "--workspace", str(tmp_path)]) == 0
    (tmp_path / "features").mkdir()
    recipe = {"type": "handcrafted", "families": ["minimal"], "size": 32}
    (tmp_path / "features" / "small.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def extract(workspace, *args):
    return main(["small", "--workspace", str(workspace), "--jobs", "1", *args])


def store(workspace):
    return workspace / "features" / "small.h5"


def whole(workspace):
    """The bytes of a store made in one go, which is removed again."""
    assert extract(workspace) == 0
    # The commands before this one have put it back as well.
    assert signal.getsignal(signal.SIGTERM) is not signal.default_int_handler
    data = store(workspace).read_bytes()
    store(workspace).unlink()
    return data


def test_shards_by_option(workspace, capsys):
    expected = whole(workspace)
    capsys.readouterr()
    assert extract(workspace, "--shard", "1/2") == 0
    said = capsys.readouterr().out
    assert "shard 1/2 is done, 6 of 12 fields are left to other shards; the last to finish" in said
    assert "wrote" not in said and not store(workspace).exists()
    assert extract(workspace, "--shard", "0/2") == 0
    assert f"wrote {store(workspace)} (12 fields" in capsys.readouterr().out
    assert store(workspace).read_bytes() == expected
    # A scheduler may begin a task again: what is done is no mistake then.
    assert extract(workspace, "--shard", "1/2") == 0
    assert "is up to date" in capsys.readouterr().out
    assert extract(workspace) == 2


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "{}", "WORLD_SIZE": "2"},
        {"SLURM_ARRAY_TASK_ID": "{}", "SLURM_ARRAY_TASK_COUNT": "2"},
    ],
)
def test_shards_by_environment(workspace, capsys, monkeypatch, environment):
    expected = whole(workspace)
    for index in (0, 1):
        capsys.readouterr()
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(index))
        assert extract(workspace) == 0
        assert f"shard {index}/2, from {next(iter(environment))}" in capsys.readouterr().out
    assert store(workspace).read_bytes() == expected


def test_an_array_of_recipes_is_told_on_its_last_line(workspace, capsys, monkeypatch):
    for name, value in {"ID": "0", "COUNT": "2", "MIN": "0", "MAX": "1", "STEP": "1"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert extract(workspace) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "shard 0/2 is done, 6 of 12 fields are left to other shards" in last
    assert "from SLURM_ARRAY_TASK_ID: if each task of the array runs another recipe" in last
    assert last.endswith("run it again with --shard 0/1") and not store(workspace).exists()
    assert extract(workspace, "--shard", "0/1") == 0
    assert store(workspace).exists()


def test_the_whole_can_be_asked_for_in_a_job_array(workspace, monkeypatch, capsys):
    expected = whole(workspace)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert extract(workspace, "--shard", "0/1") == 0
    assert store(workspace).read_bytes() == expected


def test_mistakes(workspace, capsys):
    assert extract(workspace, "--shard", "2/2") == 2
    assert "shard '2/2' is not I/N" in capsys.readouterr().err
    assert extract(workspace, "--address", "tcp://nowhere:1") == 2
    assert "needs the backend dask or ray" in capsys.readouterr().err
    assert not store(workspace).exists()


def test_a_skipped_field_of_a_shard_is_said_and_listed_at_the_end(workspace, capsys):
    catalogue = (workspace / "data" / "catalogue.csv").read_text().splitlines()
    image_id, file = catalogue[2].split(",")[0], catalogue[2].split(",")[4]
    file = Path(os.path.normpath(workspace / "data" / file))
    good = file.read_bytes()
    file.write_bytes(good[:50])
    try:
        assert extract(workspace, "--shard", "1/2", "--on-error", "skip") == 3
        assert "1 field skipped, to be listed when all shards are done" in capsys.readouterr().err
        assert extract(workspace, "--shard", "0/2", "--on-error", "skip") == 3
    finally:
        file.write_bytes(good)
    listed = (workspace / "features" / "small.skipped.csv").read_text()
    assert image_id in listed and "truncated PNG" in listed


SLOW = """
import sys, time
from hpastack.extraction import handcrafted
from pipelines.extract import main
measure = handcrafted._measure_field
def slowly(*task):
    time.sleep(0.05)
    print("measured", flush=True)
    return measure(*task)
handcrafted._measure_field = slowly
sys.exit(main(sys.argv[1:]))
"""


def heed_sigint():
    """For a process to start with: in the background of a shell all that is started ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_stopped_cleanly_what_was_measured_is_kept(workspace, number):
    expected = whole(workspace)
    command = [sys.executable, "-c", SLOW, "small", "--workspace", str(workspace), "--jobs", "1"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_sigint,
    )  # fmt: skip
    for _ in range(4):
        assert process.stdout.readline() == "measured\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith("interrupted; run it again to resume")
    assert "Traceback" not in errors and "Warning" not in errors
    # All but what was under way.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0 < done.stdout.count("measured") < 12 - 2
    assert store(workspace).read_bytes() == expected


@pytest.mark.slow
def test_ctrl_c_reaches_processes_and_prints_a_line(workspace):
    command = [
        sys.executable, "-c", SLOW.replace("0.05", "0.3"), "small", "--workspace", str(workspace),
        "--jobs", "2", "--backend", "loky",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=heed_sigint,
    )  # fmt: skip
    for _ in range(4):
        assert process.stdout.readline() == "measured\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted; run it again to resume" in errors and "Traceback" not in errors
    assert list((workspace / "features" / "small.h5.parts").glob("part-*.h5"))


class TestClusters:
    @pytest.mark.slow
    def test_a_dask_cluster(self, workspace):
        from distributed import LocalCluster

        expected = whole(workspace)
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            address = cluster.scheduler_address
            done = self.command(workspace, "--backend", "dask", "--address", address)
            assert done.returncode == 0, done.stderr
        assert store(workspace).read_bytes() == expected
        # And one that is started for the occasion.
        done = self.command(workspace, "--backend", "dask", "--jobs", "2", "--overwrite")
        assert done.returncode == 0, done.stderr
        assert store(workspace).read_bytes() == expected

    @pytest.mark.slow
    def test_ray(self, workspace, tmp_path):
        ray = pytest.importorskip("ray")
        expected = whole(workspace)
        done = self.command(workspace, "--backend", "ray", "--jobs", "2")
        assert done.returncode == 0, done.stderr
        assert store(workspace).read_bytes() == expected
        del ray
        head = [str(Path(sys.executable).with_name("ray"))]
        start = [*head, "start", "--head", "--num-cpus=2", "--include-dashboard=false",
                 "--port=0", "--disable-usage-stats"]  # fmt: skip
        started = subprocess.run(start, capture_output=True, text=True)
        assert started.returncode == 0, started.stdout + started.stderr
        try:
            done = self.command(workspace, "--backend", "ray", "--address", "auto", "--overwrite")
            assert done.returncode == 0, done.stderr
            assert store(workspace).read_bytes() == expected
        finally:
            subprocess.run([*head, "stop", "--force"], capture_output=True)

    def test_a_scheduler_that_does_not_answer_is_named(self, workspace, monkeypatch, capsys):
        import distributed

        def nowhere(address, timeout):
            raise OSError(f"Timed out trying to connect to {address}")

        monkeypatch.setattr(distributed, "Client", nowhere)
        assert extract(workspace, "--backend", "dask", "--address", "tcp://127.0.0.1:1") == 2
        message = "no Dask scheduler responds at tcp://127.0.0.1:1: Timed out"
        assert message in capsys.readouterr().err

    def command(self, workspace, *args):
        command = [sys.executable, "-m", "pipelines.extract", "small"]
        return subprocess.run(
            [*command, "--workspace", str(workspace), *args],
            cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
