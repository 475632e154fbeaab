"""The file of corrected labels, and its catalogue."""

import pandas as pd
import pytest

from hpastack.catalogue import Change, changes_text, corrected_fields
from hpastack.catalogue.changes import CORRECTED, LABELS
from hpastack.errors import InputError

pytestmark = pytest.mark.core

CATALOGUE = pd.DataFrame({"target": ["0", "16 0"]}, ["a", "b"])


@pytest.fixture
def path(tmp_path):
    changes = [
        Change("a", LABELS, "unknown name"),
        Change("b", LABELS, f"{CORRECTED} c.csv", before="1", after="16 0"),
    ]
    (tmp_path / "changes.csv").write_text(changes_text(changes))
    return tmp_path / "changes.csv"


def test_only_corrected_fields_are_returned(path):
    corrected = corrected_fields(path, CATALOGUE)
    assert corrected.to_dict("index") == {"b": {"before": "1", "after": "16 0"}}
    assert corrected_fields(path.with_name("none.csv"), CATALOGUE).empty


def test_the_changes_of_another_catalogue_are_an_error(path):
    with pytest.raises(
        InputError, match=r"changes\.csv and the catalogue have different .* for b;"
    ):
        corrected_fields(path, CATALOGUE.assign(target="0"))
    with pytest.raises(InputError, match="different labels for b; run: .* --overwrite"):
        corrected_fields(path, CATALOGUE.drop("b"))


def test_another_table_is_an_error(path):
    path.write_text("image_id,reason\na,x\n")
    with pytest.raises(InputError, match=r"changes\.csv: the columns must be image_id, change, "):
        corrected_fields(path, CATALOGUE)
