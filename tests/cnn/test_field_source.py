"""Fields for a CNN: in memory or not, packed or not, the same bytes; read ahead and bounded."""

import os
import threading

import joblib
import numpy as np
import pytest

from hpastack.cnn import field_source as cnn_fields
from hpastack.cnn.field_source import FieldSource
from hpastack.errors import InputError
from hpastack.fields import pack_fields, stain_moments

SIZE = 16
BATCHES = [np.array([3, 1, 3]), np.array([8]), np.array([0, 1])]


@pytest.fixture
def catalogue(noise_fields):
    return noise_fields(9)


@pytest.fixture
def packed(catalogue, tmp_path):
    return pack_fields(tmp_path / "fields.h5", catalogue, SIZE, progress=False)


def without_files(catalogue):
    for stain in ("red", "green", "blue", "yellow"):
        for path in catalogue[stain]:
            os.unlink(path)


@pytest.mark.parametrize("memory_limit", [0, np.inf])
def test_packed_fields_are_those_of_the_files(catalogue, packed, memory_limit):
    options = {"jobs": 2, "memory_limit": memory_limit}
    wanted = list(FieldSource(catalogue, SIZE, **options).batches(BATCHES))
    without_files(catalogue)
    source = FieldSource(catalogue, SIZE, packed=packed, **options)
    assert (source.pixels is None) == (memory_limit == 0)
    found = list(source.batches(BATCHES))
    for one, other in zip(wanted, found, strict=True):
        assert one.dtype == other.dtype == np.uint8
        np.testing.assert_array_equal(one, other)


def test_what_does_not_fit_comes_from_the_files(catalogue, packed):
    changed = catalogue.assign(content="0" * 32)
    for table, size in ((changed, SIZE), (catalogue, 8)):
        wanted = FieldSource(table, size).pixels
        np.testing.assert_array_equal(FieldSource(table, size, packed=packed).pixels, wanted)


def first_batch(source):
    return next(source.batches([np.array([4])]))


def test_it_travels_to_other_processes(catalogue, packed):
    source = FieldSource(catalogue, SIZE, packed=packed, memory_limit=0)
    here = first_batch(source)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(first_batch)(source) for _ in range(2))
    for other in found:
        np.testing.assert_array_equal(here, other)


def test_a_bad_field_is_named_in_the_thread_of_the_consumer(catalogue):
    os.unlink(catalogue.loc["field3", "green"])
    source = FieldSource(catalogue, SIZE, memory_limit=0)
    batches = source.batches([np.array([0, 1]), np.array([2, 3]), np.array([4])])
    assert next(batches).shape == (2, 4, SIZE, SIZE)
    with pytest.raises(InputError, match="^field field3: .*no such file"):
        next(batches)


def test_reading_stops_when_nobody_listens(catalogue, monkeypatch):
    read, stops = [], threading.Event()

    def images(chosen, size, **options):
        try:
            for image_id in chosen.index:
                read.append(image_id)
                yield np.zeros((4, size, size), np.uint8)
        finally:
            stops.set()

    monkeypatch.setattr(cnn_fields, "stream_square_images", images)
    source = FieldSource(catalogue, SIZE, memory_limit=0)
    for _ in source.batches([np.array([row]) for row in range(9)] * 10):
        break
    assert stops.is_set()
    assert len(read) <= 5


def test_statistics_are_the_same_however_fields_are_read(catalogue, packed):
    rows = np.arange(len(catalogue))
    expected = stain_moments(FieldSource(catalogue, SIZE).sample(rows))
    streamed = FieldSource(catalogue, SIZE, packed=packed, memory_limit=0)
    assert stain_moments(streamed.sample(rows)) == expected


def test_a_sample_is_evenly_spaced(catalogue):
    source = FieldSource(catalogue, SIZE)
    sample = np.concatenate(list(source.sample([8, 1, 2, 3, 4, 5, 6], n_fields=3)))
    np.testing.assert_array_equal(sample, source.pixels[[8, 3, 6]])
