"""The simulated engine: no model, known pass probabilities; tests pipelines and intervals.

Each prompt has its own pass rate, fixed by the model's name and the prompt. A sample passes when
the number that its seed gives lies below that rate, so it is the same however it is batched.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.schemas import RECORDED, SAMPLES
from pipelines.config import Decoding
from pipelines.engine_sections import SimulatedEngine
from pipelines.engines.protocol import Engine, Request

# Without a digit, so that no wrong completion is a right number either.
_WRONG = np.array([f"wrong {letter}" for letter in "abcdefghij"], dtype=object)


class SimulatedModel(Engine):
    """An engine whose pass probabilities are known."""

    def __init__(self, model: SimulatedEngine) -> None:
        self._model = model

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Draw the samples; a pass is the problem's answer, word for word."""
        started = time.perf_counter()
        parts = [self._samples(request) for request in requests]
        table = pa.concat_tables(parts) if parts else SAMPLES.empty_table()
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
        """Return the log of each prompt's pass rate; completions are taken to be the answers."""
        return np.log([self.rate(prompt) for prompt in prompts])

    def unique_tokens(self) -> bool:
        """A rate is a rate, however it is spelled."""
        return True

    def rate(self, prompt: str) -> float:
        """Return the probability that a sample of this prompt passes."""
        name = f"{self._model.name}\0{prompt}".encode()
        word = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
        normal = NormalDist().inv_cdf((word + 0.5) / 2**64)
        spread = self._model.spread
        return min(self._model.rate * math.exp(spread * normal - spread**2 / 2), 0.999)

    def _samples(self, request: Request) -> pa.Table:
        uniform = _mix(request.seeds.astype(np.uint64))
        passed = (uniform >> np.uint64(11)) * 2.0**-53 < self.rate(request.prompt)
        wrong = _WRONG[(uniform % np.uint64(10)).astype(np.int64)]
        count = len(uniform)
        columns = {
            "problem_id": [request.problem_id] * count,
            "sample_id": request.sample_ids,
            "completion": np.where(passed, request.answer or "", wrong),
            "finish_reason": ["stop"] * count,
            "prompt_tokens": np.full(count, len(request.prompt), dtype=np.int32),
            "completion_tokens": np.full(count, 8, dtype=np.int32),
            **{name: pa.nulls(count, pa.float32()) for name in RECORDED},
            "seed": request.seeds,
            "error": pa.nulls(count, pa.string()),
            "reasoning": pa.nulls(count, pa.string()),
        }
        return pa.table(columns, schema=SAMPLES)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return SplitMix64's output function of each word (Steele, Lea and Flood, 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
