"""The simulated engine: no model, known pass probabilities; tests pipelines and intervals.

Each prompt has its own pass rate, fixed by the model's name and the prompt. Whether a sample passes
and how long it is are functions of its seed, so it is the same however it is batched.

It obeys stop strings and `max_tokens`. Greedy decoding (temperature 0, or a top-k of 1) passes
where the rate is at least one half; any other temperature, top-k and top-p leaves rates as they
are. A conversation is answered as its prompt would be.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.schemas import RECORDED, SAMPLES, check
from pipelines.engines.protocol import Engine, Request
from pipelines.engines.sampling import hash_seeds, uniforms
from pipelines.sweeps.config import Decoding
from pipelines.sweeps.engine_sections import SimulatedEngine

# Without a digit, so that no wrong completion is a right number either.
_WRONG = tuple(f"wrong {letter}" for letter in "abcdefghij")
_TOKENS = 8
"""Of every completion, where the sweep gives no mean."""


class SimulatedModel(Engine):
    """An engine whose pass probabilities are known."""

    def __init__(self, model: SimulatedEngine) -> None:
        self._model = model

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Draw the samples; a pass is the problem's answer, word for word.

        What reaches `max_tokens` had not said its answer yet: its completion is empty.
        """
        started = time.perf_counter()
        table = self._samples(requests, decoding) if requests else SAMPLES.empty_table()
        if self._model.samples_per_second:
            due = started + table.num_rows / self._model.samples_per_second
            time.sleep(max(0.0, due - time.perf_counter()))
        return table

    def likelihood(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        decoding: Decoding | None = None,
    ) -> NDArray[np.float64]:
        """Return the log-probability of each completion; one that is not wrong is the answer.

        As in `Engine.likelihood`, no completion is counted that a stop string ended.
        """
        pairs = zip(prompts, completions, strict=True)
        found = [self._probability(prompt, text, decoding) for prompt, text in pairs]
        return np.array([math.log(p) if p > 0 else -math.inf for p in found])

    def unique_tokens(self) -> bool:
        """A rate is a rate, however it is spelled."""
        return True

    def facts(self) -> dict[str, Any]:
        """Return that every sample has a seed of its own."""
        return {"engine": "simulated", "seeding": "sample"}

    def rate(self, prompt: str) -> float:
        """Return the probability that a sample of this prompt passes, at any length."""
        name = f"{self._model.name}\0{prompt}".encode()
        word = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
        normal = NormalDist().inv_cdf((word + 0.5) / 2**64)
        spread = self._model.spread
        return min(self._model.rate * math.exp(spread * normal - spread**2 / 2), 0.999)

    def _samples(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Return the table of [S] samples of [P] requests."""
        owner = np.repeat(np.arange(len(requests)), [len(each.seeds) for each in requests])
        seeds = np.concatenate([each.seeds for each in requests])
        words, rate = hash_seeds(seeds), np.array([self.rate(each.prompt) for each in requests])
        passed = self._passes(words, rate[owner], decoding)
        tokens = self._tokens(words, decoding)
        truncated = tokens > decoding.max_tokens
        by_request = pa.array(owner)
        columns = {
            "problem_id": pa.array([each.problem_id for each in requests]).take(by_request),
            "sample_id": np.concatenate([each.sample_ids for each in requests]),
            "completion": _completions(requests, decoding, words, owner, passed, truncated),
            "finish_reason": pa.array(["stop", "length"]).take(pa.array(truncated.astype(np.int8))),
            "prompt_tokens": pa.array([len(each.prompt) for each in requests]).take(by_request),
            "completion_tokens": np.minimum(tokens, decoding.max_tokens),
            **{name: pa.nulls(len(owner), pa.float32()) for name in RECORDED},
            "seed": seeds,
            "error": pa.nulls(len(owner), pa.string()),
            "reasoning": pa.nulls(len(owner), pa.string()),
        }
        if self._model.logprobs:
            logp = np.where(passed, np.log(rate)[owner], np.log((1 - rate) / len(_WRONG))[owner])
            columns["sum_logprob"] = pa.array(logp, pa.float32(), mask=truncated)
        return check(pa.table(columns), SAMPLES, "simulated samples")

    @staticmethod
    def _passes(
        words: NDArray[np.uint64], rate: NDArray[np.float64], decoding: Decoding
    ) -> NDArray[np.bool_]:
        if _is_greedy(decoding):
            return rate >= 0.5
        return (words >> np.uint64(11)) * 2.0**-53 < rate

    def _tokens(self, words: NDArray[np.uint64], decoding: Decoding) -> NDArray[np.int64]:
        """Return each sample's length: geometric around the sweep's mean; greedy, that mean."""
        mean = self._model.mean_tokens
        if mean is None or _is_greedy(decoding):
            return np.full(len(words), round(mean or _TOKENS))
        beyond = np.log1p(-uniforms(words, 0)) / math.log1p(-1 / mean)
        return 1 + beyond.astype(np.int64)

    def _finishes(self, decoding: Decoding) -> float:
        """Return the probability that a completion is no longer than `max_tokens`."""
        mean = self._model.mean_tokens
        if mean is None or _is_greedy(decoding):
            return float(round(mean or _TOKENS) <= decoding.max_tokens)
        return -math.expm1(decoding.max_tokens * math.log1p(-1 / mean))

    def _probability(self, prompt: str, completion: str, decoding: Decoding | None) -> float:
        rate, wrong = self.rate(prompt), completion in _WRONG
        if decoding is None:
            return (1 - rate) / len(_WRONG) if wrong else rate
        if any(stop in completion for stop in decoding.stop):
            return 0.0
        if _is_greedy(decoding):
            likeliest = completion == _WRONG[0] if rate < 0.5 else not wrong
            return likeliest * self._finishes(decoding)
        return self._probability(prompt, completion, None) * self._finishes(decoding)


def _completions(
    requests: Sequence[Request],
    decoding: Decoding,
    words: NDArray[np.uint64],
    owner: NDArray[np.int64],
    passed: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
) -> pa.Array:
    """Return what each sample says: [S], of `owner`'s answer, a wrong one, or nothing yet."""
    answers = [each.answer or "" for each in requests]
    said = [_before(text, decoding.stop) for text in (*answers, *_WRONG)]
    wrong = 0 if _is_greedy(decoding) else (words % np.uint64(len(_WRONG))).astype(np.int64)
    place = np.where(passed, owner, len(answers) + wrong)
    # An empty answer must not be given by saying nothing yet.
    silence = len(said) + np.array([answer == "" for answer in answers])
    place[truncated] = silence[owner[truncated]]
    return pa.array([*said, "", "wrong"]).take(pa.array(place))


def _is_greedy(decoding: Decoding) -> bool:
    return decoding.temperature == 0 or decoding.top_k == 1


def _before(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first of some strings."""
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]
