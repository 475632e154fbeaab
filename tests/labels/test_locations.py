"""HPA's names of places, and the labels they stand for."""

import csv
from collections import Counter

import pytest

from hpastack.errors import InputError
from hpastack.labels import HPA_2018, Locations, Vocabulary, read_locations
from hpastack.labels.locations import SYNONYMS

pytestmark = pytest.mark.core

HPA = Locations(HPA_2018)


def test_every_label_is_known_by_its_name_however_it_is_written():
    for label, name in enumerate(HPA_2018):
        for text in (name, name.upper(), name.title(), f"  {name.replace(' ', '   ')} "):
            assert HPA.read_target(text) == (str(label), [])


def test_every_synonym_is_a_label_and_none_is_one_already():
    names = {name.casefold() for name in HPA_2018}
    for name, label in SYNONYMS.items():
        assert label in HPA_2018.names
        assert name.casefold() not in names


@pytest.mark.parametrize(
    ("text", "target", "unmapped"),
    [
        ("16 0", "16 0", []),
        (" 16   0 ", "16 0", []),
        ("", "", []),
        ("Nucleoplasm;Golgi apparatus", "0 7", []),
        ("Nuclear membrane,Cytosol", "1 25", []),
        ("Nucleoli | Cytosol|", "2 25", []),
        ("Rods & Rings", "27", []),
        ("rods and rings; Cell Junctions", "27 22", []),
        ("Cytosol (GO:0005829);Vesicles (GO:0043231)", "25", ["Vesicles"]),
        ("Cytosol;cytosol", "25", []),
        ("Rods & Rings ()", "27", []),
        ("Vesicles;Nucleus", "", ["Vesicles", "Nucleus"]),
        ("Nucleus but not nucleoli", "0", []),
        ("Midbody  ring, Midbody ring", "", ["Midbody ring"]),
    ],
)
def test_targets(text, target, unmapped):
    assert HPA.read_target(text) == (target, unmapped)


# Wider, narrower or newer than any label: which it would have got is a guess.
@pytest.mark.parametrize(
    "name",
    ["Vesicles", "Nucleus", "Midbody", "Midbody ring", "Cleavage furrow", "Nucleoli rim",
     "Centriolar satellite", "Mitotic chromosome", "Kinetochore", "Cytoplasm", "Basal body"],
)  # fmt: skip
def test_what_is_not_guessed(name):
    assert HPA.read_target(name) == ("", [name])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("28", "field a: unknown label '28'; labels are the ids 0 to 27"),
        ("1 1", "field a: duplicate label 1"),
        ("1,28", "field a: unknown label '28'"),
        ("1;Cytosol", "field a: unknown label '1'"),
        ("-1", "field a: unknown label '-1'"),
        ("3.5", "field a: unknown label '3.5'"),
    ],
)
def test_ids_gone_wrong_are_no_names(text, reason):
    with pytest.raises(InputError, match=reason):
        HPA.read_target(text, "field a")


def test_another_vocabulary_has_only_its_own_names():
    places = Locations(Vocabulary(["Golgi, cis", "Cytosol", "Golgi"]))
    assert places.read_target("golgi, CIS") == ("0", [])
    assert places.read_target("Golgi;Nucleoli") == ("2", ["Nucleoli"])
    assert places.read_target("Focal adhesions") == ("", ["Focal adhesions"])


def test_further_names(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("Name,Label\nmidbody,Cytokinetic bridge\nNucleoli rim,2\nCytosol,6\n")
    more = read_locations(path)
    places = Locations(HPA_2018, more)
    assert places.read_target("Midbody;Nucleoli Rim;Cytosol") == ("16 2 6", [])
    for text, reason in (
        ("name,label\na,1\nA ,2\n", "duplicate name 'A '"),
        ("name,label\n,1\n", "a row has no name"),
        ("name,target\na,1\n", "no column label"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"names\.csv: {reason}"):
            read_locations(path)
    for label, reason in (("Nukleus", "unknown label"), ("1 2", "is more than one label")):
        with pytest.raises(InputError, match=f"location 'a': .*{reason}"):
            Locations(HPA_2018, {"a": label})


def test_a_name_that_stands_for_no_label():
    places = Locations(HPA_2018, {"Dots": "", "Cytosol": " "})
    assert places.read_target("dots;Nucleoli;Cytosol") == ("2", ["dots", "Cytosol"])


@pytest.mark.parametrize("vocabulary", [HPA_2018, Vocabulary(["Nucleoplasm", "Cytosol"])])
def test_a_name_that_is_nobodys_is_refused(vocabulary):
    with pytest.raises(
        InputError, match=r"field a: 'Nucleoplsm' is neither a label.*is it 'Nucleoplasm'\?"
    ):
        Locations(vocabulary).read_target("Cytosol;Nucleoplsm", "field a")
    with pytest.raises(
        InputError, match="'Qwerty' is neither a label nor an HPA location; .*locations"
    ):
        Locations(vocabulary).read_target("Qwerty")


def test_every_name_of_hpas_own_table(real_data):
    with open(real_data / "labels" / "subcellular_location.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    unmapped: Counter[str] = Counter()
    for row in rows:
        columns = ("Enhanced", "Supported", "Approved", "Uncertain")
        target, others = HPA.read_target(";".join(row[column] for column in columns))
        unmapped.update(others)
        # Its column of ontology terms says the same.
        again, others_again = HPA.read_target(row["GO id"])
        assert set(again.split()) == set(target.split())
        assert set(others_again) == set(others)
    assert set(unmapped) == {"Nucleus", "Vesicles", "Midbody", "Midbody ring", "Cleavage furrow"}
