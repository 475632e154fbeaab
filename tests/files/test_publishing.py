"""Publishing files."""

import pytest

from hpastack.errors import InputError
from hpastack.files import put_in_place, refuse_existing


def test_what_stood_there_stays_where_nothing_can_take_its_place(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "weights").write_bytes(b"mine")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "taken by another machine", place)
    assert (place / "weights").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_existing_output_is_an_error_that_names_both_ways_to_replace_it(tmp_path):
    place = tmp_path / "table.csv"
    refuse_existing(place, overwrite=False)
    place.touch()
    refuse_existing(place, overwrite=True)
    for note, said in (("", "exists"), ("of other fields", "exists, of other fields")):
        with pytest.raises(InputError) as caught:
            refuse_existing(place, False, note)
        assert str(caught.value) == (f"{place} {said}; pass overwrite=True")
