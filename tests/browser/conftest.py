"""A real browser, the one that the system has; nothing is downloaded."""

import os
import shutil

import pytest

from tests.browser.pages import PAGES, write_pages

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; without one tests are skipped, or fail where CI has to have it.

    No longer than a module: while playwright is there its event loop runs in this thread, where
    other tests start theirs.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        _missing(f"no browser: none of {', '.join(_NAMES)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed (dependency group test)")
    with sync_playwright() as playwright:
        # A container has no sandbox to give; the pages are our own.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def _missing(reason):
    if os.environ.get("PASSLAW_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):
    """A folder with every page; built only where there is a browser to open them."""
    folder = tmp_path_factory.mktemp("pages")
    write_pages(folder)
    return folder


class Opened:
    """Pages as they were opened, and what went wrong while they were."""

    def __init__(self, browser, folder):
        self._browser, self._folder = browser, folder
        self._contexts = []
        self.complaints = []
        self.requests = []

    def open(self, name, **options):
        """Open a page with no network, in a profile of its own."""
        context = self._browser.new_context(offline=True, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto((self._folder / f"{name}.html").as_uri())
        return page

    def close(self):
        for context in self._contexts:
            context.close()


@pytest.fixture
def opened(browser, folder):
    opened = Opened(browser, folder)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def resting(browser, folder):
    """Each page opened once on a wide screen, for tests that only look."""
    opened = Opened(browser, folder)
    pages = {name: opened.open(name, color_scheme="light") for name in PAGES}
    yield pages, opened
    opened.close()
