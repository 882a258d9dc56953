"""What is asked of vLLM for a unit, and what its answers say; pure.

Seeds: vLLM gives the n samples of a request the seeds s, s + 1, ..., so two requests with
neighbouring seeds return the same samples. Here every problem numbers its seeds from a base of its
own (`Request.stream`), and sample id i always has seed base + i, however its samples are cut into
requests. Numbering has one more use: torch's generators on a CPU, and vLLM's own hash on a GPU,
keep 32 bits of a seed, among which random ones would collide by the hundred in a million samples;
numbers that follow one another do not. Knows requests and numbers; not vLLM.

Axes: T tokens, V vocabulary.
"""

import difflib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.engines.protocol import Request
from pipelines.sweeps.config import Decoding

SAMPLES_PER_REQUEST = 1_024
"""Most samples in one request: vLLM hands a request over when the last of them is done."""
COOLEST, HOTTEST = 0.01, 2.0
"""Temperatures that vLLM draws at as they are: it raises lower ones, and refuses higher ones."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request to vLLM: samples of one problem whose ids follow one another."""

    request: int
    """Which of the unit's requests it belongs to."""
    place: int
    """Row of its first sample in the table."""
    count: int
    seed: int
    """Of its first sample; the others count on from it."""


def plan(
    requests: Sequence[Request], taken: Collection[int], most: int = SAMPLES_PER_REQUEST
) -> list[Ask]:
    """Return what to ask of vLLM for the samples of a unit.

    Args:
        requests: of the unit.
        taken: which of them the model can take, by their place.
        most: samples in one ask.
    """
    asks = []
    place = 0
    for at, request in enumerate(requests):
        ids = np.asarray(request.sample_ids, dtype=np.int64)
        if at in taken and len(ids):
            breaks = np.flatnonzero(np.diff(ids) != 1) + 1
            for start, stop in zip([0, *breaks], [*breaks, len(ids)], strict=True):
                for first in range(start, stop, most):
                    seed = request.stream + int(ids[first])
                    count = min(most, stop - first)
                    asks.append(Ask(request=at, place=place + first, count=count, seed=seed))
        place += len(ids)
    return asks


def unit_seed(requests: Sequence[Request]) -> int:
    """Return a seed below 2**63 for an engine that takes one for all samples of a unit.

    It changes with any problem's base and with any sample id, so no two units share it.
    """
    state = hashlib.blake2b(digest_size=8)
    for request in requests:
        state.update(request.stream.to_bytes(8, "little"))
        state.update(np.asarray(request.sample_ids, dtype="<i8").tobytes())
    return int.from_bytes(state.digest(), "little") >> 1


def first_unknown(given: Mapping[str, object], known: Collection[str]) -> str | None:
    """Say which name is unknown, with those that are spelled like it; None if all are known."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            return f"{name}: unknown to vLLM" + (
                f"; did you mean {' or '.join(near)}?" if near else ""
            )
    return None


def undrawable(decoding: Decoding) -> str | None:
    """Say what vLLM would silently change in a decoding, or refuse; None if nothing."""
    temperature = decoding.temperature
    if temperature and not COOLEST <= temperature <= HOTTEST:
        return (
            f"decoding.temperature: is {temperature:g}; vLLM draws at 0 (greedy) or from "
            f"{COOLEST:g} to {HOTTEST:g}"
        )
    return None


def recorded(logprobs: NDArray[np.float64]) -> dict[str, float]:
    """Return columns of `operators.schemas.RECORDED` for one sample.

    Args:
        logprobs: [T] of the tokens drawn, in nats.
    """
    return {"sum_logprob": float(logprobs.sum()), "min_logprob": float(logprobs.min())}


def by_token(
    tokens: Sequence[int], logprobs: Sequence[float], vocabulary: int
) -> NDArray[np.float64]:
    """Return [V] log-probabilities in the order of the tokens; NaN where none was given."""
    row = np.full(vocabulary, np.nan)
    row[np.asarray(tokens, dtype=np.int64)] = logprobs
    return row


def bent(logp: NDArray[np.float64], decoding: Decoding) -> NDArray[np.float64]:
    """Return the log-probabilities that a decoding draws from: [T, V], as `logp`.

    As vLLM does it: temperature, then top-k (ties stay), then top-p of what is left.
    """
    if decoding.temperature == 0:
        kept = np.full_like(logp, -np.inf)
        np.put_along_axis(kept, logp.argmax(-1, keepdims=True), 0.0, -1)
        return kept
    logp = _normalised(logp / decoding.temperature)
    if decoding.top_k is not None and decoding.top_k < logp.shape[-1]:
        floor = np.partition(logp, -decoding.top_k, axis=-1)[..., -decoding.top_k, None]
        logp = _normalised(np.where(logp < floor, -np.inf, logp))
    if decoding.top_p < 1:
        order = np.argsort(-logp, axis=-1, kind="stable")
        mass = np.exp(np.take_along_axis(logp, order, -1))
        beyond = np.empty(logp.shape, dtype=bool)
        np.put_along_axis(beyond, order, mass.cumsum(-1) - mass >= decoding.top_p, -1)
        logp = _normalised(np.where(beyond, -np.inf, logp))
    return logp


def _normalised(logp: NDArray[np.float64]) -> NDArray[np.float64]:
    most = logp.max(-1, keepdims=True)
    normalised: NDArray[np.float64]
    normalised = logp - most - np.log(np.exp(logp - most).sum(-1, keepdims=True))
    return normalised


def cut(text: str, stops: Sequence[str]) -> str:
    """Return a completion up to the first of some strings: vLLM may end it at a later one."""
    found = [text.find(stop) for stop in stops if stop in text]
    return text[: min(found)] if found else text
