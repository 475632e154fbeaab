"""Publishing files."""

import pytest

from hpastack.files import put_in_place


def test_what_stood_there_stays_where_nothing_can_take_its_place(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "weights").write_bytes(b"mine")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "taken by another machine", place)
    assert (place / "weights").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
