"""Includes: what several files say together, and which of them wins."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.sweeps.config import load
from pipelines.sweeps.includes import read_file

SMALL = {"name": "small", "engine": "simulated", "parameters": 10, "rate": 0.1}
LARGE = SMALL | {"name": "large", "parameters": 90}
TASK = {"name": "multiply1", "problems": 3}


@pytest.fixture
def write(tmp_path):
    """Write a file below the folder of the test."""

    def written(name, values):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return written


def test_what_is_said_later_wins(write):
    write("one.yaml", {"seed": 1, "fit": {"level": 0.5, "k": [1, 2]}, "name": "one"})
    write("two.yaml", {"seed": 2, "fit": {"k": [4]}})
    path = write("main.yaml", {"include": ["one.yaml", "two.yaml"], "name": "main"})
    assert read_file(path).plain() == {"seed": 2, "fit": {"level": 0.5, "k": [4]}, "name": "main"}


def test_models_and_tasks_are_joined_by_name(write):
    write("models/small.yaml", {"models": [SMALL]})
    write("models/large.yaml", {"models": [LARGE]})
    path = write(
        "main.yaml",
        {
            "include": ["models/small.yaml", "models/large.yaml"],
            "name": "main",
            "models": [{"name": "large", "rate": 0.5}, SMALL | {"name": "other"}],
            "tasks": [TASK],
        },
    )
    made = load(path)
    assert [model.name for model in made.models] == ["small", "large", "other"]
    assert [model.rate for model in made.models] == [0.1, 0.5, 0.1]
    assert made.models[1].parameters == 90


def test_two_of_one_name_in_one_file_are_still_refused(write):
    path = write("main.yaml", {"name": "x", "models": [SMALL, SMALL], "tasks": [TASK]})
    with pytest.raises(UserError, match="'small' is used twice"):
        load(path)


def test_what_is_of_another_kind_is_replaced(write):
    base = {"engine": "vllm", "name": "m", "path": "o/m", "engine_args": {"max_num_seqs": 1}}
    write("base.yaml", {"models": [base], "allocation": {"kind": "until", "r": 9}})
    path = write(
        "main.yaml",
        {
            "include": "base.yaml",
            "name": "x",
            "models": [{"engine": "transformers", "name": "m", "path": "o/m"}],
            "tasks": [TASK],
            "allocation": {"n": 5},
        },
    )
    made = load(path)
    assert made.models[0].engine == "transformers"
    assert made.allocation.n == 5


def test_paths_are_relative_to_the_file_that_says_them(write, tmp_path):
    (tmp_path / "parts" / "checkpoint-1").mkdir(parents=True)
    (tmp_path / "parts" / "checkpoint-2").mkdir()
    write(
        "parts/base.yaml",
        {
            "models": [{"name": "m", "path": "./checkpoint-*"}, {"name": "n", "path": "./n"}],
            "tasks": [{"name": "a", "path": "a.jsonl"}],
        },
    )
    path = write(
        "main.yaml",
        {"include": "parts/base.yaml", "name": "x", "tasks": [{"name": "b", "path": "b.jsonl"}]},
    )
    made = load(path, ["tasks.a.limit=3"])
    parts = tmp_path / "parts"
    assert [model.path for model in made.models] == [
        str(parts / "checkpoint-1"), str(parts / "checkpoint-2"), str(parts / "n"),
    ]  # fmt: skip
    assert [task.path for task in made.tasks] == [str(parts / "a.jsonl"), str(tmp_path / "b.jsonl")]
    overridden = load(path, ["tasks.a.path=c.jsonl"])
    assert overridden.tasks[0].path == str(tmp_path / "c.jsonl")


def test_vllm_finds_its_folders_beside_the_file_too(write, tmp_path):
    model = {"engine": "vllm", "name": "m", "path": "./m", "lora": "adapter"}
    hub = {"engine": "vllm", "name": "h", "path": "gpt2"}
    (tmp_path / "adapter").mkdir()
    made = load(write("main.yaml", {"name": "x", "models": [model, hub], "tasks": [TASK]}))
    assert made.models[0].path == str(tmp_path / "m")
    assert made.models[0].lora == str(tmp_path / "adapter")
    assert made.models[1].path == "gpt2"


def test_the_resolved_sweep_includes_nothing(write):
    write("base.yaml", {"models": [SMALL], "tasks": [TASK]})
    made = load(write("main.yaml", {"include": "base.yaml", "name": "x"}))
    whole = load(write("whole.yaml", {"name": "x", "models": [SMALL], "tasks": [TASK]}))
    assert "include" not in yaml.safe_load(made.to_yaml())
    assert made.digest() == whole.digest()


def test_includes_include(write):
    write("a/one.yaml", {"include": "../b/two.yaml", "seed": 1})
    write("b/two.yaml", {"seed": 2, "fit": {"level": 0.5}})
    read = read_file(write("main.yaml", {"include": "a/one.yaml", "name": "x"}))
    assert read.plain() == {"seed": 1, "fit": {"level": 0.5}, "name": "x"}


def test_one_file_may_be_included_by_two_others(write):
    write("base.yaml", {"models": [SMALL]})
    write("one.yaml", {"include": "base.yaml"})
    write("two.yaml", {"include": "base.yaml", "seed": 3})
    read = read_file(write("main.yaml", {"include": ["one.yaml", "two.yaml"]}))
    assert read.plain() == {"models": [SMALL], "seed": 3}


def test_a_circle_is_refused_with_its_chain(write, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write("a.yaml", {"name": "x", "include": "parts/b.yaml"})
    write("parts/b.yaml", {"include": ["../c.yaml"]})
    write("c.yaml", {"include": "a.yaml"})
    with pytest.raises(UserError) as caught:
        load((tmp_path / "a.yaml").relative_to(tmp_path))
    assert str(caught.value) == (
        "c.yaml:1:10: include: goes in a circle, a.yaml -> parts/b.yaml -> c.yaml -> a.yaml; "
        "remove one of them"
    )


@pytest.mark.parametrize(
    ("include", "base", "message"),
    [
        ("none.yaml", {}, r"main\.yaml:1:10: include: .*none\.yaml: no such sweep file"),
        (["base.yaml", 3], {}, r"main\.yaml:3:3: include: is 3; must be a file's path, or a list"),
        ({"base.yaml": 1}, {}, r"main\.yaml:2:3: include: is \{'base\.yaml': 1\}; must be"),
        (".", {}, r"main\.yaml:1:10: include: .*: cannot be read"),
        ("base.yaml", [1], r"base\.yaml:1:1: must hold a mapping with what sweeps have in common"),
        ("base.yaml", {"sed": 1}, r"base\.yaml:1:1: sed: unknown key"),
    ],
)
def test_a_bad_include_is_refused_at_its_place(write, include, base, message):
    write("base.yaml", base)
    path = write("main.yaml", {"include": include, "name": "x", "models": [SMALL], "tasks": [TASK]})
    with pytest.raises(UserError, match=message):
        load(path)


def test_an_override_cannot_include(write):
    path = write("main.yaml", {"name": "x", "models": [SMALL], "tasks": [TASK]})
    with pytest.raises(UserError, match="-o include: files are included before values are overri"):
        load(path, ["include=base.yaml"])


VALUES = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = st.dictionaries(st.sampled_from(["fit", "decoding", "seed"]), VALUES)


@given(SECTIONS, SECTIONS)
@settings(deadline=None, max_examples=50)
def test_a_file_may_be_taken_apart(tmp_path_factory, base, over):
    """Deep merging, against a definition of it."""
    folder = tmp_path_factory.mktemp("apart")
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    (folder / "main.yaml").write_text(yaml.safe_dump(over | {"include": "base.yaml"}))
    assert read_file(folder / "main.yaml").plain() == merged(base, over)


def merged(base, over):
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: merged(base.get(key), value) for key, value in over.items()}
