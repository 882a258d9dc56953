"""The README's way from a file of samples to a forecast and a report, command by command."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.command import passlaw

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.split("## Samples that you already have\n")[1].split("\n## ")[0]
COMMANDS = [
    shlex.split(line, comments=True)
    for line in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)[0].splitlines()
]
ROW = json.loads(re.findall(r"`(\{.*?\})`", SECTION, re.DOTALL)[0])
PROBLEMS, TRIES = 40, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands were given, in order, with samples as the README describes them."""
    folder = tmp_path_factory.mktemp("readme")
    generator = np.random.default_rng(3)
    rates = generator.beta(0.5, 1.5, PROBLEMS)
    with (folder / "samples.jsonl").open("w") as file:
        for problem, rate in enumerate(rates):
            for passed in generator.random(TRIES) < rate:
                row = ROW | {"problem_id": f"q{problem}", "passed": bool(passed)}
                file.write(json.dumps(row) + "\n")
    for program, *arguments in COMMANDS[1:]:
        assert program == "passlaw"
        done = passlaw(folder, *arguments)
        assert done.returncode == 0, done.stderr
    return folder


def test_five_commands_are_enough_and_the_first_installs():
    assert len(COMMANDS) <= 5
    assert COMMANDS[0][:2] == ["pip", "install"]


def test_they_give_a_forecast_with_an_interval(folder):
    curves = pl.read_parquet(folder / "runs" / "mine" / "curves.parquet")
    law = curves.filter(kind="coverage_law")
    forecast = law.filter(x=law["x"].max()).row(0, named=True)
    assert forecast["x"] == 10 * TRIES
    assert 0 < forecast["low"] < forecast["estimate"] < forecast["high"] <= 1


def test_they_give_a_report_that_says_it(folder):
    assert "forecasts" in (folder / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
