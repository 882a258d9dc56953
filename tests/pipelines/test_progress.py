"""The display: plain lines where there is no terminal, not too many, with an honest rate."""

import io
import re

import pytest

from pipelines.progress import MOST_CELLS, PLAIN_EVERY, WINDOW, Display, duration
from pipelines.scheduler import CellProgress, Progress
from pipelines.units import Cell


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def progress(samples, left=0.0, **change):
    values = {
        "cells": (), "samples": samples, "passes": 5, "settled": 1, "problems": 4, "units_done": 2,
        "units_open": 3, "samples_left": left,
    }  # fmt: skip
    return Progress(**values | change)


@pytest.fixture
def shown():
    stream, clock = io.StringIO(), Clock()
    return stream, clock, Display(stream, clock)


def lines(stream):
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"), (0, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"),
        (61, "1 min 01 s"), (3599.7, "1 h 00 min"), (3600 * 2 + 300, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)  # fmt: skip
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_line_says_it_all(shown):
    stream, clock, display = shown
    with display:
        display.update(progress(0, 3_000))
        clock.now += PLAIN_EVERY
        display.update(progress(1_000, 2_000), "stopping")
    assert lines(stream) == [
        "0 samples (0/s) · 5 passes · 1/4 problems settled · units 2 done, 3 open · ETA unknown",
        "1,000 samples (100/s) · 5 passes · 1/4 problems settled · units 2 done, 3 open · "
        "ETA 20 s · stopping",
    ]


def test_lines_are_few_unless_forced(shown):
    stream, clock, display = shown
    with display:
        for second in range(31):
            clock.now = 100.0 + second
            display.update(progress(second))
        assert len(lines(stream)) == 1 + int(30 / PLAIN_EVERY)
        display.update(progress(31), "done", force=True)
        assert len(lines(stream)) == 2 + int(30 / PLAIN_EVERY)


def test_the_rate_is_that_of_late_and_falls_when_nothing_comes(shown):
    stream, clock, display = shown
    with display:
        for second in range(100):
            clock.now = 100.0 + second
            display.update(progress(second * (10 if second < 50 else 50)))
        clock.now += 1
        display.update(progress(5_000), force=True)
        assert "(50/s)" in lines(stream)[-1]
        clock.now += 10 * WINDOW
        display.update(progress(5_000, 100), force=True)
        assert "(0/s)" in lines(stream)[-1] or "(1/s)" in lines(stream)[-1]


def test_samples_of_earlier_runs_are_no_speed(shown):
    stream, clock, display = shown
    with display:
        display.update(progress(10**9, 100))
        clock.now += PLAIN_EVERY
        display.update(progress(10**9 + 100, 100))
    assert "(10/s)" in lines(stream)[-1]
    assert "ETA 10 s" in lines(stream)[-1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "40")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_forced_colours_make_no_terminal(monkeypatch, shown):
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream, _, display = shown
    with display:
        display.update(progress(1_000))
    assert "\x1b" not in stream.getvalue()


def cell(name, settled=0, *, working=False):
    return CellProgress(
        cell=Cell(name, "sums"), settled=settled, problems=4, samples=200, passes=50,
        working=working, finished=settled == 4,
    )  # fmt: skip


def test_a_terminal_gets_a_view_that_is_redrawn(terminal):
    with Display(terminal) as display:
        display.update(progress(1_234, problems=0), "starting")
    assert "1,234 samples" in terminal.getvalue()
    assert "\x1b[?25l" in terminal.getvalue()  # cursor hidden,
    assert "\x1b[?25h" in terminal.getvalue()  # and given back


def test_the_view_tells_of_each_cell(terminal):
    with Display(terminal) as display:
        display.update(progress(400, cells=(cell("small", 4), cell("large", 1, working=True))))
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    for name, settled in (("small", "4/4"), ("large", "1/4")):
        row = rf"{name} +sums .* {settled} settled +200 samples +0.25 pass"
        assert re.search(row, text), text
    assert "1 of 2 cells done" in text


def test_a_view_has_room_for_the_cells_at_work_and_says_how_many_it_leaves_out(terminal):
    cells = tuple(cell(f"m{at:02}", 4, working=at == 29) for at in range(30))
    with Display(terminal) as display:
        display.update(progress(400, cells=cells))
    text = terminal.getvalue()
    assert "m29" in text
    assert f"{30 - MOST_CELLS} not shown" in text
    assert f"m{MOST_CELLS - 1:02}" not in text
