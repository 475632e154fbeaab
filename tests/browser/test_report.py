"""The report as a reader opens it: nothing wrong at any width and scheme, and its controls work."""

import pytest
from report_cases import HOSTILE, hostile_names, without_cnns

from hpastack.report.stack_report import write_report


@pytest.fixture(scope="module")
def pages(reported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    made = {"fields": reported / "reports" / "stack.html"}
    for name, make in (("hostile", hostile_names), ("plain", without_cnns)):
        stack, y, clusters = make(folder / name)
        path = folder / f"{name}.html"
        made[name] = write_report(stack, y, path, clusters=clusters, progress=False)
    return made


@pytest.fixture
def wide(pages, open_page):
    return open_page(pages["fields"])


def opened_cards(page):
    return page.evaluate("[...document.querySelectorAll('.card[open]')].map(card => card.id)")


@pytest.mark.parametrize("name", ["fields", "hostile", "plain"])
def test_nothing_is_wrong_at_any_width_and_scheme(pages, open_page, width, scheme, name):
    opened = open_page(pages[name], width, scheme)
    assert opened.overflow() == 0
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.overflow() == 0
    assert not opened.broken_images()
    # One card is made as the others are, and axe takes its time for each.
    opened.page.evaluate("document.querySelectorAll('.card').forEach((d, k) => d.open = k === 1)")
    assert not opened.violations()
    assert not opened.console
    assert not opened.requests


def test_hostile_names_are_shown_not_run(pages, open_page):
    opened = open_page(pages["hostile"])
    opened.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    shown = opened.page.locator("#label-table tbody th a").all_inner_texts()
    assert shown == HOSTILE
    assert opened.page.locator("#cards summary strong").all_inner_texts() == HOSTILE
    assert opened.page.locator("img[src='x']").count() == 0
    opened.page.get_by_role("button", name="Open all").click()
    assert "<i>field" in opened.page.locator("table.ids code").first.inner_text()
    assert not opened.console


def column(page, number):
    return page.evaluate(
        """number => [...document.querySelector('#label-table').tBodies[0].rows]
            .map(row => row.cells[number].textContent)""",
        number,
    )


def test_sorting_sorts_by_value_and_back(wide):
    page = wide.page
    names = column(page, 0)
    head = page.locator("#label-table thead th").nth(1)
    head.get_by_role("button").click()
    counts = [int(text.replace(",", "")) for text in column(page, 1)]
    assert counts == sorted(counts, reverse=True) and counts[0] != counts[-1]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").press("Enter")
    assert [int(text.replace(",", "")) for text in column(page, 1)] == sorted(counts)
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator("#label-table thead th").first.get_by_role("button").click()
    assert column(page, 0) == names
    assert page.locator("#label-table th[aria-sort]").count() == 1


def test_the_filter_leaves_labels_and_their_cards(wide):
    page = wide.page
    page.get_by_label("Filter labels").fill("NUCLEO")
    shown = page.locator("#label-table tbody tr:visible")
    assert shown.count() == 3
    assert page.locator("#label-count").inner_text() == "3 of 28 labels"
    assert page.locator("#cards .card:visible").count() == 3
    page.get_by_label("Filter labels").fill("")
    assert page.locator("#label-table tbody tr:visible").count() == 28


def test_a_label_leads_to_its_card(wide):
    page = wide.page
    assert opened_cards(page) == []
    page.locator("#label-table tbody th a").nth(4).click()
    page.wait_for_timeout(200)
    assert opened_cards(page) == ["card-4"]
    page.get_by_role("button", name="Close all").click()
    # The same link again, whose address does not change.
    page.locator("#label-table tbody th a").nth(4).click()
    assert opened_cards(page) == ["card-4"]


def test_a_click_on_a_confusion_shows_its_fields(wide):
    page = wide.page
    pair = page.evaluate(
        """() => {
            for (const tile of document.querySelectorAll('#cards .tile')) {
                const card = tile.closest('.card').id.slice(5);
                const annotated = tile.dataset.annotated.split(' ');
                const predicted = tile.dataset.predicted.split(' ');
                const instead = predicted.find((k) => k && !annotated.includes(k));
                const missed = annotated.includes(card) && !predicted.includes(card);
                if (missed && instead) return [card, instead];
            }
        }"""
    )
    assert pair, "some field has another label than it should"
    page.evaluate(
        """([missed, instead]) => {
            const cell = document.createElement('button');
            Object.assign(cell.dataset, {missed, instead});
            document.querySelector('main').prepend(cell);
            cell.click();
        }""",
        pair,
    )
    card = page.locator(f"#card-{pair[0]}")
    shown = card.locator(".tile:visible")
    assert 0 < shown.count() < card.locator(".tile").count()
    assert "is missed" in page.locator("#picture-filter").inner_text()
    page.get_by_role("button", name="Show all").click()
    assert shown.count() == card.locator(".tile").count()
    assert page.locator("#picture-filter").is_hidden()


def test_scrolling_areas_are_reached_by_keyboard(pages, open_page):
    page = open_page(pages["fields"], 360).page
    area = page.locator(".scroll", has=page.locator("#label-table"))
    area.focus()
    assert area.evaluate("area => area === document.activeElement")
    first = page.locator("#label-table tbody th").first
    before = first.bounding_box()["x"]
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    assert area.evaluate("area => area.scrollLeft") > 50
    assert first.bounding_box()["x"] == before, "the label stays in sight"


def test_all_is_open_and_light_in_print(pages, open_page):
    opened = open_page(pages["plain"], scheme="dark")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(opened_cards(opened.page)) == 3
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened_cards(opened.page) == []
    opened.page.emulate_media(media="print")
    colour = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(255, 255, 255)"
