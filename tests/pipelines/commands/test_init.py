"""init and schema: what they write, what they never do, and that the first sweep runs as it is."""

import json

import pytest
import yaml
from click.testing import CliRunner

from pipelines.commands import init as init_verb
from pipelines.sweeps.config import load
from tests.command import passlaw


@pytest.fixture
def init(tmp_path, monkeypatch):
    """Call the verb in a folder of its own; its exit code and output."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments, **options):
        return CliRunner().invoke(init_verb.init, arguments, standalone_mode=False, **options)

    return called


def test_it_writes_a_sweep_and_the_schema_that_it_names(init, tmp_path):
    assert init("sums.yaml", "--task", "gsm8k", "--engine", "vllm").exception is None
    written = (tmp_path / "sums.yaml").read_text()
    schema = written.splitlines()[0].partition("$schema=")[2]
    assert json.loads((tmp_path / schema).read_text())["$schema"].endswith("2020-12/schema")
    assert load(tmp_path / "sums.yaml").name == "sums"


def test_without_a_terminal_it_asks_nothing(init, tmp_path):
    assert init().exception is None
    assert load(tmp_path / "sweep.yaml").tasks[0].source == "arithmetic"


def test_on_a_terminal_it_asks(init, tmp_path, monkeypatch):
    monkeypatch.setattr(init_verb, "_on_a_terminal", lambda: True)
    assert init("x.yaml", input="math\nsimulated\nuntil\n").exception is None
    made = load(tmp_path / "x.yaml")
    assert (made.tasks[0].source, made.models[0].engine) == ("math", "simulated")
    assert made.allocation.kind == "until"


def test_with_an_option_it_asks_nothing(init, tmp_path, monkeypatch):
    monkeypatch.setattr(init_verb, "_on_a_terminal", lambda: True)
    assert init("--engine", "simulated", input="").exception is None
    assert load(tmp_path / "sweep.yaml").models[0].engine == "simulated"


def test_it_overwrites_only_by_force(init, tmp_path):
    (tmp_path / "sweep.yaml").write_text("mine")
    (tmp_path / "passlaw.schema.json").write_text("mine too")
    assert "sweep.yaml: is there already" in str(init().exception)
    assert (tmp_path / "sweep.yaml").read_text() == "mine"
    assert init("--force").exception is None
    assert load(tmp_path / "sweep.yaml").name == "sweep"
    assert (tmp_path / "passlaw.schema.json").read_text() == "mine too"


def test_a_folder_is_named_as_the_sweep_file_sees_it(init, tmp_path):
    (tmp_path / "checkpoints" / "small").mkdir(parents=True)
    assert init("sweeps/first.yaml", "--model", "checkpoints/small").exception is None
    [model] = load(tmp_path / "sweeps" / "first.yaml").models
    assert (tmp_path / model.path).resolve() == tmp_path / "checkpoints" / "small"
    assert model.name == "small"


@pytest.mark.parametrize(
    ("size", "parameters"), [("7e9", 7_000_000_000), ("7_615_616_512", 7_615_616_512), ("1", 1)]
)
def test_a_size_is_a_number_as_people_write_it(init, tmp_path, size, parameters):
    made = init("--engine", "openai", "--model", "gpt-x", "--parameters", size)
    assert made.exception is None
    assert load(tmp_path / "sweep.yaml").models[0].parameters == parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "gpt-x", "--engine", "openai"), "--parameters: needed for gpt-x"),
        (("--model", "x", "--parameters", "big"), "is 'big'; give a number of at least 1"),
        (("--model", "x", "--parameters", "0"), "is '0'; give a number of at least 1"),
        (("--model", "x", "--parameters", "inf"), "is 'inf'; give a number of at least 1"),
        (("--parameters", "7e9"), "--parameters: is the size of --model; give that too"),
        (("sweep.yaml/below.yaml",), "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(init, tmp_path, arguments, message):
    if "below" in arguments[0]:
        (tmp_path / "sweep.yaml").write_text("a file")
    assert message in str(init(*arguments).exception)
    assert not (tmp_path / "passlaw.schema.json").exists()


def test_schema_prints_one_json_document(tmp_path):
    for arguments in (("schema",), ("schema", "--json")):
        done = passlaw(tmp_path, *arguments)
        assert done.returncode == 0
        assert json.loads(done.stdout)["title"] == "A sweep of passlaw"


@pytest.mark.parametrize(("engine", "verb"), [("transformers", "run"), ("simulated", "sample")])
def test_a_first_sweep_runs_as_it_is(tmp_path, engine, verb):
    if engine == "transformers":
        pytest.importorskip("torch", reason="the embedded engine is an extra")
    written = passlaw(tmp_path, "init", "--task", "arithmetic", "--engine", engine, "--json")
    assert written.returncode == 0, written.stderr
    assert json.loads(written.stdout)["command"] == "passlaw run sweep.yaml"
    done = passlaw(tmp_path, verb, "sweep.yaml", "-o", "tracking.enabled=false")
    assert done.returncode == 0, done.stderr
    models = yaml.safe_load((tmp_path / "sweep.yaml").read_text())["models"]
    assert f"{len(models) * 20 * 100:,} samples drawn" in done.stdout
    assert (tmp_path / "runs" / "sweep" / "report.html").is_file() == (verb == "run")
