from pathlib import Path

import pandas as pd
import pytest

from hpastack.download import HPA_URL, check_template, read_field_ids, stain_files
from hpastack.download.addresses import check_field_ids
from hpastack.errors import InputError


@pytest.mark.parametrize("column", ["Id", "image_id", "ID"])
def test_ids_are_read_in_their_order(tmp_path, column):
    table = tmp_path / "ids.csv"
    table.write_text(f"Target,{column}\n0 2,57_12_F11_1\n,7_si25_A3_2\n")
    assert read_field_ids(table) == ["57_12_F11_1", "7_si25_A3_2"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("name\n57_12_F11_1\n", "no column id or image_id"),
        ("Id,image_id\n57_12_F11_1,57_12_F11_1\n", "mean the same"),
        ("Id\n", "contains no ids"),
        ("Id\n57_12_F11_1\n8_1_A1_1\n57_12_F11_1\n", "duplicate ids: 57_12_F11_1"),
        ("Id\n57_12_F11_1 \n", "is not an image id"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    table = tmp_path / "ids.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_field_ids(table)
    assert str(table) in str(caught.value)


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        "57_12_F11",
        "../12_F11_1",
        "57_../../x_F11_1",
        "57/58_12_F11_1",
        "57_12_F11_1/../../x",
        "57_12_F11_1\n",
        " 57_12_F11_1",
        "057_12_F11_1",
        "57_12_f11_1",
        "57_12_F11_1?x=1",
        "57_12_F11_1_green",
        "57_12_F11_1_crAB",
        "\u0665_12_F11_1",
        "1" * 40 + "_12_F11_1",
        57,
        None,
    ],
)
def test_what_is_no_id_is_refused(image_id):
    with pytest.raises(InputError, match="is not an id of the Human Protein Atlas"):
        check_field_ids([image_id], "here")


def test_there_are_no_files_of_what_is_no_id():
    with pytest.raises(InputError, match="'57_12' is not an id of the Human Protein Atlas"):
        list(stain_files(["57_12"], Path("hpa"), HPA_URL, ["green"]))


def test_every_id_of_hpa_v18_passes_and_has_a_file_of_its_own(real_data):
    image_ids = pd.read_csv(real_data / "labels" / "hpav18.csv")["Id"].tolist()
    check_field_ids(image_ids, "hpav18.csv")
    files = list(stain_files(image_ids, Path("hpa"), HPA_URL, ["green"]))
    assert len({file.url for file in files}) == len(files) == 74606
    assert len({str(file.path).lower() for file in files}) == len(files)
    for file in files[::1000]:
        assert file.url.endswith("/".join(file.path.parts[-2:]))
        assert file.path.parts[1] + "_" + file.path.stem == file.image_id + "_green"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "ftp://host/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http:///{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://host:port/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://me:secret@host/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://host/a b/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://host/\n{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://{antibody}.host/{plate}_{well}_{field}_{stain}.jpg",
        "http://host/{antibody}/{plate}_{well}_{field}.jpg",
        "http://host/{antibody.x}/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://host/{antibody!r}/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://host/{}/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://host/{{antibody}}/{plate}_{well}_{field}_{stain}.jpg",
        "",
    ],
)
def test_other_templates_are_refused(url):
    with pytest.raises(InputError, match="^url: "):
        check_template(url)


def test_templates_of_a_mirror_pass():
    for url in (
        HPA_URL,
        "http://v18.proteinatlas.org/images/{antibody}/{plate}_{well}_{field}_{stain}.jpg",
        "http://[::1]:8000/?file={antibody}_{plate}_{well}_{field}_{stain}",
    ):
        check_template(url)
