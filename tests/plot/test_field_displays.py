"""Fields as displays: their panels, scale bars and captions."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

import hpastack as hs  # noqa: E402
from hpastack.errors import InputError  # noqa: E402
from hpastack.metrics.examples import telling_fields  # noqa: E402

pytestmark = pytest.mark.core


def test_a_field_shows_merge_protein_and_each_stain():
    field = hs.draw_field("7", size=64)
    display = hs.plot.FieldDisplay(field, pixel_size=0.5, title="a $b$ c").plot()
    titles = [axes.get_title() for axes in display.ax_]
    assert titles == [
        "merged", "protein",
        "microtubules (red, shown in pink)", "protein (green, shown in yellow)",
        "nucleus (blue)", "endoplasmic reticulum (yellow, shown in brown)",
    ]  # fmt: skip
    assert display.figure_.get_suptitle() == "a $b$ c"
    assert display._repr_png_()[:4] == b"\x89PNG"
    hpa = hs.plot.FieldDisplay(field, palette="hpa").plot()
    assert hpa.ax_[2].get_title() == "microtubules (red)"


def test_the_scale_bar_is_as_long_as_it_says():
    field = hs.draw_field("7", size=64)
    display = hs.plot.FieldDisplay(field, pixel_size=0.5).plot()
    (bar,) = display.ax_[1].lines
    (text,) = display.ax_[1].texts
    length = float(text.get_text().removesuffix(" µm"))
    assert np.ptp(bar.get_xdata()) * 0.5 == pytest.approx(length)
    assert not hs.plot.FieldDisplay(field).plot().ax_[1].lines


def test_a_field_of_the_catalogue_keeps_its_scale_when_it_is_reduced(noise_fields):
    catalogue = noise_fields(2, height=80, width=60).assign(pixel_size=0.2)
    display = hs.plot.FieldDisplay.from_catalogue(catalogue, "field1", size=40)
    assert display.field.shape == (4, 40, 30) and display.pixel_size == pytest.approx(0.4)
    assert display.title == "field1"
    whole = hs.plot.FieldDisplay.from_catalogue(catalogue, "field1", size=None)
    assert whole.field.shape == (4, 80, 60) and whole.pixel_size == 0.2


def test_stains_that_a_field_lacks_have_no_panel(noise_fields):
    catalogue = noise_fields(1).assign(stains="red green blue", yellow="")
    display = hs.plot.FieldDisplay.from_catalogue(catalogue, "field0")
    assert len(display.ax_) == 5
    assert not any("endoplasmic" in axes.get_title() for axes in display.ax_)


def test_a_sheet_holds_its_fields_and_captions(noise_fields):
    catalogue = noise_fields(3)
    labels = pd.DataFrame([[1, 0], [0, 1], [0, 0]], catalogue.index, ["Golgi", "Rods"])
    make = hs.plot.FieldSheetDisplay.from_catalogue
    plain = make(catalogue, catalogue.index)
    said = make(catalogue, catalogue.index, labels=labels, probabilities=labels * 0.9)
    assert said.sheet.shape[0] > plain.sheet.shape[0]
    assert said._repr_png_()[:4] == b"\x89PNG"
    height, width = said.sheet.shape[:2]
    np.testing.assert_allclose(100 * said.figure_.get_size_inches(), [width, height])


def test_faults_are_named(noise_fields):
    catalogue = noise_fields(1)
    with pytest.raises(InputError, match="field nothing is not in the catalogue"):
        hs.plot.FieldDisplay.from_catalogue(catalogue, "nothing")
    with pytest.raises(InputError, match="labels: field field0 is missing"):
        hs.plot.FieldSheetDisplay.from_catalogue(
            catalogue, ["field0"], labels=pd.DataFrame({"Golgi": [1]}, ["other"])
        )
    with pytest.raises(InputError, match="probabilities: field field0 is missing"):
        hs.plot.FieldSheetDisplay.from_catalogue(
            catalogue, ["field0"], probabilities=pd.DataFrame({"Golgi": [0.9]}, ["other"])
        )
    with pytest.raises(InputError, match="at least one field"):
        hs.plot.FieldSheetDisplay.from_pictures({})
    with pytest.raises(InputError, match=r"shape \(4, H, W\)"):
        hs.plot.FieldDisplay(np.zeros((3, 8, 8))).plot()


def test_what_a_stack_gets_right_and_wrong(stack, predictions, noise_fields):
    y, _, clusters = predictions
    wanted = telling_fields(
        y["Golgi"].to_numpy(), stack.oof_labels_["Golgi"].to_numpy(),
        stack.oof_probabilities_["Golgi"].to_numpy(), 2, clusters.to_numpy(),
    )  # fmt: skip
    ids = [y.index[row] for rows in wanted.values() for row in rows]
    # Only the fields that are to be shown are there.
    catalogue = noise_fields(len(ids)).set_axis(ids)
    make = hs.plot.FieldSheetDisplay.from_stack
    display = make(stack, y, catalogue, "Golgi", groups=clusters, n_fields=2)
    assert display._repr_png_()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match=f"field {ids[0]} is not in the catalogue"):
        make(stack, y, catalogue[1:], "Golgi", groups=clusters, n_fields=2)
