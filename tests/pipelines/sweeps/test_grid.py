"""Grids: which runs a sweep stands for, what they are called, and what overrides do to them."""

import copy
import itertools
import re

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import schemas
from pipelines.errors import UserError
from pipelines.sweeps import grid
from pipelines.sweeps.config import Sweep, load, load_all, parse
from pipelines.sweeps.diagnosis import sections
from tests.pipelines.sweeps.sweep_cases import BASE


@pytest.fixture
def points(tmp_path):
    """Return the sweeps of a file with a grid."""

    def made(grid, overrides=(), **change):
        path = tmp_path / "sweep.yaml"
        path.write_text(
            yaml.safe_dump(copy.deepcopy(BASE) | {"grid": grid} | change, sort_keys=False)
        )
        return load_all(path, overrides)

    return made


@pytest.fixture
def refusal(points):
    def said(*arguments, **change):
        with pytest.raises(UserError) as caught:
            points(*arguments, **change)
        return str(caught.value)

    return said


TEMPERATURES = {"decoding.temperature": [0.2, 0.6, 1.0]}


def test_every_combination_is_a_run(points):
    made = points(TEMPERATURES | {"allocation.n": [1, 2]})
    assert [(one.decoding.temperature, one.allocation.n) for one in made] == list(
        itertools.product([0.2, 0.6, 1.0], [1, 2])
    )


def test_each_has_a_name_and_a_directory_of_its_own(points):
    assert [(one.name, one.run_path) for one in points(TEMPERATURES)] == [
        (f"sweep-temperature={value}", f"runs/sweep/temperature={value}")
        for value in (0.2, 0.6, 1.0)
    ]


def test_they_lie_in_the_run_that_the_sweep_names(points):
    [made] = points({"seed": [4]}, run="s3://bucket/sums/")
    assert made.run_path == "s3://bucket/sums/sweep.seed=4"


def test_a_list_is_of_points(points):
    made = points([{"seed": 1, "decoding.temperature": 0.5}, {"name": "greedy", "seed": 2}])
    assert [(one.name, one.seed, one.decoding.temperature) for one in made] == [
        ("sweep-sweep.seed=1-temperature=0.5", 1, 0.5),
        ("sweep-greedy", 2, 1.0),
    ]
    assert made[1].run_path == "runs/sweep/greedy"


def test_a_point_is_the_sweep_that_says_the_same(points):
    [made] = points({"decoding.temperature": [0.2], "models.sim.rate": [0.3]})
    whole = copy.deepcopy(BASE) | {
        "name": "sweep-temperature=0.2-rate=0.3",
        "run": "runs/sweep/temperature=0.2-rate=0.3",
        "decoding": {"temperature": 0.2},
    }
    whole["models"][0]["rate"] = 0.3
    # Its paths are resolved, since it was read from a file.
    assert made.model_copy(update={"tasks": ()}) == parse(whole, source="x").model_copy(
        update={"tasks": ()}
    )
    assert "grid" not in yaml.safe_load(made.to_yaml())


def test_a_name_with_dots_names_an_item(points):
    model = {"engine": "simulated", "name": "llama-3.1-8b", "parameters": 10, "rate": 0.1}
    grid = {"models.llama-3.1-8b.rate": [0.2, 0.3]}
    made = points(grid, models=[model])
    assert [one.models[0].rate for one in made] == [0.2, 0.3]
    assert made[0].name == "sweep-rate=0.2"


def test_no_folder_is_taken_for_a_column_of_a_table():
    """DuckDB and Polars read the folder seed=1 as a column, in place of a table's own seed."""
    tables = [table for table in vars(schemas).values() if isinstance(table, pa.Schema)]
    columns = {"model", "task", *(name for table in tables for name in table.names)}
    assert columns & _fields(Sweep) <= grid._COLUMNS
    made = parse(BASE | {"grid": {"seed": [1], "allocation.n": [5]}}, source="x")
    assert made.run_path == "runs/sweep/sweep.seed=1-allocation.n=5"


def _fields(section):
    inner = [one for field in section.model_fields.values() for one in sections(field.annotation)]
    return set(section.model_fields).union(*map(_fields, inner))


def test_keys_with_one_ending_are_told_apart(points):
    [made] = points({"models.sim.rate": [0.2], "models.0.spread": [1], "models.rung.batch": [8]})
    assert made.name == "sweep-rate=0.2-spread=1-batch=8"
    [made] = points({"models.sim.parameters": [5], "models.rung.parameters": [6]})
    assert made.name == "sweep-sim.parameters=5-rung.parameters=6"


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("models.rung.path", "ladder:7k", "path=ladder-7k"),
        ("models.rung.path", "./a/b*", "path=a-b"),
        ("seed", 0, "sweep.seed=0"),
        ("decoding.top_p", 1e-05, "top_p=1e-05"),
        ("decoding.top_k", None, "top_k=null"),
        ("models.sim.logprobs", True, "logprobs=true"),
        ("fit.k", [1, 10], "fit.k=1_10"),
        ("decoding.stop", ["\n"], r"stop=[0-9a-f]{8}"),
        ("allocation", {"n": 4}, "allocation=n-4"),
        ("models.rung.path", "x/" * 40 + "y", r"path=[0-9a-f]{8}"),
    ],
)
def test_values_are_written_as_a_path_can_have_them(points, tmp_path, key, value, name):
    (tmp_path / "a" / "b1").mkdir(parents=True)
    [made] = points({key: [value]})
    assert re.fullmatch(rf"runs/sweep/{name}", made.run_path)


@given(st.text() | st.floats() | st.booleans() | st.lists(st.text()))
@settings(deadline=None)
def test_whatever_the_value_the_name_is_safe(value):
    """In folders and URLs alike."""
    made = parse(BASE | {"grid": {"models.rung.path": [f"p{value}"]}}, source="x")
    assert re.fullmatch(r"sweep-path=[A-Za-z0-9._-]+", made.name)
    assert made.run_path == f"runs/sweep/{made.name.removeprefix('sweep-')}"
    assert made.models[1].path == f"p{value}"


class TestOverrides:
    def test_they_come_before_the_grid(self, points):
        made = points(TEMPERATURES, ["decoding.top_p=0.5", "name=other", "run=r"])
        assert {one.decoding.top_p for one in made} == {0.5}
        assert (made[0].name, made[0].run_path) == ("other-temperature=0.2", "r/temperature=0.2")

    def test_of_a_key_of_the_grid_they_are_its_only_value(self, points):
        """So that one point can be done again, where it was."""
        all_of_them = points(TEMPERATURES | {"seed": [1, 2]})
        one = points(TEMPERATURES | {"seed": [1, 2]}, ["decoding.temperature=0.6", "seed=2"])
        assert one == (all_of_them[3],)

    def test_an_item_is_the_same_by_name_and_by_position(self, points):
        [made] = points({"models.sim.rate": [0.2, 0.3]}, ["models.0.rate=0.4"])
        assert made.models[0].rate == 0.4

    @pytest.mark.parametrize(
        "override", ["decoding={top_p: 0.5}", "decoding.temperature.x=1", "models.0={name: x}"]
    )
    def test_what_the_grid_would_undo_is_refused(self, refusal, override):
        said = refusal(TEMPERATURES | {"models.sim.rate": [0.2]}, [override])
        assert re.match(r"-o \S+: the grid gives \S+, point by point; give -o grid=null", said)

    def test_of_a_list_of_points_no_key_is_overridden(self, refusal):
        said = refusal([{"seed": 1}, {"seed": 2}], ["seed=3"])
        assert said.startswith("-o seed: the grid gives seed, point by point")

    def test_the_grid_can_be_taken_away_or_replaced(self, points):
        assert points(TEMPERATURES, ["grid=null"]) == points(None)
        made = points(TEMPERATURES, ["grid={seed: [1, 2]}"])
        assert [one.name for one in made] == ["sweep-sweep.seed=1", "sweep-sweep.seed=2"]


class TestRefused:
    @pytest.mark.parametrize(
        ("grid", "message"),
        [
            (3, "2:7: grid: is 3; must be {key.sub: [value, ...]}, or a list"),
            ({}, "2:7: grid: is {}; must be"),
            ([], "2:7: grid: is []; must be"),
            ([3], "3:3: grid: is 3; must be {key: value}"),
            ({"seed": 3}, "3:9: grid.seed: is 3; must be a list of values"),
            ({"seed": []}, "3:9: grid.seed: is []; must be a list of values"),
            ({"name": ["a", "b"]}, "3:3: grid.name: cannot differ between points"),
            ({"run": ["a", "b"]}, "3:3: grid.run: cannot differ between points"),
            ([{"seed": 1}, {"include": "x"}], "4:3: grid.include: cannot differ between points"),
            ([{"name": "..", "seed": 1}], "3:9: grid.name: is '..'; must be letters, digits,"),
            ([{"name": 3, "seed": 1}], "3:9: grid.name: is 3; must be letters, digits,"),
            ({"seed": [1, 1]}, "3:3: grid: two points are called 'sweep.seed=1'"),
            ({"tasks.quiz.options.x": ["a/b", "a b"]}, "grid: two points are called 'x=a-b'"),
            ({"models.other.rate": [1]}, "3:3: there is no item 'other'; use a position"),
            ({"sed": [1]}, "3:3: sed: unknown key; did you mean seed?"),
            ({"seed": [1, "x"]}, "5:5: seed: is 'x', must be a valid integer"),
        ],
        ids=str,
    )
    def test_what_is_no_grid_is_refused_at_its_place(self, tmp_path, grid, message):
        path = tmp_path / "sweep.yaml"
        values = {"name": "s", "grid": grid, "models": BASE["models"], "tasks": BASE["tasks"]}
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        with pytest.raises(UserError) as caught:
            load_all(path)
        assert message in str(caught.value)

    def test_a_name_that_is_too_long_is_refused(self, refusal):
        grid = {f"tasks.quiz.options.{'o' * 20}{at}": ["x" * 30] for at in range(3)}
        assert "name: is 'sweep-" in refusal(grid)

    def test_where_one_run_is_wanted_several_are_refused(self, points, tmp_path):
        points(TEMPERATURES)
        with pytest.raises(UserError) as caught:
            load(tmp_path / "sweep.yaml")
        assert "its grid has 3 points, each a run" in str(caught.value)
        assert "as in runs/sweep/temperature=0.2" in str(caught.value)
        alone = load(tmp_path / "sweep.yaml", ["decoding.temperature=0.6"])
        assert alone.name == "sweep-temperature=0.6"
