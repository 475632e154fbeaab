"""Parts of a store that is being made: which count, and what several processes do to them."""

import io
import os
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.store import StoreHeader, StoreWriter, open_store, write_store
from hpastack.store import parts as parts_module

HEADER = StoreHeader("out_of_fold", "logits", ["s__0", "s__1"], fold_plan="d")
IDS = ["w", "x", "y", "z"]
FOLD = [0, 1, -1, -1]
VALUES = np.arange(8, dtype=np.float32).reshape(4, 2)
MEMBERS = np.stack([VALUES[2:] - 1, VALUES[2:] + 1])


def begin(tmp_path):
    return StoreWriter(tmp_path / "s.h5", HEADER, IDS, fold=FOLD, n_members=2, overwrite=True)


def finished(tmp_path):
    """Return a writer with all rows finished, in one part, the last of them set aside."""
    writer = begin(tmp_path)
    writer.write([0, 1, 2], VALUES[:3], MEMBERS[:, :1], faults={3: "dark"})
    return writer


def rewrite(writer, change):
    """Change what the one part holds; its checksum is right again afterwards."""
    (file,) = writer.parts.glob("part-*.h5")
    data = io.BytesIO(file.read_bytes()[:-4])
    with h5py.File(data, "r+") as part:
        change(part)
    file.write_bytes(data.getvalue() + zlib.crc32(data.getvalue()).to_bytes(4, "little"))


def put(name, array):
    def change(part):
        if name in part:
            del part[name]
        part[name] = array

    return change


def no_group(part):
    del part["values"]
    part.create_group("values")


DAMAGES = {
    "a row that is not there": put("rows", np.array([0, 1, 4])),
    "a row below the first": put("rows", np.array([-1, 1, 2])),
    "a row twice": put("rows", np.array([0, 0, 2])),
    "rows that do not ascend": put("rows", np.array([1, 0, 2])),
    "rows of halves": put("rows", np.array([0.0, 1.0, 2.0])),
    "rows in a table": put("rows", np.array([[0, 1, 2]])),
    "one row": put("rows", 0),
    "text for rows": put("rows", "w"),
    "a column more": put("values", np.zeros((3, 3), np.float32)),
    "a row less": put("values", VALUES[:2]),
    "turned": put("values", VALUES[:3].T),
    "doubles": put("values", VALUES[:3].astype(float)),
    "a group of values": no_group,
    "a member less": put("members", MEMBERS[:1, :1]),
    "members of more rows": put("members", MEMBERS),
    "members of doubles": put("members", MEMBERS[:, :1].astype(float)),
    "a fault that is not there": put("fault_rows", np.array([4])),
    "a fault that is finished": put("fault_rows", np.array([2])),
    "faults without reasons": put("fault_rows", np.array([], np.int64)),
    "one reason": put("fault_reasons", b"dark"),
    "another digest": lambda part: part.attrs.__setitem__("digest", np.bytes_(b"d")),
    "a digest of many": lambda part: part.attrs.__setitem__("digest", np.arange(3)),
    "no digest": lambda part: part.attrs.__delitem__("digest"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_part_that_does_not_fit_does_not_count_and_goes(tmp_path, damage):
    writer = finished(tmp_path)
    rewrite(writer, lambda part: None)
    assert begin(tmp_path).n_missing() == 0  # as it was, it counts
    rewrite(writer, DAMAGES[damage])
    again = begin(tmp_path)
    assert again.n_missing() == 4 and again.faults() == {}
    assert list(again.parts.iterdir()) == []


@pytest.mark.parametrize("place", [0, 40, -300, -4, -1])
def test_a_changed_byte_anywhere_is_found(tmp_path, place):
    writer = finished(tmp_path)
    (file,) = writer.parts.glob("part-*.h5")
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    assert begin(tmp_path).n_missing() == 4


def test_a_part_that_cannot_be_read_now_is_not_removed(tmp_path, monkeypatch):
    writer = finished(tmp_path)

    def silent(path):
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", silent)
        with pytest.raises(OSError, match="Input/output error: .*part-000000000"):
            begin(tmp_path)
    assert begin(tmp_path).n_missing() == 0
    assert len(list(writer.parts.iterdir())) == 1


@pytest.mark.parametrize(
    "rows, faults", [([1, 0], {}), ([0, 0], {}), ([0, 4], {}), ([-1, 0], {}), ([0, 1], {1: "dark"})]
)
def test_rows_that_would_not_count_are_refused(tmp_path, rows, faults):
    with pytest.raises((ValueError, IndexError)):
        begin(tmp_path).write(rows, VALUES[:2], faults=faults)


def test_a_part_is_read_once_before_it_is_published(tmp_path, monkeypatch):
    finished(tmp_path)
    read, seen = parts_module.PartFolder._read, []

    def note(self, path):
        seen.append(path.name)
        return read(self, path)

    monkeypatch.setattr(parts_module.PartFolder, "_read", note)
    writer = begin(tmp_path)
    writer.pending(), writer.n_missing(), writer.faults()
    assert len(seen) == 1
    writer.write([3], VALUES[3:], MEMBERS[:, 1:])
    assert writer.n_missing() == 0 and len(seen) == 1
    writer.publish()
    assert len(seen) == 3


class TestPlaces:
    def test_parts_that_are_no_folder_are_refused_before_any_work(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        for make in (
            lambda parts: parts.write_text("text"),
            lambda parts: parts.symlink_to(tmp_path / "elsewhere"),
            lambda parts: parts.symlink_to(tmp_path / "nowhere"),
        ):
            make(tmp_path / "s.h5.parts")
            with pytest.raises(InputError, match="s.h5.parts is not a folder, .* remove it"):
                begin(tmp_path)
            (tmp_path / "s.h5.parts").unlink()

    def test_a_folder_at_the_place_of_the_store_is_refused_before_any_work(self, tmp_path):
        (tmp_path / "s.h5").mkdir()
        with pytest.raises(InputError, match="s.h5 is a folder; remove it"):
            begin(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


class TestTogether:
    def test_who_writes_after_another_has_published_is_told(self, tmp_path):
        late = begin(tmp_path)
        finished(tmp_path).publish()
        with pytest.raises(InputError, match="s.h5.parts is gone: another process"):
            late.write([0], VALUES[:1])
        assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]

    def test_two_that_replace_the_store_at_once_are_both_done(self, tmp_path, monkeypatch):
        one, other = finished(tmp_path), begin(tmp_path)
        assert other.n_missing() == 0
        replace = os.replace

        def overtaken(source, target):
            replace(source, target)
            if target == one.path:
                monkeypatch.setattr(os, "replace", replace)
                one._folder.remove()  # by the other, which is as far

        monkeypatch.setattr(os, "replace", overtaken)
        with open_store(one.publish()) as store:
            assert store.image_ids == IDS[:3]
        assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]

    def test_parts_that_a_disk_does_not_let_go_do_not_spoil_a_published_store(
        self, tmp_path, monkeypatch
    ):
        rmtree = shutil.rmtree

        def busy(path, ignore_errors=False):
            if not ignore_errors:
                raise OSError(16, "Device or resource busy", str(path))

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", busy)
            finished(tmp_path).publish()
        assert (tmp_path / "s.h5").exists() and rmtree is shutil.rmtree
        left = [path for path in tmp_path.iterdir() if path.name.endswith(".old")]
        assert len(left) == 1
        left[0].rename(tmp_path / ".s.h5.parts.another-machine.1.old")
        begin(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["s.h5", "s.h5.parts"]

    def test_what_was_written_counts_though_another_recipe_removed_it(self, tmp_path):
        writer = finished(tmp_path)
        StoreWriter(tmp_path / "s.h5", HEADER, IDS, fold=FOLD)  # which has no members
        assert writer.n_missing() == 0
        with pytest.raises(InputError, match="the part with field w was damaged or removed"):
            writer.publish()

    def test_an_older_store_in_place_is_not_taken_for_the_one_of_another(self, tmp_path):
        finished(tmp_path).publish()
        old = (tmp_path / "s.h5").read_bytes()
        writer = finished(tmp_path)
        for file in writer.parts.iterdir():
            file.write_bytes(b"damaged")
        with pytest.raises(InputError, match="was damaged or removed in the meantime"):
            writer.publish()
        # And one of other fields, where the folder of parts has gone.
        others = {"fold": FOLD, "overwrite": True}
        other = StoreWriter(tmp_path / "s.h5", HEADER, ["a", *IDS[1:]], n_members=2, **others)
        other.write([0, 1, 2], VALUES[:3], MEMBERS[:, :1], faults={3: "dark"})
        shutil.rmtree(other.parts)
        with pytest.raises((InputError, FileNotFoundError)):
            other.publish()
        assert (tmp_path / "s.h5").read_bytes() == old

    def test_what_a_process_of_another_user_writes_is_left(self, tmp_path, monkeypatch):
        own = begin(tmp_path)._folder.temporary("s.h5")
        file = own.with_name(own.name.replace(f".{os.getpid()}.", ".1."))
        file.write_bytes(b"half")

        def forbidden(pid, number):
            raise PermissionError

        monkeypatch.setattr(os, "kill", forbidden)
        begin(tmp_path)
        assert file.exists()

    def test_containers_that_share_a_name_and_numbers_are_told_apart(self, tmp_path, monkeypatch):
        writer = begin(tmp_path)
        own = writer._folder.temporary("s.h5")
        monkeypatch.setattr(os, "readlink", lambda path: "pid:[1234567890]")
        other = writer._folder.temporary("s.h5")
        assert other != own
        for file in (own, other):
            file.write_bytes(b"half")
        begin(tmp_path)  # in the other container: its own number was given anew
        assert own.exists() and not other.exists()


def test_bytes_are_on_the_disk_before_their_name_and_the_name_before_the_parts_go(
    tmp_path, monkeypatch
):
    done = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)

        def noted(*args, _name=name, _function=function):
            done.append(_name)
            return _function(*args)

        monkeypatch.setattr(os, name, noted)
    writer = finished(tmp_path)
    assert done == ["fsync", "replace"]
    done.clear()
    writer.publish()
    assert done == ["fsync", "replace", "fsync", "replace"]


@pytest.mark.parametrize("error", [OSError(122, "Disk quota exceeded"), RuntimeError(
    "can't write (error message = 'Disk quota exceeded')"
), OSError("error message = 'No space left on device'")])  # fmt: skip
def test_a_used_up_quota_is_a_full_disk(tmp_path, monkeypatch, error):
    writer = finished(tmp_path)

    def full(*_, **__):
        raise error

    monkeypatch.setattr(h5py, "File", full)
    monkeypatch.setattr(writer, "_kept_rows", lambda: [0, 1, 2])
    with pytest.raises(InputError, match="s.h5.parts: the disk is full; free disk space"):
        writer.publish()


def test_a_whole_matrix_begins_from_scratch(tmp_path):
    # As a killed call leaves them, whose values were others.
    begin(tmp_path).write([0, 1], VALUES[:2] + 5)
    path = write_store(tmp_path / "s.h5", HEADER, IDS, VALUES, fold=FOLD, members=MEMBERS)
    with open_store(path) as store:
        np.testing.assert_array_equal(store.values(), VALUES)
