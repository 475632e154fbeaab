"""Several processes fill one store: each id once, published by the last, no two faults lost."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.extraction import engine, extract_embeddings, extract_features, handcrafted
from hpastack.parallel import Shard
from hpastack.store import StoreHeader, StoreWriter, open_store

FAMILIES = ["intensity"]
OPTIONS = {"size": 24, "progress": False, "jobs": 1}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def catalogue(noise_fields):
    return noise_fields(11)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(engine, "_BLOCK_SIZE", 2)


def whole_store(tmp_path, catalogue):
    made = extract_features(tmp_path / "whole" / "set.h5", catalogue, FAMILIES, **OPTIONS)
    return made.path.read_bytes()


def test_the_last_shard_publishes_what_one_process_would(catalogue, tmp_path):
    expected, path = whole_store(tmp_path, catalogue), tmp_path / "set.h5"
    left = []
    for index in (2, 0, 1):
        made = extract_features(path, catalogue, FAMILIES, shard=Shard(index, 3), **OPTIONS)
        left.append((made.n_missing, path.exists()))
    assert left == [(8, False), (4, False), (0, True)]
    assert path.read_bytes() == expected
    assert not path.with_name("set.h5.parts").exists()


def test_shards_of_any_number_and_none_go_on_with_each_other(catalogue, tmp_path, monkeypatch):
    expected, path = whole_store(tmp_path, catalogue), tmp_path / "set.h5"
    extract_features(path, catalogue, FAMILIES, shard=Shard(1, 4), **OPTIONS)
    extract_features(path, catalogue, FAMILIES, shard=Shard(0, 3), **OPTIONS)
    measured, measure = [], handcrafted._measure_field

    def note(image_id, *rest):
        measured.append(image_id)
        return measure(image_id, *rest)

    monkeypatch.setattr(handcrafted, "_measure_field", note)
    extract_features(path, catalogue, FAMILIES, **OPTIONS)
    done = {*range(1, 11, 4), *range(0, 11, 3)}
    assert measured == [f"field{n}" for n in range(11) if n not in done]
    assert path.read_bytes() == expected


def test_more_shards_than_fields(catalogue, tmp_path):
    path, few = tmp_path / "set.h5", catalogue.head(2)
    expected = whole_store(tmp_path, few)
    made = [
        extract_features(path, few, FAMILIES, shard=Shard(index, 4), **OPTIONS)
        for index in (3, 0, 2, 1)
    ]
    assert [one.n_missing for one in made] == [2, 1, 1, 0]
    assert path.read_bytes() == expected


def test_faults_of_all_shards_are_listed(catalogue, tmp_path):
    for image_id in ("field2", "field3"):
        Path(catalogue.loc[image_id, "red"]).unlink()
    path = tmp_path / "set.h5"
    options = {**OPTIONS, "on_error": "skip"}
    first = extract_features(path, catalogue, FAMILIES, shard=Shard(0, 2), **options)
    assert (first.n_fields, first.n_missing) == (5, 5)
    assert list(first.skipped) == ["field2"] and not first.skipped_path.exists()
    last = extract_features(path, catalogue, FAMILIES, shard=Shard(1, 2), **options)
    assert list(last.skipped) == ["field2", "field3"]
    assert pd.read_csv(last.skipped_path)["image_id"].tolist() == ["field2", "field3"]
    with open_store(path) as store:
        assert store.image_ids == catalogue.index.drop(["field2", "field3"]).tolist()


def test_what_is_finished_is_counted_without_the_faults_of_others(catalogue, tmp_path):
    Path(catalogue.loc["field1", "red"]).unlink()
    path, options = tmp_path / "set.h5", {**OPTIONS, "on_error": "skip"}
    extract_features(path, catalogue, FAMILIES, shard=Shard(1, 3), **options)
    made = extract_features(path, catalogue, FAMILIES, shard=Shard(0, 3), **options)
    assert (made.n_fields, made.n_missing, made.skipped) == (7, 3, {})


def test_a_fault_of_another_shard_is_not_left_out_unasked(catalogue, tmp_path):
    Path(catalogue.loc["field2", "red"]).unlink()
    path = tmp_path / "set.h5"
    extract_features(path, catalogue, FAMILIES, shard=Shard(0, 2), **OPTIONS, on_error="skip")
    with pytest.raises(InputError, match="field field2: .*no such file"):
        extract_features(path, catalogue, FAMILIES, shard=Shard(1, 2), **OPTIONS)
    assert not path.exists()


def test_embeddings_in_shards(catalogue, tmp_path):
    pytest.importorskip("timm")
    options = {"weights": "random", "size": 32, "batch_size": 2, "progress": False}
    whole = extract_embeddings(tmp_path / "whole" / "set.h5", catalogue, "test_resnet", **options)
    path = tmp_path / "set.h5"
    for index in (0, 1):
        extract_embeddings(path, catalogue, "test_resnet", shard=Shard(index, 2), **options)
    assert path.read_bytes() == whole.path.read_bytes()


class TestPublishing:
    HEADER = StoreHeader("target_free", "features", ["a"])
    IDS = ["x", "y", "z"]

    def writer(self, tmp_path):
        return StoreWriter(tmp_path / "set.h5", self.HEADER, self.IDS, overwrite=True)

    def test_a_row_written_twice_alike_is_one_row(self, tmp_path):
        one, other = self.writer(tmp_path), self.writer(tmp_path)
        one.write([0, 1], [[1], [2]])
        other.write([1, 2], [[2], [3]])
        with open_store(one.publish()) as store:
            assert store.values().tolist() == [[1], [2], [3]]

    def test_a_row_written_twice_otherwise_is_named(self, tmp_path):
        writer = self.writer(tmp_path)
        writer.write([0, 1], [[1], [2]])
        writer.write([1, 2], [[5], [3]])
        with pytest.raises(InputError, match="part-000000001-.* field y has other values than"):
            writer.publish()
        assert writer.parts.exists() and not writer.path.exists()

    def test_two_that_publish_at_once_publish_one_store(self, tmp_path, monkeypatch):
        one, other = self.writer(tmp_path), self.writer(tmp_path)
        one.write([0, 1, 2], [[1], [2], [3]])
        join = StoreWriter._join

        def overtaken(self, temporary, kept):
            monkeypatch.setattr(StoreWriter, "_join", join)
            other.publish()  # while the first is about to read the parts
            join(self, temporary, kept)

        monkeypatch.setattr(StoreWriter, "_join", overtaken)
        assert other.n_missing() == 0
        with open_store(one.publish()) as store:
            assert store.values().tolist() == [[1], [2], [3]]
        assert sorted(file.name for file in tmp_path.iterdir()) == ["set.h5"]

    def test_a_part_damaged_before_publishing_is_not_published(self, tmp_path):
        writer = self.writer(tmp_path)
        writer.write([0, 1], [[1], [2]])
        writer.write([2], [[3]])
        assert writer.n_missing() == 0
        (part,) = writer.parts.glob("part-000000002-*.h5")
        data = bytearray(part.read_bytes())
        place = data.index(np.float32(3).tobytes())
        data[place] ^= 1
        part.write_bytes(data)
        with pytest.raises(InputError, match="the part with field z was damaged"):
            writer.publish()
        again = self.writer(tmp_path)
        assert [block.tolist() for block in again.pending()] == [[2]]

    def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
        self, tmp_path
    ):
        writer = self.writer(tmp_path)
        mine = writer._folder.temporary("part-000000000-0.h5")
        gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                              capture_output=True, text=True).stdout.strip()  # fmt: skip
        other = mine.with_name(mine.name.replace(f".{os.getpid()}.", f".{gone}."))
        elsewhere = writer.parts / f".part-000000000-0.h5.another-machine.{gone}.tmp"
        living = mine.with_name(mine.name.replace(f".{os.getpid()}.", f".{os.getppid()}."))
        for file in (other, elsewhere, living):
            file.write_bytes(b"half")
        self.writer(tmp_path)
        assert not other.exists() and elsewhere.exists() and living.exists()
