"""What a sample tree needs besides a model: random numbers for each sample, and the table.

Knows seeds, leaves and requests; not models, tokens or torch.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.schemas import RECORDED, SAMPLES
from pipelines.engines.protocol import Request

FloatArray: TypeAlias = NDArray[np.float64]

# Constants of SplitMix64 (Steele, Lea, Flood 2014).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def hash_seeds(seeds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key for each seed; neighbouring seeds get unrelated keys."""
    return _mix(seeds.astype(np.uint64) + _GAMMA)


def uniforms(keys: NDArray[np.uint64], position: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each key: a function of key and token position alone."""
    step = np.array((position + 1) * int(_GAMMA) % 2**64, dtype=np.uint64)
    return (_mix(keys + step) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))


class Leaves:
    """The ends of the tree. Samples that drew the same tokens share one leaf, and its text."""

    def __init__(self, samples: int) -> None:
        self._leaf = np.full(samples, -1, dtype=np.int64)
        self._texts: list[str] = []
        self._reasons: list[str] = []
        self._errors: list[str | None] = []
        self._tokens: list[NDArray[np.int32]] = []
        self._recorded: dict[str, list[FloatArray]] = {name: [] for name in RECORDED}

    def add(
        self,
        texts: Sequence[str],
        reasons: Sequence[str],
        *,
        tokens: int,
        recorded: Mapping[str, FloatArray],
        samples: NDArray[np.int64],
        leaf: NDArray[np.int64],
    ) -> None:
        """Add [L] leaves of one depth.

        Args:
            texts: their completions.
            reasons: why each ended, a member of `FINISH_REASONS`.
            tokens: how many they drew.
            recorded: of these tokens, columns of `operators.schemas.RECORDED`, each [L].
            samples: [S] samples that ended here, by their place in the table.
            leaf: [S] which of the new leaves each of them reached.
        """
        self._leaf[samples] = leaf + len(self._texts)
        self._texts += texts
        self._reasons += reasons
        self._errors += [None] * len(texts)
        self._tokens.append(np.full(len(texts), tokens, dtype=np.int32))
        self._record(recorded, len(texts))

    def fail(self, error: str, samples: NDArray[np.int64]) -> None:
        """Add samples that could not be drawn."""
        self._leaf[samples] = len(self._texts)
        self._texts.append("")
        self._reasons.append("error")
        self._errors.append(error)
        self._tokens.append(np.zeros(1, dtype=np.int32))
        self._record({}, 1)

    def _record(self, recorded: Mapping[str, FloatArray], leaves: int) -> None:
        for name, parts in self._recorded.items():
            parts.append(recorded.get(name, np.full(leaves, np.nan)))

    def table(self, requests: Sequence[Request], prompt_tokens: Sequence[int]) -> pa.Table:
        """Return the samples, in the order of the requests and their sample ids.

        Raises:
            ValueError: a sample has reached no leaf.
        """
        lost = int(np.count_nonzero(self._leaf < 0))
        if lost:
            raise ValueError(f"{lost} of {len(self._leaf)} samples have no completion")
        request = np.repeat(np.arange(len(requests)), [len(each.sample_ids) for each in requests])
        at_request, at_leaf = pa.array(request, pa.int64()), pa.array(self._leaf)
        ids = pa.array([each.problem_id for each in requests], pa.string())
        lengths = pa.array(prompt_tokens, pa.int32())
        columns = {
            "problem_id": ids.take(at_request),
            "sample_id": _joined([each.sample_ids for each in requests]),
            "completion": pa.array(self._texts, pa.string()).take(at_leaf),
            "finish_reason": pa.array(self._reasons, pa.string()).take(at_leaf),
            "prompt_tokens": lengths.take(at_request),
            "completion_tokens": _joined(self._tokens).astype(np.int32)[self._leaf],
            **{name: _nullable(parts).take(at_leaf) for name, parts in self._recorded.items()},
            "seed": _joined([each.seeds for each in requests]),
            "error": pa.array(self._errors, pa.string()).take(at_leaf),
            "reasoning": pa.nulls(len(self._leaf), pa.string()),
        }
        return pa.table([columns[name] for name in SAMPLES.names], schema=SAMPLES)


def _joined(parts: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """Concatenate, of which numpy wants at least one part."""
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _nullable(parts: Sequence[NDArray[np.float64]]) -> pa.Array:
    values = np.concatenate([np.empty(0), *parts]).astype(np.float32)
    return pa.array(values, pa.float32(), mask=np.isnan(values))
