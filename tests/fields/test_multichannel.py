"""One TIFF for the four stains of a field: its planes, their names, and what is refused."""

import hashlib
import io

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from hpastack.catalogue import collect_fields, combine_fields, read_catalogue, write_catalogue
from hpastack.errors import InputError
from hpastack.fields import (
    STAINS,
    check_fields,
    field_content,
    field_shape,
    parse_channels,
    plane_paths,
    read_field,
    read_stain,
)
from hpastack.fields.multichannel import Channels, read_channels, stain_planes
from pipelines import prepare

pytestmark = pytest.mark.core

NAMES = ["Nuclei (DAPI)", "ER", "Microtubules", "Antibody"]
PLANES = {"red": 2, "green": 3, "blue": 0, "yellow": 1}


def stack(dtype="u2", height=20, width=28, n=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (n, height, width), dtype, endpoint=True)


def row(path, planes=PLANES):
    return {stain: f"{path}#{planes[stain]}" for stain in STAINS}


def write_ome(path, pixels, names=NAMES, **options):
    metadata = {"axes": "CYX", "Channel": {"Name": list(names)}}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata, **options)


def imagej_of_one_page(pixels):
    """Only the first plane has a directory; the others follow its pixels."""
    buffer = io.BytesIO()
    text = f"ImageJ=1.53\nimages={len(pixels)}\nchannels={len(pixels)}\nhyperstack=true\n"
    tifffile.imwrite(buffer, pixels[0], description=text, metadata=None, byteorder=">")
    data = buffer.getvalue()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (start,) = file.pages[0].dataoffsets
    return data[: start + pixels[0].nbytes] + pixels[1:].astype(">u2").tobytes()


LAYOUTS = {
    "pages": {"photometric": "minisblack"},
    "pages, big-endian": {"photometric": "minisblack", "byteorder": ">"},
    "bigtiff": {"photometric": "minisblack", "bigtiff": True},
    "deflate": {"photometric": "minisblack", "compression": "zlib", "predictor": True},
    "tiles": {"photometric": "minisblack", "tile": (16, 16), "compression": "zlib"},
    "strips": {"photometric": "minisblack", "rowsperstrip": 3},
    "samples apart": {"photometric": "minisblack", "planarconfig": "separate"},
    "rgb and one more, apart": {"photometric": "rgb", "planarconfig": "separate"},
    "ImageJ": {"imagej": True},
}


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_planes_of_every_layout(tmp_path, name, dtype):
    pixels, path = stack(dtype), tmp_path / "f.tif"
    tifffile.imwrite(path, pixels, **LAYOUTS[name])
    expected = pixels / np.float32(np.iinfo(dtype).max)
    for plane in range(4):
        np.testing.assert_array_equal(read_stain(f"{path}#{plane}", "red"), expected[plane])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_interleaved_samples_are_planes(tmp_path, compression):
    pixels, path = stack(n=5), tmp_path / "f.tif"
    tifffile.imwrite(
        path, np.moveaxis(pixels, 0, -1), photometric="minisblack", planarconfig="contig",
        compression=compression, predictor=bool(compression),
    )  # fmt: skip
    for plane in range(5):
        found = read_stain(f"{path}#{plane}", "blue")
        np.testing.assert_array_equal(found, pixels[plane] / np.float32(65535))


def test_imagej_may_write_a_directory_for_the_first_plane_only(tmp_path):
    pixels, path = stack(), tmp_path / "f.tif"
    path.write_bytes(imagej_of_one_page(pixels))
    np.testing.assert_array_equal(read_stain(f"{path}#3", "red"), pixels[3] / np.float32(65535))
    path.write_bytes(imagej_of_one_page(pixels)[:-1])
    with pytest.raises(InputError, match="it contains 1 of the 4 images"):
        read_stain(f"{path}#3", "red")


def test_a_pyramid_and_thumbnails_are_read_at_full_resolution(tmp_path):
    pixels, path = stack(), tmp_path / "f.tif"
    with tifffile.TiffWriter(path) as file:
        for plane in pixels:
            file.write(plane, subifds=1, photometric="minisblack", metadata=None)
            file.write(plane[::2, ::2], subfiletype=1, photometric="minisblack", metadata=None)
        file.write(pixels[0, ::4, ::4], subfiletype=1, photometric="minisblack", metadata=None)
    assert len(read_channels(path).names) == 4
    np.testing.assert_array_equal(read_stain(f"{path}#3", "red"), pixels[3] / np.float32(65535))


def test_only_the_plane_asked_for_is_unpacked(tmp_path):
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, stack(), photometric="minisblack", compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        (place,) = file.pages[1].dataoffsets
    data[place + 20] ^= 0xFF
    path.write_bytes(data)
    read_stain(f"{path}#0", "red")
    with pytest.raises(InputError, match=r"f\.tif#1: truncated or damaged TIFF"):
        read_stain(f"{path}#1", "red")


def test_ome_names_say_which_plane_is_which(tmp_path):
    pixels = stack()
    write_ome(tmp_path / "f.ome.tif", pixels)
    assert read_channels(tmp_path / "f.ome.tif").names == tuple(NAMES)
    image_id, paths = plane_paths(tmp_path / "f.ome.tif")
    assert image_id == "f"
    assert {stain: path.name for stain, path in paths.items()} == row("f.ome.tif")
    field = read_field(paths)
    np.testing.assert_array_equal(field, pixels[list(PLANES.values())] / np.float32(65535))
    assert field_shape(paths) == (20, 28)


def test_ome_channels_may_lie_on_other_pages(tmp_path):
    path = tmp_path / "f.ome.tif"
    data = "".join(f'<TiffData FirstC="{c}" IFD="{3 - c}" PlaneCount="1"/>' for c in range(4))
    channels = "".join(f'<Channel ID="Channel:0:{c}" Name="{NAMES[c]}"/>' for c in range(4))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels DimensionOrder="XYCZT" SizeC="4" SizeZ="1" SizeT="1">{channels}{data}</Pixels>'
        "</Image></OME>"
    )
    tifffile.imwrite(path, stack(), photometric="minisblack", description=xml, metadata=None)
    assert read_channels(path).names == tuple(NAMES[::-1])


def test_labels_of_imagej_and_page_names(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack(), imagej=True, metadata={"Labels": NAMES})
    assert read_channels(tmp_path / "a.tif").names == tuple(NAMES)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for name, plane in zip(NAMES, stack()):
            file.write(plane, extratags=[(285, 2, 0, name, True)], metadata=None)
    assert read_channels(tmp_path / "b.tif").names == tuple(NAMES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["", "", "", ""], "4 channels without names; set channels to red=0"),
        (["DAPI", "ER", "tubulin", "Alexa 488"],
         "no channel is green .channels: 0 'DAPI', 1 'ER', 2 'tubulin', 3 'Alexa 488'.; set"),
        (["DAPI", "ER", "tubulin", "nuclei"], "two channels are blue"),
        (["DAPI", "ER", "tubulin", "antibody (red)"],
         "channel 'antibody .red.' could be red or green"),
    ],
)  # fmt: skip
def test_names_that_leave_a_doubt_are_refused(names, message):
    with pytest.raises(InputError, match=rf"f\.tif: {message}"):
        stain_planes(Channels(tuple(names)), "f.tif")


def test_names_in_any_case_and_company():
    names = ("HOECHST_33342", "Bright field", "alpha-Tubulin", "Endoplasmic  Reticulum", "Protein")
    planes = {"red": 2, "green": 4, "blue": 0, "yellow": 3}
    assert stain_planes(Channels(names), "f.tif") == planes
    # "er" counts as a word only.
    with pytest.raises(InputError, match="no channel is yellow"):
        stain_planes(Channels(("Filter", *names[:3], names[4])), "f.tif")


def test_channels_can_be_said():
    said = parse_channels("Microtubules=2, green=FITC,nuclei=0,ER=1")
    assert said == {"red": 2, "green": "FITC", "blue": 0, "yellow": 1}
    channels = Channels(("a", "b", "c", "fitc"))
    assert stain_planes(channels, "f.tif", said) == {"red": 2, "green": 3, "blue": 0, "yellow": 1}
    with pytest.raises(InputError, match="no channel with that name"):
        stain_planes(Channels(("a", "b", "c", "d")), "f.tif", said)
    with pytest.raises(InputError, match="channels red=2: the file has planes 0 to 1"):
        stain_planes(Channels(("a", "b")), "f.tif", said)
    said = parse_channels("blue=405,green=488,red=561,yellow=3")
    channels = Channels(("561", "405", "488", "640"))
    assert stain_planes(channels, "f.tif", said) == {"blue": 1, "green": 2, "red": 0, "yellow": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("red=0,green=1", "blue, yellow missing"),
        ("red=0,microtubules=1,green=2,blue=3,yellow=4", "duplicate stain red"),
        ("red=0,green=1,blue=1,yellow=2", "two stains have the same plane"),
        ("red,green,blue,yellow", "'red' is not a stain and its plane"),
        ("pink=0", "'pink=0' is not a stain and its plane"),
    ],
)
def test_channels_said_wrong(text, message):
    with pytest.raises(InputError, match=message):
        parse_channels(text)


def test_channels_of_stains_that_the_fields_lack():
    with pytest.raises(InputError, match="channels: yellow is not among the stains, red, green"):
        parse_channels("red=0,green=1,yellow=2", ("red", "green"))


XML = '<OME><Image><Pixels SizeZ="{z}" SizeT="{t}"><Channel Name="{n}"/></Pixels></Image></OME>'
LAUGHS = '<!DOCTYPE OME [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + XML.format(z=1, t=1, n="&b;")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (XML.format(z=5, t=1, n=""), "TIFF with 5 depths"),
        (XML.format(z=1, t=3, n=""), "TIFF with 3 times"),
        (XML.format(z="1e99", t=1, n=""), "'1e99' is not a number"),
        (LAUGHS, "document type"),
        ("<OME><Image></OME>", "damaged OME-XML"),
        ("ImageJ=1.5\nimages=4\nslices=4\n", "TIFF with 4 depths"),
        ("ImageJ=1.5\nimages=4\nframes=4\n", "TIFF with 4 times"),
    ],
)
def test_stacks_and_odd_descriptions_are_refused(tmp_path, description, message):
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, stack(), photometric="minisblack", description=description,
                     metadata=None)  # fmt: skip
    with pytest.raises(InputError, match=message):
        read_channels(path)
    # What says nothing sound of its planes is not read by their numbers either: prepare takes
    # any for a stain, and leaves it to this to name the file.
    with pytest.raises(InputError, match=message):
        read_stain(tmp_path / "f.tif#0", "red")


POSITION = "<Image><Pixels>{}</Pixels></Image>"


def channels_xml(names, file=None):
    inside = "".join(f'<Channel Name="{name}"/>' for name in names)
    if file is not None:
        inside += f'<TiffData><UUID FileName="{file}">u</UUID></TiffData>'
    return POSITION.format(inside)


@pytest.mark.parametrize("names", [[NAMES, NAMES], [NAMES[:2], NAMES[2:]]])
def test_several_positions_are_rejected(tmp_path, capsys, names):
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "a.ome.tif"
    xml = f"<OME>{''.join(map(channels_xml, names))}</OME>"
    tifffile.imwrite(path, stack(n=sum(map(len, names))), photometric="minisblack",
                     description=xml, metadata=None)  # fmt: skip
    message = "TIFF with 2 positions (Image elements); save each one as a separate file"
    for more in ([], ["--channels", "red=1,green=2,blue=0,yellow=3"]):
        words = [str(path.parent), "--workspace", str(tmp_path / "work")]
        assert prepare.main([*words, *more]) == 2
        error = capsys.readouterr().err
        assert message in error and "a.ome.tif" in error and "--channels" not in error
    with pytest.raises(InputError, match="2 positions"):
        read_stain(f"{path}#0", "blue")


def test_positions_of_the_cases(real_data, tmp_path, capsys):
    cases = real_data.parent / "cases" / "04-positions-in-one-file"
    if not cases.is_dir():
        pytest.skip("no cases beside this checkout")
    for name in ("multi", "two"):
        assert prepare.main([str(cases / name), "--workspace", str(tmp_path)]) == 2
        assert "a1.ome.tif#0: TIFF with 2 positions (Image elements)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["s1 DAPI", "s1 FITC", "s1 tubulin", "s2 DAPI", "s2 FITC", "s2 tubulin"], "3 's2 DAPI'"),
        (["DAPI", "DAPI", "FITC", "FITC", "tubulin", "tubulin"], "1 'DAPI'"),
        (["c:1/2 t:1/2 - DAPI", "c:2/2 t:1/2 - FITC", "c:1/2 t:2/2 - DAPI", "c:2/2 t:2/2 - FITC"],
         "2 'c:1/2 t:2/2 - DAPI'"),
        (["Position 1 - ER", "Position 1 - DNA", "Position 2 - ER", "Position 2 - DNA"],
         "2 'Position 2 - ER'"),
    ],
)  # fmt: skip
def test_names_that_are_there_again_are_several_positions(tmp_path, capsys, names, shown):
    (tmp_path / "images").mkdir()
    pixels = stack("u1", n=len(names))
    metadata = {"Labels": names}
    tifffile.imwrite(tmp_path / "images" / "a.tif", pixels, imagej=True, metadata=metadata)
    words = [str(tmp_path / "images"), "--workspace", str(tmp_path)]
    three = ["--channels", "red=2,green=1,blue=0", "--stains", "red", "green", "blue"]
    for more in ([], three, ["--pattern", "{field}.tif", *three]):
        assert prepare.main([*words, *more]) == 2
        error = capsys.readouterr().err
        assert "TIFF with 2 positions, depths or times" in error and f"{shown};" in error
        assert "a.tif" in error and "--channels" not in error


def test_channels_of_one_dye_or_round_are_no_positions():
    stain_planes(Channels(("Alexa 488", "Alexa 568", "Alexa 647", "ch1")), "f.tif", PLANES)
    stain_planes(Channels(("s1", "s2", "s3", "s4")), "f.tif", PLANES)
    stain_planes(Channels(("DAPI", "CD3", "DAPI", "CD4")), "f.tif", PLANES)


def test_planes_without_names_that_may_be_another_position_are_warned_about(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", stack("u1", n=6, seed=ord(name)),
                         photometric="minisblack")  # fmt: skip
    words = [str(tmp_path / "images"), "--workspace", str(tmp_path), "--overwrite"]
    three = ["--stains", "red", "green", "blue"]
    assert prepare.main([*words, *three]) == 2
    error = capsys.readouterr().err
    assert "set channels to red=0,green=1,blue=2 (planes counted" in error and "yellow" not in error
    assert "if they are several positions, save each one as a separate file" in error
    chosen = ["--channels", "red=0,green=1,blue=2"]
    for more in ([], ["--pattern", "{field}.tif"]):
        assert prepare.main([*words, *three, *chosen, *more]) == 0
        error = capsys.readouterr().err
        assert "warning: 2 files with 6 unnamed planes, such as " in error
        assert "a.tif: planes 0, 1, 2 are the stains" in error
        assert "3, 4, 5 are ignored; if these are another position" in error
    # Five cannot be two positions of three stains.
    for name in "ab":
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", stack("u1", n=5, seed=ord(name)),
                         photometric="minisblack")  # fmt: skip
    assert prepare.main([*words, *three, *chosen]) == 0
    assert "without names" not in capsys.readouterr().err


def test_three_channels_with_names_need_no_more_than_their_stains(tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    write_ome(folder / "a.ome.tif", stack("u1", n=3), ["tubulin", "antibody", "DAPI"])
    tifffile.imwrite(folder / "map.tif", np.moveaxis(stack("u1", n=3), 0, -1), photometric="rgb")
    words = [str(folder), "--workspace", str(tmp_path), "--stains", "red", "green", "blue"]
    assert prepare.main(words) == 0
    catalogue = read_catalogue(tmp_path / "data" / "catalogue.csv")
    assert list(catalogue.index) == ["a"] and catalogue.loc["a", "blue"].endswith("a.ome.tif#2")
    write_ome(folder / "a.ome.tif", stack("u1"), ["tubulin", "antibody", "DAPI", "bright field"])
    assert prepare.main([*words[:-4], "--overwrite"]) == 2
    assert (
        "If the fields have no other stains, set stains to red green blue "
        "(on the command line: --channels, --stains)" in capsys.readouterr().err
    )


def test_of_a_set_that_describes_all_of_it_the_own_position_is_read(tmp_path):
    other = ["w", "x", "y", "z"]
    xml = f"<OME>{channels_xml(other, 'g.tif')}{channels_xml(NAMES, 'f.tif')}</OME>"
    tifffile.imwrite(tmp_path / "f.tif", stack(), photometric="minisblack", description=xml,
                     metadata=None)  # fmt: skip
    assert read_channels(tmp_path / "f.tif").names == tuple(NAMES)
    (tmp_path / "f.tif").rename(tmp_path / "renamed.tif")
    with pytest.raises(InputError, match="2 positions"):
        read_channels(tmp_path / "renamed.tif")


def test_a_file_that_names_itself_or_another(tmp_path):
    # As Bio-Formats writes; renamed files keep the old name, and a set of files names the others.
    for name, is_read in (("f.tif", True), ("gone.tif", True), ("g.tif", False)):
        xml = XML.format(z=1, t=1, n="").replace(
            "</Pixels>", f'<TiffData><UUID FileName="{name}">u</UUID></TiffData></Pixels>'
        )
        for file in ("f.tif", "g.tif"):
            tifffile.imwrite(tmp_path / file, stack(), photometric="minisblack", description=xml,
                             metadata=None)  # fmt: skip
        if is_read:
            read_stain(tmp_path / "f.tif#0", "red")
        else:
            with pytest.raises(InputError, match=r"planes in several files \(g\.tif\)"):
                read_stain(tmp_path / "f.tif#0", "red")


def test_a_field_of_damaged_ome_xml_is_set_aside(tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "ab":
        write_ome(folder / f"{name}.ome.tif", stack("u1", seed=ord(name)))
    damaged = (folder / "b.ome.tif").read_bytes().replace(b"</Pixels>", b"</Pixelz>")
    (folder / "b.ome.tif").write_bytes(damaged)
    (folder / "train.csv").write_text("Id,Target\na,0\nb,1\n")
    words = [str(folder), "--workspace", str(tmp_path)]
    for more in ([], ["--channels", "red=2,green=3,blue=0,yellow=1"]):
        assert prepare.main([*words, *more]) == 2
        assert "b.ome.tif#0: damaged OME-XML" in capsys.readouterr().err
    assert prepare.main([*words, "--on-error", "skip"]) == 3
    assert list(read_catalogue(tmp_path / "data" / "catalogue.csv").index) == ["a"]


def test_planes_that_are_not_there(tmp_path):
    write_ome(tmp_path / "f.tif", stack())
    with pytest.raises(InputError, match=r"no plane 4; the file has 4, counted from 0"):
        read_stain(tmp_path / "f.tif#4", "red")
    with pytest.raises(
        InputError, match=r"several pages; a stain is a single plane. Select it .*#0"
    ):
        read_stain(tmp_path / "f.tif", "red")
    cv2.imwrite(str(tmp_path / "g.png"), stack("u1")[0])
    with pytest.raises(InputError, match=r"g\.png: not a TIFF"):
        read_channels(tmp_path / "g.png")
    (tmp_path / "g.png").rename(tmp_path / "g.tif")
    with pytest.raises(InputError, match="only planes of a TIFF can be selected"):
        read_stain(tmp_path / "g.tif#0", "red")


def test_pages_of_several_sizes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "f.tif") as file:
        for height in (20, 20, 20, 19):
            file.write(stack(height=height)[0], photometric="minisblack", metadata=None)
    with pytest.raises(InputError, match="pages differ in size"):
        read_stain(tmp_path / "f.tif#0", "red")


def test_a_file_whose_name_ends_like_a_plane_is_not_found(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif#2", stack()[0])
    with pytest.raises(InputError, match=r"f\.tif: no such file"):
        read_stain(tmp_path / "f.tif#2", "red")


def test_content_is_of_the_file_and_of_the_planes(tmp_path):
    write_ome(tmp_path / "f.tif", stack())
    found = field_content(row(tmp_path / "f.tif"))
    table = pd.DataFrame([row(tmp_path / "f.tif")], index=["f"])
    assert check_fields(table, progress=False)[0].loc["f", "content"] == found
    swapped = {"red": 3, "green": 2, "blue": 0, "yellow": 1}
    assert field_content(row(tmp_path / "f.tif", swapped)) != found
    digest = hashlib.blake2b((tmp_path / "f.tif").read_bytes(), digest_size=16)
    digest.update(b"#2#3#0#1")
    assert digest.hexdigest() == found


def test_one_plane_for_two_stains_is_refused(tmp_path):
    write_ome(tmp_path / "f.tif", stack())
    table = pd.DataFrame([row(tmp_path / "f.tif", {**PLANES, "yellow": 0})], index=["f"])
    _, bad = check_fields(table, progress=False)
    assert bad[0].reason == "the same image as the blue stain of the field"


def test_the_catalogue_keeps_planes(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    write_ome(folder / "f.ome.tif", stack())
    fields = combine_fields(collect_fields(folder).fields)
    facts, bad = check_fields(fields, progress=False)
    assert not bad
    write_catalogue(tmp_path / "catalogue.csv", fields.join(facts))
    assert "images/f.ome.tif#2,images/f.ome.tif#3" in (tmp_path / "catalogue.csv").read_text()
    kept = read_catalogue(tmp_path / "catalogue.csv")
    assert dict(kept.loc["f", list(STAINS)]) == row(folder / "f.ome.tif")


def test_prepare_finds_fields_in_one_file_beside_ordinary_ones(tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    write_ome(folder / "a.ome.tif", stack("u1"))
    tifffile.imwrite(folder / "mask.tif", stack("u1")[0])  # passed over
    tifffile.imwrite(folder / "map.tif", np.moveaxis(stack("u1"), 0, -1), photometric="rgb")
    for number, stain in enumerate(STAINS):
        cv2.imwrite(str(folder / f"b_{stain}.png"), stack("u1", seed=1)[number])
    (folder / "c.tif").write_bytes((folder / "a.ome.tif").read_bytes()[:200])
    (folder / "train.csv").write_text("Id,Target\na,0\nb,1\n")
    words = [str(folder), "--workspace", str(tmp_path)]
    assert prepare.main(words) == 2
    assert "c.tif" in capsys.readouterr().err
    assert prepare.main([*words, "--on-error", "skip"]) == 3
    catalogue = read_catalogue(tmp_path / "data" / "catalogue.csv")
    assert list(catalogue.index) == ["a", "b"]
    assert catalogue.loc["a", "red"].endswith("a.ome.tif#2")


def test_prepare_takes_channels(tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", stack("u1"), photometric="minisblack")
    words = [str(folder), "--workspace", str(tmp_path)]
    assert prepare.main(words) == 2
    assert "4 channels without names; set channels to" in capsys.readouterr().err
    assert prepare.main([*words, "--channels", "red=3,green=2,blue=1,yellow=0"]) == 0
    catalogue = read_catalogue(tmp_path / "data" / "catalogue.csv")
    np.testing.assert_array_equal(
        read_field(catalogue.loc["a"]), stack("u1")[::-1] / np.float32(255)
    )


def test_a_field_in_both_forms_is_refused(tmp_path):
    write_ome(tmp_path / "a.tif", stack())
    cv2.imwrite(str(tmp_path / "a_red.png"), stack("u1")[0])
    with pytest.raises(InputError, match="are both the red stain of a; keep one"):
        collect_fields(tmp_path)
