"""Real fields written in every format: the same pixels and the same features."""

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from image_files import saved

import hpastack as hs
from hpastack.fields import STAINS, check_fields, pack_fields, plane_paths, read_field

FIELDS = ("000a6c98-bb9b-11e8-b2b9-ac1f6b6435d0", "57_F11_1", "800_A6_1")
SIDE = 160
PLANES = {"red": [0], "green": [1], "blue": [2], "yellow": [0, 1]}


@pytest.fixture(
    scope="module",
    params=[FIELDS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in FIELDS[1:])],
)
def pixels(request, real_data):
    """The middle of a real field, uint8 (4, 160, 160)."""
    row = {s: next((real_data / "fields").glob(f"*/{request.param}_{s}.*")) for s in STAINS}
    middle = slice(700, 700 + SIDE)
    # A yellow stain in JPEG is the mean of two planes, which need not be whole.
    return np.rint(read_field(row)[:, middle, middle] * 255).astype(np.uint8)


def tinted(plane, stain):
    rgb = np.zeros((*plane.shape, 3), np.uint8)
    rgb[..., PLANES[stain]] = plane[..., None]
    return rgb


def of_files(write, ending):
    """Write each stain as a file of its own."""

    def make(folder, pixels):
        row = {}
        for stain, plane in zip(STAINS, pixels):
            row[stain] = folder / f"f_{stain}.{ending}"
            row[stain].write_bytes(write(plane, stain))
        return row

    return make


def as_tiff(plane, packing):
    return cv2.imencode(".tif", plane, [cv2.IMWRITE_TIFF_COMPRESSION, packing])[1].tobytes()


def deep(plane):
    return plane.astype(np.uint16) * 257


NAMES = ["microtubules", "antibody", "nucleus", "ER"]


def of_planes(**options):
    """Write all stains as one file."""

    def make(folder, pixels):
        tifffile.imwrite(folder / "f.tif", pixels, **options)
        return plane_paths(folder / "f.tif")[1]

    return make


FORMATS = {
    "PNG 8": of_files(lambda plane, stain: saved(plane, "PNG"), "png"),
    "PNG tinted": of_files(lambda plane, stain: saved(tinted(plane, stain), "PNG"), "png"),
    "PNG grey as RGB": of_files(lambda plane, stain: saved(np.dstack([plane] * 3), "PNG"), "png"),
    "PNG 16": of_files(lambda plane, stain: cv2.imencode(".png", deep(plane))[1].tobytes(), "png"),
    "TIFF": of_files(lambda plane, stain: as_tiff(plane, 1), "tif"),
    "TIFF LZW": of_files(lambda plane, stain: as_tiff(plane, 5), "tif"),
    "TIFF Deflate 16": of_files(lambda plane, stain: as_tiff(deep(plane), 8), "tif"),
    "OME-TIFF": of_planes(
        ome=True, photometric="minisblack", compression="zlib",
        metadata={"axes": "CYX", "Channel": {"Name": NAMES}},
    ),
    "ImageJ": of_planes(imagej=True, metadata={"axes": "CYX", "Labels": NAMES}),
}  # fmt: skip
FAMILIES = ["intensity", "colocalisation", "texture"]


def test_every_lossless_format_gives_the_same_features(pixels, tmp_path):
    expected = pixels / np.float32(255)
    features = hs.field_features(expected, families=FAMILIES)
    for name, make in FORMATS.items():
        folder = tmp_path / name
        folder.mkdir()
        row = make(folder, pixels)
        facts, bad = check_fields(pd.DataFrame([row], index=["f"]), jobs=1, progress=False)
        assert not bad, name
        field = read_field(row)
        np.testing.assert_array_equal(field, expected, err_msg=name)
        assert hs.field_features(field, families=FAMILIES) == pytest.approx(
            features, rel=0, abs=0, nan_ok=True
        ), name
    catalogue = pd.DataFrame([row], index=["f"]).rename_axis("image_id").join(facts)
    packed = pack_fields(tmp_path / "fields.h5", catalogue, SIDE, progress=False, jobs=1)
    np.testing.assert_array_equal(packed.read(0), pixels)


def test_jpeg_costs_little(pixels, tmp_path):
    for name, write in {
        "grey": lambda plane, stain: saved(plane, "JPEG", quality=95),
        "tinted": lambda plane, stain: saved(tinted(plane, stain), "JPEG", quality=95),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        error = read_field(of_files(write, "jpg")(folder, pixels)) - pixels / np.float32(255)
        # Grey: quantisation at quality 95, about a level. Tinted: the colours of a JPEG are halved
        # in resolution, and blue has a ninth of the luma, so that its details are the coarsest.
        limit = 2 if name == "grey" else 12
        assert np.sqrt(np.square(error).mean(axis=(1, 2))).max() < limit / 255, name
        assert np.abs(error.mean(axis=(1, 2))).max() < 1 / 255, name
