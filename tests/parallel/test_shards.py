"""Shards: every row in one of them, and what launchers and schedulers say of them."""

import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.parallel import Shard, environment_shard


@pytest.mark.parametrize("n", [0, 1, 7, 8])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_every_row_is_in_one_shard_and_none_is_filled_up(n, count):
    rows = [Shard(index, count).rows(n) for index in range(count)]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(n))
    lengths = [len(some) for some in rows]
    assert max(lengths) - min(lengths) <= 1


def test_shards_are_counted_from_zero():
    assert Shard.parse("0/1") == Shard(0, 1)
    assert Shard.parse("3/4") == Shard(3, 4)
    for text in ("4/4", "1", "a/b", "-1/2", "0/0", "1/2/3", "1 / 2", "", "0/99999999999"):
        with pytest.raises(InputError, match="is not I/N with I from 0"):
            Shard.parse(text)


@pytest.mark.parametrize("index, count", [(-1, 2), (2, 2), (0, 0)])
def test_a_shard_that_is_none_is_refused(index, count):
    with pytest.raises(InputError, match="is not I/N with I from 0"):
        Shard(index, count)


SLURM = {"SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_STEP": "1"}


def test_launchers_and_schedulers_are_asked():
    assert environment_shard({}) == (Shard(0, 1), "")
    assert environment_shard({"RANK": "0", "WORLD_SIZE": "1"}) == (Shard(0, 1), "")
    assert environment_shard({"RANK": "2", "WORLD_SIZE": "3"}) == (Shard(2, 3), "RANK")
    # Arrays may be counted from any number, in steps.
    array = environment_shard({**SLURM, "SLURM_ARRAY_TASK_ID": "4"})
    assert array == (Shard(3, 4), "SLURM_ARRAY_TASK_ID")
    steps = {**SLURM, "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "5"}
    assert environment_shard({**steps, "SLURM_ARRAY_TASK_ID": "20"})[0] == Shard(2, 4)


def test_each_process_of_each_task_has_a_share_of_its_own():
    shards = {
        environment_shard(
            {**SLURM, "SLURM_ARRAY_TASK_ID": str(task), "RANK": str(rank), "WORLD_SIZE": "2"}
        )[0]
        for task in (1, 2, 3, 4)
        for rank in (0, 1)
    }
    assert shards == {Shard(index, 8) for index in range(8)}


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "2"},
        {"WORLD_SIZE": "two", "RANK": "0"},
        {**SLURM, "SLURM_ARRAY_TASK_ID": "9"},  # --array=1,5,7,9: not evenly numbered
        {**SLURM, "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_ID": "2"},
        SLURM,
    ],
)
def test_what_does_not_say_which_share_is_refused(environment):
    with pytest.raises(InputError, match="set the shard explicitly, as I/N"):
        environment_shard(environment)
