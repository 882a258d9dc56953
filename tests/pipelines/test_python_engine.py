"""Engines of users' own: found where they say, and every mistake named in one line."""

import io
import json
import re
import sys
import textwrap
import uuid
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from operators.schemas import SAMPLES, check
from pipelines import engines
from pipelines.engines import load
from pipelines.engines.protocol import Request
from pipelines.errors import UserError
from pipelines.models import find
from pipelines.progress import Display
from pipelines.run import opened
from pipelines.sample import sample
from pipelines.sweeps.config import Decoding, parse
from pipelines.sweeps.engine_sections import PythonEngine

ENGINE = """
from operators.schemas import SAMPLES
from pipelines.engines.protocol import Engine
from pipelines.engines.simulated_engine import SimulatedModel
from pipelines.sweeps.engine_sections import SimulatedEngine


class Mine(Engine):
    def __init__(self, section):
        self.section = section
        rate = section.options["rate"]
        self._other = SimulatedModel(
            SimulatedEngine(engine="simulated", name="x", parameters=1, rate=rate)
        )

    def generate(self, requests, decoding):
        return self._other.generate(requests, decoding)

    def likelihood(self, prompts, completions, decoding=None):
        return self._other.likelihood(prompts, completions, decoding)

    def unique_tokens(self):
        return False
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the working directory, under a name that no other test has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = f"module_{uuid.uuid4().hex}"

    def write(source):
        (tmp_path / f"{made}.py").write_text(textwrap.dedent(source))
        return made

    yield write
    sys.modules.pop(made, None)


def section(factory, **options):
    return PythonEngine(engine="python", name="m", parameters=5, factory=factory, options=options)


def refusal(model):
    with pytest.raises(UserError) as refused:
        load(model)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_factory_is_called_with_the_section(module):
    model = section(f"{module(ENGINE)}:Mine", rate=0.5)
    assert load(model).section == model


def test_the_example_of_the_readme_is_an_engine(module):
    readme = Path(engines.__file__).with_name("README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    coin = load(section(f"{module(example)}:Coin", heads=0.3))
    ids = np.arange(2_000)
    asked = Request(
        task="t", problem_id="p", prompt="toss", stream=0, sample_ids=ids, seeds=ids * 7_919
    )
    table = check(coin.generate([asked], Decoding()), SAMPLES, "coin")
    assert table["sample_id"].to_pylist() == ids.tolist()
    heads = table["completion"].to_pylist().count("heads")
    low, high = binom.ppf([1e-4, 1 - 1e-4], 2_000, 0.3)
    assert low <= heads <= high
    assert np.exp(coin.likelihood(["toss"], ["heads"])).tolist() == pytest.approx([0.3])


def test_a_file_of_the_working_directory_hides_no_installed_module(module, tmp_path):
    (tmp_path / "yaml.py").write_text("raise RuntimeError")
    load(section(f"{module(ENGINE)}:Mine", rate=0.5))
    assert sys.path[-1] == str(tmp_path)


@pytest.mark.parametrize("name", ["nowhere_to_be_found", "nowhere_to_be_found.deeper"])
def test_a_missing_module_is_named_before_anything_runs(module, tmp_path, name):
    model = section(f"{name}:build")
    expected = f"there is no module nowhere_to_be_found, neither installed nor in {tmp_path}"
    module("")
    assert expected in refusal(model)
    with pytest.raises(UserError, match="there is no module nowhere_to_be_found"):
        find(model)


def test_a_missing_submodule_is_named(module):
    assert "there is no module json.deeper" in refusal(section("json.deeper:build"))


def test_a_missing_import_of_the_module_is_named(module):
    made = module("import not_there_at_all")
    assert f"{made} imports not_there_at_all, which is not installed" in refusal(
        section(f"{made}:f")
    )


def test_a_module_that_fails_says_where(module):
    made = module("x = 1\n1 / 0")
    expected = (
        f"{made} cannot be imported (ZeroDivisionError: division by zero, in {made}.py line 2)"
    )
    assert expected in refusal(section(f"{made}:build"))


def test_a_module_with_a_syntax_error_is_refused(module):
    made = module("def build(:")
    assert f"{made} cannot be imported (SyntaxError: " in refusal(section(f"{made}:build"))


def test_a_missing_name_is_named(module):
    made = module("built = 3")
    message = refusal(section(f"{made}:build"))
    assert "build is not there in " in message
    assert message.endswith(f"{made}.py")
    assert "built is no function or class" in refusal(section(f"{made}:built"))


def test_a_factory_that_fails_says_where(module):
    made = module("def build(section):\n    raise ValueError('first\\nsecond')")
    expected = f"model m: factory {made}:build: failed (ValueError: first, in {made}.py line 2)"
    assert refusal(section(f"{made}:build")) == expected


def test_a_factory_may_speak_to_the_user(module):
    made = module(
        """
        from pipelines.errors import UserError

        def build(section):
            raise UserError("options.rate: required")
        """
    )
    assert refusal(section(f"{made}:build")) == "options.rate: required"


def test_what_is_no_engine_is_refused_with_what_it_lacks(module):
    made = module(
        """
        class Half:
            def __init__(self, section): pass
            def generate(self, requests, decoding): pass
            likelihood = 3

        def nothing(section): pass
        """
    )
    message = refusal(section(f"{made}:Half"))
    assert (
        "returned Half, which has no likelihood, unique_tokens, facts, close, concurrent" in message
    )
    assert "inherits from pipelines.engines.protocol.Engine" in message
    assert "returned NoneType" in refusal(section(f"{made}:nothing"))


def test_the_fingerprint_is_factory_and_options(module):
    made = module(ENGINE)
    one = find(section(f"{made}:Mine", rate=0.5))
    assert one.parameters == 5
    assert find(section(f"{made}:Mine", rate=0.5)).fingerprint == one.fingerprint
    assert find(section(f"{made}:Mine", rate=0.5, version=2)).fingerprint != one.fingerprint
    assert find(section(f"{made}:Other", rate=0.5)).fingerprint != one.fingerprint


def test_an_actor_finds_it_in_the_working_directory(module, tmp_path):
    """Actors are other processes."""
    made = module(ENGINE)
    (tmp_path / "quiz.jsonl").write_text(
        json.dumps({"problem_id": "p", "prompt": "q", "answer": "right"})
    )
    model = {"engine": "python", "name": "m", "parameters": 1, "factory": f"{made}:Mine"}
    values = {
        "name": "s",
        "models": [model | {"options": {"rate": 0.5}}],
        "tasks": [{"name": "quiz", "path": str(tmp_path / "quiz.jsonl")}],
        "allocation": {"n": 20},
        "resources": {"engine_cpus": 0.1},
    }
    with opened(parse(values, source="test")) as run:
        assert sample(run, Display(io.StringIO())).given_up == 0
    rows = pl.read_parquet(tmp_path / "runs/s/samples/**/*.parquet")
    assert rows["sample_id"].sort().to_list() == list(range(20))
    assert "right" in rows["completion"].to_list()
