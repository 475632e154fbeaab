"""Stores side by side: what is a prediction, what a score, and a table for each member."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.folds import FoldPlan, fold_digest
from hpastack.labels import Vocabulary
from hpastack.stack import choose_stores, gather_stores, gather_target_free
from hpastack.store import StoreHeader, write_store

NAMES = Vocabulary(["nucleus", "cytosol"])
IDS = [f"f{i}" for i in range(6)]
FOLD = np.array([0, 1, 0, -1, -1, -1])


def predictions(folder, name, n_members, *, ids=IDS, fold=FOLD, **changes):
    """Write random logits whose test fields have `n_members` members."""
    rng = np.random.default_rng(len(name) + n_members)
    values = rng.normal(size=(len(ids), 2)).astype(np.float32)
    members = None
    if n_members:
        members = rng.normal(size=(n_members, (fold == -1).sum(), 2)).astype(np.float32)
        values[fold == -1] = members.mean(axis=0)
    header = {"content": "logits", "columns": [f"{name}__0", f"{name}__1"], "vocabulary": NAMES}
    header = StoreHeader(**{"kind": "out_of_fold", **header, **changes})
    path = write_store(folder / f"{name}.h5", header, ids, values, fold=fold, members=members)
    return path, values, members


def features(folder):
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    header = StoreHeader("target_free", "features", ["texture__a", "texture__b"])
    return write_store(folder / "texture.h5", header, IDS, values), values


def test_stores_are_chosen_by_name_or_by_what_they_hold(tmp_path):
    net, _, _ = predictions(tmp_path, "net", 0)
    texture, _ = features(tmp_path)
    best, _, _ = predictions(tmp_path, "best", 0)
    assert choose_stores(tmp_path) == [best, net, texture]
    assert choose_stores(tmp_path, cnns=["net"]) == [net, texture]
    assert choose_stores(tmp_path, features=[]) == [best, net]
    # Whoever names a store says what it is; that it is there is seen when it is read.
    named = choose_stores(tmp_path, cnns=[], features=["texture", "later"])
    assert named == [texture, tmp_path / "later.h5"]
    (tmp_path / "empty").mkdir()
    for folder, options in ((tmp_path / "empty", {}), (tmp_path, {"cnns": [], "features": []})):
        with pytest.raises(InputError, match=f"no stores in {folder}; make some with extract"):
            choose_stores(folder, **options)


def test_member_tables_worked_by_hand(tmp_path):
    two, _, members = predictions(tmp_path, "two", 2)
    none, mean_only, _ = predictions(tmp_path, "none", 0)
    texture, measured = features(tmp_path)
    inputs = gather_stores([two, none, texture], ["f5", "f0", "f3"], NAMES)
    assert inputs.cnns == inputs.logits == ["two", "none"] and inputs.scores == []
    assert inputs.n_members == 2
    assert [made["n_members"] for made in inputs.stores.values()] == [2, 0, 0]
    for k in range(2):
        table = inputs.member_table(k)
        assert list(table.index) == ["f5", "f3"]  # in the order asked for; f0 was trained on
        assert list(table.columns) == list(inputs.table.columns)
        assert (table.dtypes == np.float32).all()
        np.testing.assert_array_equal(table[["two__0", "two__1"]], members[k][[2, 0]])
        np.testing.assert_array_equal(table[["none__0", "none__1"]], mean_only[[5, 3]])
        np.testing.assert_array_equal(table[["texture__a", "texture__b"]], measured[[5, 3]])
    with pytest.raises(IndexError, match="member 2 of 2"):
        inputs.member_table(2)


def test_stores_that_share_columns_are_refused_with_the_remedy(tmp_path):
    texture, _ = features(tmp_path)
    header = StoreHeader("target_free", "features", ["texture__b", "spots__c"])
    wide = write_store(tmp_path / "wide.h5", header, IDS, np.ones((6, 2)))
    copy = write_store(tmp_path / "copy.h5", header, IDS, np.ones((6, 2)))
    with pytest.raises(InputError) as error:
        gather_stores([predictions(tmp_path, "net", 0)[0], texture, wide, copy], IDS, NAMES)
    assert str(error.value) == (
        f"{wide} (1 column of texture.h5, such as texture__b), copy.h5 (1 column of texture.h5, "
        "such as texture__b; 1 column of wide.h5, such as spots__c): columns in common; name the "
        "stores to use with cnns and features, or move one of them away"
    )


def test_the_mean_of_the_member_tables_is_the_table(tmp_path):
    paths = [predictions(tmp_path, "six", 6)[0], predictions(tmp_path, "two", 2)[0],
             predictions(tmp_path, "three", 3)[0], features(tmp_path)[0]]  # fmt: skip
    inputs = gather_stores(paths, IDS, NAMES)
    before = inputs.table.copy()
    tables = [inputs.member_table(k) for k in range(inputs.n_members)]
    assert len(tables) == 6
    mean = sum(table.astype(float) for table in tables) / 6
    # The stored mean is in single precision.
    pd.testing.assert_frame_equal(mean, before.loc[IDS[3:]].astype(float), atol=1e-6)
    pd.testing.assert_frame_equal(inputs.table, before)
    # A store with fewer members gives them again, from the first on.
    pd.testing.assert_frame_equal(tables[0].filter(like="two"), tables[2].filter(like="two"))


def test_numbers_of_members_that_do_not_go_together_are_refused(tmp_path):
    four, five = (predictions(tmp_path, name, n)[0] for name, n in (("four", 4), ("five", 5)))
    with pytest.raises(InputError, match=r"five has 5 members.*multiple of those of four \(4\);"):
        gather_stores([four, five], IDS, NAMES)
    three = predictions(tmp_path, "three", 3)[0]
    with pytest.raises(InputError, match=r"of those of three \(3\), four \(4\);.*exclude some"):
        gather_stores([three, four, five], IDS, NAMES)
    # Training fields have no members, so that nothing is in the way of fitting.
    assert gather_stores([four, five], IDS[:3], NAMES).n_members == 0


def test_a_field_with_members_in_one_store_only(tmp_path):
    one, _, members = predictions(tmp_path, "one", 2)
    # This store was trained on f5 too.
    other, values, of_other = predictions(tmp_path, "other", 2, fold=np.array([0, 1, 0, -1, -1, 1]))
    table = gather_stores([one, other], IDS, NAMES).member_table(1)
    assert list(table.index) == ["f3", "f4", "f5"]
    np.testing.assert_array_equal(table[["one__0", "one__1"]], members[1])
    wanted = [*of_other[1], values[5]]
    np.testing.assert_array_equal(table[["other__0", "other__1"]], wanted)


def test_no_members_no_tables(tmp_path):
    inputs = gather_stores([predictions(tmp_path, "net", 0)[0]], IDS, NAMES)
    assert inputs.n_members == 0 and inputs.members == {}
    with pytest.raises(IndexError):
        inputs.member_table(0)


def test_scores_are_columns_but_no_cnn(tmp_path):
    net, _, _ = predictions(tmp_path, "net", 2)
    header = StoreHeader(
        "out_of_fold", "scores", ["near__0", "near__1"], vocabulary=NAMES, allow_nan=True
    )
    values = np.arange(12).reshape(6, 2) - 20.0
    values[4, 1] = np.nan  # no neighbours
    near = write_store(tmp_path / "near.h5", header, IDS, values, fold=FOLD)
    inputs = gather_stores([net, near], IDS, NAMES)
    assert inputs.cnns == ["net"] and inputs.scores == ["near"]
    np.testing.assert_array_equal(inputs.table[["near__0", "near__1"]], values)
    np.testing.assert_array_equal(inputs.member_table(1)[["near__0", "near__1"]], values[3:])
    with pytest.raises(InputError, match="net.h5, near.h5: labels differ from the vocabulary"):
        gather_stores([net, near], IDS, Vocabulary(["nucleus", "golgi"]))
    moved = near.rename(tmp_path / "moved.h5")
    with pytest.raises(InputError, match="moved.h5: columns are not NAME__0, .* rename the file"):
        gather_stores([moved], IDS, NAMES)
    message = (
        r"net.h5 \(logits of kind out_of_fold\), near.h5 \(scores of kind out_of_fold\): made with"
    )
    with pytest.raises(InputError, match=message):
        gather_target_free([net, moved.rename(near)], IDS, NAMES, made_from="x")


def plan_of(fold, cluster):
    frame = pd.DataFrame({"fold": fold, "cluster": cluster}, pd.Index(IDS[:3], name="image_id"))
    return FoldPlan(frame)


def test_all_stores_with_an_unknown_or_split_plan_are_named_in_one_error(tmp_path):
    names = ["a", "b", "c", "d", "e", "f"]
    for number, name in enumerate(names):
        of_training = np.array([0, 1, number % 2])
        fold = None if number < 3 else np.r_[of_training, -1, -1, -1]
        header = StoreHeader(
            "out_of_fold", "logits", [f"{name}__0", f"{name}__1"], vocabulary=NAMES,
            fold_plan="" if fold is None else fold_digest(IDS[:3], of_training),
        )  # fmt: skip
        write_store(tmp_path / f"{name}.h5", header, IDS, np.zeros((6, 2)), fold=fold)
    paths = [tmp_path / f"{name}.h5" for name in names]
    plan = plan_of([0, 1, 2], ["f0", "f0", "f2"])
    with pytest.raises(InputError) as error:
        gather_stores(paths, IDS, NAMES, plan=plan)
    split = "1 cluster, such as that of f0"
    assert str(error.value) == (
        f"{paths[0]}, b.h5, c.h5: fold plan is unknown; ingest them with the folds of their "
        "models, or accept them with accept=['a', 'b', 'c']; "
        f"{paths[3]} ({split}), e.h5 ({split}), f.h5 ({split}): fold plan splits clusters; make "
        "them again with the folds of this workspace, or accept them with accept=['d', 'e', 'f']"
    )
    assert error.value.parameters == ("accept",)
    gathered = gather_stores(paths, IDS, NAMES, plan=plan, accept=names)
    assert [note.partition(":")[0] for note in gathered.notes] == names
    with pytest.raises(InputError, match=r"f.h5 .*: fold plan .*accept it with accept=\['f'\]"):
        gather_stores([tmp_path / "f.h5"], IDS, NAMES, plan=plan)


def test_all_stores_that_are_out_of_date_are_named_with_their_commands(tmp_path):
    for name, recipe in (
        ("texture", {"type": "handcrafted"}),
        ("near", {"type": "neighbours", "stores": ["net"]}),
        ("net", {"type": "embedding"}),
    ):
        header = StoreHeader(
            "target_free", "features", [f"{name}__a"], recipe=recipe, made_from="old"
        )
        write_store(tmp_path / f"{name}.h5", header, IDS, np.ones((6, 1)))
    paths = [tmp_path / f"{name}.h5" for name in ("texture", "near", "net")]
    with pytest.raises(InputError) as error:
        gather_stores(paths, IDS, NAMES, made_from="new")
    assert str(error.value) == (
        f"{paths[0]}, near.h5, net.h5: made from other fields than the catalogue lists now; run: "
        "hpastack extract texture net --overwrite && "
        "hpastack neighbours net --name near --overwrite"
    )


def test_problems_of_several_kinds_are_named_in_one_error(tmp_path):
    seen, _, _ = predictions(tmp_path, "seen", 0, kind="in_sample", fold=None)
    header = StoreHeader("target_free", "features", ["texture__a"])
    texture = write_store(tmp_path / "texture.h5", header, IDS[:4], np.ones((4, 1)))
    broken, absent = tmp_path / "broken.h5", tmp_path / "absent.h5"
    broken.write_bytes(b"not a store")
    with pytest.raises(InputError) as error:
        gather_stores(
            [seen, texture, broken, absent], IDS, NAMES, plan=plan_of([0, 1, 2], list("abc"))
        )
    message = str(error.value)
    assert f"{seen}: in-sample, so trained on" in message
    assert f"{texture} lacks 2 of 6 fields" in message
    assert str(broken) in message and str(absent) in message
    with pytest.raises(InputError) as error:
        choose_stores(tmp_path)
    assert str(broken) in str(error.value)


def test_predictions_without_label_names_are_taken_at_their_word(tmp_path):
    path, _, _ = predictions(tmp_path, "net", 0, vocabulary=None)
    assert gather_stores([path], IDS, NAMES).cnns == ["net"]


@pytest.mark.parametrize(
    ("recipe", "remedy"),
    [
        ({}, "neighbours STORES --name texture"),
        ({"stores": 3, "name": "n"}, "neighbours STORES --name n"),
        ({"stores": ["a", 1]}, "neighbours a 1 --name texture"),
        ({"cnn": ["x"], "stores": None}, r"neighbours --cnn \['x'\] --name texture"),
    ],
)
def test_a_stale_store_of_a_stranger_names_the_command_as_well_as_it_can(tmp_path, recipe, remedy):
    header = StoreHeader(
        "target_free", "features", ["texture__a"], recipe={"type": "neighbours", **recipe},
        made_from="old",
    )  # fmt: skip
    path = write_store(tmp_path / "texture.h5", header, IDS, np.ones((6, 1)))
    with pytest.raises(InputError, match=f"hpastack {remedy} --overwrite"):
        gather_target_free([path], IDS, NAMES, made_from="new")
