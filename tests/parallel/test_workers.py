"""The seam to joblib: order, faults, one thread a worker, and clusters that really run."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import joblib
import pytest
from threadpoolctl import threadpool_info

from hpastack.errors import InputError
from hpastack.parallel import backend, cpu_budget, one_thread_each, spread
from hpastack.parallel.workers import _is_death

ROOT = Path(__file__).resolve().parents[2]


def square(number):
    return number * number


def threads_of_libraries(_):
    return os.getpid(), cv2.getNumThreads(), max(pool["num_threads"] for pool in threadpool_info())


def fail_at_three(number):
    if number == 3:
        raise ZeroDivisionError
    return number


@pytest.mark.parametrize("name", ["threading", "loky", "multiprocessing", "sequential"])
def test_results_come_in_order_whatever_the_backend(name):
    with joblib.parallel_config(name):
        assert list(spread(square, ((n,) for n in range(70)), 2)) == [n * n for n in range(70)]


@pytest.mark.parametrize("name", ["threading", "loky", "multiprocessing"])
def test_workers_have_one_thread_each(name):
    before = cv2.getNumThreads()
    with joblib.parallel_config(name):
        found = set(spread(threads_of_libraries, ((n,) for n in range(8)), 2))
    assert {tuple(n_threads) for _, *n_threads in found} == {(1, 1)}
    assert (os.getpid() in {pid for pid, *_ in found}) == (name == "threading")
    assert cv2.getNumThreads() == before


def _threads_of_torch(_):
    return sys.modules["torch"].get_num_threads()


def test_one_thread_each_holds_for_torch_too():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread_each():
            assert torch.get_num_threads() == 1
            found = set(spread(_threads_of_torch, ((n,) for n in range(4)), 2))
        assert found == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_libraries_with_threads_of_their_own_in_each_thread_keep_to_one_there(name):
    pytest.importorskip("sklearn")
    # Where the environment does not say so already, as it does when tests are run.
    code = """
import joblib, sys
from threadpoolctl import threadpool_info
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads as n_threads
from hpastack.parallel import spread
before = n_threads(1000)
def most(_):
    return max(n_threads(), *(pool["num_threads"] for pool in threadpool_info()))
with joblib.parallel_config(sys.argv[1]):
    print(sorted(set(spread(most, ((n,) for n in range(8)), 2))))
print(n_threads(1000) == before)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[1]", "True"], done.stderr


def test_one_thread_each_holds_until_the_last_block_ends_whatever_their_order():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        one, other = one_thread_each(), one_thread_each()
        for block in (one, other):
            block.__enter__()
        one.__exit__(None, None, None)
        assert cv2.getNumThreads() == 1
        other.__exit__(None, None, None)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_what_a_task_raises_ends_the_work():
    with pytest.raises(ZeroDivisionError):
        list(spread(fail_at_three, ((n,) for n in range(9)), 2))


@pytest.mark.parametrize("name", ["threading", "multiprocessing"])
def test_tasks_are_taken_a_few_ahead_only(name):
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield (number,)

    with joblib.parallel_config(name):
        results = spread(_wait_a_little, tasks(), 2)
        next(results)
        assert len(taken) < 100
        results.close()


def _wait_a_little(number):
    time.sleep(0.01)
    return number


def test_an_active_number_of_workers_is_honoured():
    seen = set()

    def note(_):
        seen.add(threading.get_ident())
        time.sleep(0.02)

    with joblib.parallel_config("threading", n_jobs=3):
        list(spread(note, ((n,) for n in range(30))))
    assert len(seen) == 3


def test_an_active_single_worker_is_honoured():
    with joblib.parallel_config("threading", n_jobs=1):
        assert set(spread(_thread, ((n,) for n in range(4)))) == {threading.get_ident()}


def _thread(_):
    return threading.get_ident()


class Unpicklable(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def fail_strangely(number):
    raise Unpicklable(number, number)


def test_what_cannot_be_sent_back_is_not_taken_for_a_death():
    with backend("loky"), pytest.raises(RuntimeError, match="Unpicklable: 0 and 0"):
        list(spread(fail_strangely, [(0,)], 2))


def die(number):
    if number == 5:
        os.kill(os.getpid(), 9)
    return number


def test_a_worker_that_dies_is_a_mistake_with_a_remedy():
    with backend("loky"), pytest.raises(InputError, match="a worker died .* to resume"):
        list(spread(die, ((n,) for n in range(10)), 2))


def note_and_sleep(folder):
    (Path(folder) / f"{os.getpid()}.part").touch()
    (Path(folder) / f"{os.getpid()}.part").rename(Path(folder) / str(os.getpid()))
    time.sleep(120)


_POOLS = {
    "worker_processes": "worker_processes(2)(joblib.delayed(work)(folder) for _ in range(2))",
    "spread": "with joblib.parallel_config('loky'): list(spread(work, [(folder,)] * 2, 2))",
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("pool", _POOLS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_when_their_parent_is_killed(tmp_path, pool, number):
    code = (
        "import joblib, sys; from hpastack.parallel import spread, worker_processes; "
        "from tests.parallel.test_workers import note_and_sleep as work; folder = sys.argv[1]\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    parent = subprocess.Popen(
        [sys.executable, "-c", code + _POOLS[pool], str(tmp_path)], cwd=ROOT, env=environment
    )
    try:
        _wait_until(lambda: len(_pids(tmp_path)) == 2 or parent.poll() is not None, 100)
        assert parent.poll() is None
    finally:
        parent.send_signal(number)
        parent.wait()
    try:
        _wait_until(lambda: not any(map(_is_running, _pids(tmp_path))), 30)
    finally:
        for pid in filter(_is_running, _pids(tmp_path)):
            os.kill(pid, signal.SIGKILL)


def _pids(folder):
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # a zombie has ended, but nobody may wait for it
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def _wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_worker_of_a_cluster_that_dies_again_and_again_is_one_too(name):
    pytest.importorskip("distributed" if name == "dask" else "ray")
    code = """
import sys
from tests.parallel.test_workers import backend, die, spread
with backend(sys.argv[1], None, 2):
    list(spread(die, ((n,) for n in range(40))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, name], cwd=ROOT, capture_output=True, text=True, timeout=200,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )  # fmt: skip
    assert "InputError: a worker died" in done.stderr.splitlines()[-1], done.stderr


def test_errors_of_clusters_are_told_from_those_of_the_work():
    def error(module, name):
        return type(name, (Exception,), {"__module__": module})()

    assert _is_death(error("distributed.scheduler", "KilledWorker"))
    assert _is_death(error("ray.exceptions", "ActorDiedError"))
    assert not _is_death(error("ray.exceptions", "RayTaskError(ZeroDivisionError)"))
    assert not _is_death(error("rays", "Error"))


class TestBudget:
    def test_affinity_is_honoured(self):
        code = (
            "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
            "from hpastack.parallel.cpu_budget import cpu_budget; print(cpu_budget({}))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "1\n", done.stderr

    def test_a_quota_of_the_control_group_is_honoured(self, tmp_path, monkeypatch):
        # joblib reads it; here it is told of a quota of one processor and a half.
        from joblib.externals.loky.backend import context

        read = open

        def opened(path, *args, **options):
            if str(path) == "/sys/fs/cgroup/cpu.max":
                quota = tmp_path / "cpu.max"
                quota.write_text("150000 100000\n")
                return read(quota, *args, **options)
            return read(path, *args, **options)

        exists = os.path.exists
        monkeypatch.setattr("builtins.open", opened)
        monkeypatch.setattr(
            os.path, "exists", lambda path: path == "/sys/fs/cgroup/cpu.max" or exists(path)
        )
        assert context._cpu_count_cgroup(64) == 2

    def test_processes_of_a_launcher_share_the_machine(self):
        whole = cpu_budget({})
        assert cpu_budget({"LOCAL_WORLD_SIZE": "2"}) == max(1, whole // 2)
        assert cpu_budget({"LOCAL_WORLD_SIZE": "1000"}) == 1
        assert cpu_budget({"LOCAL_WORLD_SIZE": "many"}) == whole


class TestBackends:
    def test_mistakes_are_named(self):
        with pytest.raises(InputError, match="unknown backend 'spark'; it must be one of threads,"):
            backend("spark").__enter__()
        for name in (None, "threads", "loky"):
            with pytest.raises(InputError, match="needs the backend dask or ray"):
                backend(name, "tcp://nowhere:1").__enter__()

    @pytest.mark.parametrize("name, package", [("dask", "distributed"), ("ray", "ray")])
    def test_a_package_that_is_not_there_is_named(self, monkeypatch, name, package):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"needs: pip install 'hpastack\[{name}\]'"):
            backend(name).__enter__()

    def test_a_ray_cluster_that_does_not_answer_is_named_at_once(self, monkeypatch):
        ray = pytest.importorskip("ray")

        def forever(*_, **__):
            raise AssertionError("asked Ray, which ends the process after minutes")

        monkeypatch.setattr(ray, "init", forever)
        with socket.socket() as closed:  # bound, but it does not listen
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            for place in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
                with pytest.raises(InputError, match=f"no Ray cluster responds at {place}: .*ref"):
                    backend("ray", place).__enter__()

    @pytest.mark.parametrize("error", [OSError("timed out"), ValueError("no such scheme")])
    def test_a_dask_scheduler_that_does_not_respond_is_named(self, monkeypatch, error):
        distributed = pytest.importorskip("distributed")

        def connect(address, timeout):
            raise error

        monkeypatch.setattr(distributed, "Client", connect)
        with pytest.raises(InputError, match=f"no Dask scheduler .* at tcp://head:8786: {error}"):
            backend("dask", "tcp://head:8786").__enter__()

    def test_a_dask_cluster_without_workers_is_named(self, monkeypatch):
        distributed = pytest.importorskip("distributed")

        class Client:
            def __init__(self, *_, **__):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def wait_for_workers(self, n_workers, timeout):
                raise TimeoutError

        monkeypatch.setattr(distributed, "Client", Client)
        with pytest.raises(InputError, match="scheduler at tcp://head:8786 has no workers"):
            backend("dask", "tcp://head:8786").__enter__()

    def test_none_leaves_what_is_active(self):
        with joblib.parallel_config("loky"), backend(None):
            assert os.getpid() not in {pid for pid, *_ in spread(threads_of_libraries, [(0,)], 2)}
