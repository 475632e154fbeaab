"""Results come in the order of the tasks, also from backends that give them all at once."""

import operator

import joblib
import pytest

from hpastack.parallel import Workers

pytestmark = pytest.mark.core


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_give_results_in_order(backend, n_jobs):
    # More than are handed out together.
    tasks = [(number, 3) for number in range(50)]
    with joblib.parallel_config(backend=backend):
        results = Workers(n_jobs).map(operator.mod, iter(tasks), len(tasks), "remainders")
        assert list(results) == [number % 3 for number in range(50)]


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_what_a_task_raises_ends_the_work(backend):
    with joblib.parallel_config(backend=backend), pytest.raises(ZeroDivisionError):
        list(Workers(2).map(operator.mod, [(1, 1), (1, 0)], 2, "remainders"))
