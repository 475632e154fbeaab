"""Is a store what its recipe makes now?"""

import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.extraction import store_record, store_state
from hpastack.store import StoreHeader, write_store

RECIPE = {"name": "vectors", "type": "embedding", "backbone": "net", "weights": "random"}


def test_the_state_of_a_store(tmp_path):
    path, record = tmp_path / "vectors.h5", store_record(RECIPE)
    assert store_state(path, record, "digest") == "missing"
    header = StoreHeader("target_free", "features", ["v__0"], recipe=record, made_from="digest")
    write_store(path, header, ["a"], np.zeros((1, 1), np.float32))
    assert store_state(path, record, "digest") == "current"
    assert store_state(path, record, "of other fields") == "outdated"
    assert store_state(path, record | {"backbone": "other"}, "digest") == "outdated"
    assert store_state(path, record | {"name": "other"}, "digest") == "other"
    assert store_state(path, record | {"type": "ingest"}, "digest") == "other"


def test_columns_of_another_version_make_a_store_outdated(tmp_path):
    record = store_record({"name": "m", "type": "handcrafted", "families": ["minimal"]})
    path = tmp_path / "m.h5"
    header = StoreHeader("target_free", "features", ["old"], recipe=record, made_from="digest")
    write_store(path, header, ["a"], np.zeros((1, 1), np.float32))
    assert store_state(path, record, "digest") == "outdated"


def test_a_record_follows_files_of_weights_and_statistics(tmp_path):
    table = tmp_path / "stains.csv"
    lines = [f"{stain},0.5,0.25" for stain in ("red", "green", "blue", "yellow")]
    table.write_text("\n".join(["stain,mean,sd", *lines]) + "\n")
    record = store_record(RECIPE | {"statistics": "stains.csv"}, tmp_path)
    assert record["stain_statistics"]["red"] == [0.5, 0.25]
    assert "weights_sha256" not in record
    with pytest.raises(InputError, match="absent"):
        store_record(RECIPE | {"weights": str(tmp_path / "absent.safetensors")})
