import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.pair_search import pairs_by_loops

from hpastack.clusters import duplicate_pairs
from hpastack.clusters.pairs import DISTANCE_COLUMNS
from hpastack.errors import InputError
from hpastack.fields import STAINS

quick = settings(max_examples=30, deadline=None)


class TestDuplicatePairs:
    @quick
    @given(
        st.integers(0, 12),
        st.integers(0, 2**16),
        st.lists(st.integers(0, 127), min_size=4, max_size=4),
        st.integers(1, 4),
    )
    def test_as_the_slow_search(self, n, seed, most, min_stains):
        rng = np.random.default_rng(seed)
        base = rng.integers(0, 256, (4, 32))
        flips = rng.random((n, 4, 32, 8)) < rng.choice([0.01, 0.1, 0.3])
        hashes = (base ^ np.packbits(flips, axis=3)[..., 0]).astype(np.uint8)
        valid = rng.random((n, 4)) < 0.8
        hashes *= valid[:, :, None]
        table = duplicate_pairs(
            hashes, valid, max_distance=dict(zip(STAINS, most)), min_stains=min_stains
        )
        found = {
            (row.image_id, row.twin): [
                None if pd.isna(getattr(row, name)) else getattr(row, name)
                for name in DISTANCE_COLUMNS
            ]
            for row in table.itertuples()
        }
        assert found == pairs_by_loops(hashes, valid, most, min_stains)

    def test_blocks_leave_no_pair_out(self, monkeypatch):
        rng = np.random.default_rng(0)
        hashes = rng.integers(0, 256, (50, 4, 32)).astype(np.uint8)
        hashes[[3, 17, 49]] = hashes[0]
        valid = np.ones((50, 4), dtype=bool)
        monkeypatch.setattr("hpastack.clusters.hamming._BLOCK", 7)
        pairs = duplicate_pairs(hashes, valid)
        group = [0, 3, 17, 49]
        expected = [(i, j) for i in group for j in group if i < j]
        assert list(zip(pairs["image_id"], pairs["twin"])) == expected

    def test_blank_stains_link_nothing(self):
        rng = np.random.default_rng(0)
        hashes = rng.integers(0, 256, (30, 4, 32)).astype(np.uint8)
        hashes[:, 1] = 0
        valid = np.ones((30, 4), dtype=bool)
        valid[:, 1] = False
        assert duplicate_pairs(hashes, valid, min_stains=1).empty

    def test_as_many_threads_as_wanted_give_the_same(self):
        rng = np.random.default_rng(1)
        hashes = rng.integers(0, 256, (300, 4, 32)).astype(np.uint8)
        hashes[200:] = hashes[:100]
        valid = np.ones((300, 4), dtype=bool)
        one = duplicate_pairs(hashes, valid, jobs=1)
        assert len(one) == 100
        pd.testing.assert_frame_equal(one, duplicate_pairs(hashes, valid, jobs=2))

    def test_far_too_many_pairs_are_an_error(self, monkeypatch):
        monkeypatch.setattr("hpastack.clusters.hamming._MOST_PAIRS", 100)
        hashes, valid = np.zeros((20, 4, 32), dtype=np.uint8), np.ones((20, 4), dtype=bool)
        with pytest.raises(InputError, match="more than 100 pairs"):
            duplicate_pairs(hashes, valid)

    def test_options_are_checked(self):
        hashes, valid = np.zeros((2, 4, 32), dtype=np.uint8), np.ones((2, 4), dtype=bool)
        for options in ({"max_distance": 128}, {"max_distance": -1}, {"min_stains": 5}):
            with pytest.raises(InputError, match=next(iter(options))):
                duplicate_pairs(hashes, valid, **options)
        with pytest.raises(InputError, match="hashes has shape"):
            duplicate_pairs(hashes[:, :3], valid)
        for wrong in ({"red": 1}, dict.fromkeys(STAINS, 400)):
            with pytest.raises(InputError, match="max_distance"):
                duplicate_pairs(hashes, valid, max_distance=wrong)
