"""How bright the stains are, against a plain count of every pixel."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from reference.pixel_statistics import percentile, two_passes

from hpastack.errors import InputError
from hpastack.fields import (
    STAINS,
    read_field,
    read_stain_statistics,
    stain_moments,
    stain_statistics,
)
from hpastack.fields.statistics import PERCENTILES

pytestmark = pytest.mark.core


def stored(folder, dtype, n_fields=5):
    """Draw fields of several sizes; yellow is blank, and green saturated in places."""
    rng = np.random.default_rng(3)
    top = np.iinfo(dtype).max
    rows = {}
    for number in range(n_fields):
        files = {}
        for k, stain in enumerate(STAINS):
            pixels = rng.gamma(1.0, top / 8, size=(9 + number, 13)).clip(0, top).astype(dtype)
            if stain == "green":
                pixels[0, :4] = top
            if stain == "yellow":
                pixels[:] = 40
            files[stain] = str(folder / f"{number}_{k}.png")
            cv2.imwrite(files[stain], pixels)
        rows[f"field{number}"] = files
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")


@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535)])
def test_it_is_a_plain_count_of_every_pixel(tmp_path, dtype, top):
    catalogue = stored(tmp_path, dtype)
    table = stain_statistics(catalogue, progress=False)
    assert table.index.tolist() == list(STAINS) and set(table["n_fields"]) == {5}
    for stain in STAINS:
        pixels = np.concatenate(
            [cv2.imread(path, cv2.IMREAD_UNCHANGED).ravel() for path in catalogue[stain]]
        )
        row = table.loc[stain]
        mean, sd = two_passes(pixels, top)
        # The last digits: the reference divides before it adds.
        assert row["mean"] == pytest.approx(mean, rel=1e-14)
        assert row["sd"] == pytest.approx(sd, rel=1e-13)
        for name, q in PERCENTILES.items():
            assert row[name] == pytest.approx(percentile(pixels, round(10 * q), top), rel=1e-14)
        assert row["saturated"] == (pixels == top).mean()
    assert table.loc["yellow", "sd"] == 0


def test_resized_fields_are_measured_as_a_network_sees_them(tmp_path):
    catalogue = stored(tmp_path, np.uint8)
    table = stain_statistics(catalogue, 8, progress=False)
    fields = [read_field(row, 8).reshape(4, -1) for _, row in catalogue.iterrows()]
    pixels = np.concatenate(fields, axis=1).astype(np.float64)
    # Half a step of 1/65535 at most, and less on average.
    np.testing.assert_allclose(table["mean"], pixels.mean(axis=1), atol=0.5 / 65535)
    np.testing.assert_allclose(table["sd"], pixels.std(axis=1), atol=1 / 65535)


def test_the_same_for_any_number_of_workers_and_any_order(tmp_path):
    catalogue = stored(tmp_path, np.uint8)
    one = stain_statistics(catalogue, 8, jobs=1, progress=False)
    pd.testing.assert_frame_equal(
        stain_statistics(catalogue.iloc[::-1], 8, jobs=3, progress=False), one, check_exact=True
    )


def test_a_bad_field_is_named(tmp_path):
    catalogue = stored(tmp_path, np.uint8)
    Path(catalogue.loc["field3", "blue"]).write_bytes(b"no picture")
    with pytest.raises(InputError, match="^field field3: .*3_2.png"):
        stain_statistics(catalogue, progress=False)
    with pytest.raises(InputError, match="no fields"):
        stain_statistics(catalogue.iloc[:0], progress=False)


def test_the_table_is_read_back_to_the_last_digit(tmp_path):
    table = stain_statistics(stored(tmp_path, np.uint8), progress=False)
    path = tmp_path / "stains.csv"
    table.to_csv(path)
    with pytest.raises(InputError, match=r"stains\.csv: invalid mean or sd of yellow"):
        read_stain_statistics(path)
    table.loc["yellow", "sd"] = 0.5
    table.to_csv(path)
    read = read_stain_statistics(path)
    assert read == {stain: (table["mean"][stain], table["sd"][stain]) for stain in STAINS}


@pytest.mark.parametrize(
    "text, message",
    [
        ("stain,mean\nred,0.1\n", "lacks a stain, mean or sd"),
        ("stain,mean,sd\nred,much,0.1\n", "lacks a stain, mean or sd"),
        ("stain,mean,sd\nred,0.1,0.1\n", "has the stains red; they must be red, green"),
    ],
)
def test_another_table_is_refused(tmp_path, text, message):
    path = tmp_path / "stains.csv"
    with pytest.raises(InputError, match="is missing; run: hpastack statistics"):
        read_stain_statistics(path)
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_stain_statistics(path)


def test_moments_of_8_bit_images_worked_by_hand():
    images = np.zeros((2, len(STAINS), 2, 2), np.uint8)
    images[1, 0] = 255  # one field of two is white in red: mean 1/2, sd 1/2
    for batches in ([images], [images[:1], images[1:]]):
        mean, sd = stain_moments(batches)
        assert mean == (0.5, 0.0, 0.0, 0.0)
        np.testing.assert_allclose(sd, (0.5, 1 / 255, 1 / 255, 1 / 255))
