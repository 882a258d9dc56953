"""Colours in the dark: seen, told apart, and of the hue they had."""

import colorsys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.reporting.charts import COLOURS, GREY, INK
from pipelines.reporting.palette import NIGHT, PAPER, contrast, in_the_dark

colours = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21), ("#ffffff", "#ffffff", 1), ("#767676", "#ffffff", 4.54)],
)
def test_contrast_is_that_of_the_guidelines(one, other, ratio):
    """Black on white is 21; #767676 is the palest grey that may be text on white."""
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize("text", [INK, GREY])
def test_text_can_be_read_in_both_modes(text):
    assert contrast(text, PAPER) >= 4.5
    assert contrast(in_the_dark(text), NIGHT) >= 4.5


@pytest.mark.parametrize("mark", COLOURS)
def test_marks_are_seen_in_the_dark(mark):
    """Every colour for data has a contrast of 3 with the dark page (WCAG 1.4.11)."""
    assert contrast(in_the_dark(mark), NIGHT) >= 3


@given(colours)
def test_a_counterpart_is_a_colour(colour):
    dark = in_the_dark(colour)
    assert len(dark) == 7
    assert 0 <= int(dark[1:], 16) <= 0xFFFFFF


@pytest.mark.parametrize("mark", [each for each in COLOURS if each not in (INK, "#84a59d")])
def test_a_counterpart_has_the_hue(mark):
    """Blue stays blue: the hue turns by less than 30 degrees."""
    before, after = (
        colorsys.rgb_to_hsv(*(int(each[at : at + 2], 16) / 255 for at in (1, 3, 5)))[0]
        for each in (mark, in_the_dark(mark))
    )
    assert abs((after - before + 0.5) % 1 - 0.5) < 1 / 12


def test_paper_and_grid_stay_faint():
    """What is hardly seen on white is hardly seen in the dark."""
    assert all(contrast(in_the_dark(each), NIGHT) < 1.7 for each in (PAPER, "#eaeef2"))
