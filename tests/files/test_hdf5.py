"""What an untrusted HDF5 file may hold."""

import h5py
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.files import filters, plain_dataset

pytestmark = pytest.mark.core


def linked(file: h5py.File) -> None:
    file["other"] = np.arange(3)
    file["x"] = h5py.SoftLink("/other")


def external(file: h5py.File) -> None:
    file.create_dataset("x", (3,), "i4", external=[("elsewhere.bin", 0, 12)])


def virtual(file: h5py.File) -> None:
    file["other"] = np.arange(3)
    layout = h5py.VirtualLayout((3,), "i4")
    layout[:] = h5py.VirtualSource(".", "other", (3,))
    file.create_virtual_dataset("x", layout)


NOT_PLAIN = {
    "a soft link": linked,
    "an external link": lambda file: file.__setitem__("x", h5py.ExternalLink("other.h5", "/x")),
    "a group": lambda file: file.create_group("x"),
    "a named type": lambda file: file.__setitem__("x", np.dtype("i4")),
    "external storage": external,
    "a virtual dataset": virtual,
}


@pytest.mark.parametrize("make", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_numbers_that_lie_elsewhere_are_an_error(tmp_path, make):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
        with pytest.raises(InputError, match="a.h5: 'x' is not plain data; it is not to be trus"):
            plain_dataset(file.id, b"x", tmp_path / "a.h5")


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, []),
        ({"compression": "gzip"}, [h5py.h5z.FILTER_DEFLATE]),
        (
            {"shuffle": True, "compression": "lzf"},
            [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_LZF],
        ),
    ],
)
def test_plain_numbers_are_opened_and_their_filters_named(tmp_path, options, expected):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(9), **options)
        dataset = plain_dataset(file.id, b"x", tmp_path / "a.h5")
        np.testing.assert_array_equal(h5py.Dataset(dataset)[()], np.arange(9))
        assert filters(dataset) == expected
