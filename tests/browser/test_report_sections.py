"""Controls of the report's sections: cells that list fields, and the map of domains."""

import shutil

import numpy as np
import pandas as pd
import pytest

from hpastack.workspace import Workspace
from pipelines import report


@pytest.fixture(scope="module")
def mapped(reported, tmp_path_factory):
    """Return the report of a workspace that has domains and a leaked test field."""
    root = tmp_path_factory.mktemp("mapped") / "copy"
    shutil.copytree(reported, root)
    workspace, rng = Workspace(root), np.random.default_rng(0)
    catalogue = workspace.read_catalogue()
    domains = pd.DataFrame({"domain": np.arange(len(catalogue)) % 3}, catalogue.index)
    domains.to_csv(workspace.domains)
    columns = ["component_1", "component_2"]
    points = pd.DataFrame(rng.normal(size=(len(catalogue), 2)), catalogue.index, columns)
    points.to_csv(workspace.domain_map)
    train, test = (catalogue.index[catalogue["split"] == name][0] for name in ("train", "test"))
    leak = f"{test},{train},,hpa2018,0.97,shift"
    workspace.leaks.write_text(f"image_id,twin,twin_target,twin_source,strength,evidence\n{leak}\n")
    assert report.main(["models/stack", "--overwrite", "--workspace", str(root)]) == 0
    return workspace.reports / "stack.html"


@pytest.fixture
def opened(mapped, open_page):
    return open_page(mapped)


def test_nothing_is_wrong_with_a_map_and_pairs(mapped, open_page, width, scheme):
    opened = open_page(mapped, width, scheme)
    assert opened.overflow() == 0
    assert not opened.broken_images()
    opened.page.locator("#confusions table.heat button").first.click()
    opened.page.locator(".map-charts").press("ArrowRight")
    assert opened.overflow() == 0
    opened.page.evaluate("document.getElementById('cards').remove()")
    assert not opened.violations()
    assert not opened.console
    assert not opened.requests


def test_a_cell_lists_its_fields(opened):
    page = opened.page
    cell = page.locator("#confusions table.heat button[data-pair]").first
    said = cell.get_attribute("title")
    cell.click()
    box = page.locator("#missed-fields")
    assert said in box.inner_text()
    missed, instead = said.split(" predicted:")[0].split(" missed, ")
    lines = box.locator("figcaption").first.locator("span").all_inner_texts()
    assert missed in lines[0].split("annotated ")[1].split(", ")
    assert missed not in lines[1] and instead in lines[1].split("predicted ")[1].split(", ")
    assert cell.get_attribute("aria-pressed") == "true"
    box.get_by_role("button").click()
    assert f"{missed} is missed and {instead} predicted" in (
        page.locator("#picture-filter").inner_text()
    )


def test_one_stop_of_tab_and_arrow_keys_within(opened):
    page = opened.page
    table = page.locator("#confusions table.heat").nth(1)
    assert table.locator("button[tabindex='0']").count() == 1
    table.locator("button[tabindex='0']").focus()
    before = page.evaluate("document.activeElement.title")
    page.keyboard.press("ArrowRight")
    after = page.evaluate("document.activeElement.title")
    assert after != before and after.split(" with ")[0] == before.split(" with ")[0]
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.title") == before
    page.keyboard.press("Enter")
    assert before in page.locator("#together-fields").inner_text()
    assert table.locator("button[tabindex='0']").count() == 1


def test_the_map_is_told_apart_in_one_way_at_a_time(opened):
    page = opened.page
    shown = page.locator(".map-charts figure:visible h4")
    assert shown.all_inner_texts() == ["By domain"]
    page.get_by_role("radio", name="split").check()
    assert shown.all_inner_texts() == ["By split"]


def test_a_field_of_the_map_is_named_by_pointer_and_by_key(opened):
    page = opened.page
    page.locator(".map-charts figure:visible [data-i='5']").dispatch_event("pointerover")
    box = page.locator(".map-shown")
    assert box.inner_text().startswith("domain ") and "; split train" in box.inner_text()
    assert page.locator(".picked:visible").count() == 1
    page.locator(".map-charts").focus()
    page.keyboard.press("ArrowRight")
    assert box.locator("img").count() == 1, "keys go to fields with pictures"
    first = box.locator("code").inner_text()
    page.keyboard.press("ArrowRight")
    assert box.locator("code").inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert box.locator("code").inner_text() == first
