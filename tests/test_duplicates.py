import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.pair_search import pairs_by_loops

from hpastack.channels import STAINS
from hpastack.clusters import DISTANCE_COLUMNS
from hpastack.duplicates import (
    PAIR_COLUMNS,
    FieldHashes,
    _pack,
    _unpack,
    duplicate_clusters,
    duplicate_pairs,
    field_hashes,
    field_thumbnail,
    hash_catalogue,
    near_duplicates,
    shifted_pairs,
)
from hpastack.errors import InputError
from hpastack.images import read_field
from hpastack.synthetic import draw_field

quick = settings(max_examples=30, deadline=None)
SIDE = 160


def photograph(scene, rng, down=0, right=0, noise=0.02, brightness=1.0):
    """Cut a field from the middle of a larger scene, shifted, noisy and brighter."""
    top, left = ((length - SIDE) // 2 + by for length, by in zip(scene.shape[1:], (down, right)))
    field = scene[:, top : top + SIDE, left : left + SIDE] * brightness
    field = field + rng.normal(0, noise, field.shape) * (field.max((1, 2), keepdims=True) > 0)
    return np.clip(field, 0, 1).astype(np.float32)


def hashed(fields):
    image_ids = [f"f{number:03d}" for number in range(len(fields))]
    hashes, valid = zip(*(field_hashes(field) for field in fields))
    thumbnails = [field_thumbnail(field) for field in fields]
    return FieldHashes(image_ids, np.stack(hashes), np.stack(valid), np.stack(thumbnails))


@pytest.fixture(scope="module")
def scenes():
    """Wells of two: same labels, same look, other cells."""
    return [
        draw_field("25" if number % 4 else "0 2", size=256, seed=number, well_seed=number // 2)
        for number in range(16)
    ]


class TestFieldHashes:
    def test_worked_by_hand(self):
        # One wave along x, a whole and a half period: a single cosine coefficient.
        pixels = np.arange(64) + 0.5
        wave = 0.5 + 0.4 * np.cos(np.pi * 3 * pixels / 64)
        field = np.tile(wave, (4, 64, 1))
        field[3] = 0
        hashes, valid = field_hashes(field)
        assert valid.tolist() == [True, True, True, False]
        bits = np.unpackbits(hashes, axis=1).reshape(4, 16, 16)
        assert bits[0, 0, 3] == 1
        assert bits[0, 0, 0] == 0  # brightness
        assert not hashes[3].any()

    def test_brightness_leaves_them_alone_and_noise_nearly(self, scenes):
        rng = np.random.default_rng(0)
        clean = scenes[0]
        dim = field_hashes(clean * 0.5)[0]
        noisy = field_hashes(np.clip(clean + rng.normal(0, 0.03, clean.shape), 0, 1))[0]
        own = field_hashes(clean)[0]
        assert np.unpackbits(own ^ dim).sum() <= 4  # rounding at the median
        assert np.unpackbits(own ^ noisy, axis=1).sum(1).max() <= 12

    @pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
    def test_blank_and_noise_only_stains_are_not_valid(self, value):
        rng = np.random.default_rng(0)
        field = np.full((4, 256, 256), value)
        field[1] = np.clip(value + rng.normal(0, 0.01, (256, 256)), 0, 1)
        hashes, valid = field_hashes(field)
        assert not valid.any()
        assert not hashes.any()

    def test_any_shape_of_field(self):
        rng = np.random.default_rng(0)
        for shape in ((4, 1, 1), (4, 20, 300), (4, 48, 48)):
            hashes, valid = field_hashes(rng.random(shape))
            assert hashes.shape == (4, 32)
            assert valid.shape == (4,)
            assert field_thumbnail(rng.random(shape)).shape == (4, 48, 48)

    @pytest.mark.parametrize("shape", [(3, 64, 64), (64, 64), (4, 0, 64)])
    def test_wrong_shape_is_named(self, shape):
        with pytest.raises(InputError, match=r"a field of shape"):
            field_hashes(np.zeros(shape))

    def test_thumbnail_keeps_the_detail_of_dim_stains(self, scenes):
        dim = scenes[0].copy()
        dim[1] *= 0.02
        bright, dimmed = field_thumbnail(scenes[0]), field_thumbnail(dim)
        assert np.abs(bright[1].astype(int) - dimmed[1]).max() <= 1
        assert field_thumbnail(np.zeros((4, 64, 64))).max() == 0


class TestDuplicatePairs:
    @quick
    @given(st.integers(0, 12), st.integers(0, 2**16), st.integers(0, 127), st.integers(1, 4))
    def test_as_the_slow_search(self, n, seed, max_distance, min_stains):
        rng = np.random.default_rng(seed)
        base = rng.integers(0, 256, (4, 32))
        flips = rng.random((n, 4, 32, 8)) < rng.choice([0.01, 0.1, 0.3])
        hashes = (base ^ np.packbits(flips, axis=3)[..., 0]).astype(np.uint8)
        valid = rng.random((n, 4)) < 0.8
        hashes *= valid[:, :, None]
        table = duplicate_pairs(hashes, valid, max_distance=max_distance, min_stains=min_stains)
        found = {
            (row.image_id, row.twin): [
                None if pd.isna(getattr(row, name)) else getattr(row, name)
                for name in DISTANCE_COLUMNS
            ]
            for row in table.itertuples()
        }
        assert found == pairs_by_loops(hashes, valid, max_distance, min_stains)

    def test_blocks_leave_no_pair_out(self, monkeypatch):
        rng = np.random.default_rng(0)
        hashes = rng.integers(0, 256, (50, 4, 32)).astype(np.uint8)
        hashes[[3, 17, 49]] = hashes[0]
        valid = np.ones((50, 4), dtype=bool)
        monkeypatch.setattr("hpastack.duplicates._BLOCK", 7)
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

    def test_options_are_checked(self):
        hashes, valid = np.zeros((2, 4, 32), dtype=np.uint8), np.ones((2, 4), dtype=bool)
        for options in ({"max_distance": 128}, {"max_distance": -1}, {"min_stains": 5}):
            with pytest.raises(InputError, match=next(iter(options))):
                duplicate_pairs(hashes, valid, **options)
        with pytest.raises(InputError, match="hashes of shape"):
            duplicate_pairs(hashes[:, :3], valid)


class TestShiftedPairs:
    @pytest.mark.parametrize("share", [0.03, 0.06, 0.12, 0.2])
    def test_finds_copies_and_nothing_else(self, scenes, share):
        rng = np.random.default_rng(1)
        moves = rng.choice([-1, 1], (len(scenes), 2)) * round(share * SIDE)
        fields = [photograph(scene, rng) for scene in scenes]
        fields += [
            photograph(scene, rng, *move, noise=0.03, brightness=1.2)
            for scene, move in zip(scenes, moves)
        ]
        pairs = shifted_pairs(hashed(fields))
        names = list(zip(pairs["image_id"], pairs["twin"]))
        expected = [(f"f{i:03d}", f"f{i + len(scenes):03d}") for i in range(len(scenes))]
        assert set(names) <= set(expected)
        # At a fifth along both axes 36 % of the picture is new: one in 16 may be missed.
        assert len(names) >= len(expected) - (share == 0.2)
        measured = pairs[["shift_y", "shift_x"]].to_numpy() * SIDE
        wanted = [moves[int(name[1:])] for name in pairs["image_id"]]
        # Thumbnails see shifts to a pixel of 48.
        assert np.abs(measured - wanted).max() <= SIDE / 48

    def test_real_fields(self, real_data):
        rng = np.random.default_rng(0)
        folder = real_data / "fields" / "kaggle"
        fields = []
        for path in sorted(folder.glob("*_green.png")):
            row = {stain: str(path).replace("green", stain) for stain in STAINS}
            scene = read_field(row, size=512)
            for top, left in ((0, 0), (0, 256), (256, 0), (256, 256)):
                part = scene[:, top : top + 256, left : left + 256]
                fields += [photograph(part, rng), photograph(part, rng, 20, -12, 0.02, 1.2)]
        pairs = near_duplicates(hashed(fields))
        names = [
            (int(one[1:]), int(other[1:])) for one, other in pairs[["image_id", "twin"]].values
        ]
        assert names == [(i, i + 1) for i in range(0, len(fields), 2)]

    def test_blank_stains_link_nothing(self):
        fields = hashed([np.zeros((4, 64, 64))] * 5)
        assert shifted_pairs(fields).empty
        assert near_duplicates(fields).empty

    def test_no_fields(self):
        nothing = FieldHashes(
            [], np.empty((0, 4, 32), np.uint8), np.empty((0, 4), bool),
            np.empty((0, 4, 48, 48), np.uint8),
        )  # fmt: skip
        assert near_duplicates(nothing).columns.tolist() == list(PAIR_COLUMNS)

    def test_options_are_checked(self):
        with pytest.raises(InputError, match="min_correlation"):
            shifted_pairs(hashed([np.zeros((4, 64, 64))]), min_correlation=0)


def test_evidence_says_which_search_found_a_pair(scenes):
    rng = np.random.default_rng(2)
    fields = [
        photograph(scenes[0], rng), photograph(scenes[0], rng, brightness=1.1),
        photograph(scenes[0], rng, 16, 16), photograph(scenes[1], rng),
    ]  # fmt: skip
    pairs = near_duplicates(hashed(fields)).set_index(["image_id", "twin"])["evidence"]
    assert pairs.to_dict() == {
        ("f000", "f001"): "hash+shift", ("f000", "f002"): "shift", ("f001", "f002"): "shift"
    }  # fmt: skip
    in_place = near_duplicates(hashed(fields), shifted=False)
    assert in_place["evidence"].tolist() == ["hash"]
    assert in_place["correlation"].isna().all()
    assert duplicate_clusters(hashed(fields)).tolist() == ["f000", "f000", "f000", "f003"]


class TestHashCatalogue:
    def test_packed_bytes_come_back(self):
        rng = np.random.default_rng(0)
        hashes = rng.integers(0, 256, (5, 4, 32)).astype(np.uint8)
        valid = rng.random((5, 4)) < 0.5
        thumbnails = rng.integers(0, 256, (5, 4, 48, 48)).astype(np.uint8)
        thumbnails[0], hashes[1] = 255, 255
        packed = np.stack([_pack(*one) for one in zip(hashes, valid, thumbnails)])
        again = _unpack(list("abcde"), packed)
        np.testing.assert_array_equal(again.hashes, hashes)
        np.testing.assert_array_equal(again.valid, valid)
        np.testing.assert_array_equal(again.thumbnails, thumbnails)

    def test_made_once_and_again_when_the_catalogue_changes(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(0)
        fields = {name: rng.random((4, 64, 64), dtype=np.float32) for name in "abc"}
        read = []

        def iter_fields(catalogue, size, threads=None):
            for name in catalogue.index:
                read.append(name)
                yield name, fields[name]

        monkeypatch.setattr("hpastack.duplicates.iter_fields", iter_fields)
        catalogue = pd.DataFrame(index=list("abc"))
        first = hash_catalogue(catalogue, tmp_path / "hashes.h5", "digest 1")
        again = hash_catalogue(catalogue, tmp_path / "hashes.h5", "digest 1")
        assert read == ["a", "b", "c"]
        np.testing.assert_array_equal(first.thumbnails, again.thumbnails)
        np.testing.assert_array_equal(first.hashes[1], field_hashes(fields["b"])[0])
        hash_catalogue(catalogue, tmp_path / "hashes.h5", "digest 2")
        assert read == ["a", "b", "c"] * 2
        with h5py.File(tmp_path / "hashes.h5") as file:
            assert file.attrs["made_from"] == "digest 2"
