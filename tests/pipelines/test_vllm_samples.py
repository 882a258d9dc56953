"""What vLLM hands back becomes a table, row by row."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from operators.schemas import SAMPLES, check
from pipelines.engines.protocol import Request
from pipelines.engines.vllm_requests import plan
from pipelines.engines.vllm_samples import Drawn, texts


def request(problem, start, stop):
    ids = np.arange(start, stop, dtype=np.int64)
    return Request(
        task="task", problem_id=problem, prompt=problem, sample_ids=ids, seeds=ids, stream=1_000
    )


def output(tokens, reason="stop", logprobs=None, text=""):
    """A completion as vLLM describes it; log-probabilities of each place one behind the other."""
    told = None if logprobs is None else SimpleNamespace(logprobs=logprobs)
    return SimpleNamespace(token_ids=tokens, finish_reason=reason, logprobs=told, text=text)


def rows(requests, outputs, said, read=None, split=None, seeded=True):
    read = read or [([1, 2, 3], None)] * len(requests)
    drawn = Drawn(requests, read)
    taken = {at for at, (_, error) in enumerate(read) if error is None}
    at = 0
    for ask in plan(requests, taken):
        part = slice(at, at + ask.count)
        drawn.write(ask, outputs[part], said[part], split)
        at += ask.count
    return check(drawn.table(seeded=seeded), SAMPLES, "samples").to_pylist()


def test_rows_hold_what_was_drawn():
    asked = [request("first", 5, 7), request("second", 0, 1)]
    outputs = [
        output([4, 9], logprobs=[-1.0, -0.5]),
        output([4, 4, 4], "length", [-1.0, -1.0, -1.0]),
        output([9], logprobs=[-2.0]),
    ]
    found = rows(asked, outputs, ["4", "444", ""])
    keys = ("problem_id", "sample_id", "completion", "finish_reason", "completion_tokens")
    assert [tuple(row[key] for key in keys) for row in found] == [
        ("first", 5, "4", "stop", 2),
        ("first", 6, "444", "length", 3),
        ("second", 0, "", "stop", 1),
    ]
    assert [row["sum_logprob"] for row in found] == [-1.5, -3.0, -2.0]
    assert [row["min_logprob"] for row in found] == [-1.0, -1.0, -2.0]
    assert [row["seed"] for row in found] == [1_005, 1_006, 1_000]
    assert {row["prompt_tokens"] for row in found} == {3}
    assert {row["self_certainty"] for row in found} == {row["mean_confidence"] for row in found}


def test_seeds_of_a_unit_are_no_seeds_of_its_samples():
    found = rows([request("first", 0, 1)], [output([9])], [""], seeded=False)
    assert found[0]["seed"] is None
    assert found[0]["sum_logprob"] is None


def test_confidence_is_of_the_likeliest_tokens_and_not_of_the_one_drawn():
    """Two of the likeliest at each of two places, behind the token drawn."""
    drawn = output([4, 9], logprobs=[-5.0, -1.0, -2.0, -6.0, -1.0, -4.0])
    found = rows([request("first", 0, 1)], [drawn], ["4"])[0]
    assert found["mean_confidence"] == pytest.approx((1.5 + 2.5) / 2)
    assert found["sum_logprob"] == pytest.approx(-11)


def test_scores_that_are_no_numbers_are_an_error_of_that_sample_alone():
    outputs = [output([4], logprobs=[math.nan]), output([9], logprobs=[-1.0])]
    found = rows([request("first", 0, 2)], outputs, ["4", ""])
    assert [row["finish_reason"] for row in found] == ["error", "stop"]
    assert "NaN" in found[0]["error"]
    assert found[0]["completion"] == ""


def test_a_prompt_that_was_not_read_is_an_error_in_its_own_rows():
    read = [([], "the prompt is empty"), ([1], None)]
    asked = [request("first", 0, 2), request("second", 0, 1)]
    found = rows(asked, [output([9])], [""], read)
    assert [row["error"] for row in found] == ["the prompt is empty"] * 2 + [None]


def test_thinking_goes_into_a_column_of_its_own():
    split = {"half a thought": ("half a thought", ""), "a|b": ("a", "b")}.get
    outputs = [output([1, 2], "length"), output([1, 9])]
    found = rows([request("first", 0, 2)], outputs, ["half a thought", "a|b"], split=split)
    assert [(row["reasoning"], row["completion"]) for row in found] == [
        ("half a thought", ""),
        ("a", "b"),
    ]
    assert found[0]["finish_reason"] == "length"


@pytest.mark.parametrize("reason", ["abort", "error", None])
def test_a_sample_that_vllm_gave_up_is_no_sample(reason):
    with pytest.raises(RuntimeError, match=repr(reason)):
        rows([request("first", 0, 1)], [output([1], reason)], [""])


class Letters:
    """Reads token 0 as a, 1 as b and so on; 9 is the end."""

    def without_end(self, tokens):
        return [token for token in tokens if token != 9]

    def texts(self, prompts, drawn):
        return ["".join("abcdefgh"[token] for token in tokens) for tokens in drawn]


def test_texts_end_before_the_end_token_or_the_first_stop_string():
    outputs = [output([0, 1, 9]), output([0, 1], "length"), output([9])]
    assert texts(outputs, [0], (), Letters()) == ["ab", "ab", ""]
    stopped = [output([0, 1], text="one, two"), output([0], text="")]
    assert texts(stopped, [0], ("x", ","), Letters()) == ["one", ""]
