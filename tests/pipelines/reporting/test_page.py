"""The frame of every page: what it holds, what it may load, and charts drawn into it."""

import base64
import hashlib
import re
from html import unescape
from xml.etree import ElementTree

import altair as alt
import pytest

from pipelines.reporting import page
from pipelines.reporting.charts import Sheet, panels_of
from pipelines.reporting.drawing import draw

ROWS = [{"x": at, "y": at * 0.1, "rate": f"{at / 10} of all", "name": "<b>&"} for at in range(1, 6)]


def chart(rows=ROWS, tooltip=True):
    sheet = Sheet()
    points = sheet.chart(rows).mark_point(filled=True).encode(
        x=alt.X("x:Q", title="tries"), y=alt.Y("y:Q", title="success"), color=alt.value("#1f5f99")
    )  # fmt: skip
    if tooltip:
        points = points.encode(tooltip=[alt.Tooltip("name:N"), alt.Tooltip("rate:N", title="is")])
    line = sheet.chart(rows).mark_line(color="#c2410c").encode(x="x:Q", y="y:Q")
    return panels_of(sheet, [("one task", [line, points])])


@pytest.fixture(scope="module")
def drawing():
    return draw("first", chart())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A template of its own beside the frame and the macros."""
    monkeypatch.setattr(page, "_TEMPLATES", (tmp_path, *page._TEMPLATES))
    return tmp_path


def rendered(folder, body, figures=None, **values):
    (folder / "own.html.jinja").write_text(
        '{% extends "parts/frame.jinja" %}\n'
        '{% from "parts/macros.jinja" import figure, data_table, verdict %}\n'
        "{% block title %}Own{% endblock %}\n"
        "{% block content %}" + body + "{% endblock %}"
    )
    return page.render("own.html.jinja", figures or {}, values)


class TestDrawing:
    def test_each_point_carries_the_number_of_its_row(self, drawing):
        """As many marks as rows, each named once, in the order of the table."""
        assert re.findall(r'data-row="(\d+)"', drawing.svg) == ["0", "1", "2", "3", "4"]
        assert drawing.rows[3] == ("one task", "<b>&", "0.4 of all")

    def test_columns_have_the_titles_of_the_tooltip(self, drawing):
        assert drawing.columns == ("panel", "name", "is")

    def test_a_layer_without_a_tooltip_tells_nothing(self):
        silent = draw("first", chart(tooltip=False))
        assert (silent.rows, "data-row" in silent.svg) == ((), False)

    def test_it_is_an_image_with_a_name(self, drawing):
        root = ElementTree.fromstring(str(drawing.svg))
        assert root.get("role") == "img"
        assert root.get("aria-label") == "Chart of success against tries for one task; 5 points."

    def test_a_description_of_its_own_is_kept(self):
        described = chart()
        described.description = "It rises."
        assert draw("first", described).description == "It rises."

    def test_colours_are_variables_with_a_fallback(self, drawing):
        """No colour is written bare, so all of them follow the page's mode."""
        bare = re.findall(r'(?:fill|stroke)="(?!var\(|none|transparent)([^"]*)"', drawing.svg)
        assert bare == []
        assert {"#1f5f99", "#c2410c"} <= drawing.colours

    def test_a_point_beyond_its_panel_is_only_in_the_table(self):
        """What is cut off cannot be pointed at, so it is not drawn; its numbers are there."""
        sheet = Sheet()
        y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 0.35]))
        points = sheet.chart(ROWS).mark_point(clip=True).encode(x="x:Q", y=y, tooltip=["name:N"])
        cut = draw("first", panels_of(sheet, [("one task", [points])]))
        assert re.findall(r'data-row="(\d+)"', cut.svg) == ["0", "1", "2"]
        assert len(cut.rows) == len(ROWS)

    def test_layers_that_share_their_data_are_numbered_too(self):
        """Altair stores data that all layers share with the panel, not with the layer."""
        sheet = Sheet()
        base = sheet.chart(ROWS).encode(x="x:Q", y="y:Q")
        layers = [base.mark_line(), base.mark_point().encode(tooltip=["name:N"])]
        shared = draw("first", panels_of(sheet, [("one task", layers)]))
        assert len(re.findall("data-row", shared.svg)) == len(shared.rows) == len(ROWS)

    def test_ids_of_two_charts_differ(self, drawing):
        other = draw("second", chart())
        one, two = (set(re.findall(r'id="([^"]*)"', each.svg)) for each in (drawing, other))
        assert one
        assert not one & two

    def test_it_is_the_same_each_time(self, drawing):
        assert draw("first", chart()) == drawing

    def test_every_reference_leads_somewhere(self, drawing):
        ids = set(re.findall(r'id="([^"]*)"', drawing.svg))
        assert set(re.findall(r'(?:href="|url\()#([^")]*)', drawing.svg)) <= ids

    def test_points_of_one_shape_store_it_once(self, drawing):
        assert drawing.svg.count("<use") == len(ROWS)


class TestFrame:
    def test_sections_are_listed_and_linked(self, folder):
        html = rendered(folder, "<h1>T</h1><h2>A &amp; <i>b</i></h2><h2>Costs</h2>")
        assert '<li><a href="#1-a-b">A &amp; b</a></li>' in html
        assert '<h2 id="2-costs">Costs</h2>' in html

    def test_the_policy_names_exactly_the_scripts_of_the_page(self, folder):
        """A script that a text smuggled in would not run: only these two hashes may."""
        html = rendered(folder, "<h1>T</h1>")
        scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts]
        policy = unescape(re.search(r'Security-Policy" content="([^"]*)"', html)[1])
        assert re.findall(r"'sha256-([^']*)'", policy) == [each.decode() for each in hashes]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy

    def test_each_colour_has_a_counterpart(self, folder):
        html = rendered(folder, '{{ figure("own", "how") }}', {"own": chart()})
        used = set(re.findall(r"var\(--c-([0-9a-f]{6})", html))
        assert used == set(re.findall(r"--c-([0-9a-f]{6}):light-dark", html))

    def test_a_chart_comes_with_its_numbers(self, folder):
        """Every point is a row of the table below, with its text escaped."""
        html = rendered(folder, '{% call figure("own") %}How.{% endcall %}', {"own": chart()})
        body = re.search(r"<tbody>(.*?)</tbody>", html, flags=re.DOTALL)[1]
        assert body.count("<tr>") == len(ROWS)
        assert "<td>&lt;b&gt;&amp;<td>0.4 of all" in body

    def test_a_page_is_small(self, folder):
        """The frame and one chart are below 40 kB: no library is in it."""
        assert len(rendered(folder, '{{ figure("own", "how") }}', {"own": chart()})) < 40_000

    def test_a_verdict_has_a_sign_beside_its_colour(self, folder):
        html = rendered(folder, '{{ verdict("held", true) }}{{ verdict("missed", false) }}')
        assert "✓" in html
        assert "✗" in html

    def test_values_are_escaped(self, folder):
        html = rendered(folder, "{{ text }}", text="<script>alert(1)</script>")
        assert "&lt;script&gt;alert(1)" in html
