"""Parallel work over threads, processes and machines, with progress bars."""

from hpastack.parallel.backends import BACKENDS, backend
from hpastack.parallel.cpu_budget import cpu_budget, one_thread_each
from hpastack.parallel.progress import Progress, Workers, progress_bar, progress_output
from hpastack.parallel.read_ahead import in_threads, read_ahead
from hpastack.parallel.shards import Shard, environment_shard
from hpastack.parallel.threads_or_processes import spread_on_this_machine
from hpastack.parallel.workers import spread, worker_processes

__all__ = [
    "BACKENDS",
    "Progress",
    "Shard",
    "Workers",
    "backend",
    "cpu_budget",
    "environment_shard",
    "in_threads",
    "one_thread_each",
    "progress_bar",
    "progress_output",
    "read_ahead",
    "spread",
    "spread_on_this_machine",
    "worker_processes",
]
