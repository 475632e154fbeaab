import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.labels import HPA_2018
from hpastack.synthetic import LABEL_COUNTS, LABELS_PER_FIELD, synthetic_dataset


@pytest.fixture(scope="module")
def large():
    return synthetic_dataset(20000, 6000, size=64, seed=1).design


def test_the_number_of_fields_and_their_order():
    design = synthetic_dataset(50, 21, size=64).design
    assert list(design["split"]) == ["train"] * 50 + ["test"] * 21
    assert design.index.is_unique
    for _, part in design.groupby("split"):
        assert part.index.is_monotonic_increasing


def test_same_seed_same_design():
    one = synthetic_dataset(60, 20, size=64, seed=5)
    two = synthetic_dataset(60, 20, size=64, seed=5)
    assert one.design.equals(two.design)
    assert not one.design.index.equals(synthetic_dataset(60, 20, size=64, seed=6).design.index)
    image_id = one.design.index[7]
    assert one.field(image_id).tobytes() == two.field(image_id).tobytes()


def test_fields_come_in_the_order_asked_for():
    dataset = synthetic_dataset(6, 0, size=32)
    image_ids = list(dataset.design.index[[4, 1]])
    drawn = list(dataset.fields(image_ids))
    assert [image_id for image_id, _ in drawn] == image_ids
    assert np.array_equal(drawn[1][1], dataset.field(image_ids[1]))


def test_counts_fit_the_vocabulary():
    assert len(LABEL_COUNTS) == len(HPA_2018)
    assert sum(LABELS_PER_FIELD) == 31072
    labels = sum(number * count for number, count in enumerate(LABELS_PER_FIELD, start=1))
    assert sum(LABEL_COUNTS) == labels


def test_counts_are_those_of_the_real_training_fields(real_data):
    import pandas as pd

    indicator = HPA_2018.indicator(pd.read_csv(real_data / "labels" / "train.csv")["Target"])
    assert tuple(indicator.sum(axis=0)) == LABEL_COUNTS
    assert tuple(np.bincount(indicator.sum(axis=1))[1:]) == LABELS_PER_FIELD


def test_labels_follow_the_real_long_tail(large):
    indicator = HPA_2018.indicator(large["target"])
    found = indicator.mean(axis=0)
    wanted = np.array(LABEL_COUNTS) / sum(LABELS_PER_FIELD)
    # Labels are drawn by well: about 6,500 draws, so 2 % of frequency is over 5 % of error.
    common = wanted > 0.02
    assert found[common] == pytest.approx(wanted[common], rel=0.2)
    assert found[~common].max() < 0.035
    sizes = np.bincount(indicator.sum(axis=1), minlength=6)[1:6] / len(indicator)
    assert sizes == pytest.approx(np.array(LABELS_PER_FIELD) / 31072, abs=0.02)


def test_labels_that_avoid_each_other_do(large):
    indicator = HPA_2018.indicator(large["target"]).astype(int)
    together = indicator.T @ indicator
    bodies, speckles, nucleoplasm = 5, 4, 0
    assert together[bodies, speckles] < 0.15 * together[bodies, nucleoplasm]


def test_a_flat_tail_evens_the_labels_out():
    design = synthetic_dataset(4000, 0, size=64, tail=0).design
    found = HPA_2018.indicator(design["target"]).mean(axis=0)
    assert found.max() < 3 * found.min()


def test_every_label_stands_in_enough_wells():
    dataset = synthetic_dataset(400, 200, size=64, min_train_wells=3, min_test_wells=1)
    for split, least in (("train", 3), ("test", 1)):
        design = dataset.design
        wells = design[(design["split"] == split) & (design["duplicate_of"] == "")]
        wells = wells.drop_duplicates("well")
        assert HPA_2018.indicator(wells["target"]).sum(axis=0).min() >= least


def test_a_well_has_one_look_one_split_and_few_fields(large):
    originals = large[large["duplicate_of"] == ""]
    wells = originals.groupby("well")
    for column in ("split", "target", "cell_line", "plate", "well_seed", "plate_seed"):
        assert (wells[column].nunique() == 1).all()
    sizes = wells.size()
    assert sizes.max() == 6
    # The last well of a split may be cut short.
    assert (sizes < 2).sum() <= 2
    assert (large.groupby("plate")["cell_line"].nunique() == 1).all()
    assert originals["seed"].is_unique


def test_copies_lie_in_both_splits_and_hide_their_origin(large):
    copies = large[large["duplicate_of"] != ""]
    assert copies["split"].value_counts().to_dict() == {"train": 800, "test": 240}
    origin = large.loc[copies["duplicate_of"]]
    assert (origin["split"] == "train").all()
    assert (origin["duplicate_of"] == "").all()
    for column in ("target", "cell_line"):
        assert (origin[column].to_numpy() == copies[column].to_numpy()).all()
    for column in ("well", "plate"):
        assert (origin[column].to_numpy() != copies[column].to_numpy()).all()


def test_a_copy_looks_like_its_origin():
    dataset = synthetic_dataset(20, 20, size=64, duplicates=0.2)
    copy, origin = next(dataset.design.query("duplicate_of != ''")["duplicate_of"].items())
    stranger = next(i for i in dataset.design.index if i not in (copy, origin))
    blue = {i: dataset.field(i)[2] for i in (copy, origin, stranger)}

    def likeness(one, other):
        shifted = (
            np.roll(blue[other], (down, right), axis=(0, 1))[8:-8, 8:-8]
            for down in range(-4, 5) for right in range(-4, 5)
        )  # fmt: skip
        return max(np.corrcoef(blue[one][8:-8, 8:-8].ravel(), s.ravel())[0, 1] for s in shifted)

    assert likeness(copy, origin) > 0.95
    assert likeness(copy, stranger) < 0.7


def test_no_copies_where_none_are_asked_for():
    design = synthetic_dataset(30, 10, size=64, duplicates=0).design
    assert (design["duplicate_of"] == "").all()


def test_cell_lines_differ_between_train_and_test_as_far_as_asked():
    def distance(shift):
        design = synthetic_dataset(3000, 3000, size=64, cell_line_shift=shift).design
        shares = design.groupby("split")["cell_line"].value_counts(normalize=True).unstack(0)
        return (shares["train"] - shares["test"]).abs().sum()

    same, some, reverse = distance(0), distance(0.4), distance(1)
    assert same < 0.15 < some < reverse


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_train": 0}, "n_train is 0"),
        ({"n_test": -1}, "n_test is -1"),
        ({"size": 16}, "size is 16"),
        ({"tail": 1.5}, "tail is 1.5; it must be from 0 to 1"),
        ({"duplicates": 0.6}, "duplicates is 0.6"),
        ({"cell_line_shift": -0.1}, "cell_line_shift is -0.1"),
        ({"fields_per_well": (3, 2)}, "fields_per_well is 3 to 2"),
        ({"min_train_wells": 3}, "wells of train are too few .* decrease min_train_wells"),
        ({"min_test_wells": 1}, "wells of test are too few .* decrease min_test_wells"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        synthetic_dataset(**{"n_train": 20, "n_test": 8, **options})


def test_an_unknown_field_is_named():
    with pytest.raises(InputError, match="no field 'nobody'"):
        synthetic_dataset(4, 0, size=32).field("nobody")
