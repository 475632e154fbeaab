import h5py
import numpy as np
import pandas as pd
import pytest

from hpastack.clusters import (
    FieldHashes,
    field_hashes,
    field_thumbnail,
    hash_catalogue,
    hash_fields,
)
from hpastack.clusters.hashing import _pack, _unpack
from hpastack.errors import InputError
from hpastack.store import StoreHeader, write_store


class TestFieldHashes:
    def test_worked_by_hand(self):
        # Twelve waves of equal energy along x and y: twelve bits are set, whatever the median.
        pixels = np.arange(64) + 0.5
        waves = [np.cos(np.pi * k * pixels / 64) for k in range(1, 7)]
        plane = 0.5 + 0.03 * sum(wave[None] + wave[:, None] for wave in waves)
        field = np.tile(plane, (4, 1, 1))
        field[2] = 0.5 + 0.4 * waves[2]  # one wave: no more than uneven light
        field[3] = 0
        hashes, valid = field_hashes(field)
        assert valid.tolist() == [True, True, False, False]
        bits = np.unpackbits(hashes, axis=1).reshape(4, 16, 16)
        assert bits[0, 0, 1:7].all()
        assert bits[0, 1:7, 0].all()
        assert bits[0, 0, 0] == 0  # brightness
        assert not hashes[2:].any()

    @pytest.mark.parametrize("noise", [0.0, 0.003])
    def test_uneven_light_alone_is_not_valid(self, noise):
        y, x = np.mgrid[:128, :128] / 128
        rng = np.random.default_rng(0)
        light = [x, x * y, 1 - ((x - 0.5) ** 2 + (y - 0.4) ** 2), np.exp(-4 * (x**2 + y**2))]
        field = 0.2 * np.stack(light) + rng.normal(0, noise, (4, 128, 128))
        assert not field_hashes(field)[1].any()

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

    @pytest.mark.parametrize("value", [np.nan, 255.0])
    def test_values_that_are_not_scaled_are_named(self, value):
        field = np.full((4, 64, 64), 0.1)
        field[2, 5, 5] = value
        with pytest.raises(InputError, match="a field with values from"):
            hash_fields({"a": field})

    def test_doubled_ids_are_named(self):
        field = np.zeros((4, 64, 64))
        with pytest.raises(InputError, match="duplicate ids: a"):
            hash_fields([("a", field), ("a", field)])

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


class TestHashCatalogue:
    def test_packed_bytes_come_back(self):
        rng = np.random.default_rng(0)
        shapes = ((5, 4, 32), (5, 4), (5, 9, 64), (5, 4, 48, 48))
        hashes, valid, codes, thumbnails = (
            rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes
        )
        thumbnails[0], hashes[1] = 255, 255
        part = FieldHashes(list("abcde"), hashes, valid > 127, codes, thumbnails)
        packed = _pack(part)
        again = _unpack(list("abcde"), [packed[:2], packed[2:]])
        for name in ("hashes", "valid", "codes", "thumbnails"):
            np.testing.assert_array_equal(getattr(again, name), getattr(part, name))

    def test_made_once_and_again_when_the_catalogue_changes(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(0)
        fields = {name: rng.random((4, 64, 64), dtype=np.float32) for name in "abc"}
        read = []

        def iter_fields(catalogue, size, jobs=None):
            for name in catalogue.index:
                read.append(name)
                yield name, fields[name]

        monkeypatch.setattr("hpastack.clusters.hashing.iter_fields", iter_fields)
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

    def test_those_of_an_older_version_are_made_again(self, tmp_path):
        catalogue = pd.DataFrame(index=["a"])
        header = StoreHeader(
            "target_free", "features", ["bytes_0000"], {"features": "field_hashes", "version": 1},
            "digest",
        )  # fmt: skip
        write_store(tmp_path / "hashes.h5", header, ["a"], [[1.0]])
        with pytest.raises(KeyError, match="red"):  # the file is looked for
            hash_catalogue(catalogue, tmp_path / "hashes.h5", "digest")

    def test_the_same_as_hashing_them_one_by_one(self, tmp_path, scenes, monkeypatch):
        named = {f"f{number}": scene for number, scene in enumerate(scenes[:3])}
        monkeypatch.setattr(
            "hpastack.clusters.hashing.iter_fields",
            lambda catalogue, size, jobs=None: ((name, named[name]) for name in catalogue.index),
        )
        stored = hash_catalogue(pd.DataFrame(index=list(named)), tmp_path / "hashes.h5", "digest")
        for made in (hash_fields(named), hash_fields(named.items())):
            assert made.image_ids == stored.image_ids == list(named)
            for name in ("hashes", "valid", "codes", "thumbnails"):
                np.testing.assert_array_equal(getattr(made, name), getattr(stored, name))
