import cv2
import numpy as np
import pytest
from reference.overlay import best_overlay

from hpastack.clusters import hash_fields, near_duplicates, shifted_pairs
from hpastack.clusters.shifted import overlay
from hpastack.errors import InputError
from hpastack.fields import STAINS, read_field
from hpastack.synthetic import draw_field

SIDE = 160


def hashed(fields):
    return hash_fields((f"f{number:03d}", field) for number, field in enumerate(fields))


class TestShiftedPairs:
    @pytest.mark.parametrize("share", [0.03, 0.06, 0.12, 0.2, 0.25])
    def test_finds_copies_and_nothing_else(self, scenes, photograph, share):
        rng = np.random.default_rng(1)
        moves = rng.choice([-1, 1], (len(scenes), 2)) * round(share * SIDE)
        fields = [photograph(scene, rng) for scene in scenes]
        fields += [
            photograph(scene, rng, *move, noise=0.03, brightness=1.2)
            for scene, move in zip(scenes, moves)
        ]
        pairs = shifted_pairs(hashed(fields))
        names = list(zip(pairs["image_id"], pairs["twin"]))
        assert names == [(f"f{i:03d}", f"f{i + len(scenes):03d}") for i in range(len(scenes))]
        measured = pairs[["shift_y", "shift_x"]].to_numpy() * SIDE
        # Thumbnails see shifts to a pixel of 48.
        assert np.abs(measured - moves).max() <= SIDE / 48
        assert (pairs["mirror"] == "").all()

    @pytest.mark.parametrize(("mirror", "axis"), [("left-right", 2), ("top-bottom", 1)])
    def test_mirrored_copies_are_found_when_asked_for(self, scenes, photograph, mirror, axis):
        rng = np.random.default_rng(1)
        fields = [photograph(scene, rng) for scene in scenes]
        fields += [np.flip(photograph(scene, rng, 20, -10), axis) for scene in scenes]
        hashes = hashed(fields)
        assert shifted_pairs(hashes).empty
        pairs = shifted_pairs(hashes, mirrored=True)
        names = list(zip(pairs["image_id"], pairs["twin"]))
        assert names == [(f"f{i:03d}", f"f{i + len(scenes):03d}") for i in range(len(scenes))]
        assert set(pairs["mirror"]) == {mirror}
        # Flipped back, the copy shows what lies 20 px further down and 10 to the left.
        assert np.abs(pairs["shift_y"] * SIDE - 20).max() <= SIDE / 48
        assert np.abs(pairs["shift_x"] * SIDE + 10).max() <= SIDE / 48

    def test_real_fields(self, real_data, photograph):
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

    @pytest.mark.slow
    def test_far_shifts_of_fields_with_all_their_cells(self):
        """What docs/benchmarks.md measures on 5,000 fields, on a few."""
        rng = np.random.default_rng(0)
        fields, n = [], 150
        for number in range(n):
            drawing = {"size": 96, "seed": number, "margin": 0.25}
            label = int(rng.integers(28))
            fields.append(draw_field([label], **drawing))
            shift = tuple(rng.choice([-1, 1], 2) * rng.uniform(0.05, 0.25, 2))
            fields.append(draw_field([label], **drawing, copy_seed=number, copy_shift=shift))
        pairs = near_duplicates(hashed(fields))
        names = [(int(i[1:]), int(j[1:])) for i, j in pairs[["image_id", "twin"]].values]
        assert set(names) <= {(i, i + 1) for i in range(0, 2 * n, 2)}
        assert len(names) >= 0.99 * n

    def test_blank_stains_link_nothing(self, scenes):
        fields = hashed([np.zeros((4, 64, 64))] * 5)
        assert shifted_pairs(fields).empty
        assert near_duplicates(fields).empty
        # Blank greens are as alike as pictures can be; the other stains decide.
        without = [scene.copy() for scene in scenes]
        for scene in without:
            scene[1] = 0.1
        fields = hashed(without)
        assert not fields.valid[:, 1].any()
        assert near_duplicates(fields).empty
        assert near_duplicates(hashed([*without, without[0]]))["evidence"].tolist() == [
            "hash+shift"
        ]

    def test_options_are_checked(self):
        for name in ("min_correlation", "min_similarity"):
            with pytest.raises(InputError, match=name):
                shifted_pairs(hashed([np.zeros((4, 64, 64))]), **{name: 0})


def test_overlay_finds_the_best_of_all_shifts(scenes):
    rng = np.random.default_rng(0)
    big = [
        np.stack([cv2.resize(stain, (64, 64), interpolation=cv2.INTER_AREA) for stain in scene])
        for scene in scenes[:4]
    ]
    big = [np.rint(field / field.max() * 255).astype(np.uint8) for field in big]
    moves = rng.integers(0, 17, (4, 2, 2))
    first, second = (
        np.stack([f[:, y : y + 48, x : x + 48] for f, (y, x) in zip(big, moves[:, k])])
        for k in range(2)
    )
    comparable = np.ones((4, 4), dtype=bool)
    comparable[0, 1] = False
    laid = overlay(first, second, comparable, 3)
    for pair in range(4):
        stains = comparable[pair]
        slow = best_overlay(first[pair, stains], second[pair, stains], 3)
        assert laid[pair] == pytest.approx(slow, abs=1e-5)
        assert laid[pair, 1:] * 48 == pytest.approx(moves[pair, 1] - moves[pair, 0])
