"""What a sweep says of a run that was imported."""

import pytest

from pipelines import engines, tasks
from pipelines.errors import UserError
from pipelines.sweeps.config import parse
from pipelines.sweeps.engine_sections import ImportedEngine
from pipelines.sweeps.task_sections import ImportedTask

IMPORTED = {
    "name": "mine",
    "models": [{"engine": "imported", "name": "m"}],
    "tasks": [{"source": "imported", "name": "t"}],
    "allocation": {"kind": "imported"},
}


def test_sizes_may_be_unknown_and_verdicts_are_those_recorded():
    sweep = parse(IMPORTED, source="test")
    assert sweep.models == (ImportedEngine(engine="imported", name="m", parameters=None),)
    assert sweep.tasks == (ImportedTask(source="imported", name="t", verifier="recorded"),)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("models", [{"engine": "simulated", "name": "m", "parameters": 5, "rate": 0.1}]),
        ("tasks", [{"source": "arithmetic", "name": "add-2"}]),
        ("allocation", {"n": 3}),
    ],
)
def test_all_of_it_is_imported_or_nothing(part, other):
    """Samples that are drawn and samples that came from elsewhere never stand in one run."""
    with pytest.raises(UserError, match=f"{part}: not all imported"):
        parse(IMPORTED | {part: other}, source="test")


@pytest.mark.parametrize(
    ("part", "wrong", "allowed"),
    [
        ("models", [{"engine": "imported", "name": "m", "x": 1}], "engine, name, parameters"),
        ("tasks", [{"source": "imported", "name": "t", "x": 1}], "name, stop, source, verifier"),
        ("allocation", {"kind": "imported", "x": 1}, "kind"),
    ],
)
def test_an_unknown_key_is_named_with_those_of_its_part(part, wrong, allowed):
    with pytest.raises(UserError, match=f"x: unknown key; allowed here are {allowed}"):
        parse(IMPORTED | {part: wrong}, source="test")


def test_nothing_can_be_drawn_or_asked_anew():
    sweep = parse(IMPORTED, source="test")
    with pytest.raises(UserError, match="model m: was imported, so nothing can be drawn"):
        engines.load(sweep.models[0])
    with pytest.raises(UserError, match="task t: was imported, so its problems are in the run"):
        tasks.problems(sweep.tasks[0])
