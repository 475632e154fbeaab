"""A stream of fields through a backbone: in order, in batches, as one by one."""

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hpastack.backbones import (  # noqa: E402
    compiled,
    create_backbone,  # noqa: E402
    embed_batch,  # noqa: E402
    embed_stream,
    stream,  # noqa: E402
)
from hpastack.errors import InputError  # noqa: E402
from hpastack.parallel import one_thread_each  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return create_backbone("test_resnet", weights="random", size=32)


@pytest.fixture(scope="module")
def squares():
    return np.random.default_rng(0).integers(0, 256, (9, 4, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def alone(model, squares):
    """What the backbone gives for each field by itself."""
    return np.stack([embed_batch(model, field[None] / np.float32(255))[0] for field in squares])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_on_a_cpu_vectors_are_those_of_each_field_alone(model, squares, alone, workers):
    with one_thread_each():
        found = list(embed_stream(model, squares, batch_size=4, jobs=workers))
    assert np.array_equal(np.stack(found), alone)


@pytest.mark.parametrize("batch_size", [1, 4, 9, 32])
def test_in_batches_they_are_the_same_but_for_rounding(model, squares, alone, batch_size):
    # What a GPU does, on the CPU: the order of sums changes with the size of the batch.
    found = np.stack(list(stream._in_batches(model, squares, batch_size)))
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_a_crop_of_some_stains_is_the_same_either_way(squares):
    model = create_backbone(
        "test_resnet", weights="random", size=32, crop=24, stains=["green", "blue"]
    )
    wanted = np.stack([embed_batch(model, field[None] / np.float32(255))[0] for field in squares])
    for found in (
        embed_stream(model, squares, batch_size=4, jobs=2),
        stream._in_batches(model, squares, 4),
    ):
        np.testing.assert_allclose(np.stack(list(found)), wanted, atol=1e-5)


def test_batches_are_launched_before_the_first_is_fetched(model, squares, monkeypatch):
    done = []
    launch = stream._launch

    def noted(*args):
        wait = launch(*args)
        number = len([what for what, _ in done if what == "launched"])
        done.append(("launched", number))

        def fetch():
            done.append(("fetched", number))
            return wait()

        return fetch

    monkeypatch.setattr(stream, "_launch", noted)
    list(stream._in_batches(model, squares[:8], 2))
    launched = [("launched", number) for number in range(3)]
    assert done[:5] == [*launched, ("fetched", 0), ("launched", 3)]
    assert [number for what, number in done if what == "fetched"] == [0, 1, 2, 3]


@pytest.mark.parametrize("way", ["processor", "batches"])
def test_a_bad_field_passes_through_and_leaves_the_others_as_they_are(model, squares, way):
    def vectors(fields):
        if way == "processor":
            return list(embed_stream(model, fields, batch_size=4))
        return list(stream._in_batches(model, fields, 4))

    wanted = vectors(squares)
    fault = InputError("field 3: bad")
    found = vectors([*squares[:3], fault, *squares[4:]])
    assert found[3] is fault
    for number in (0, 1, 2, 4, 5, 6, 7, 8):
        assert np.array_equal(found[number], wanted[number])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_stream_that_fails_or_is_left_ends(model, squares, batch_size):
    def broken():
        yield from squares
        raise OSError("gone")

    for vectors in (
        embed_stream(model, broken(), batch_size=batch_size),
        stream._in_batches(model, broken(), batch_size),
    ):
        with pytest.raises(OSError, match="gone"):
            list(vectors)
    with closing(stream._in_batches(model, iter(squares), batch_size)) as vectors:
        next(vectors)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.slow
def test_compiled_gives_the_same_but_for_rounding(model, squares, alone):
    with one_thread_each():
        faster = compiled(model, 4)
        found = np.stack(list(embed_stream(faster, squares, batch_size=4, jobs=2)))
    np.testing.assert_allclose(found, alone, atol=1e-5)


@pytest.mark.slow
def test_without_a_compiler_the_remedy_is_named(tmp_path):
    code = """
from hpastack.backbones import create_backbone
from hpastack.errors import InputError
from hpastack.backbones.stream import compiled
try:
    compiled(create_backbone("test_resnet", weights="random", size=32), 1)
except InputError as error:
    print(error)
"""
    environment = {
        **os.environ, "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.stdout.startswith("the backbone cannot be compiled on this machine (")
    assert done.stdout.endswith("); set compile to false\n") and done.stdout.count("\n") == 1
