"""The openai engine against a server that misbehaves: the right rows, or the right error."""

import asyncio
import itertools
import json
import math
import random
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.schemas import SAMPLES, check
from pipelines import models
from pipelines.engines import load
from pipelines.engines.openai_requests import BreachError, apportioned, plan, read
from pipelines.engines.protocol import Request
from pipelines.engines.repetition import clones, echo, repeated
from pipelines.engines.retry import GaveUpError, GoneError, Retry, TroubleError
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding, parse
from pipelines.sweeps.engine_sections import OpenAIEngine
from tests.command import ENVIRONMENT, passlaw
from tests.pipelines.misbehaving_server import MisbehavingServer, digit

pytest.importorskip("openai")

from pipelines.engines.openai_engine import OpenAIModel  # needs openai

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    """Whatever this machine's environment says."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.slept = []
        self.on_sleep = lambda: None

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        self.on_sleep()
        await asyncio.sleep(0)

    def retry(self, patience=900.0, **change):
        clock, sleep = (lambda: self.now), self.sleep
        return Retry(patience=patience, clock=clock, sleep=sleep, **change)


def section(server, **change):
    values = {"engine": "openai", "name": "m", "parameters": 9, "base_url": server.url}
    return OpenAIEngine(**values | {"samples_per_request": 8} | change)


@contextmanager
def engine_of(server, clock=None, *, patience=900.0, **change):
    engine = OpenAIModel(section(server, **change), (clock or Clock()).retry(patience))
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def served(clock=None, *, patience=900.0, sweep=None, **how):
    """Yield a server that misbehaves as told, and an engine on it."""
    with (
        MisbehavingServer(**how) as server,
        engine_of(server, clock, patience=patience, **sweep or {}) as engine,
    ):
        yield server, engine


def request(prompt="1+1=", start=0, stop=16, stream=1_000, **change):
    ids = np.arange(start, stop)
    values = {
        "task": "t",
        "problem_id": prompt,
        "prompt": prompt,
        "sample_ids": ids,
        "seeds": ids,
        "stream": stream,
    }
    return Request(**values | change)


def chat(prompt="1+1=", **change):
    return request(prompt, messages=({"role": "user", "content": prompt},), **change)


def draw(engine, *requests, **decoding):
    return engine.generate(requests or [request()], Decoding(**decoding))


def expected(prompt="1+1=", start=0, stop=16, stream=1_000):
    """The texts that the server's model has for these samples."""
    return [digit(prompt, stream + at) for at in range(start, stop)]


def texts(table):
    return table["completion"].to_pylist()


class TestRows:
    def test_a_table_of_samples_in_the_order_of_the_requests(self):
        with served() as (server, engine):
            table = draw(engine, request("b=", 5, 20), request("a=", 0, 3))
        assert check(table, SAMPLES, "samples").equals(table)
        assert table["problem_id"].to_pylist() == ["b="] * 15 + ["a="] * 3
        assert table["sample_id"].to_pylist() == [*range(5, 20), 0, 1, 2]
        assert texts(table) == expected("b=", 5, 20) + expected("a=", 0, 3)
        assert table["seed"].to_pylist() == [1_000 + at for at in (*range(5, 20), 0, 1, 2)]
        assert set(table["prompt_tokens"].to_pylist()) == {2}
        assert set(table["completion_tokens"].to_pylist()) == {2}
        assert sorted(body["n"] for body in server.seen) == [3, 7, 8]

    def test_no_requests_are_no_rows(self):
        with served() as (_, engine):
            assert engine.generate([], Decoding()).equals(SAMPLES.empty_table())

    def test_a_conversation_goes_to_the_chat(self):
        thought = {"message": {"content": "4", "reasoning_content": "2 and 2"}}
        with served() as (server, engine):
            assert texts(draw(engine, chat())) == expected()
            server.how.change = thought
            table = draw(engine, chat())
        assert {body["path"] for body in server.seen} == {"/v1/chat/completions"}
        assert server.seen[0]["messages"] == [{"role": "user", "content": "1+1="}]
        assert set(texts(table)) == {"4"}
        assert set(table["reasoning"].to_pylist()) == {"2 and 2"}

    def test_the_decoding_is_sent(self):
        with served(sweep={"extra_body": {"min_p": 0.1}}) as (server, engine):
            draw(engine, temperature=0.5, top_p=0.9, top_k=7, max_tokens=3, stop=["x"])
        sent = server.seen[0]
        asked = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "max_tokens": 3, "stop": ["x"]}
        assert asked.items() <= sent.items()
        assert sent["min_p"] == 0.1

    def test_what_a_model_folder_may_set_is_switched_off(self):
        """vLLM and SGLang take defaults from it; for others the fields would be unknown."""
        with served() as (server, engine):
            draw(engine)
            assert (server.seen[0]["top_k"], server.seen[0]["repetition_penalty"]) == (-1, 1.0)
        with served(kind="other") as (server, engine):
            draw(engine)
            assert not {"top_k", "min_p", "repetition_penalty"} & server.seen[0].keys()

    def test_logprobs_are_summed(self):
        with served() as (_, engine):
            for asked in (request(), chat()):
                table = draw(engine, asked)
                for name in ("sum_logprob", "min_logprob"):
                    assert table[name].to_pylist() == pytest.approx([-2.302585] * 16)

    @pytest.mark.parametrize(("kind", "recorded"), [("vllm", 16), ("other", 0)])
    def test_logprobs_of_a_bent_distribution_are_not_taken_for_the_models(self, kind, recorded):
        with served(kind=kind) as (_, engine):
            table = draw(engine, temperature=0.5)
        assert 16 - table["sum_logprob"].null_count == recorded

    def test_no_logprobs(self):
        with served(logprobs=False) as (_, engine):
            table = draw(engine)
            facts = engine.facts()
        assert table["sum_logprob"].null_count == table["min_logprob"].null_count == 16
        assert sum(table["completion_tokens"].to_pylist()) == 32
        assert facts["tokens"] == "apportioned"

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"finish_reason": "content_filter"}, "'content_filter'"),
            ({"finish_reason": "tool_calls"}, "'tool_calls'"),
            ({"finish_reason": None}, "None"),
            ({"message": {"content": None, "refusal": "I will not"}}, "refused: I will not"),
        ],
    )
    def test_what_is_no_completion_is_an_error(self, change, reason):
        with served(change=change) as (_, engine):
            table = draw(engine, chat())
        assert set(table["finish_reason"].to_pylist()) == {"error"}
        assert set(texts(table)) == {""}
        assert all(reason in error for error in table["error"].to_pylist())

    def test_an_empty_completion_is_one(self):
        with served(change={"message": {"content": None}, "finish_reason": "length"}) as (
            _,
            engine,
        ):
            table = draw(engine, chat())
        assert set(texts(table)) == {""}
        assert set(table["finish_reason"].to_pylist()) == {"length"}
        assert table["error"].null_count == 16

    def test_a_completion_ends_before_the_first_stop_string(self):
        """Also on a server that leaves it in, or does not look for it."""
        with served(change={"text": "12;34", "finish_reason": "length"}) as (_, engine):
            table = draw(engine, stop=["4", ";"])
        assert set(texts(table)) == {"12"}
        assert set(table["finish_reason"].to_pylist()) == {"stop"}


class TestSeeds:
    def test_two_units_share_nothing(self):
        with served() as (server, engine):
            whole = texts(draw(engine, request(stop=64)))
            parts = [texts(draw(engine, request(start=at, stop=at + 16))) for at in (32, 0, 48, 16)]
            sent = [(body["seed"], body["n"]) for body in server.seen]
        assert whole == parts[1] + parts[3] + parts[0] + parts[2]
        drawn = [seed + at for seed, n in sent for at in range(n)]
        assert sorted(drawn) == sorted([*range(1_000, 1_064)] * 2)

    def test_only_a_server_that_honours_them_has_its_seeds_recorded(self):
        with served(kind="other") as (server, engine):
            table = draw(engine, request(stream=2**61))
            assert engine.facts()["seeding"] == "none"
        assert table["seed"].null_count == 16
        assert max(body["seed"] for body in server.seen) < 2**31
        with served() as (_, engine):
            assert engine.facts()["seeding"] == "sample"

    def test_a_server_without_seeds(self):
        with served(refuse="seed") as (server, engine):
            table = draw(engine)
            assert engine.facts()["seeding"] == "none"
            draw(engine)
        assert table["error"].null_count == table["seed"].null_count == 16
        assert "seed" not in server.seen[-1]


FAULTS = [
    "429", "429 after 7", "408", "500", "502", "503", "504", "cut", "drop", "malformed", "html",
    "no choices", "no usage", "more", "duplicate", "empty", "fewer",
]  # fmt: skip


class TestFaults:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_one_fault_changes_no_row(self, fault):
        clock = Clock()
        with served(clock) as (server, engine):
            before = draw(engine)
            server.script = [fault]
            assert draw(engine).equals(before)
            assert server.faults == 1
        assert len(clock.slept) == (fault != "fewer")

    def test_many_faults_change_no_row(self):
        with served(share=0.2) as (server, engine):
            asked = [request(f"{at}=", 0, 64) for at in range(12)]
            table = draw(engine, *asked)
            assert server.faults > 10
            server.how.share = 0.0
            assert table.equals(draw(engine, *asked))

    def test_slow_beyond_the_timeout(self):
        with served(sweep={"request_seconds": 0.5}) as (server, engine):
            server.script = ["slow"]
            assert texts(draw(engine)) == expected()

    def test_a_server_asks_to_be_left_alone(self):
        clock = Clock()
        with served(clock) as (server, engine):
            server.script = ["429 after 7", "429"]
            draw(engine, request(stop=8))
        assert clock.slept[0] == 7.0
        assert clock.slept[1] <= 1.0

    def test_gone_for_a_while(self):
        """A request that finds nobody is made again until the server is back."""
        clock = Clock()
        with served(clock) as (server, engine):
            clock.on_sleep = lambda: server.start() if len(clock.slept) == 20 else None
            server.stop()
            assert texts(draw(engine)) == expected()
        assert len(clock.slept) >= 20

    def test_gone_for_good(self):
        clock = Clock()
        with served(clock, patience=60.0) as (server, engine):
            server.stop()
            with pytest.raises(UserError, match=r"cannot be reached: .*patience_seconds.*nothing"):
                draw(engine)
        assert clock.now <= 2 * 60.0

    def test_broken_for_good_fails_the_unit_and_not_the_run(self):
        with served(patience=60.0) as (server, engine):
            server.script = ["504"] * 1_000
            with pytest.raises(GaveUpError, match=r"504: try again \(\d+ tries in \d+ s\)"):
                draw(engine)

    def test_a_server_that_gives_one_choice(self, caplog):
        with served(ignore_n=True) as (server, engine):
            table = draw(engine, request(stop=40))
            assert texts(table) == expected(stop=40)
            assert table["sample_id"].to_pylist() == list(range(40))
            asked = len(server.seen)
            assert texts(draw(engine, request("2=", 0, 5))) == expected("2=", 0, 5)
            assert [body["n"] for body in server.seen[asked:]] == [1] * 5
        assert len(caplog.records) == 1
        assert "gives one choice" in caplog.text

    def test_a_server_that_refuses_n(self):
        with served(refuse="n") as (_, engine):
            assert texts(draw(engine)) == expected()

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ("more", "9 choices where n was 8"),
            ("duplicate", "the indices [0, 0, 0, 0, 0, 0, 0, 0] where n was 8"),
            ("no usage", "without usage"),
            ("no choices", "without choices"),
        ],
    )
    def test_a_server_that_breaks_the_api_is_given_up(self, fault, reason):
        with served() as (server, engine):
            server.script = [fault] * 100
            with pytest.raises(UserError) as caught:
                draw(engine)
        assert reason in str(caught.value)

    def test_no_choices_at_all_are_error_rows(self):
        with served() as (server, engine):
            server.script = ["empty"] * 3
            table = draw(engine, request(stop=8))
        assert set(table["finish_reason"].to_pylist()) == {"error"}
        assert "empty list of choices" in table["error"][0].as_py()

    @pytest.mark.parametrize(
        ("prompt", "reason"),
        [("too long", "400: maximum context length"), ("poison", "breaks down over it (500: it")],
    )
    def test_a_bad_prompt_harms_no_other(self, prompt, reason):
        with served(poison="poison") as (_, engine):
            table = draw(engine, request("a="), request(prompt), request("b="))
        found = table["error"].to_pylist()
        assert [error is None for error in found] == [True] * 16 + [False] * 16 + [True] * 16
        assert all(reason in error for error in found[16:32])
        assert texts(table)[32:] == expected("b=")

    def test_a_prompt_is_not_to_blame_where_the_server_never_answered(self):
        with served(poison="poison", patience=600.0) as (_, engine), pytest.raises(GaveUpError):
            draw(engine, request("poison"))

    @pytest.mark.parametrize(
        ("field", "message"),
        [
            ("top_k", "refuses decoding.top_k; change or drop it"),
            ("temperature", "refuses decoding.temperature"),
            ("logprobs", "refuses logprobs; set logprobs: false"),
            ("min_p", "refuses extra_body.min_p"),
        ],
    )
    def test_a_refused_field_is_named(self, field, message):
        extra = {"extra_body": {"min_p": 0.1}}
        how = {"refuse": field, "kind": "other", "sweep": extra}
        with served(**how) as (_, engine), pytest.raises(UserError) as caught:
            draw(engine, top_k=4)
        assert message in str(caught.value)

    def test_calls_overlap(self):
        units = [request(start=at, stop=at + 50) for at in range(0, 200, 50)]
        with served(share=0.2) as (_, engine), ThreadPoolExecutor(4) as threads:
            tables = list(threads.map(lambda unit: draw(engine, unit), units))
        assert [texts(table) for table in tables] == [
            expected(start=at, stop=at + 50) for at in range(0, 200, 50)
        ]

    def test_no_likelihood_but_of_vllm(self):
        with served(kind="other") as (_, engine):
            assert not engine.unique_tokens()
            with pytest.raises(UserError, match="only a vLLM server tells a likelihood"):
                engine.likelihood(["1"], ["2"])


class TestRepetition:
    @pytest.mark.parametrize("how", ["clone", "echo"])
    @pytest.mark.parametrize("kind", ["vllm", "sglang"])
    def test_a_server_that_repeats_itself_is_found_out(self, how, kind):
        with served(kind=kind, **{how: True}) as (_, engine):
            asked = [request(f"{at}=", 0, 16, stream=1_000 * at) for at in range(40)]
            with pytest.raises(UserError, match=r"repeats itself.*samples_per_request: 1"):
                draw(engine, *asked)

    def test_even_where_one_request_would_do(self):
        """Of a server that is not known to honour seeds, the last sample is asked for alone."""
        with served(kind="sglang", clone=True) as (server, engine):
            asked = [request(f"{at}=", 0, 8, stream=1_000 * at) for at in range(60)]
            with pytest.raises(UserError, match="repeats itself"):
                draw(engine, *asked)
        assert {body["n"] for body in server.seen} == {7, 1}

    @pytest.mark.parametrize("decoding", [{"temperature": 0.0}, {"top_k": 1}])
    def test_greedy_samples_may_repeat(self, decoding):
        with served(clone=True) as (_, engine):
            asked = [request(f"{at}=", 0, 16) for at in range(40)]
            assert draw(engine, *asked, **decoding).num_rows == 640

    @pytest.mark.parametrize("sure", [0.5, 0.9, 0.99, 1.0])
    def test_a_model_that_is_sure_of_itself_is_none(self, sure):
        generator = random.Random(3)
        for _ in range(30):
            unit = [
                [["a" if generator.random() < sure else "b" for _ in range(8)] for _ in range(6)]
                for _ in range(100)
            ]
            assert not repeated(unit)

    @pytest.mark.parametrize("bound", [clones, echo])
    @pytest.mark.parametrize("n", [2, 3, 4])
    @pytest.mark.parametrize("chances", [(0.5, 0.5), (0.9, 0.1), (0.6, 0.3, 0.1), (1.0,)])
    def test_the_evidence_has_mean_one_at_most_for_every_model(self, bound, n, chances):
        """Over all that two requests of n samples may give: the false alarm rests on this."""
        mean = sum(
            math.prod(chances[text] for text in drawn) * bound(drawn[:n], drawn[n:])
            for drawn in itertools.product(range(len(chances)), repeat=2 * n)
        )
        assert mean <= 1 + 1e-12

    @given(st.lists(st.lists(st.lists(st.sampled_from("ab"), max_size=4), max_size=4), max_size=4))
    def test_few_samples_prove_nothing(self, unit):
        assert not repeated(unit)

    def test_one_pair_is_no_proof(self):
        assert not repeated([[["a"] * 100, ["b"] * 100]])


class TestRequests:
    @given(st.lists(st.integers(1, 40), max_size=5), st.integers(1, 16), st.booleans())
    def test_every_sample_is_asked_for_once_and_in_order(self, sizes, most, paired):
        requests = [request(stop=size) for size in sizes]
        asks = plan(requests, most, paired=paired)
        assert all(1 <= ask.n <= most for ask in asks)
        found = [(ask.request, ask.start + at) for ask in asks for at in range(ask.n)]
        assert found == [(at, i) for at, size in enumerate(sizes) for i in range(size)]
        if paired:
            alone = [
                size for at, size in enumerate(sizes) if [a.request for a in asks].count(at) == 1
            ]
            assert all(size <= 2 for size in alone)

    @given(st.integers(0, 10**6), st.lists(st.integers(0, 10**4), min_size=1))
    def test_shares_add_up_exactly(self, total, weights):
        shares = apportioned(total, weights)
        assert sum(shares) == total
        whole = sum(weights)
        if whole:
            exact = [total * weight / whole for weight in weights]
            assert all(abs(a - b) < 1 for a, b in zip(shares, exact, strict=True))

    @given(st.integers(1, 50), st.lists(st.integers(1, 100), min_size=1))
    def test_what_was_counted_is_kept(self, scale, weights):
        assert apportioned(sum(weights), weights) == weights
        assert apportioned(scale * sum(weights), weights) == [scale * each for each in weights]

    @pytest.mark.parametrize("answer", [None, [], "text", 3, {"choices": 3}, {"choices": ["a"]}])
    def test_what_is_no_answer_is_a_breach(self, answer):
        with pytest.raises(BreachError):
            read(answer, 1, (), raw_logprobs=True)


class TestRetry:
    def run(self, failures, **change):
        clock = Clock()
        left = list(failures)

        async def call():
            if left:
                raise left.pop(0)
            return "done"

        try:
            return asyncio.run(clock.retry(**change).until_done(call)), clock
        except GaveUpError as error:
            return error, clock

    def test_waits_grow_and_vary(self):
        _, clock = self.run([TroubleError("no")] * 12, patience=1e9)
        bounds = [min(30.0, 0.5 * 2**at) for at in range(12)]
        assert all(0 <= wait <= most for wait, most in zip(clock.slept, bounds, strict=True))
        assert len(set(clock.slept)) == 12
        assert max(clock.slept) > 5

    def test_waits_are_those_of_the_generator(self):
        waits = [
            self.run([TroubleError("no")] * 5, jitter=random.Random(seed))[1].slept
            for seed in (1, 1, 2)
        ]
        assert waits[0] == waits[1] != waits[2]

    def test_patience_ends_with_the_last_reason(self):
        error, clock = self.run([TroubleError("no")] * 99 + [TroubleError("never")], patience=50.0)
        assert type(error) is GaveUpError
        assert clock.now <= 50.0
        assert str(error).startswith("no (")

    def test_no_patience_is_one_try(self):
        error, clock = self.run([TroubleError("no")], patience=0.0)
        assert str(error) == "no (1 tries in 0 s)"
        assert clock.slept == []

    def test_nobody_there_is_told_from_nobody_able(self):
        gone = [TroubleError("away", gone=True)] * 99
        assert type(self.run(gone, patience=9.0)[0]) is GoneError
        cut_short = [TroubleError("no"), *gone]
        assert type(self.run(cut_short, patience=9.0)[0]) is GoneError
        assert type(self.run([gone[0], *cut_short], patience=9.0)[0]) is GaveUpError

    def test_a_wait_that_is_too_long_ends_at_once(self):
        error, clock = self.run([TroubleError("no", wait=100.0)], patience=99.0)
        assert isinstance(error, GaveUpError)
        assert clock.now == 0.0


PRICES = {"usd_per_million_prompt_tokens": 3.0, "usd_per_million_completion_tokens": 15.0}


class TestCosts:
    def test_usage_is_what_was_billed_and_is_told_once(self):
        with served(sweep=PRICES) as (_, engine):
            draw(engine, request("abc=", 0, 20))  # as 8 + 8 + 4
            usage = engine.facts()["usage"]
            assert usage["requests"] == 4 - 1
            assert (usage["prompt_tokens"], usage["completion_tokens"]) == (3 * 4, 40)
            assert usage["usd"] == pytest.approx((3.0 * 12 + 15.0 * 40) / 1e6)
            again = engine.facts()["usage"]
            assert (again["requests"], again["usd"]) == (0, 0.0)

    def test_usage_of_overlapping_calls_adds_up(self):
        with served(share=0.3, sweep=PRICES) as (server, engine):

            def unit(at):
                table = draw(engine, request(start=40 * at, stop=40 * at + 40))
                return sum(table["completion_tokens"].to_pylist()), engine.facts()["usage"]

            with ThreadPoolExecutor(4) as threads:
                units = list(threads.map(unit, range(12)))
            assert sum(usage["completion_tokens"] for _, usage in units) == 12 * 80
            assert sum(usage["requests"] for _, usage in units) == len(server.seen)
            assert sum(usage["retries"] for _, usage in units) == server.faults

    def test_no_prices_are_no_costs(self):
        with served() as (_, engine):
            draw(engine)
            assert "usd" not in engine.facts()["usage"]


def refusal(**change):
    with pytest.raises(UserError) as caught:
        sweep(**change)
    return str(caught.value)


def sweep(**change):
    model = {"engine": "openai", "name": "m", "parameters": 9} | change
    task = {"name": "t", "problems": 1}
    return parse({"name": "s", "models": [model], "tasks": [task]}, source="test")


class TestSection:
    @pytest.mark.parametrize(
        "url",
        [f"https://me:{KEY}@host/v1", f"https://{KEY}@host/v1", f"https://host/v1?api-key={KEY}"],
    )
    def test_an_address_with_credentials_is_refused_and_not_shown(self, url, monkeypatch):
        said = refusal(base_url=url)
        assert "base_url: " in said
        assert KEY not in said
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(UserError, match="OPENAI_BASE_URL: ") as caught:
            load(OpenAIEngine(engine="openai", name="m", parameters=9))
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host/v1", "http://", "http://[::1"])
    def test_what_is_no_address(self, url):
        assert "http://127.0.0.1:8000/v1" in refusal(base_url=url)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"usd_per_million_prompt_tokens": 1.0}, "give both prices"),
            ({"extra_body": {"seed": 1}}, "extra_body.seed: is set by the sweep"),
            ({"concurrency": 0}, "concurrency: is 0"),
        ],
    )
    def test_contradictions_are_refused(self, change, message):
        assert message in refusal(**change)

    def test_a_model_is_known_by_its_name_and_not_its_address(self):
        def fingerprint(**change):
            return models.find(sweep(**change).models[0]).fingerprint

        known = fingerprint()
        assert fingerprint(base_url="http://other/v1", concurrency=3) == known
        assert fingerprint(model="m") == known
        assert len({known, fingerprint(model="n"), fingerprint(extra_body={"min_p": 0.1})}) == 3

    def test_the_client_is_imported_only_when_the_engine_is(self):
        code = "import sys, pipelines.engines, pipelines.models; print(*sys.modules)"
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "openai" not in found.stdout.split()


class TestKeys:
    @pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "MY_KEY"])
    def test_the_key_is_that_of_its_variable(self, variable, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "another")
        monkeypatch.setenv(variable, KEY)
        with served(key=KEY, sweep={"key_variable": variable}) as (server, engine):
            draw(engine)
        assert server.seen[0]["authorization"] == f"Bearer {KEY}"

    def test_a_server_of_ones_own_needs_none(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with served(sweep={"key_variable": "MY_KEY"}) as (server, engine):
            assert texts(draw(engine)) == expected()
        assert KEY not in json.dumps(server.seen)

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("", "wants a key; set it in the environment variable MY_KEY"),
            (KEY, "refuses the key in the environment variable MY_KEY"),
            (f"{KEY}\nX: y", "holds characters that no key has"),
        ],
    )
    def test_a_wrong_key_is_refused_and_not_shown(self, key, message, monkeypatch):
        monkeypatch.setenv("MY_KEY", key)
        with pytest.raises(UserError) as caught, served(key="r", sweep={"key_variable": "MY_KEY"}):
            pass
        assert message in str(caught.value)
        assert KEY not in str(caught.value)

    def test_openais_own_server_needs_one(self):
        with pytest.raises(UserError, match=r"set the environment variable OPENAI_API_KEY"):
            load(OpenAIEngine(engine="openai", name="m", parameters=9))

    def test_another_model(self):
        message = r"has no model 'x'.*set model to.*base_url"
        with served(sweep={"model": "x"}) as (_, engine), pytest.raises(UserError, match=message):
            draw(engine)


class TestSweep:
    """Through Ray: what a user does."""

    def file(self, folder, url, name):
        rows = [{"problem_id": f"p{at}", "prompt": f"{at}=", "answer": "7"} for at in range(12)]
        (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
        model = {"name": "m", "parameters": 9, "base_url": url, "samples_per_request": 8}
        values = {
            "name": name,
            "engine": "openai",
            "models": [model | {"key_variable": "MY_KEY"} | PRICES],
            "tasks": [{"name": "quiz", "path": "quiz.jsonl"}],
            "allocation": {"n": 40},
            "resources": {"unit_samples": 64},
        }
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(values))
        return path.name

    def no_key_in(self, folder, *said):
        files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        return not any(KEY.encode() in content for content in [*files, *map(str.encode, said)])

    def test_with_failures_as_without_and_no_key_anywhere(self, tmp_path, monkeypatch):
        """One request in five fails; yet the samples are those that the model draws, each once."""
        monkeypatch.setitem(ENVIRONMENT, "MY_KEY", KEY)
        with MisbehavingServer(key=KEY, share=0.2) as server:
            ended = passlaw(tmp_path, "run", self.file(tmp_path, server.url, "rough"))
            assert ended.returncode == 0, ended.stderr
        assert server.faults > 5
        run = tmp_path / "runs" / "rough"
        rows = pl.read_parquet(run / "samples/**/*.parquet", hive_partitioning=False)
        rows = rows.sort("problem_id", "sample_id")
        assert rows["sample_id"].to_list() == [*range(40)] * 12
        problems, seeds = rows["problem_id"].to_list(), rows["seed"].to_list()
        drawn = [digit(f"{name[1:]}=", seed) for name, seed in zip(problems, seeds, strict=True)]
        assert rows["completion"].to_list() == drawn
        counts = pl.read_parquet(run / "counts.parquet")
        assert counts["n"].to_list() == [40] * 12
        assert counts["c"].sum() == drawn.count("7")
        prompt_tokens = 5 * (10 * 2 + 2 * 3)  # of five requests for each problem
        costs = pl.read_parquet(run / "costs.parquet")
        assert costs["usd"].item() == pytest.approx((3 * prompt_tokens + 15 * 960) / 1e6)
        with sqlite3.connect(tmp_path / "mlflow.db") as tracked:
            metrics = tracked.execute("SELECT value FROM metrics WHERE key = 'usd'").fetchall()
        tracked.close()
        assert (
            metrics == [pytest.approx((costs["usd"].item(),))] * 2
        )  # of the cell and of the sweep
        assert self.no_key_in(tmp_path, ended.stderr, ended.stdout)

    def test_a_refused_key_ends_the_run_and_is_shown_nowhere(self, tmp_path, monkeypatch):
        """The server repeats the key in what it says."""
        monkeypatch.setitem(ENVIRONMENT, "MY_KEY", KEY)
        with MisbehavingServer(key="another") as server:
            ended = passlaw(tmp_path, "sample", self.file(tmp_path, server.url, "denied"))
        assert ended.returncode == 2
        assert "refuses the key in the environment variable MY_KEY" in ended.stderr
        assert self.no_key_in(tmp_path, ended.stderr, ended.stdout)
