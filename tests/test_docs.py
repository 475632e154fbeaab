"""The documentation: its links, commands, names and examples are those of the code."""

import configparser
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import hpastack as hs
from hpastack.features import FAMILIES
from hpastack.recipes import TYPES
from hpastack.settings import keys
from pipelines.__main__ import commands

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "notebooks").glob("*.md")),
]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(
    r"(?:python -m pipelines\.|(?:^|`)hpastack )([a-z]\w*)([^`\n]*)", re.MULTILINE
)
# An option where prose names one without its command.
_OPTION = re.compile(r"(?<![\w`-])--[a-z][a-z-]*|(?<=`)--[a-z][a-z-]*")


def page_id(page):
    return page.relative_to(ROOT).as_posix()


def fences(page, language):
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [code for name, code in found if name == language]


def anchors(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def options_of(command):
    """Return the options that a command knows."""
    parser = importlib.import_module(f"pipelines.{command}").make_parser()
    return {option for action in parser._actions for option in action.option_strings}


def _bare(word):
    """Return an option without its value and without the punctuation of a sentence around it."""
    return re.split(r"[=),;.]", word, maxsplit=1)[0]


def commands_of(page):
    """Return (command, its options) for each command line of a page."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = []
    for command, rest in _COMMAND.findall(text):
        words = shlex.split(rest, comments=True) if rest.count('"') % 2 == 0 else rest.split()
        lines.append((command, [_bare(word) for word in words if word[:2] == "--"]))
    return lines


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_resolve(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_and_their_options_exist(page):
    for command, options in commands_of(page):
        assert (ROOT / "pipelines" / f"{command}.py").is_file(), f"{page.name}: {command}"
        unknown = set(options) - options_of(command)
        assert not unknown, f"{page.name}: {command} {unknown}"


def test_every_command_has_its_row_in_the_readme_and_its_example_in_the_guide():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `hpastack (\w+)[^|]*` \| .+ \|$", readme, re.MULTILINE)
    assert sorted(rows) == sorted(commands()), "README.md: a row for each command"
    examples = "\n".join(fences(ROOT / "docs" / "guide.md", "bash"))
    shown = set(re.findall(r"(?:python -m pipelines\.|hpastack )(\w+)", examples))
    assert shown == set(commands()), "docs/guide.md: an example of each command"


def test_options_named_in_prose_exist():
    known = set().union(*(options_of(command) for command in ["__main__", *commands()]))
    for page in PAGES:
        # What stands in fences or behind a command is looked at above.
        text = _COMMAND.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
        assert set(_OPTION.findall(text)) <= known, page.name


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_names_in_examples_exist(page):
    for code in fences(page, "python"):
        compile(code, str(page), "exec")
        for name in re.findall(r"\bhs\.(\w+)", code):
            assert name in hs.__all__, f"{page.name}: hs.{name}"


def test_the_command_of_contributing_runs(tmp_path, capsys):
    (code,) = (c for c in fences(ROOT / "CONTRIBUTING.md", "python") if "make_parser" in c)
    (tmp_path / "data").mkdir()
    rows = ["image_id,split,target,source,red,green,blue,yellow,height,width,content"]
    rows += [f"{name},train,{target},x,,,,,0,0," for name, target in (("a", "0 16"), ("b", "16"))]
    (tmp_path / "data" / "catalogue.csv").write_text("\n".join(rows), encoding="utf-8")
    command = {"__name__": "count"}
    exec(compile(code, "CONTRIBUTING.md", "exec"), command)
    assert command["main"](["--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == ["target", "16", "2", "0", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/features.md", "docs/guide.md"])
def test_examples_run(name):
    pytest.importorskip("xgboost")
    codes = fences(ROOT / name, "python")
    assert codes
    for code in codes:
        exec(compile(code, name, "exec"), {})


@pytest.mark.slow
def test_the_blocks_of_ten_minutes_run_one_after_another():
    pytest.importorskip("xgboost")
    pytest.importorskip("matplotlib")
    names: dict[str, object] = {}
    for code in fences(ROOT / "docs" / "ten_minutes.md", "python"):
        exec(compile(code, "ten_minutes.md", "exec"), names)
    assert {"stack", "again", "report"} <= set(names)


PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.png"))


def test_every_picture_of_the_concepts_is_there_and_small():
    pytest.importorskip("matplotlib")
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\(pictures/(\w+)\.png\)", page)
    assert shown == list(script("make_concepts").PICTURES)
    assert sorted(shown) == [path.stem for path in PICTURES]
    for path in PICTURES:
        assert path.stat().st_size < 60_000, path.name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folds", "calibration", "nested"])
def test_pictures_of_the_concepts_are_the_same_each_time(name):
    pytest.importorskip("matplotlib")
    concepts = script("make_concepts")
    assert concepts.draw(name) == concepts.draw(name)


def test_api_page_holds_the_public_names():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. auto\w+:: hpastack\.(\w+)$", page, re.MULTILINE)
    assert sorted(shown) == sorted(set(hs.__all__) - {"__version__"})


def script(name):
    """Import a script of docs/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_columns_is_up_to_date():
    page = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    assert script("make_features").page() == page, "run python docs/make_features.py"


def test_the_list_of_settings_is_up_to_date():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert script("make_settings").page() == page, "run python docs/make_settings.py"


def test_the_list_of_messages_is_up_to_date():
    page = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    assert script("make_faq").page() == page, "run python docs/make_faq.py"


def test_a_remedy_for_a_message_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="in no message: no such words"):
        script("make_faq").page({"duplicate ids": "Remove one.", "no such words": "?"})


def test_messages_are_read_from_the_code(tmp_path):
    faq = script("make_faq")
    code = """
REMEDY = "save it again"
def check(path, names, is_old):
    note = "old" if is_old else ""
    if names:
        raise InputError(f"{path}: {counted(len(names), 'id')} and {names!r}; {REMEDY}", "names")
    raise FileFault(path, "too old " + note)
    raise InputError(str(path))
    raise KeyError("not for users")
CORRUPT = Kind("values are not finite", "make them again", ("accept",))
"""
    entries = faq.Messages("m", faq.ast.parse(code), {}).entries
    assert [entry.text.markdown for entry in entries] == [
        "*path*: *number* ids and '*names*'; save it again",
        "*path*: too old \\[old\\]",
        "*stores*: values are not finite; make them again",
    ]
    assert [entry.parameters for entry in entries] == [["names"], [], ["accept"]]


def test_every_exception_for_users_is_in_the_list_of_messages():
    words = re.sub(r"\\|&#8203;", "", script("make_faq").page())
    for part in ("duplicate ids", "truncated JPEG", "is not a whole number", "shard explicitly"):
        assert part in words


@pytest.mark.parametrize(
    "path", [*ROOT.glob("features/*.yaml"), *ROOT.glob("models/*.yaml")], ids=lambda path: path.stem
)
def test_the_comments_of_recipes_are_up_to_date(path):
    text = path.read_text(encoding="utf-8")
    assert script("make_settings").commented(text) == text, "run python docs/make_settings.py"
    assert max(map(len, text.splitlines())) <= 100


def test_every_setting_has_a_meaning():
    for name, cls in TYPES.items():
        for key in keys(cls):
            assert re.fullmatch(r"(?s)[A-Z`].+\.", key.meaning), f"{name}: {key.name}"


def test_the_table_of_families_counts_their_columns():
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    counts = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE))
    assert counts == {name: str(len(hs.feature_columns([name]))) for name in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_recipe_that_counts_its_columns(family):
    text = (ROOT / "features" / f"{family}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["families"] == [family]
    counts = re.findall(r"\b(\d+) columns", text)
    assert set(counts) <= {str(len(hs.feature_columns([family])))}


def test_every_extra_is_on_the_page_of_installation():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extra in setup["options.extras_require"]:
        assert f"`{extra}`" in page, extra


def test_every_type_of_recipe_is_in_the_guide():
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    for name in TYPES:
        assert f"(settings.md#type-{name})" in guide


@pytest.mark.slow
def test_site_builds_offline_without_warnings(tmp_path):
    for needed in ("sphinx", "myst_parser", "furo", "torch"):
        pytest.importorskip(needed)
    # A process of its own: warnings within Sphinx itself are none of ours.
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "-b",
        "html",
        "-d",
        tmp_path / "doctrees",
    ]
    done = subprocess.run([*command, ROOT / "docs", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
