"""Making the packed file: resumed and killed, the same bytes; what it refuses."""

import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.fields import STAINS, PackedFields, check_fields, pack_fields
from hpastack.fields.packed import writing
from hpastack.fields.reading import read_square_image

SIZE = 16
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def catalogue(noise_fields):
    return noise_fields(9)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(writing, "_MOST_ROWS", 2)


def pack(path, catalogue, **options):
    return pack_fields(path, catalogue, SIZE, **({"jobs": 2, "progress": False} | options))


def stop_after(monkeypatch, n_fields, error=KeyboardInterrupt):
    """Let the encoding of one more field raise; return the ids encoded."""
    encode, seen = writing._Parts._encode, []

    def encode_some(parts, field):
        if len(seen) == n_fields:
            raise error
        seen.append(field[0])
        return encode(parts, field)

    monkeypatch.setattr(writing._Parts, "_encode", encode_some)
    return seen


def test_same_bytes_for_any_number_of_threads(catalogue, tmp_path):
    paths = [pack(tmp_path / str(n) / "fields.h5", catalogue, jobs=n).path for n in (1, 2, 5)]
    assert len({path.read_bytes() for path in paths}) == 1
    assert [path.name for path in paths[0].parent.iterdir()] == ["fields.h5"]


def test_stopped_and_run_again_keeps_what_is_finished(catalogue, tmp_path, monkeypatch):
    whole = pack(tmp_path / "whole" / "fields.h5", catalogue)
    path = tmp_path / "fields.h5"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            pack(path, catalogue, jobs=1)
    assert not path.exists()
    (path.with_name("fields.h5.parts") / ".part-000000004.h5.tmp").write_text("half-written")
    encoded = stop_after(monkeypatch, 9)
    pack(path, catalogue, jobs=1)
    assert encoded == ["field4", "field5", "field6", "field7", "field8"]
    assert path.read_bytes() == whole.path.read_bytes()
    assert not path.with_name("fields.h5.parts").exists()


def test_parts_that_are_damaged_or_of_something_else_are_made_again(
    catalogue, tmp_path, monkeypatch
):
    whole = pack(tmp_path / "whole" / "fields.h5", catalogue)
    path = tmp_path / "fields.h5"
    with monkeypatch.context() as patch:
        patch.setattr(writing._Parts, "publish", lambda parts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pack(path, catalogue)
    part = path.with_name("fields.h5.parts") / "part-000000002.h5"
    part.write_bytes(part.read_bytes()[:-100])
    encoded = stop_after(monkeypatch, 9)
    pack(path, catalogue, jobs=1)
    assert encoded == ["field2", "field3"]
    assert path.read_bytes() == whole.path.read_bytes()
    with pytest.raises(KeyboardInterrupt):  # at another size nothing is kept
        pack_fields(path, catalogue, 8, jobs=1, overwrite=True, progress=False)
    assert encoded[2:] == list(catalogue.index[:7])
    assert PackedFields(path).size == SIZE


KILLED = """
import sys
import pandas as pd
from hpastack.fields.packed import writing
writing._MOST_ROWS = 2
catalogue = pd.read_pickle(sys.argv[1])
print("ready", flush=True)
writing.pack_fields(sys.argv[2], catalogue, 16, jobs=2, progress=False)
"""


def test_killed_at_any_moment_and_run_again_gives_the_same_bytes(noise_fields, tmp_path):
    catalogue = noise_fields(40, height=200, width=200)
    whole = pack(tmp_path / "whole" / "fields.h5", catalogue)
    catalogue.to_pickle(tmp_path / "catalogue.pickle")
    path = tmp_path / "fields.h5"
    rng = np.random.default_rng(0)
    n_killed = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path / "catalogue.pickle", path],
            cwd=ROOT, stdout=subprocess.PIPE,
        )  # fmt: skip
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        n_killed += process.wait() == -signal.SIGKILL
        if path.exists():  # it was quicker: whole, and begun anew for the next kill
            assert path.read_bytes() == whole.path.read_bytes()
            path.unlink()
    assert n_killed > 0
    pack(path, catalogue)
    assert path.read_bytes() == whole.path.read_bytes()
    assert not path.with_name("fields.h5.parts").exists()


def test_one_that_is_the_same_is_kept_and_another_refused(catalogue, tmp_path):
    path = pack(tmp_path / "fields.h5", catalogue).path
    before = path.stat().st_mtime_ns
    pack(path, catalogue)
    assert path.stat().st_mtime_ns == before
    for other in (catalogue.iloc[:5], catalogue.iloc[::-1]):
        with pytest.raises(
            InputError,
            match="fields.h5 exists, of other fields or another size; pass overwrite",
        ):
            pack(path, other)
    with pytest.raises(InputError, match="or another size; pass overwrite=True"):
        pack_fields(path, catalogue, 8, progress=False)
    assert path.stat().st_mtime_ns == before
    assert len(pack(path, catalogue.iloc[:5], overwrite=True)) == 5
    path.write_text("damaged")
    assert len(pack(path, catalogue, overwrite=True)) == 9


@pytest.mark.parametrize("number", [0, 7])
def test_a_bad_field_is_named(catalogue, tmp_path, number):
    blue = Path(catalogue.iloc[number]["blue"])
    kept = blue.read_bytes()
    blue.unlink()
    with pytest.raises(InputError, match=f"^field field{number}: {blue}: no such file"):
        pack(tmp_path / "fields.h5", catalogue)
    assert not (tmp_path / "fields.h5").exists()
    blue.write_bytes(kept)
    assert len(pack(tmp_path / "fields.h5", catalogue)) == 9


def test_files_that_have_changed_since_the_catalogue_are_refused(catalogue, tmp_path):
    cv2.imwrite(catalogue.loc["field3", "green"], np.zeros((30, 24), np.uint8))
    with pytest.raises(InputError, match="^field field3: its files have changed since"):
        pack(tmp_path / "fields.h5", catalogue)


def test_what_cannot_be_packed_is_refused(catalogue, tmp_path):
    with pytest.raises(InputError, match="size is 0; it must be at least 1 pixel"):
        pack_fields(tmp_path / "fields.h5", catalogue, 0)
    with pytest.raises(InputError, match="no fields to pack"):
        pack(tmp_path / "fields.h5", catalogue.iloc[:0])
    catalogue.loc["field3", "content"] = ""
    with pytest.raises(InputError, match="without images cannot be packed: field3"):
        pack(tmp_path / "fields.h5", catalogue)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


class TestCompression:
    def test_noise_is_not_compressed(self, catalogue, tmp_path):
        with h5py.File(pack(tmp_path / "fields.h5", catalogue).path) as file:
            assert file["fields"].compression is None

    @pytest.fixture
    def dark(self, catalogue):
        """Fields with little in them; the last is noise all the same."""
        for image_id, row in catalogue.iloc[:-1].iterrows():
            for number, stain in enumerate(STAINS):
                pixels = np.full((30, 24), number + len(image_id), np.uint8)
                pixels[: int(image_id[-1]) + 1, :5] = 200
                cv2.imwrite(row[stain], pixels)
        facts, _ = check_fields(catalogue, jobs=1, progress=False)
        return catalogue.assign(content=facts["content"])

    def test_dark_fields_are(self, dark, tmp_path):
        packed = pack(tmp_path / "fields.h5", dark)
        with h5py.File(packed.path) as file:
            assert file["fields"].compression == "gzip"
            plain = file["fields"][()]
        for row, (_, files) in enumerate(dark.iterrows()):
            np.testing.assert_array_equal(packed.read(row), read_square_image(files, SIZE))
            np.testing.assert_array_equal(packed.read(row), plain[row])

    def test_the_bytes_do_not_depend_on_a_stop(self, dark, tmp_path, monkeypatch):
        whole = pack(tmp_path / "whole" / "fields.h5", dark)
        with monkeypatch.context() as patch:
            stop_after(patch, 3)
            with pytest.raises(KeyboardInterrupt):
                pack(tmp_path / "fields.h5", dark, jobs=1)
        again = pack(tmp_path / "fields.h5", dark)
        assert again.path.read_bytes() == whole.path.read_bytes()

    def test_a_bomb_is_not_inflated(self, dark, tmp_path):
        path = pack(tmp_path / "fields.h5", dark).path
        with h5py.File(path, "r+") as file:
            # Within the room that a field may take, and 4 MiB when inflated.
            file["fields"].id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(1 << 19)))
        with pytest.raises(InputError, match="field field0 is damaged"):
            PackedFields(path).read(0)


class TestFullDisk:
    def test_it_is_said_and_goes_on_after_making_room(self, small_disk, noise_fields, tmp_path):
        catalogue = noise_fields(30, height=64, width=64)
        whole = pack_fields(tmp_path / "fields.h5", catalogue, 64, progress=False)
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(700_000))
        path = small_disk / "fields.h5"
        with pytest.raises(InputError, match="the disk is full; free twice"):
            pack_fields(path, catalogue, 64, progress=False)
        assert not path.exists()
        ballast.unlink()
        # Room for the parts, but not for parts and file.
        with pytest.raises(InputError, match="the disk is full; free twice"):
            pack_fields(path, catalogue, 64, progress=False)
        assert not path.exists()
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        pack_fields(path, catalogue, 64, progress=False)
        assert path.read_bytes() == whole.path.read_bytes()

    @pytest.mark.parametrize(
        "error", [OSError(28, "No space left on device"), RuntimeError("errno = 28, No space left")]
    )
    def test_however_hdf5_says_it(self, catalogue, tmp_path, monkeypatch, error):
        def full(*_):
            raise error

        monkeypatch.setattr(writing._Parts, "_write", full)
        with pytest.raises(InputError, match="the disk is full; free twice"):
            pack(tmp_path / "fields.h5", catalogue)

    def test_other_faults_keep_their_type(self, catalogue, tmp_path, monkeypatch):
        monkeypatch.setattr(writing._Parts, "_write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pack(tmp_path / "fields.h5", catalogue)
