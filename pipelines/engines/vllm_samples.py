"""The samples of a unit as a table, made of what vLLM hands back.

Knows vLLM's outputs by what they hold (tokens, text, log-probabilities, why they ended); imports
nothing of it.

Axes: S samples of the unit, T tokens of a sample.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from operators.schemas import RECORDED, SAMPLES
from operators.selection.deep_confidence import trace_confidence
from pipelines.engines.protocol import Request
from pipelines.engines.tokens import TokenReader
from pipelines.engines.vllm_requests import Ask, cut, recorded

Split = Callable[[str], tuple[str | None, str]]
"""What splits a text into thinking, None if there is none, and answer."""
Read = tuple[list[int], str | None]
"""A prompt's tokens, and why the model cannot continue them."""

_REASONS = {"stop": "stop", "length": "length", "repetition": "length"}
_CONFIDENCES = {
    "mean_confidence": "mean",
    "tail_confidence": "tail",
    "bottom_confidence": "bottom_windows",
    "lowest_confidence": "lowest_window",
}


class Drawn:
    """The columns of a unit's table in the making; a row is an error until it is drawn."""

    def __init__(self, requests: Sequence[Request], read: Sequence[Read]) -> None:
        """Make a row for every sample of the requests, whose prompts were read."""
        self._requests = requests
        self._lengths = np.array([len(tokens) for tokens, _ in read], dtype=np.int32)
        self._sizes = [len(request.sample_ids) for request in requests]
        samples = sum(self._sizes)
        self._completion = [""] * samples
        self._reason = ["error"] * samples
        self._reasoning: list[str | None] = [None] * samples
        self._tokens = np.zeros(samples, dtype=np.int32)
        self._numbers = {name: np.full(samples, np.nan) for name in RECORDED}
        self._confidences: dict[int, NDArray[np.float64]] = {}  # [T] of rows
        self._error: list[str | None] = []
        for size, (_, error) in zip(self._sizes, read, strict=True):
            self._error += [error] * size

    def fail(self, ask: Ask, reason: str) -> None:
        """Say why the samples of a request were not drawn."""
        for row in range(ask.place, ask.place + ask.count):
            self._error[row] = reason

    def write(
        self, ask: Ask, outputs: Sequence[Any], texts: Sequence[str], split: Split | None
    ) -> None:
        """Write the samples of a request.

        Raises:
            RuntimeError: vLLM ended one for a reason of its own, such as a shutdown.
        """
        rows = range(ask.place, ask.place + ask.count)
        for row, output, text in zip(rows, outputs, texts, strict=True):
            reason = _REASONS.get(output.finish_reason)
            if reason is None:
                raise RuntimeError(f"vLLM ended a sample with {output.finish_reason!r}")
            if output.logprobs is not None and not self._note(row, output):
                continue
            self._reason[row] = reason
            self._tokens[row] = len(output.token_ids)
            thinking, answer = (None, text) if split is None else split(text)
            self._reasoning[row], self._completion[row] = thinking, answer

    def _note(self, row: int, output: Any) -> bool:
        """Note how sure the model was of a sample's tokens; False if its scores are no numbers."""
        told = np.array(output.logprobs.logprobs).reshape(len(output.token_ids), -1)
        drawn = told[:, 0]  # the token drawn comes first, then the likeliest
        if np.isnan(drawn).any():
            self._error[row] = "the model's scores are not numbers (NaN); try another dtype"
            return False
        for name, value in recorded(drawn).items():
            self._numbers[name][row] = value
        if told.shape[1] > 1:
            self._confidences[row] = -told[:, 1:].mean(1)
        return True

    def table(self, *, seeded: bool) -> pa.Table:
        """Return the table; `seeded` if sample id i was drawn with the seed `stream` + i."""
        if self._confidences:
            rows = list(self._confidences)
            traces = trace_confidence(pl.Series([self._confidences[row].tolist() for row in rows]))
            for name, trace in _CONFIDENCES.items():
                self._numbers[name][rows] = traces[trace].to_numpy()
        names = pa.array([request.problem_id for request in self._requests], pa.string())
        at = np.repeat(np.arange(len(self._requests)), self._sizes)
        ids = [np.asarray(request.sample_ids, dtype=np.int64) for request in self._requests]
        sample_ids = np.concatenate([np.empty(0, dtype=np.int64), *ids])
        streams = np.array([request.stream for request in self._requests], dtype=np.int64)
        columns = {
            "problem_id": names.take(pa.array(at, pa.int64())),
            "sample_id": sample_ids,
            "completion": self._completion,
            "finish_reason": self._reason,
            "prompt_tokens": np.repeat(self._lengths, self._sizes),
            "completion_tokens": self._tokens,
            **{
                name: pa.array(values.astype(np.float32), mask=np.isnan(values))
                for name, values in self._numbers.items()
            },
            "seed": streams[at] + sample_ids if seeded else pa.nulls(len(at), pa.int64()),
            "error": pa.array(self._error, pa.string()),
            "reasoning": pa.array(self._reasoning, pa.string()),
        }
        return pa.table([columns[name] for name in SAMPLES.names], schema=SAMPLES)


def texts(
    outputs: Sequence[Any], prompt: list[int], stops: Sequence[str], reader: TokenReader
) -> list[str]:
    """Return what outputs say, each up to the first stop string; equal tokens are decoded once.

    vLLM has made the texts itself where there are stop strings.
    """
    if stops:
        return [cut(output.text, stops) for output in outputs]
    tokens = [
        tuple(
            reader.without_end(each.token_ids) if each.finish_reason == "stop" else each.token_ids
        )
        for each in outputs
    ]
    distinct = {key: list(key) for key in tokens}
    said = reader.texts([prompt] * len(distinct), list(distinct.values()))
    known = dict(zip(distinct, said, strict=True))
    return [known[key] for key in tokens]
