"""Every page in a real browser: drawn, readable, reachable, printable, and with no network."""

import re
from itertools import pairwise

import pytest

from tests.browser.pages import PAGES

every_page = pytest.mark.parametrize("name", PAGES)

TEXT_CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((level) => level / 255)
    .map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, at) => sum + x * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!own || !node.checkVisibility() || node.closest("script")) continue;
    const style = getComputedStyle(node), svg = node.closest("svg");
    const one = light(parse(svg ? style.fill : style.color)), two = light(behind(node));
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${node.tagName} ${node.textContent.trim()}`);
  }
  return found;
}"""

REACHED = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  if (at === document.body) return null;
  return [at.className || at.id || at.tagName, style.outlineStyle !== "none"];
}"""


@pytest.fixture(scope="module")
def page(request, resting):
    """The page of the test's name, at rest."""
    return resting[0]


class TestAtRest:
    def test_nothing_is_complained_about_or_asked_for(self, resting):
        """No error or warning in the console, and no request but the files themselves."""
        pages, opened = resting
        assert opened.complaints == []
        assert opened.requests == [page.url for page in pages.values()]

    @every_page
    def test_every_chart_is_drawn(self, page, name):
        """Each chart has marks with a place on the page, and a row of its table for each point."""
        charts = page[name].evaluate(
            """() => [...document.querySelectorAll(".chart")].map((chart) => [
              [...chart.querySelectorAll("svg path, svg use, svg line")]
                .filter((mark) => mark.getBoundingClientRect().width
                  + mark.getBoundingClientRect().height > 0).length,
              new Set([...chart.querySelectorAll("[data-row]")].map((each) => each.dataset.row))
                .size,
              chart.closest("figure").querySelectorAll("tbody tr").length])"""
        )
        assert charts
        for marks, points, rows in charts:
            assert marks > 10
            assert 0 < points <= rows

    @every_page
    def test_every_image_has_a_name(self, page, name):
        session = page[name].context.new_cdp_session(page[name])
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        images = [
            node.get("name", {}).get("value")
            for node in nodes
            if not node["ignored"]
            and node["role"]["value"] in ("image", "img", "graphics-document")
        ]
        assert len(images) == page[name].locator(".chart").count()
        assert all(images)

    @every_page
    def test_headings_are_in_order(self, page, name):
        """One heading of the first level, and none skips a level."""
        levels = page[name].evaluate(
            "() => [...document.querySelectorAll('h1, h2, h3, h4')].map((h) => +h.tagName[1])"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))

    @every_page
    def test_tables_say_what_they_hold(self, page, name):
        """Every table has a caption, and every head says what it is the head of."""
        bare = page[name].evaluate(
            """() => [...document.querySelectorAll("table:not(:has(> caption)), th:not([scope])")]
              .map((each) => each.textContent.trim().slice(0, 80))"""
        )
        assert bare == []

    @every_page
    def test_names_are_unique_and_links_lead_somewhere(self, page, name):
        ids, links = page[name].evaluate(
            """() => [[...document.querySelectorAll("[id]")].map((each) => each.id),
              [...document.querySelectorAll("a[href]")].map((each) => each.getAttribute("href"))]"""
        )
        assert len(ids) == len(set(ids))
        inside = [link for link in links if link.startswith("#")]
        assert len(inside) >= 2
        assert {link[1:] for link in inside} <= set(ids)

    @every_page
    def test_it_has_landmarks_and_a_language(self, page, name):
        assert page[name].locator("main").count() == 1
        assert page[name].locator("nav").count() == 1
        assert page[name].locator("html").get_attribute("lang") == "en"


class TestPointer:
    @every_page
    def test_a_point_tells_what_the_table_says(self, opened, name):
        """Over a point of each chart, the tooltip has the heads and cells of that point's row."""
        page = opened.open(name)
        for at in range(page.locator(".chart").count()):
            point = page.locator(".chart").nth(at).locator("[data-row]").first
            point.scroll_into_view_if_needed()
            box = point.bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            told = page.locator("#tip").evaluate("(tip) => tip.hidden ? null : tip.innerText")
            row = page.evaluate(
                """() => { const at = document.querySelector(".at");
                  const table = at.closest("figure").querySelector(".numbers");
                  const cells = table.querySelectorAll("tbody tr")[+at.dataset.row].cells;
                  return [...table.querySelectorAll("th")]
                    .map((head, at) => head.textContent + " " + cells[at].textContent.trim())
                    .filter((line) => !line.endsWith(" ")); }"""
            )
            assert [line.strip() for line in told.strip().split("\n")] == row
            page.mouse.move(0, 0)
            assert page.locator("#tip").is_hidden()

    def test_a_table_sorts_by_numbers(self, opened):
        """Text like 0.0823 (0.06 to 0.1) and 1.2x10^-4 is ordered by its value."""
        page = opened.open("compare")
        table = page.locator("table.sorts", has_text="Coverage of first").first
        head = table.locator("th", has_text="Tries")
        head.locator("button").click()
        texts = table.locator("tbody td:nth-child(3)").all_inner_texts()
        tries = [int(text.replace(",", "")) for text in texts]
        assert tries == sorted(tries)
        assert head.get_attribute("aria-sort") == "ascending"
        assert len(set(tries)) > 1


class TestKeyboard:
    @every_page
    def test_a_walk_reaches_all_that_can_be_used(self, opened, name):
        """By Tab: the skip link first, the toggle, every chart, summary and scroller; all seen."""
        page = opened.open(name)
        reached = []
        for _ in range(300):
            page.keyboard.press("Tab")
            at = page.evaluate(REACHED)
            if at is None:
                break
            reached.append(at)
        names = [each[0] for each in reached]
        assert names[0] == "skip"
        assert "theme" in names
        for selector, called in (
            (".chart", "chart"),
            ("summary", "SUMMARY"),
            (".scroll", "scroll"),
        ):
            visible = page.locator(f"{selector}:visible").count()
            assert names.count(called) == visible
        assert all(seen for _, seen in reached)

    def test_the_skip_link_leads_to_the_content(self, opened):
        page = opened.open("report")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"

    @every_page
    def test_arrows_walk_through_the_points(self, opened, name):
        """On a chart, arrow keys speak one point after the other, and Escape ends it."""
        page = opened.open(name)
        page.locator(".chart").first.focus()
        spoken = []
        for _ in range(2):
            page.keyboard.press("ArrowRight")
            spoken.append(page.locator("#spoken").text_content())
        assert page.locator("#tip").is_visible()
        assert all(spoken)
        assert spoken[0] != spoken[1]
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()


class TestModes:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @every_page
    def test_text_stands_out(self, opened, name, scheme):
        """All text, in charts too, has a contrast of 4.5 or more (WCAG AA), details open."""
        page = opened.open(name, color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
        assert page.evaluate(TEXT_CONTRASTS) == []

    @every_page
    def test_the_toggle_turns_the_page_and_is_remembered(self, opened, name):
        """The page and its charts change colour, and are found so when opened again."""
        page = opened.open(name, color_scheme="light")
        colours = """() => [getComputedStyle(document.body).backgroundColor,
          getComputedStyle(document.querySelector(".chart text")).fill]"""
        before = page.evaluate(colours)
        page.locator("#theme").click()
        after = page.evaluate(colours)
        page.reload()
        assert [one != two for one, two in zip(before, after, strict=True)] == [True, True]
        assert page.evaluate(colours) == after

    def test_little_motion_where_that_is_wanted(self, opened):
        page = opened.open("report", reduced_motion="reduce")
        style = "getComputedStyle(document.documentElement).scrollBehavior"
        assert page.evaluate(style) == "auto"

    @every_page
    def test_a_narrow_screen_scrolls_no_page(self, opened, name):
        """At 400 pixels only charts and tables scroll sideways; open details too."""
        page = opened.open(name, viewport={"width": 400, "height": 800})
        page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400

    @every_page
    def test_it_is_read_without_scripts(self, opened, name):
        """Charts and tables are there; what needs a script is not shown."""
        page = opened.open(name, java_script_enabled=False)
        assert page.locator(".chart svg").first.is_visible()
        assert page.locator("#theme").is_hidden()


class TestPaper:
    # The width between the margins of an A4 page, in pixels of a browser.
    WIDTH = int((210 - 2 * 14) / 25.4 * 96)

    @every_page
    def test_nothing_is_cut_off(self, opened, name):
        """On A4, charts and tables end within the page, in light colours, details open."""
        page = opened.open(
            name, color_scheme="dark", viewport={"width": self.WIDTH, "height": 1000}
        )
        page.emulate_media(media="print", color_scheme="dark")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open], .numbers)").count() == 0
        wide = page.evaluate(
            """(width) => [...document.querySelectorAll("svg, table, pre")]
              .filter((each) => each.checkVisibility())
              .map((each) => [each.getBoundingClientRect().right, each.textContent.slice(0, 60)])
              .filter(([right]) => right > width + 1)""",
            self.WIDTH,
        )
        assert wide == []
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"

    def test_it_prints(self, opened):
        pdf = opened.open("report").pdf(prefer_css_page_size=True)
        assert pdf.startswith(b"%PDF")
        assert re.search(rb"/MediaBox\s*\[0 0 (594|595)", pdf)


def test_a_script_that_is_not_ours_does_not_run(opened, folder):
    """Were a text from a model to get into the page as markup, the policy would still stop it."""
    html = (folder / "compare.html").read_text()
    (folder / "smuggled.html").write_text(
        html.replace("<h1>", "<script>window.ran = 1</script><h1>")
    )
    page = opened.open("smuggled")
    assert page.evaluate("window.ran === undefined")
    assert any("Content Security Policy" in each for each in opened.complaints)
