"""The sweep: what is accepted, what is refused, and that a refusal names field, value, way out."""

import copy
import hashlib
import re
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting.coverage.fit import Family
from operators.isolation import sandbox, workers
from operators.verification.options import VERIFIERS
from pipelines.errors import UserError
from pipelines.sweeps.config import (
    CoverageFamily,
    FixedAllocation,
    UntilAllocation,
    Verification,
    decoding_of,
    digest,
    load,
    parse,
)
from pipelines.sweeps.engine_sections import SimulatedEngine, TransformersEngine
from pipelines.sweeps.task_sections import HUMANEVAL_STOP, ArithmeticTask, FileTask, Verifier
from tests.pipelines.sweeps.sweep_cases import ACCEPTED, BASE, LADDER, REFUSED, SIMULATED


def test_a_sweep_may_name_every_coverage_family():
    assert get_args(CoverageFamily) == get_args(Family)


def test_a_sweep_may_name_every_verifier():
    assert get_args(Verifier) == VERIFIERS


def test_limits_of_verification_are_those_of_its_operators():
    limits = Verification()
    expected = workers.Limits(), sandbox.Limits()
    for seconds, mib, of in zip(
        (limits.math_seconds, limits.program_seconds),
        (limits.math_memory_mib, limits.program_memory_mib),
        expected,
        strict=True,
    ):
        assert (seconds, mib * 2**20) == (of.wall_seconds, of.memory_bytes)


def sweep(change=None, overrides=()):
    return parse(
        copy.deepcopy(BASE) | (change or {}), source="sweep.yaml", overrides=list(overrides)
    )


def refusal(change=None, overrides=()):
    with pytest.raises(UserError) as caught:
        sweep(change, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestAccepted:
    def test_defaults(self):
        made = sweep()
        assert isinstance(made.models[0], SimulatedEngine)
        assert isinstance(made.models[1], TransformersEngine)
        assert isinstance(made.tasks[0], ArithmeticTask)
        assert isinstance(made.tasks[1], FileTask)
        assert made.allocation == UntilAllocation(r=5, cap=100_000, first_round=1_000, growth=2.0)
        assert made.run_path == "runs/sweep"
        assert (made.seed, made.decoding.temperature, made.decoding.max_tokens) == (0, 1.0, 256)
        assert sweep({"run": "elsewhere"}).run_path == "elsewhere"

    def test_the_kind_of_allocation_follows_from_its_fields(self):
        assert sweep({"allocation": {"n": 7}}).allocation == FixedAllocation(kind="fixed", n=7)
        assert sweep({"allocation": {"r": 7}}).allocation.r == 7
        assert sweep({"allocation": {}}).allocation == UntilAllocation()

    @pytest.mark.parametrize("change", ACCEPTED)
    def test_yaml_round_trip(self, change):
        made = sweep(change)
        again = parse(yaml.safe_load(made.to_yaml()), source="again")
        assert again == made
        assert again.digest() == made.digest()
        assert again.to_yaml() == made.to_yaml()

    def test_programs_run_in_isolation_unless_the_user_says_so_in_so_many_words(self):
        assert not sweep().verification.run_untrusted_programs_without_isolation
        made = sweep({"verification": {"run_untrusted_programs_without_isolation": True}})
        assert made.verification == Verification(run_untrusted_programs_without_isolation=True)

    def test_a_data_set_is_a_file_task_without_more(self):
        task = sweep({"tasks": [{"name": "q", "dataset": "org/set"}]}).tasks[0]
        assert isinstance(task, FileTask)
        assert (task.dataset, task.path, task.split) == ("org/set", None, None)

    def test_what_a_run_records_is_no_part_of_the_sweep(self):
        assert sweep({"passlaw": {"version": "1"}}) == sweep()

    def test_a_sweep_cannot_be_changed(self):
        with pytest.raises(ValueError, match="frozen"):
            sweep().name = "other"


class TestStopStrings:
    """The task's own, else the sweep's, else the published ones."""

    def stop(self, task, **decoding):
        tasks = [{"name": "t", "path": "t"} | task]
        return decoding_of(sweep({"tasks": tasks, "decoding": decoding}), "t").stop

    @pytest.mark.parametrize(
        ("task", "stop"),
        [
            ({}, ()),
            ({"source": "gsm8k"}, ("Q:",)),
            ({"source": "gsm8k", "style": "chat"}, ()),
            ({"source": "math"}, ("Problem:",)),
            ({"source": "math", "style": "chat"}, ()),
            ({"source": "humaneval"}, ("\nclass", "\ndef", "\n#", "\nif", "\nprint")),
            ({"source": "humaneval", "style": "chat"}, ()),
            ({"source": "mbpp"}, ("[DONE]",)),
            ({"source": "mbpp", "style": "chat"}, ()),
            ({"source": "multiple_choice"}, ("\n",)),
            ({"source": "multiple_choice", "style": "chat"}, ()),
        ],
        ids=str,
    )
    def test_each_task_brings_its_published_ones(self, task, stop):
        assert self.stop(task) == stop

    def test_those_of_the_sweep_come_first(self):
        assert self.stop({"source": "gsm8k"}, stop=["x"]) == ("x",)

    @pytest.mark.parametrize("stop", [(), ("y",)])
    def test_those_of_the_task_come_before_them(self, stop):
        task = {"source": "gsm8k", "stop": list(stop)}
        assert self.stop(task, stop=["x"]) == self.stop(task) == stop

    def test_all_else_is_the_decoding_of_the_sweep(self):
        change = {"decoding": {"temperature": 0.5, "top_k": 3, "max_tokens": 9}}
        made = sweep(change | {"tasks": [{"name": "t", "source": "humaneval", "path": "t"}]})
        expected = made.decoding.model_copy(update={"stop": HUMANEVAL_STOP})
        assert decoding_of(made, "t") == expected
        assert decoding_of(sweep(change), "quiz") == sweep(change).decoding


class TestDigest:
    def test_it_never_changes(self):
        """Digests are recorded in runs: a change here makes every run look changed."""
        text = b'{"a":"\\u00e9","b":[1,2.5,null]}'
        expected = hashlib.blake2b(text, digest_size=8).hexdigest()
        assert digest({"b": [1, 2.5, None], "a": "é"}) == expected == "768932a4b09e79c8"
        assert len(digest({}, size=16)) == 32

    def test_that_of_a_sweep_is_what_the_first_runs_recorded(self):
        """Whatever else a sweep could say since then."""
        vllm = {"name": "v", "engine": "vllm", "path": "a/b", "engine_args": {"seed_of": 2}}
        change = {"models": [SIMULATED, LADDER, vllm], "allocation": {"n": 5}}
        assert sweep(change).digest() == "742a31b9304cb755"
        assert sweep({"tracking": {"seconds": 1.0}}).digest() != sweep().digest()

    def test_order_of_keys_and_spelt_out_defaults_mean_the_same(self):
        reversed_keys = dict(reversed(list(BASE.items())))
        assert parse(reversed_keys, source="x").digest() == sweep().digest()
        assert sweep({"seed": 0, "decoding": {"temperature": 1.0}}).digest() == sweep().digest()

    @pytest.mark.parametrize(
        "override", ["seed=1", "decoding.top_k=5", "models.0.rate=0.2", "allocation.cap=7"]
    )
    def test_it_changes_with_the_meaning(self, override):
        assert sweep(overrides=[override]).digest() != sweep().digest()

    @given(st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ))  # fmt: skip
    @settings(deadline=None, max_examples=50)
    def test_it_survives_yaml(self, value):
        assert digest(yaml.safe_load(yaml.safe_dump(value))) == digest(value)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        REFUSED,
        ids=lambda value: re.sub(r"\W+", "-", value)[:40] if isinstance(value, str) else "",
    )
    def test_the_field_the_value_and_the_way_out_are_named(self, change, message):
        assert refusal(change).startswith(f"sweep.yaml: {message}")

    @pytest.mark.parametrize("name", ["name", "models", "tasks"])
    def test_what_is_missing_is_named(self, name):
        values = {key: value for key, value in BASE.items() if key != name}
        with pytest.raises(UserError, match=f"^x: {name}: required, but missing$"):
            parse(values, source="x")

    def test_a_misspelling_comes_before_what_it_leaves_missing(self):
        change = {"models": [{"name": "a", "pth": "x"}]}
        assert refusal(change).startswith("sweep.yaml: models.0.pth: unknown key")

    @pytest.mark.parametrize("values", [None, [], "name", 3])
    def test_what_is_no_mapping(self, values):
        with pytest.raises(UserError, match="must hold a mapping with name, models and tasks"):
            parse(values, source="x")


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "value"),
        [
            ("seed=7", lambda made: made.seed == 7),
            ("run=a=b", lambda made: made.run == "a=b"),
            ("run=2024-05-01", lambda made: made.run == "2024-05-01"),
            ("run=null", lambda made: made.run is None),
            ("decoding.temperature=0.5", lambda made: made.decoding.temperature == 0.5),
            ("fit.k=[1, 2]", lambda made: made.fit.k == (1, 2)),
            ("allocation={n: 3}", lambda made: made.allocation.n == 3),
            ("allocation.n=3", lambda made: made.allocation == FixedAllocation(kind="fixed", n=3)),
            ("models.0.rate=0.5", lambda made: made.models[0].rate == 0.5),
            ("models.sim.rate=0.5", lambda made: made.models[0].rate == 0.5),
            ("models.rung.path=ladder:7k", lambda made: made.models[1].path == "ladder:7k"),
            ("tasks.quiz.fields.answer=a", lambda made: made.tasks[1].fields == {"answer": "a"}),
            ("models.rung={name: r2, path: p}", lambda made: made.models[1].name == "r2"),
        ],
    )
    def test_one_value_is_set(self, override, value):
        assert value(sweep(overrides=[override]))

    def test_they_apply_in_order_and_leave_the_rest(self):
        made = sweep(overrides=["seed=1", "fit.k=[2, 2, 2]", "fit.k.1=5", "seed=2"])
        assert made == sweep({"seed": 2, "fit": {"k": [2, 5, 2]}})

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("seed", "-o seed: must look like key.sub=value"),
            ("=1", "-o =1: must look like key.sub=value"),
            (
                "models.other.rate=1",
                "-o models.other.rate: there is no item 'other'; use a posit",
            ),
            ("models.2.rate=1", "-o models.2.rate: there is no item '2'; use a position from 0"),
            ("models.²=1", "-o models.²: there is no item '²'"),
            ("name.x=1", "-o name.x: name is not a section"),
            ("name.x.y=1", "-o name.x.y: name is not a section"),
            ("run=[", "-o run: the value is not valid YAML (expected the node content"),
            ("fit.kk=1", "-o fit.kk: fit.kk: unknown key; did you mean k? Allowed here are k"),
            ("seed=many", "-o seed: seed: is 'many', must be a valid integer"),
        ],
    )
    def test_what_cannot_be_set_is_named(self, override, message):
        assert refusal(overrides=[override]).startswith(message)

    def test_the_values_given_are_not_changed(self):
        values = copy.deepcopy(BASE)
        parse(values, source="x", overrides=["models.0.rate=0.5", "seed=3"])
        assert values == BASE


class TestFiles:
    def write(self, folder, text):
        path = folder / "sweep.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def test_paths_are_relative_to_the_file(self, tmp_path, monkeypatch):
        models = [
            LADDER,
            {"name": "near", "path": "./near"},
            {"name": "plain", "path": "plain"},
            {"name": "hub", "path": "org/model"},
            {"name": "here", "path": "here/model"},
            {"name": "far", "path": str(tmp_path / "far")},
        ]
        (tmp_path / "here" / "model").mkdir(parents=True)
        path = self.write(tmp_path, yaml.safe_dump(BASE | {"models": models}))
        monkeypatch.chdir(tmp_path)
        made = load(path.relative_to(tmp_path), ["tasks.quiz.limit=3"])
        found = [model.path for model in made.models]
        assert found == [
            "ladder:2k", str(tmp_path / "near"), str(tmp_path / "plain"), "org/model",
            str(tmp_path / "here/model"), str(tmp_path / "far"),
        ]  # fmt: skip
        assert made.tasks[1].path == str(tmp_path / "quiz.jsonl")
        assert made.tasks[1].limit == 3

    def test_so_are_the_folders_of_data_sets(self, tmp_path):
        tasks = [
            {"name": "hub", "source": "gsm8k", "dataset": "openai/gsm8k"},
            {"name": "here", "source": "gsm8k", "dataset": "./gsm8k"},
        ]
        made = load(self.write(tmp_path, yaml.safe_dump(BASE | {"tasks": tasks})))
        assert [task.dataset for task in made.tasks] == ["openai/gsm8k", str(tmp_path / "gsm8k")]

    def test_no_file(self, tmp_path):
        with pytest.raises(UserError, match=r"none\.yaml: no such sweep file"):
            load(tmp_path / "none.yaml")

    def test_a_folder(self, tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            load(tmp_path)

    def test_bytes_that_are_no_text(self, tmp_path):
        path = tmp_path / "sweep.yaml"
        path.write_bytes(b"name: \xff\xfe")
        with pytest.raises(UserError, match=r"sweep\.yaml: cannot be read"):
            load(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name: a\nmodels: ]\ntasks: b\n", "2:9: not valid YAML"),
            ("name: a\n\tmodels: b\n", "2:1: not valid YAML"),
            ("name: !!python/object:os.system x\n", "1:7: not valid YAML"),
            ("name: \x00", "1:7: not valid YAML"),
        ],
    )
    def test_bad_yaml_is_named_with_line_and_column(self, tmp_path, text, message):
        with pytest.raises(UserError, match=rf"sweep\.yaml:{message}"):
            load(self.write(tmp_path, text))


class TestYamlAsPeopleWriteIt:
    def test_scientific_numbers_are_numbers(self, tmp_path):
        path = tmp_path / "sweep.yaml"
        values = {key: value for key, value in BASE.items() if key != "allocation"}
        text = yaml.safe_dump(values) + "allocation: {r: 5, cap: 2e4}\nfit: {level: 9e-1}\n"
        path.write_text(text)
        sweep = load(path)
        assert sweep.allocation.cap == 20_000
        assert sweep.fit.level == 0.9

    def test_a_key_given_twice_is_refused_with_its_line(self, tmp_path):
        path = tmp_path / "sweep.yaml"
        path.write_text("name: a\nseed: 1\nname: b\n")
        with pytest.raises(UserError, match=r"sweep\.yaml:3:1: .*'name' is given twice"):
            load(path)


def test_an_engine_named_once_is_that_of_every_model_that_names_none():
    values = {
        "name": "s",
        "engine": "vllm",
        "models": [
            {"name": "big", "path": "some/model"},
            {"name": "small", "path": "some/other", "engine": "transformers"},
        ],
        "tasks": [{"name": "multiply1", "problems": 2}],
    }
    made = parse(values, source="test")
    assert [model.engine for model in made.models] == ["vllm", "transformers"]
    assert parse(values, source="test", overrides=["engine=transformers"]).models[0].engine == (
        "transformers"
    )
