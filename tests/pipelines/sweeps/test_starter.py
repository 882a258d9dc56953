"""First sweeps: each pair of task and engine is one that can be read, and fits the pair."""

import itertools

import pytest
import yaml

from pipelines.errors import UserError
from pipelines.sweeps.config import FixedAllocation, load, parse
from pipelines.sweeps.json_schema import sweep_schema
from pipelines.sweeps.starter import (
    ALLOCATIONS,
    ENGINES,
    TASKS,
    Start,
    StartingModel,
    size_in_name,
    text,
)

PAIRS = list(itertools.product(TASKS, ENGINES))
SIZED = StartingModel(path="m", parameters=9)


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema", reason="comes with ray and altair")
    return jsonschema.Draft202012Validator(sweep_schema())


@pytest.mark.parametrize(("task", "engine"), PAIRS)
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_every_pair_is_read_and_accepted(tmp_path, validator, task, engine, allocation):
    path = tmp_path / "first.yaml"
    path.write_text(text(Start(name="first", task=task, engine=engine, allocation=allocation)))
    made = load(path)
    assert {model.engine for model in made.models} == {engine}
    assert [section.source for section in made.tasks] == [task]
    assert made.allocation.kind == allocation
    assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize(("task", "engine"), PAIRS)
def test_every_line_is_short_and_explained(task, engine):
    lines = text(Start(name="first", task=task, engine=engine)).splitlines()
    assert max(map(len, lines)) <= 100
    said = [line.partition("  # ") for line in lines if line[0] != "#"]
    explained = {line.strip(" -").split(":")[0] for line, _, about in said if about}
    assert {line.strip(" -").split(":")[0] for line, _, _ in said} == explained


def made(**start):
    return parse(yaml.safe_load(text(Start(name="first", **start))), source="first")


def test_a_letter_needs_few_tokens_and_reasoning_many():
    assert made(task="multiple_choice", engine="vllm").decoding.max_tokens < 10
    assert made(task="multiple_choice", engine="openai").decoding.max_tokens >= 1000


@pytest.mark.parametrize("task", ["gsm8k", "math", "humaneval", "mbpp", "multiple_choice", "file"])
def test_servers_are_asked_by_chat(task):
    assert made(task=task, engine="openai").tasks[0].style == "chat"


@pytest.mark.parametrize("task", TASKS)
def test_programs_are_said_to_need_isolation(task):
    assert ("bubblewrap" in text(Start(name="x", task=task))) == (task in ("humaneval", "mbpp"))


def test_vllm_is_given_a_gpu():
    assert [model.placement.gpus for model in made(engine="vllm").models] == [1.0] * 3


def test_arithmetic_is_asked_of_the_ladder():
    assert all(model.path.startswith("ladder:") for model in made(engine="transformers").models)


def test_names_that_yaml_would_read_as_something_else_are_quoted():
    start = Start(
        name="2024", engine="simulated", models=(StartingModel(path="1e5", parameters=3),)
    )
    values = yaml.safe_load(text(start))
    assert (values["name"], values["models"][0]["name"]) == ("2024", "1e5")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("org/Model-7B", "Model-7B"),
        ("./checkpoints/step-*", "step"),
        ("ladder:3k", "3k"),
        ("C:\\x y", "x-y"),
        ("..", "model"),
    ],
)
def test_a_model_is_called_by_the_end_of_its_path(path, name):
    assert StartingModel(path=path).name == name


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("meta-llama/Llama-3.1-8B", 8_000_000_000),
        ("HuggingFaceTB/SmolLM2-135M", 135_000_000),
        ("Qwen/Qwen2.5-0.5B-Instruct", 500_000_000),
        ("Qwen/Qwen3-30B-A3B", 30_000_000_000),
        ("mistralai/Mixtral-8x7B", None),
        ("gpt-4o", None),
        ("EleutherAI/pythia-1b-deduped", 1_000_000_000),
        ("./my-7b", None),
    ],
)
def test_a_size_is_read_off_a_name_only_where_it_is_plain(name, size):
    assert size_in_name(name) == size


@pytest.mark.parametrize("engine", ["openai", "simulated", "python"])
def test_a_size_is_never_made_up(engine):
    with pytest.raises(UserError, match="--parameters: needed for gpt-x"):
        text(Start(name="x", engine=engine, models=(StartingModel(path="gpt-x"),)))
    assert "parameters: 9 " in text(Start(name="x", engine=engine, models=(SIZED,)))


def test_of_a_hub_model_the_line_to_fill_in_is_there():
    written = text(Start(name="x", task="gsm8k", models=(StartingModel(path="org/model"),)))
    assert "# parameters: 1000000000" in written
    assert parse(yaml.safe_load(written), source="x").models[0].parameters is None


def test_a_fixed_number_is_what_is_written_where_nothing_is_said():
    assert isinstance(made().allocation, FixedAllocation)
