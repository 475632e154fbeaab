"""What opens a page as a reader does, in Chromium, and watches what goes wrong there.

Chromium comes from the system (Debian: ``apt-get install chromium``), because a browser that
is downloaded by its driver cannot be had everywhere.
"""

import shutil
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NARROW, WIDE = 360, 1600


def pytest_collection_modifyitems(items):
    """Mark all tests of this folder, which start a browser."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chromium():
    """Start a browser without a window."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Chromium does not run as root in its sandbox, as in most containers.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class OpenedPage:
    """A page and what it did that a page of one file must not do."""

    page: object
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def hear(self, message):
        if message.type == "error":
            self.console.append(message.text)

    def see(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.requests.append(request.url)

    def overflow(self):
        """Return by how many pixels the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def violations(self):
        """Return what axe finds against accessibility: rule and the elements."""
        source = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        self.page.evaluate(source)
        found = self.page.evaluate("axe.run()")["violations"]
        return [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found]

    def broken_images(self):
        """Return the images that do not decode or have no alternative text."""
        return self.page.evaluate(
            """async () => {
                const broken = []
                for (const image of document.images) {
                    image.loading = "eager"
                    const fault = () => broken.push(image.outerHTML.slice(0, 200))
                    try { await image.decode() } catch { fault() }
                    if (!image.hasAttribute("alt")) fault()
                }
                return broken
            }"""
        )


@pytest.fixture
def open_page(chromium):
    """Return what opens an HTML file: ``open_page(path, width=1600, scheme="light")``.

    Anything that it logs as an error, raises or requests beside its own files is kept.
    """
    contexts = []

    def open_it(path, width=WIDE, scheme="light", height=900, fragment=""):
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            accept_downloads=True,
        )
        contexts.append(context)
        opened = OpenedPage(context.new_page())
        opened.page.on("console", opened.hear)
        opened.page.on("pageerror", lambda error: opened.console.append(str(error)))
        opened.page.on("request", opened.see)
        opened.page.goto(f"{Path(path).resolve().as_uri()}#{fragment}")
        return opened

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture(params=[NARROW, WIDE], ids=["narrow", "wide"])
def width(request):
    """Return the width of a telephone, then of a desktop, in pixels."""
    return request.param


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    """Return the colour scheme that the reader prefers."""
    return request.param
