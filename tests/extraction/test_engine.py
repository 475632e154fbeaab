"""The engine: rows in order, killed and resumed, bad fields, any number of workers."""

import subprocess
import sys
import threading
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.extraction import (
    engine,
    extract_embeddings,
    extract_features,
    handcrafted,
    weights_record,
)
from hpastack.features import feature_columns, field_features, undefined_columns
from hpastack.fields import STAINS, check_fields, pack_fields, read_field
from hpastack.parallel import progress_output
from hpastack.store import StoreWriter, open_store
from hpastack.synthetic import draw_field

FAMILIES = ["intensity", "colocalisation"]
OPTIONS = {"size": 24, "progress": False}


@pytest.fixture
def catalogue(noise_fields):
    return noise_fields(9)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(engine, "_BLOCK_SIZE", 2)


def damage(catalogue, image_id):
    path = Path(catalogue.loc[image_id, "blue"])
    path.write_bytes(path.read_bytes()[:200])
    return path


def stop_after(monkeypatch, n_fields, error=KeyboardInterrupt):
    """Let the measuring of one more field raise; return the ids measured."""
    measure, seen = handcrafted._measure_field, []

    def measure_some(image_id, *rest):
        if len(seen) == n_fields:
            raise error
        seen.append(image_id)
        return measure(image_id, *rest)

    monkeypatch.setattr(handcrafted, "_measure_field", measure_some)
    return seen


def test_a_store_holds_the_features_of_each_field_under_its_id(catalogue, tmp_path):
    made = extract_features(tmp_path / "set.h5", catalogue, FAMILIES, **OPTIONS)
    assert (made.n_fields, made.n_columns, made.skipped) == (9, 72 + 54, {})
    with open_store(made.path) as store:
        frame = store.to_frame()
        assert (store.kind, store.content, store.allow_nan) == ("target_free", "features", False)
        assert store.recipe == {"type": "handcrafted", "families": FAMILIES, "size": 24}
    assert frame.index.tolist() == catalogue.index.tolist()
    assert frame.columns.tolist() == feature_columns(FAMILIES)
    for image_id, row in catalogue.iterrows():
        expected = field_features(read_field(row, 24), FAMILIES)
        np.testing.assert_array_equal(frame.loc[image_id], np.float32(list(expected.values())))


def test_a_store_takes_nan_only_where_a_column_may_be_nan(catalogue, tmp_path):
    made = extract_features(tmp_path / "set.h5", catalogue, ["compartments"], **OPTIONS)
    with open_store(made.path) as store:
        assert store.allow_nan
        frame = store.to_frame()
    # Noise has no nuclei.
    assert (frame["compartments_no_nucleus__blue"] == 1).all()
    undefined = frame.columns[frame.isna().any()]
    assert len(undefined) > 0 and set(undefined) <= set(undefined_columns(["compartments"]))


def test_fields_can_be_measured_as_they_are(catalogue, tmp_path):
    made = extract_features(tmp_path / "set.h5", catalogue, ["minimal"], size=None, progress=False)
    with open_store(made.path) as store:
        assert store.recipe["size"] == "original"
        assert (store.to_frame()["minimal_size__field"] == 30).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "set.h5"]


def test_fields_are_enlarged_only_if_asked_for(catalogue, tmp_path):
    """A field smaller than the size of the recipe is measured as it is."""
    sides = {}
    for name, options in {
        "smaller": {"size": 20}, "kept": {"size": 64}, "enlarged": {"size": 64, "enlarge": True},
    }.items():  # fmt: skip
        made = extract_features(
            tmp_path / f"{name}.h5", catalogue, ["minimal"], progress=False, **options
        )
        with open_store(made.path) as store:
            side = store.to_frame()["minimal_size__field"].unique().item()
            sides[name] = (side, store.recipe.get("enlarge"))
    # Kept in the recipe only where it makes a difference.
    assert sides == {"smaller": (20, None), "kept": (30, False), "enlarged": (64, True)}


def test_same_bytes_for_any_number_of_workers(catalogue, tmp_path):
    paths = [tmp_path / str(jobs) / "set.h5" for jobs in (1, 2, 5)]
    for jobs, path in zip((1, 2, 5), paths):
        extract_features(path, catalogue, FAMILIES, jobs=jobs, **OPTIONS)
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize("stopped_at", ["measuring", "publishing"])
def test_parts_of_another_version_are_not_taken_over(catalogue, tmp_path, monkeypatch, stopped_at):
    whole = extract_features(tmp_path / "whole" / "set.h5", catalogue, FAMILIES, **OPTIONS)
    path = tmp_path / "set.h5"
    with monkeypatch.context() as patch:
        patch.setattr(handcrafted, "columns_of_stains", lambda f, _: feature_columns(f)[:-1])
        patch.setattr(
            handcrafted, "field_features",
            lambda *args: dict(list(field_features(*args).items())[:-1]),
        )  # fmt: skip
        if stopped_at == "measuring":
            stop_after(patch, 5)
        else:
            patch.setattr(engine, "_list_skipped", lambda *_: 1 / 0)
        with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
            extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert path.with_name("set.h5.parts").is_dir()
    extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert path.read_bytes() == whole.path.read_bytes()


def test_all_families_give_the_same_bytes_for_any_number_of_workers_and_in_processes(tmp_path):
    rows = {}
    for number in range(4):
        field = draw_field([25, number], size=192, seed=number)
        files = {stain: str(tmp_path / f"field{number}_{stain}.png") for stain in STAINS}
        for path, stain in zip(files.values(), field):
            cv2.imwrite(path, np.rint(stain * 255).astype(np.uint8))
        rows[f"field{number}"] = files
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")
    drawn = table.join(check_fields(table, jobs=1, progress=False)[0])
    stores = []
    for jobs, backend in ((1, "threading"), (3, "threading"), (2, "loky")):
        path = tmp_path / f"{jobs}_{backend}" / "set.h5"
        with joblib.parallel_config(backend):
            extract_features(path, drawn, size=192, jobs=jobs, progress=False)
        stores.append(path.read_bytes())
    assert len(set(stores)) == 1


def test_an_active_parallel_backend_is_honoured(catalogue, tmp_path, monkeypatch):
    expected = extract_features(tmp_path / "set.h5", catalogue, FAMILIES, **OPTIONS)

    def not_here(*_):
        raise AssertionError("measured in this process")

    monkeypatch.setattr(handcrafted, "read_field", not_here)
    other = tmp_path / "other" / "set.h5"
    with joblib.parallel_config("loky"):
        extract_features(other, catalogue, FAMILIES, jobs=2, **OPTIONS)
    assert other.read_bytes() == expected.path.read_bytes()


def test_stopped_and_run_again_gives_the_same_bytes(catalogue, tmp_path, monkeypatch):
    whole = extract_features(tmp_path / "whole" / "set.h5", catalogue, FAMILIES, **OPTIONS)
    path = tmp_path / "set.h5"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert not path.exists()
    measured = stop_after(monkeypatch, 9)
    extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    # What was measured since the last whole block was kept as well.
    assert measured == ["field5", "field6", "field7", "field8"]
    assert path.read_bytes() == whole.path.read_bytes()
    assert not path.with_name("set.h5.parts").exists()


def test_killed_and_run_again_gives_the_same_bytes(catalogue, tmp_path):
    whole = extract_features(tmp_path / "whole" / "set.h5", catalogue, FAMILIES, **OPTIONS)
    catalogue.to_pickle(tmp_path / "catalogue.pickle")
    path = tmp_path / "set.h5"
    killed = """
import os, sys
import pandas as pd
from hpastack.extraction import engine, handcrafted
engine._BLOCK_SIZE = 2
read, seen = handcrafted.read_field, []
def read_some(*args):
    seen.append(args)
    if len(seen) == 6:
        os._exit(9)
    return read(*args)
handcrafted.read_field = read_some
catalogue = pd.read_pickle(sys.argv[1])
families = ["intensity", "colocalisation"]
handcrafted.extract_features(sys.argv[2], catalogue, families, size=24, jobs=2, progress=False)
"""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", killed, tmp_path / "catalogue.pickle", path]
    assert subprocess.run(command, cwd=root).returncode == 9
    assert not path.exists() and path.with_name("set.h5.parts").exists()
    extract_features(path, catalogue, FAMILIES, **OPTIONS)
    assert path.read_bytes() == whole.path.read_bytes()


def test_killed_before_the_last_rename_measures_nothing_again(catalogue, tmp_path, monkeypatch):
    path = tmp_path / "set.h5"
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_list_skipped", lambda *_: (_ for _ in ()).throw(OSError))
        with pytest.raises(OSError):
            extract_features(path, catalogue, FAMILIES, **OPTIONS)
    assert not path.exists()
    assert stop_after(monkeypatch, 0) == []
    assert extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS).n_fields == 9


def test_stopped_while_a_block_is_written_it_is_written_once_more(catalogue, tmp_path, monkeypatch):
    path = tmp_path / "set.h5"
    with monkeypatch.context() as patch:
        write, calls = StoreWriter.write, []

        def stopped(self, rows, *args, **options):
            calls.append(rows)
            if len(calls) == 2:
                raise KeyboardInterrupt
            write(self, rows, *args, **options)

        patch.setattr(StoreWriter, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert calls == [[0, 1], [2, 3], [2, 3]]
    measured = stop_after(monkeypatch, 9)
    extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert measured == [f"field{number}" for number in range(4, 9)]


def test_slow_fields_are_kept_though_no_block_is_full(catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_BLOCK_SIZE", 256)
    monkeypatch.setattr(engine, "_KEEP_SECONDS", -1.0)
    path, kept = tmp_path / "set.h5", []
    measure = handcrafted._measure_field

    def count(*task):
        kept.append(len(list(path.with_name("set.h5.parts").glob("part-*.h5"))))
        return measure(*task)

    monkeypatch.setattr(handcrafted, "_measure_field", count)
    extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert kept == list(range(9))


def test_progress_counts_what_was_there_and_what_is_new(catalogue, tmp_path, monkeypatch):
    path, options = tmp_path / "set.h5", {"jobs": 1, "size": 24}
    monkeypatch.setattr("hpastack.parallel.progress._LINE_SECONDS", 0.0)
    first, second = [], []
    with monkeypatch.context() as patch, progress_output(log=first.append):
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            extract_features(path, catalogue, FAMILIES, **options)
    assert " 5 of 9 fields" in first[-1]
    with progress_output(log=second.append):
        extract_features(path, catalogue, FAMILIES, **options)
    assert " 6 of 9 fields" in second[0] and " 9 of 9 fields" in second[-1]


def test_finished_blocks_of_other_settings_are_not_used(catalogue, tmp_path, monkeypatch):
    path = tmp_path / "set.h5"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            extract_features(path, catalogue, FAMILIES, jobs=1, size=16, progress=False)
    measured = stop_after(monkeypatch, 9)
    extract_features(path, catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert measured == catalogue.index.tolist()


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_field_is_named_and_what_was_finished_is_kept(catalogue, tmp_path, monkeypatch, jobs):
    path = tmp_path / "set.h5"
    blue = damage(catalogue, "field5")
    with pytest.raises(InputError, match=f"field field5: {blue}: .*truncated"):
        extract_features(path, catalogue, FAMILIES, jobs=jobs, **OPTIONS)
    assert not path.exists()
    measured = stop_after(monkeypatch, 9)
    made = extract_features(path, catalogue, FAMILIES, jobs=1, on_error="skip", **OPTIONS)
    assert "field3" not in measured
    assert list(made.skipped) == ["field5"]


def test_skipped_fields_are_left_out_and_listed(catalogue, tmp_path):
    whole = extract_features(tmp_path / "whole.h5", catalogue, FAMILIES, **OPTIONS)
    truncated = damage(catalogue, "field5")
    gone = Path(catalogue.loc["field0", "red"])
    gone.unlink()
    path = tmp_path / "set.h5"
    made = extract_features(path, catalogue, FAMILIES, on_error="skip", **OPTIONS)
    assert made.n_fields == 7
    listed = pd.read_csv(made.skipped_path, index_col="image_id").reason
    assert made.skipped_path == tmp_path / "set.skipped.csv"
    assert listed.to_dict() == made.skipped
    assert list(made.skipped) == ["field0", "field5"]
    assert str(gone) in listed["field0"] and str(truncated) in listed["field5"]
    kept = catalogue.index.drop(["field0", "field5"])
    with open_store(path) as store, open_store(whole.path) as reference:
        assert store.image_ids == kept.tolist()
        np.testing.assert_array_equal(store.values(), reference.to_frame(kept))
    assert not path.with_name("set.h5.parts").exists()


def test_field_mended_before_the_end_is_measured(catalogue, tmp_path, monkeypatch):
    whole = extract_features(tmp_path / "whole" / "set.h5", catalogue, FAMILIES, **OPTIONS)
    blue = Path(catalogue.loc["field1", "blue"])
    good = blue.read_bytes()
    damage(catalogue, "field1")
    path = tmp_path / "set.h5"
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            extract_features(path, catalogue, FAMILIES, jobs=1, on_error="skip", **OPTIONS)
    blue.write_bytes(good)
    made = extract_features(path, catalogue, FAMILIES, on_error="skip", **OPTIONS)
    assert made.skipped == {}
    with open_store(path) as store, open_store(whole.path) as reference:
        np.testing.assert_array_equal(store.values(), reference.values())


def test_list_of_skipped_fields_goes_when_none_are(catalogue, tmp_path):
    path = tmp_path / "set.h5"
    path.with_name("set.skipped.csv").write_text("image_id,reason\n")
    extract_features(path, catalogue, FAMILIES, on_error="skip", **OPTIONS)
    assert not path.with_name("set.skipped.csv").exists()


def test_nothing_is_written_when_every_field_is_bad(catalogue, tmp_path):
    for image_id in catalogue.index:
        damage(catalogue, image_id)
    path = tmp_path / "set.h5"
    with pytest.raises(InputError, match="no field could be measured: field field0: .*8 more"):
        extract_features(path, catalogue, FAMILIES, on_error="skip", **OPTIONS)
    assert not path.exists()


def test_field_too_small_for_its_family_is_named(catalogue, tmp_path):
    with pytest.raises(InputError, match="field field0: .* 13 x 16 px is too small"):
        extract_features(tmp_path / "s.h5", catalogue, ["texture"], size=16, progress=False)


def test_a_bug_keeps_its_type_and_gains_its_place(catalogue, tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(handcrafted, "field_features", broken)
    with pytest.raises(ZeroDivisionError) as raised:
        extract_features(tmp_path / "s.h5", catalogue, FAMILIES, jobs=1, **OPTIONS)
    assert raised.value.__notes__ == ["while measuring field field0"]


def test_existing_store_is_refused_before_work_starts(catalogue, tmp_path, monkeypatch):
    made = extract_features(tmp_path / "set.h5", catalogue, FAMILIES, **OPTIONS)
    stop_after(monkeypatch, 0, AssertionError)
    for extract, what in ((extract_features, FAMILIES), (extract_embeddings, "no_such_backbone")):
        with pytest.raises(InputError, match="set.h5 exists; pass overwrite=True"):
            extract(made.path, catalogue, what, **OPTIONS)


def test_wrong_arguments_are_refused(catalogue, tmp_path):
    with pytest.raises(InputError, match="on_error is 'ignore'"):
        extract_features(tmp_path / "s.h5", catalogue, FAMILIES, on_error="ignore", **OPTIONS)
    with pytest.raises(InputError, match="unknown family of features 'colour'"):
        extract_features(tmp_path / "s.h5", catalogue, ["colour"], **OPTIONS)
    with pytest.raises(InputError, match="no fields"):
        extract_features(tmp_path / "s.h5", catalogue.iloc[:0], FAMILIES, **OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


class TestEmbeddings:
    OPTIONS = {"weights": "random", "size": 32, "batch_size": 2, "progress": False}

    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch")

    def extract(self, path, catalogue, **options):
        return extract_embeddings(path, catalogue, "test_resnet", **(self.OPTIONS | options))

    def values(self, made):
        with open_store(made.path) as store:
            return store.values()

    def test_a_store_holds_the_vector_of_each_field_under_its_id(self, catalogue, tmp_path):
        from hpastack.backbones import create_backbone, embed_batch

        made = self.extract(tmp_path / "set.h5", catalogue, device="cpu")
        model = create_backbone("test_resnet", weights="random", size=32)
        with open_store(made.path) as store:
            frame = store.to_frame()
            assert store.kind == "target_free"
            assert store.recipe == {
                "type": "embedding", "backbone": "test_resnet", "weights": "random",
                "stem": "average", "size": 32, "batch_size": 2, "seed": 0, "compile": False,
                "storage": "float32",
            }  # fmt: skip
        assert frame.index.tolist() == catalogue.index.tolist()
        assert frame.columns[0] == "set__0" and made.n_columns == frame.shape[1]
        for image_id, row in catalogue.iterrows():
            field = np.rint(read_field(row, 32, square=True) * 255) / np.float32(255)
            np.testing.assert_array_equal(frame.loc[image_id], embed_batch(model, field[None])[0])

    def test_same_bytes_for_any_number_of_workers_of_one_thread_each(
        self, catalogue, tmp_path, torch, monkeypatch
    ):
        from hpastack.backbones import stream

        embed, found = stream.embed_batch, set()

        def note(model, batch):
            if batch.any():  # not the blank one that counts the dimensions
                found.add((threading.current_thread().name, torch.get_num_threads()))
            return embed(model, batch)

        monkeypatch.setattr(stream, "embed_batch", note)
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            paths = [tmp_path / str(jobs) / "set.h5" for jobs in (1, 2)]
            for jobs, path in zip((1, 2), paths):
                self.extract(path, catalogue, jobs=jobs, device="cpu")
            assert torch.get_num_threads() == 3
        finally:
            torch.set_num_threads(before)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert len(found) > 1 and {n_threads for _, n_threads in found} == {1}

    def test_same_bytes_from_packed_fields_and_from_files(self, catalogue, tmp_path):
        made = self.extract(tmp_path / "files" / "set.h5", catalogue)
        packed = pack_fields(tmp_path / "fields.h5", catalogue, 32, progress=False)
        partly = catalogue.assign(content=catalogue["content"].where(catalogue.index != "field3"))
        damage(catalogue, "field0")  # whose files are not looked at any more
        again = self.extract(tmp_path / "packed" / "set.h5", catalogue, packed=packed)
        assert made.path.read_bytes() == again.path.read_bytes()
        damage(catalogue, "field3")
        with pytest.raises(InputError, match="^field field3: .*truncated"):
            self.extract(tmp_path / "s.h5", partly.fillna("changed"), packed=packed)

    def test_in_half_precision(self, catalogue, tmp_path):
        whole = self.values(self.extract(tmp_path / "whole" / "set.h5", catalogue))
        damage(catalogue, "field3")
        options = {"on_error": "skip", "storage": "float16"}
        made = self.extract(tmp_path / "set.h5", catalogue, **options)
        assert list(made.skipped) == ["field3"]
        wanted = np.delete(whole, 3, axis=0).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(self.values(made), wanted)

    @pytest.mark.slow
    def test_compiled_backbones_give_the_same_but_for_rounding(self, catalogue, tmp_path):
        plain = self.extract(tmp_path / "plain" / "set.h5", catalogue)
        made = self.extract(tmp_path / "set.h5", catalogue, compile=True)
        with open_store(made.path) as store:
            assert store.recipe["compile"] is True
        np.testing.assert_allclose(self.values(made), self.values(plain), rtol=1e-4, atol=1e-5)
        again = self.extract(tmp_path / "again" / "set.h5", catalogue, compile=True, jobs=1)
        assert again.path.read_bytes() == made.path.read_bytes()

    def test_stopped_and_run_again_gives_the_same_bytes(self, catalogue, tmp_path, monkeypatch):
        from hpastack.backbones import stream

        whole = self.extract(tmp_path / "whole" / "set.h5", catalogue, batch_size=4)
        embed, fields = stream.embed_batch, []

        def embed_some(model, batch):
            if batch.any():  # not the blank one that counts the dimensions
                fields.append(batch)
            if len(fields) > 6:
                raise KeyboardInterrupt
            return embed(model, batch)

        path = tmp_path / "set.h5"
        with monkeypatch.context() as patch:
            patch.setattr(stream, "embed_batch", embed_some)
            with pytest.raises(KeyboardInterrupt):
                # One worker, so that it is the seventh field that stops it.
                self.extract(path, catalogue, batch_size=4, jobs=1)
        assert not path.exists()
        assert len(list(path.with_name("set.h5.parts").glob("part-*.h5"))) == 2
        self.extract(path, catalogue, batch_size=4)
        assert path.read_bytes() == whole.path.read_bytes()

    def test_a_bad_field_leaves_the_others_as_they_are(self, catalogue, tmp_path):
        whole = self.values(self.extract(tmp_path / "whole" / "set.h5", catalogue))
        blue = damage(catalogue, "field3")
        with pytest.raises(InputError, match=f"^field field3: {blue}: .*truncated"):
            self.extract(tmp_path / "set.h5", catalogue)
        made = self.extract(tmp_path / "set.h5", catalogue, on_error="skip")
        assert list(made.skipped) == ["field3"]
        np.testing.assert_array_equal(self.values(made), np.delete(whole, 3, axis=0))

    def test_weights_that_saw_labels_make_an_in_sample_store(self, catalogue, tmp_path):
        from hpastack.backbones import create_backbone, save_weights

        weights = tmp_path / "weights.safetensors"
        model = create_backbone("test_resnet", weights="random", size=32)
        kinds, digests = [], []
        for record in ({}, {"trained_on": "fold plan"}):
            save_weights(weights, model, record)
            made = self.extract(tmp_path / "s.h5", catalogue, weights=weights, overwrite=True)
            with open_store(made.path) as store:
                kinds.append(store.kind)
                digests.append(store.recipe["weights_sha256"])
            assert weights_record(weights) == {"weights_sha256": digests[-1]}
        assert kinds == ["target_free", "in_sample"]
        assert digests[0] != digests[1]

    def test_what_the_network_sees_is_kept_with_the_store(self, catalogue, tmp_path):
        measured = dict.fromkeys(STAINS, (0.25, 0.5))
        made = self.extract(
            tmp_path / "s.h5", catalogue, crop=16, stains=["green", "blue"], statistics=measured,
            pool="gem",
        )  # fmt: skip
        with open_store(made.path) as store:
            assert store.recipe["crop"] == 16 and store.recipe["pool"] == "gem"
            assert store.recipe["stains"] == ["green", "blue"]
            assert store.recipe["stain_statistics"]["red"] == [0.25, 0.5]

    def test_a_full_gpu_names_the_remedy_and_leaves_no_store(
        self, catalogue, tmp_path, monkeypatch, torch
    ):
        from hpastack import backbones

        made, create = [], backbones.create_backbone

        def full(*args, **options):
            model = create(*args, **options)
            forward, calls = model.forward, []

            def run(inputs):
                calls.append(len(inputs))
                if len(calls) > 4:
                    raise torch.cuda.OutOfMemoryError("CUDA out of memory")
                return forward(inputs)

            model.forward = run
            made.append(model)
            return model

        monkeypatch.setattr(backbones, "create_backbone", full)
        with pytest.raises(InputError, match="the GPU is out of memory with .* set "):
            self.extract(tmp_path / "s.h5", catalogue)
        assert made and not (tmp_path / "s.h5").exists()

    def test_device_that_is_not_there_is_refused(self, catalogue, tmp_path):
        with pytest.raises(InputError, match="device 'cuda:99' is not on this machine"):
            self.extract(tmp_path / "s.h5", catalogue, device="cuda:99")


def test_without_torch_the_remedy_is_named(catalogue, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("hpastack.backbones")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("hpastack.backbones._torch", "safetensors.torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("hpastack.backbones", raising=False)
    with pytest.raises(InputError, match=r"not installed; run: pip install 'hpastack\[cnn\]'"):
        extract_embeddings(tmp_path / "s.h5", catalogue, "resnet18", size=32)
    assert not (tmp_path / "s.h5.parts").exists()
