"""Every engine that needs no server and no GPU keeps the promises of `engine_conformance`.

And engines that break them are found out.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from operators.schemas import PROBLEMS, SAMPLES
from pipelines import engines, ladder
from pipelines.store import Store
from pipelines.sweeps.config import Decoding, parse
from pipelines.sweeps.engine_sections import PythonEngine, ReplayEngine, SimulatedEngine
from pipelines.units import Cell, Unit
from tests.pipelines.dice_engine import Dice
from tests.pipelines.engine_conformance import AGAIN, MOST, TASK, EngineConformance, Subject


def simulated(**change):
    values = {"engine": "simulated", "name": "m", "parameters": 9, "rate": 0.3, "spread": 0.2}
    values |= {"mean_tokens": 6.0, "logprobs": True}
    return SimulatedEngine(**values | change)


def dice_subject(engine):
    return Subject(
        engine=engine,
        fresh=type(engine),
        prompts=("roll", "röll 漢", "r"),
        decoding=Decoding(max_tokens=40),
        impossible="roll!",
    )


class TestTransformers(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls):
        pytest.importorskip("torch")
        pytest.importorskip("transformers")
        from pipelines.engines.transformers_engine import TransformersModel

        def build():
            return TransformersModel.load(ladder.checkpoint("14k"))

        return Subject(
            engine=build(),
            fresh=build,
            prompts=("98*76=", "12*34=", "7*8="),
            decoding=Decoding(max_tokens=8),
            impossible="1" * 100 + "*2=",
        )


class TestSimulated(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls):
        prompts = ("one", "zwölf", "漢字 🙂")
        return Subject(
            engine=engines.load(simulated()),
            fresh=lambda: engines.load(simulated()),
            prompts=prompts,
            decoding=Decoding(max_tokens=16),
            answers=dict(zip(prompts, ("42", "żółć 漢字 🙂", "right"), strict=True)),
            chats=True,
        )


class TestReplay(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, tmp_path_factory):
        """A run of the dice, stored in units that are not those of the tests."""
        root = tmp_path_factory.mktemp("replay") / "run"
        dice = dice_subject(Dice())
        store_run(root, dice)
        section = ReplayEngine(engine="replay", name="again", run=str(root), model="m")
        return dataclasses.replace(
            dice,
            engine=engines.load(section),
            fresh=lambda: engines.load(section),
            other_decodings=False,
            likelihood=False,
        )


class TestPython(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls):
        section = PythonEngine(
            engine="python", name="m", parameters=1, factory="tests.pipelines.dice_engine:Dice"
        )
        return dataclasses.replace(
            dice_subject(engines.load(section)), fresh=lambda: engines.load(section)
        )


def store_run(root, subject):
    """Commit everything that the tests may ask of a subject."""
    asked = [*subject.prompts, subject.impossible, "żółć 漢字 🙂 é="]
    ids = [*asked, *(prompt + AGAIN for prompt in subject.prompts)]
    problems = [
        dict.fromkeys(PROBLEMS.names)
        | {"problem_id": name, "prompt": name.removesuffix(AGAIN), "verifier": "exact"}
        for name in ids
    ]
    values = {
        "name": "s",
        "run": str(root),
        "models": [{"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.5}],
        "tasks": [{"name": TASK, "source": "file", "path": "conformance.jsonl"}],
        "decoding": {"max_tokens": subject.decoding.max_tokens},
    }
    store = Store.at(str(root))
    store.create()
    made = {"models": {"m": {"parameters": 9, "fingerprint": "f"}}, "tasks": {TASK: len(ids)}}
    store.write_sweep(parse(values, source="test"), made)
    store.write_problems(TASK, pa.Table.from_pylist(problems, schema=PROBLEMS))
    for start, stop in ((0, 45), (45, 1_100)):
        for block in (ids[:3], ids[3:]):
            commit(store, subject, block, start, stop)
    commit(store, subject, [subject.prompts[0], subject.prompts[-1]], 1_100, MOST)


def commit(store, subject, names, start, stop):
    asked = [
        subject.request(
            name.removesuffix(AGAIN), start, stop, AGAIN if name.endswith(AGAIN) else ""
        )
        for name in names
    ]
    unit = Unit(cell=Cell("m", TASK), problems=tuple(names), start=start, stop=stop)
    facts = {"engine": "dice 1.0", "seeding": "sample"}
    assert store.commit("samples", unit, subject.draw(*asked), facts)


# -------------------------------------------------------------------- engines that are wrong


def edited(table, name, values):
    at = table.column_names.index(name)
    return table.set_column(at, SAMPLES.field(name), pa.array(values, SAMPLES.field(name).type))


class NumberedSeeds(Dice):
    """Seeds a request by a base, and its samples by the base plus their place."""

    def generate(self, requests, decoding):
        asked = [
            dataclasses.replace(each, seeds=int(each.seeds[0] % 7) + np.arange(len(each.seeds)))
            for each in requests
        ]
        return super().generate(asked, decoding)


class SharedSeeds(Dice):
    """Gives every problem the same seeds."""

    def generate(self, requests, decoding):
        asked = [dataclasses.replace(each, seeds=each.sample_ids) for each in requests]
        return super().generate(asked, decoding)


class Clones(Dice):
    """Draws one completion for all samples of a request."""

    def generate(self, requests, decoding):
        asked = [
            dataclasses.replace(each, seeds=np.repeat(each.seeds[:1], len(each.seeds)))
            for each in requests
        ]
        return super().generate(asked, decoding)


class TooFew(Dice):
    """Loses the last sample of several."""

    def generate(self, requests, decoding):
        table = super().generate(requests, decoding)
        return table[:-1] if table.num_rows > 1 else table


class ByLength(Dice):
    """Returns samples as they finish."""

    def generate(self, requests, decoding):
        return super().generate(requests, decoding).sort_by("completion_tokens")


class KeepsStop(Dice):
    """Leaves the stop string in."""

    def generate(self, requests, decoding):
        table = super().generate(requests, decoding)
        texts = [text + "".join(decoding.stop[:1]) for text in table["completion"].to_pylist()]
        return edited(table, "completion", texts)


class NotANumber(Dice):
    """Records a NaN."""

    def generate(self, requests, decoding):
        table = super().generate(requests, decoding)
        return edited(table, "min_logprob", [float("nan")] * table.num_rows)


class EmptyAreErrors(Dice):
    """Takes an empty completion for a failure."""

    def generate(self, requests, decoding):
        table = super().generate(requests, decoding)
        wrong = [text == "" for text in table["completion"].to_pylist()]
        reasons = zip(wrong, table["finish_reason"].to_pylist(), strict=True)
        table = edited(table, "error", ["empty" if each else None for each in wrong])
        return edited(
            table, "finish_reason", ["error" if each else reason for each, reason in reasons]
        )


class OverLimit(Dice):
    """Ignores the limit, and does not say so."""

    def generate(self, requests, decoding):
        return super().generate(requests, decoding.model_copy(update={"max_tokens": 100}))


class OtherDistribution(Dice):
    """Draws hotter than it says."""

    def generate(self, requests, decoding):
        hot = decoding.temperature * 4
        return super().generate(requests, decoding.model_copy(update={"temperature": hot}))


class BentLogprobs(Dice):
    """Records the log-probability of something else."""

    def generate(self, requests, decoding):
        table = super().generate(requests, decoding)
        values = [
            None if each is None else each * 1.001 for each in table["sum_logprob"].to_pylist()
        ]
        return edited(table, "sum_logprob", values)


class Greedless(Dice):
    """Takes temperature 0 for no temperature."""

    def generate(self, requests, decoding):
        warm = decoding.model_copy(update={"temperature": decoding.temperature or 1.0})
        return super().generate(requests, warm)


class Chokes(Dice):
    """Raises for a prompt that it cannot take."""

    def generate(self, requests, decoding):
        table = super().generate(requests, decoding)
        assert "error" not in table["finish_reason"].to_pylist()
        return table


BROKEN = [
    (NumberedSeeds, "test_two_blocks_of_ids_share_no_more_than_chance"),
    (NumberedSeeds, "test_a_sample_is_the_same_in_any_batch"),
    (SharedSeeds, "test_two_problems_share_no_more_than_chance"),
    (SharedSeeds, "test_the_column_seed_says_what_facts_say"),
    (Clones, "test_two_blocks_of_ids_share_no_more_than_chance"),
    (TooFew, "test_rows_are_in_the_order_of_requests_and_sample_ids"),
    (ByLength, "test_rows_are_in_the_order_of_requests_and_sample_ids"),
    (KeepsStop, "test_a_completion_ends_before_the_first_stop_string"),
    (NotANumber, "test_nothing_recorded_is_nan_or_infinite"),
    (EmptyAreErrors, "test_a_completion_may_be_empty"),
    (OverLimit, "test_a_completion_ends_at_max_tokens"),
    (OtherDistribution, "test_completions_are_as_frequent_as_they_are_likely"),
    (BentLogprobs, "test_what_it_recorded_is_the_likelihood"),
    (Greedless, "test_greedy_samples_of_a_prompt_are_all_the_same"),
    (Chokes, "test_a_prompt_that_it_cannot_take_harms_no_other"),
]


@pytest.mark.parametrize(("wrong", "test"), BROKEN)
def test_an_engine_that_breaks_a_promise_is_found_out(wrong, test):
    arguments = {"test_greedy": [{"temperature": 0.0}], "test_completions_are": [{}]}
    more = next((value for name, value in arguments.items() if test.startswith(name)), [])
    with pytest.raises(AssertionError):
        getattr(EngineConformance(), test)(dice_subject(wrong()), *more)
