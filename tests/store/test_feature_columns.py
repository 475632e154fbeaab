"""Columns that number or name the rows are no features."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.store import check_feature_columns

pytestmark = pytest.mark.core

IDS = [f"f{number:03d}" for number in range(24)]
RNG = np.random.default_rng(0)
HONEST = {
    "area": RNG.permutation(200)[:24],
    "x": RNG.normal(size=24),
    "count": RNG.integers(3, size=24),
    "constant": np.ones(24),
}


def table(**columns):
    return pd.DataFrame({**HONEST, **columns}, index=IDS)


def test_features_pass():
    check_feature_columns(table(), "f.csv")
    check_feature_columns(table().astype(str), "f.csv")
    check_feature_columns(table().iloc[:2], "f.csv")


@pytest.mark.parametrize(
    "name",
    ["", "Unnamed: 0", "index", "level_0", "Row", "row_id", "Metadata_Row", "ImageNumber"]
    + ["Target", "fold", "id", "object number", "...1"],
)
def test_names_of_bookkeeping_are_rejected(name):
    frame = table().rename(columns={"x": name})
    with pytest.raises(InputError) as error:
        check_feature_columns(frame, "f.csv")
    assert str(error.value).startswith(f"f.csv: not features: {name!r} (")
    assert f"drop the columns '{name}'" in str(error.value)
    assert error.value.parameters == ("drop", "keep")
    check_feature_columns(frame, "f.csv", keep=[name])


@pytest.mark.parametrize(
    "values, reason",
    [
        (np.arange(24), "increases or decreases"),
        (np.linspace(5, -3, 24), "increases or decreases"),
        (np.sort(RNG.normal(size=24)), "increases or decreases"),
        (RNG.permutation(24), "consecutive numbers"),
        (RNG.permutation(24) + 1000.0, "consecutive numbers"),
        ([f"field {number}" for number in range(24)], "contains text, such as 'field 0'"),
    ],
)
def test_values_that_tell_the_row_are_rejected(values, reason):
    for frame in (table(seen=values), table(seen=values).astype(str)):
        with pytest.raises(InputError, match=f"'seen' .*{reason}"):
            check_feature_columns(frame, "f.csv")
        check_feature_columns(frame, "f.csv", keep=["seen"])


def test_the_numbers_within_the_ids_are_rejected():
    numbers = RNG.permutation(5000)[:24]
    frame = pd.DataFrame({"n": numbers}, index=[f"plate7_{number}" for number in numbers])
    with pytest.raises(InputError, match="'n' .is a number within the ids"):
        check_feature_columns(frame, "f.csv")
    check_feature_columns(frame.assign(n=numbers[::-1]), "f.csv")


def test_all_columns_are_named_at_once():
    frame = table(**{"Unnamed: 0": np.arange(24), "Metadata_Row": np.arange(24)})
    with pytest.raises(InputError, match="drop the columns 'Unnamed: 0', 'Metadata_Row'"):
        check_feature_columns(frame, "f.csv")


def test_decimal_commas_are_numbers():
    texts = table().astype(str).map(lambda cell: cell.replace(".", ","))
    check_feature_columns(texts, "f.csv")
    check_feature_columns(texts.assign(wide="1,234"), "f.csv")
    steps = [f"{number},5" for number in range(len(texts))]
    with pytest.raises(InputError, match="steps' .increases or decreases from row to row"):
        check_feature_columns(texts.assign(steps=steps), "f.csv")
    # Names of files with points are not numbers, and are still found.
    with pytest.raises(InputError, match="not features: 'file' .contains text, such as 'a.b.tif'"):
        check_feature_columns(texts.assign(file="a.b.tif"), "f.csv")
