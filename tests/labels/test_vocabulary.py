"""Vocabularies and targets."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.labels import HPA_2018, Vocabulary

pytestmark = pytest.mark.core


def test_the_vocabulary_of_2018():
    assert len(HPA_2018) == 28
    assert HPA_2018.names[0] == "Nucleoplasm"
    assert HPA_2018.names[16] == "Cytokinetic bridge"
    assert HPA_2018.names[27] == "Rods & rings"


def test_round_trip_and_ascending_order():
    matrix = HPA_2018.indicator(["16 0", "27"])
    assert matrix.dtype == np.uint8 and matrix.shape == (2, 28)
    assert HPA_2018.targets(matrix) == ["0 16", "27"]


@pytest.mark.parametrize("word", ["28", "-1", "x", "1.0", "+1", "1_0", "\u0663"])
def test_unknown_labels_are_named_with_their_field(word):
    with pytest.raises(InputError, match="field abc: unknown label"):
        HPA_2018.indicator(pd.Series([f"0 {word}"], index=["abc"]))


def test_doubled_and_empty_labels():
    with pytest.raises(InputError, match="row 1: duplicate label 3"):
        HPA_2018.indicator(["0", "3 3"])
    with pytest.raises(InputError, match="no label; every"):
        HPA_2018.indicator([" "])
    assert HPA_2018.indicator([""], allow_empty=True).sum() == 0


def test_indicator_shape_and_values_are_checked():
    with pytest.raises(InputError, match="does not match"):
        HPA_2018.targets(np.zeros((2, 3)))
    with pytest.raises(InputError, match="only 0 and 1"):
        HPA_2018.targets(np.full((1, 28), 0.5))


def test_vocabularies_from_elsewhere(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("nucleus\n\ncytosol\n")
    assert Vocabulary.read(path).names == ("nucleus", "cytosol")
    path.write_text("nucleus\nnucleus\n")
    with pytest.raises(InputError, match="names.txt: duplicate label names"):
        Vocabulary.read(path)
    with pytest.raises(InputError, match="at least one"):
        Vocabulary([])
    with pytest.raises(InputError, match="label 1 of the vocabulary has an empty name"):
        Vocabulary(["nucleus", " ", "cytosol"])


def test_real_labels_pass(real_data):
    table = pd.read_csv(real_data / "labels" / "train.csv").set_index("Id")
    matrix = HPA_2018.indicator(table["Target"])
    assert matrix.shape == (31072, 28)
    assert matrix[:, 0].sum() == 12885 and matrix[:, 27].sum() == 11


def test_a_notebook_shows_ids_and_names_of_any_spelling():
    html = Vocabulary(["Golgi", "</td><script>x"])._repr_html_()
    assert "<script" not in html and "&lt;script&gt;x" in html and ">1<" in html
    assert "<details open>" in html
    assert "<details>" in Vocabulary(map(str, range(41)))._repr_html_()
