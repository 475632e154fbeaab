"""Fixtures shared by the tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """Folder of real labels, predictions and fields that lies beside the checkout in CI."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "labels" / "train.csv").is_file():
        pytest.skip("no real data beside this checkout (../shared/data)")
    return folder
