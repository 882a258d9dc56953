"""The JSON schema accepts every sweep that can be read, and refuses what a schema can know."""

import copy
import math
import re
from pathlib import Path

import pytest
import yaml

from pipelines.sweeps.config import Decoding, Sweep, load_all, parse
from pipelines.sweeps.engine_sections import OpenAIEngine, SimulatedEngine
from pipelines.sweeps.json_schema import descriptions, sweep_schema
from pipelines.sweeps.places import Source
from pipelines.sweeps.yaml_text import read
from tests.pipelines.sweeps.sweep_cases import ACCEPTED, BASE, REFUSED

jsonschema = pytest.importorskip("jsonschema", reason="comes with ray and altair")

ROOT = Path(__file__).parents[3]
BY_A_LOOK_AT_ALL = (
    "seed: is 1.0", "name: is 'a\\n'", "decoding.temperature: is nan", "allocation.growth: is inf",
    "tasks.0.template", "tasks.0: has split", "tasks.0: has config", "models.1.name: 'sim' is used",
    "tasks.1.name: 'a' is used", "fit.k: 9 is larger", "fit.hold_out: 'biggest'",
)  # fmt: skip
"""What no schema knows: numbers that JSON has not, and fields that do not fit together."""


@pytest.fixture(scope="module")
def validator():
    schema = sweep_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def said(validator, values):
    return [
        f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(values)
    ]


def changed(change):
    return copy.deepcopy(BASE) | change


@pytest.mark.parametrize("change", ACCEPTED)
def test_what_is_read_is_accepted(validator, change):
    assert said(validator, changed(change)) == []


@pytest.mark.parametrize("change", ACCEPTED)
def test_what_a_run_records_is_accepted(validator, change):
    resolved = yaml.safe_load(parse(changed(change), source="x").to_yaml())
    assert said(validator, resolved | {"passlaw": {"version": "1"}}) == []


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=str)
def test_what_is_refused_is_refused_where_a_schema_can_know(validator, change, message):
    assert validator.is_valid(changed(change)) == message.startswith(BY_A_LOOK_AT_ALL)


@pytest.mark.parametrize("name", ["name", "models", "tasks"])
def test_what_is_missing_is_noticed(validator, name):
    values = changed({})
    del values[name]
    assert not validator.is_valid(values)
    assert validator.is_valid(values | {"include": "base.yaml"})


SWEEPS = [
    *sorted((ROOT / "pipelines").glob("*.yaml")),
    *(ROOT / name for name in ("README.md", "pipelines/engines/README.md", "cluster/README.md")),
]


def sweeps_in(path):
    """Every sweep, or part of one, in a file or in the YAML blocks of a page."""
    text = path.read_text()
    blocks = [text] if path.suffix == ".yaml" else re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    values = [read(Source(name=str(path), text=block)).plain() for block in blocks]
    return [one for one in values if isinstance(one, dict) and one.keys() & {"models", "tasks"}]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sweep_that_users_are_shown_is_accepted(validator, path):
    for values in sweeps_in(path):
        # A page may show a part: the rest is then said elsewhere.
        part = {} if values.keys() >= {"name", "models", "tasks"} else {"include": "rest.yaml"}
        assert said(validator, values | part) == []


def test_readme_shows_sweeps():
    assert len(sweeps_in(ROOT / "README.md")) >= 3


@pytest.mark.parametrize(
    ("change", "is_read"),
    [
        ({"grid": {"decoding.temperature": [0.2, 0.6], "allocation.n": [100]}}, True),
        ({"grid": [{"seed": 1, "name": "one"}, {"models.sim.rate": 0.2}]}, True),
        ({"grid": {"seed": [1]}, "models": [{"name": "m"}], "engine": "replay"}, False),
        ({"grid": {"decoding.temperature": 0.2}}, False),
        ({"grid": {"sed": [1]}}, False),
        ({"grid": {"name": ["a"]}}, False),
        ({"grid": []}, False),
        ({"engine": "simulated", "models": [{"name": "m", "parameters": 1, "rate": 0.1}]}, True),
        ({"engine": "simulated", "models": [{"name": "m", "parameters": 1}]}, False),
        ({"engine": "simulated", "models": [{"name": "m", "path": "x"}]}, False),
        ({"engine": "vllm", "models": [{"name": "m", "path": "x", "lora": "y"}]}, True),
        ({"engine": "warp"}, False),
        ({"models": [{"name": "m", "path": "x", "lora": "y"}]}, False),
        ({"allocation": {"n": 3}}, True),
        ({"allocation": {"n": 3, "cap": 3}}, False),
        ({"tasks": [{"name": "q", "dataset": "x", "verifier": "math"}]}, True),
        ({"tasks": [{"name": "q", "verifier": "math"}]}, False),
    ],
    ids=str,
)
def test_grids_and_kinds_left_out(validator, tmp_path, change, is_read):
    """The schema says what reading says, but that a grid may give what is missing."""
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(changed(change)))
    if is_read:
        assert load_all(path)
    given_by_the_grid = "grid" in change and change.get("engine") == "replay"
    assert validator.is_valid(changed(change)) == (is_read or given_by_the_grid)


@pytest.mark.parametrize(
    ("values", "is_fine"),
    [
        ({"include": ["a.yaml", "b.yaml"]}, True),
        ({"include": "a.yaml", "models": [{"name": "small", "rate": 0.2}]}, True),
        ({"include": "a.yaml", "tasks": [{"name": "q", "limit": 3}]}, True),
        ({"include": "a.yaml", "models": [{"name": "small", "rte": 0.2}]}, False),
        ({"include": "a.yaml", "decoding": {"temprature": 1}}, False),
        ({"include": 3}, False),
        ({"include": ["a.yaml", 3]}, False),
    ],
    ids=str,
)
def test_with_an_include_a_part_is_enough(validator, values, is_fine):
    assert validator.is_valid(values) == is_fine


def test_docstrings_are_what_editors_show():
    assert descriptions(Decoding)["temperature"] == "0 is greedy."
    assert descriptions(OpenAIEngine)["parameters"] == (
        "Size for the laws; a server does not tell it."
    )
    schema = sweep_schema()
    simulated = schema["$defs"]["SimulatedEngine"]
    assert simulated["description"] == " ".join((SimulatedEngine.__doc__ or "").split())
    assert simulated["properties"]["spread"]["default"] == 1.0
    undescribed = [
        name for name, field in schema["properties"].items() if "description" not in field
    ]
    assert undescribed == []


def test_every_field_of_a_sweep_is_in_it():
    assert sweep_schema()["properties"].keys() == {
        *Sweep.model_fields, "engine", "include", "grid", "passlaw",
    }  # fmt: skip


def test_it_is_json():
    def numbers(value):
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from numbers(inner)
        elif isinstance(value, float):
            yield value

    assert all(math.isfinite(number) for number in numbers(sweep_schema()))
