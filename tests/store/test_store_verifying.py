"""What is found of a store that is not what was written, and what its summary says."""

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest

from hpastack.catalogue import catalogue_digest
from hpastack.errors import InputError
from hpastack.store import (
    StoreHeader,
    StoreWriter,
    open_store,
    store_summary,
    table_digest,
    unfinished_rows,
    verify_store,
    write_store,
)

IDS = [f"field{i}" for i in range(6)]
VALUES = np.linspace(0, 1, 12, dtype=np.float32).reshape(6, 2)
FOLD = np.array([0, 1, 0, 1, -1, -1])
MEMBERS = np.stack([VALUES[4:] - 0.125, VALUES[4:] + 0.125])


def header(**changes):
    given = {"kind": "out_of_fold", "content": "logits", "columns": ["s__0", "s__1"]}
    return StoreHeader(**given | changes)


@pytest.fixture
def path(tmp_path):
    return write_store(tmp_path / "s.h5", header(), IDS, VALUES, fold=FOLD, members=MEMBERS)


def change(path, name, place, value):
    with h5py.File(path, "r+") as file:
        file[name][place] = value


def problems(path, **options):
    return verify_store(path, **options).problems


def test_a_sound_store(path):
    check = verify_store(path)
    assert check.problems == [] and check.damaged == [] and check.unfinished is None
    assert check.n_rows == 6 and check.has_checksums


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_a_changed_number_is_told_by_the_id_of_its_field(tmp_path, storage):
    given = header(kind="target_free", content="features", storage=storage)
    path = write_store(tmp_path / "s.h5", given, IDS, VALUES)
    assert problems(path) == []
    change(path, "values", (3, 1), 0.75)
    check = verify_store(path)
    assert check.damaged == ["field3"]
    assert check.problems == ["1 of 6 fields are damaged (checksum): field3"]


def test_a_changed_member_is_told_by_the_id_of_its_field(path):
    change(path, "members", (1, 0, 1), MEMBERS[1, 0, 1] + 1)
    check = verify_store(path)
    assert check.damaged == ["field4"]
    assert check.problems[1] == (
        "0.818182 in column 's__1' of field field4 is not the mean of its members"
    )


@pytest.mark.parametrize("name, data", [("fold", FOLD[::-1]), ("columns", ["s__1", "s__0"])])
def test_changed_texts_and_folds_are_found_by_the_digest(tmp_path, name, data):
    path = write_store(tmp_path / "s.h5", header(), IDS, VALUES, fold=FOLD)
    with h5py.File(path, "r+") as file:
        file[name][...] = np.array(data, file[name].dtype)
    (problem,) = problems(path)
    assert problem.endswith("differ from those that were written (digest)")


def test_a_changed_header_is_found_by_the_digest(path):
    with h5py.File(path, "r+") as file:
        file.attrs["kind"] = "target_free"
    assert "(digest)" in problems(path)[0]


@pytest.mark.parametrize("name, place, field", [("values", (3, 1), 3), ("members", (1, 0, 1), 4)])
def test_changed_numbers_are_not_read(path, name, place, field):
    change(path, name, place, 0.75)
    with open_store(path) as store:
        message = (
            rf"s.h5: the numbers of field{field} differ from those that were written \(checksum\)"
        )
        for read in (store.values, store.to_frame, lambda: list(store.blocks())):
            with pytest.raises(InputError, match=message):
                read()
        if name == "members":
            with pytest.raises(InputError, match=message):
                store.members()
        with pytest.raises(InputError, match=message):
            store.rows(["field0", f"field{field}"], ["s__0"])
        sound = [image_id for image_id in IDS if image_id != f"field{field}"]
        np.testing.assert_array_equal(store.rows(sound), np.delete(VALUES, field, axis=0))
        with pytest.raises(InputError, match=message):
            pickle.loads(pickle.dumps(store)).values()
    with open_store(path, verify=False) as store:
        assert (store.values()[3, 1] == 0.75) == (name == "values")
        assert store.members().shape == MEMBERS.shape
        assert len(pickle.loads(pickle.dumps(store)).values()) == 6


def test_a_changed_header_is_not_read(path):
    with h5py.File(path, "r+") as file:
        file.attrs["kind"] = "target_free"
    with pytest.raises(InputError, match="differ from those .* written .digest.*verify=False"):
        open_store(path)
    with open_store(path, verify=False) as store:
        assert store.kind == "target_free"


def test_numbers_that_are_none_are_told_by_id_and_column(path):
    for place, value in (((1, 0), np.nan), ((1, 1), np.inf), ((3, 1), np.nan)):
        change(path, "values", place, value)
    change(path, "members", (0, 1, 0), -np.inf)
    found = problems(path)
    assert "nan in column 's__0' of field field1, and 2 more" in found
    assert "-inf in column 's__0' of field field5 (member 0)" in found


def test_documented_nan_is_sound(tmp_path):
    values = VALUES.copy()
    values[2, 1] = np.nan
    given = header(kind="target_free", content="features", allow_nan=True)
    path = write_store(tmp_path / "s.h5", given, IDS, values)
    assert problems(path) == []
    change(path, "values", (0, 0), np.inf)
    assert "inf in column 's__0' of field field0" in problems(path)


def test_probabilities_and_label_sets_have_bounds(tmp_path):
    values = VALUES.copy()
    values[1, 1] = 1.5
    path = write_store(tmp_path / "p.h5", header(content="probabilities"), IDS, values)
    assert problems(path) == ["1.5 in column 's__1' of field field1 is not a probability"]
    sets = np.round(VALUES)
    members = np.stack([sets[4:], 1 - sets[4:]])
    sets[4:] = 0.5
    path = write_store(
        tmp_path / "l.h5", header(content="label_sets"), IDS, sets, fold=FOLD, members=members
    )
    assert problems(path) == []
    sets[0, 0] = 0.5
    path = write_store(tmp_path / "m.h5", header(content="label_sets"), IDS, sets)
    assert problems(path) == ["0.5 in column 's__0' of field field0 is neither 0 nor 1, and 4 more"]


def test_a_table_that_was_brought_in_is_held_against_its_digest(tmp_path):
    given = header(
        recipe={"type": "ingest"}, made_from=table_digest(IDS, VALUES, MEMBERS), fold_plan="x"
    )
    path = write_store(tmp_path / "s.h5", given, IDS, VALUES, fold=FOLD, members=MEMBERS)
    assert problems(path) == []
    # As earlier formats have no checksums, it is all that tells.
    with h5py.File(path, "r+") as file:
        del file["checksums"]
        file.attrs["version"] = 2
    assert problems(path) == []
    change(path, "values", (1, 1), 0.5)
    check = verify_store(path)
    assert not check.has_checksums
    assert check.problems == [
        "ids and numbers differ from those of the table from which it was made"
    ]


def catalogue(ids):
    rows = {"content": [f"{i:032x}" for i in range(len(ids))], "split": ["train"] * len(ids)}
    frame = pd.DataFrame(rows, index=pd.Index(ids, name="image_id"))
    frame.loc[frame.index[-2:], "split"] = "test"
    return frame


def test_other_fields_than_those_of_the_catalogue(tmp_path):
    fields = catalogue(IDS)
    given = header(
        kind="target_free",
        content="features",
        recipe={"type": "handcrafted"},
        made_from=catalogue_digest(fields),
    )
    path = write_store(tmp_path / "s.h5", given, IDS, VALUES)
    assert problems(path, catalogue=fields) == []
    other = catalogue([*IDS[:-1], "new", "newer"])
    (problem,) = problems(path, catalogue=other)
    assert problem == "it was made from other fields than those now in the catalogue"
    with open_store(path) as store:
        assert store_summary(store, fields)["made from"].endswith(": the fields of the catalogue")
        facts = store_summary(store, other)
    assert facts["made from"].endswith(": OTHER fields than the catalogue's")
    assert facts["catalogue"] == (
        "5 of 5 train fields, 0 of 2 test fields, 1 not in the catalogue (field5)"
    )


def test_the_summary(path):
    with open_store(path) as store:
        facts = store_summary(store, fold_plan="other")
    assert facts["contents"] == "logits, out_of_fold"
    assert facts["rows"] == "6 fields, such as field0"
    assert facts["columns"] == "2: s_... 2"
    assert facts["folds"] == "test: 2, 0: 2, 1: 2"
    assert facts["members"].startswith("2 models") and facts["fold plan"] == "unknown"
    assert "hpastack" in facts["made with"]


def test_rows_of_unfinished_work_are_counted(tmp_path):
    path = tmp_path / "s.h5"
    assert unfinished_rows(path) is None
    writer = StoreWriter(path, header(), IDS, block_size=2)
    writer.write([0, 1], VALUES[:2])
    writer.write([4, 5], VALUES[4:])
    (writer.parts / "part-000000009-00000000.h5").write_text("damaged")
    assert unfinished_rows(path) == 4
