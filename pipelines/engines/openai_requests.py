"""What is asked of a server that speaks OpenAI's API, and what its answers say: JSON, no network.

Knows the fields of completions and of chat completions; not who sends them, nor how often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.engines.protocol import Request
from pipelines.sweeps.config import Decoding

_ENDED = {
    "stop": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
}
"""What servers call the ends that are ours."""
_PLAIN_DEFAULTS = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Else vLLM and SGLang take these from the model's generation_config.json, without a word."""


class BreachError(Exception):
    """An answer that no server of this API may give."""

    def __init__(self, what: str, *, harmless: bool = False) -> None:
        super().__init__(what)
        self.harmless = harmless
        """Whether it concerns this request alone."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request to the server."""

    request: int
    """Which of the call's requests it serves."""
    start: int
    """The first of its samples, by its place in the request."""
    n: int
    """How many samples it wants."""


class Choice(NamedTuple):
    """One sample, as a server gave it."""

    text: str
    finish_reason: str
    tokens: int
    sum_logprob: float | None
    min_logprob: float | None
    error: str | None
    reasoning: str | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said to one request."""

    choices: Mapping[int, Choice]
    """By their place in the request; some may be missing."""
    prompt_tokens: int
    completion_tokens: int
    details: Mapping[str, int]
    """Of these, cached_tokens and reasoning_tokens, where the server tells."""
    apportioned: bool
    """Whether the tokens of each choice are a share of their sum rather than a count."""


def plan(requests: Sequence[Request], most: int, *, paired: bool) -> list[Ask]:
    """Cut the samples of each request into asks of at most `most`.

    Args:
        requests: what is wanted.
        most: samples in one ask.
        paired: three samples or more come of two asks at least, so that `repetition` can tell a
            server that clones them from a model that is sure of itself.
    """
    asks = []
    for at, request in enumerate(requests):
        samples = len(request.sample_ids)
        step = min(most, samples - 1) if paired and 2 < samples <= most else most
        asks += [
            Ask(request=at, start=start, n=min(step, samples - start))
            for start in range(0, samples, step)
        ]
    return asks


def body(
    request: Request,
    decoding: Decoding,
    *,
    logprobs: bool,
    defaults: bool,
    hosted: bool,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is sent for a request, but for model, n and seed.

    Args:
        request: what the model continues.
        decoding: how.
        logprobs: ask how likely the tokens were.
        defaults: switch off what the server would take from the model's own files.
        hosted: the server is OpenAI's own, which has another name for the limit of a chat.
        extra: fields of the user's, which go before all others.
    """
    limit = "max_completion_tokens" if hosted and request.messages is not None else "max_tokens"
    fields: dict[str, Any] = {
        limit: decoding.max_tokens,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
    }
    if defaults:
        fields |= _PLAIN_DEFAULTS
    if decoding.top_k is not None:
        fields["top_k"] = decoding.top_k
    if decoding.stop:
        fields["stop"] = list(decoding.stop)
    if request.messages is None:
        fields["prompt"] = request.prompt
        if logprobs:
            fields["logprobs"] = 0  # of the tokens that were drawn, and no others
    else:
        fields["messages"] = [dict(message) for message in request.messages]
        if logprobs:
            fields["logprobs"] = True
    return fields | dict(extra)


def read(answer: Any, n: int, stop: Sequence[str], *, raw_logprobs: bool) -> Answer:
    """Return what an answer to a request for n samples says.

    Args:
        answer: JSON, as it came.
        n: how many samples were asked for; fewer may be there.
        stop: strings before the first of which a completion ends, whatever the server thinks.
        raw_logprobs: whether log-probabilities are those of the model at temperature 1; others
            are not recorded.

    Raises:
        BreachError: there are more choices than were asked for, or two of one index, or the
            answer has no usage, or no choices at all.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise BreachError("an answer without choices")
    found = answer["choices"]
    if not found:
        raise BreachError("an answer with an empty list of choices", harmless=True)
    if len(found) > n:
        raise BreachError(f"{len(found)} choices where n was {n}")
    places = [choice.get("index", 0) if isinstance(choice, dict) else -1 for choice in found]
    if len(set(places)) < len(places) or not set(places) <= set(range(n)):
        raise BreachError(f"choices with the indices {places} where n was {n}")
    usage = answer.get("usage")
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        raise BreachError("an answer without usage, of which tokens and costs are counted")
    total = int(usage.get("completion_tokens") or 0)
    logprobs = [_logprobs(choice) for choice in found]
    counted = all(each is not None for each in logprobs)
    weights = [
        len(each) if counted and each is not None else len(_text(choice)[0])
        for each, choice in zip(logprobs, found, strict=True)
    ]
    tokens = apportioned(total, weights)
    return Answer(
        choices={
            place: _choice(choice, count, each if raw_logprobs else None, stop)
            for place, choice, count, each in zip(places, found, tokens, logprobs, strict=True)
        },
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=total,
        details=_details(usage),
        apportioned=len(found) > 1 and not (counted and tokens == weights),
    )


def apportioned(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total in proportion to the weights, in whole numbers that add up to it exactly.

    The largest remainders are rounded up; equal ones in their order. Without any weight, evenly.
    """
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    largest = sorted(range(len(weights)), key=lambda at: -remainders[at])
    for at in largest[: total - sum(shares)]:
        shares[at] += 1
    return shares


def failed(reason: str) -> Choice:
    """Return a sample that could not be drawn."""
    return Choice("", "error", 0, None, None, reason, None)


def _choice(
    choice: Mapping[str, Any], tokens: int, logprobs: Sequence[float] | None, stop: Sequence[str]
) -> Choice:
    text, reasoning = _text(choice)
    reason = choice.get("finish_reason")
    refusal = (choice.get("message") or {}).get("refusal")
    ended = _ENDED.get(str(reason))
    error = None
    if refusal:
        error = f"the model refused: {refusal}"
    elif ended is None:
        error = f"the server ended it with finish_reason {reason!r}"
    if error is not None or ended is None:
        return Choice("", "error", tokens, None, None, error, reasoning)
    cut = min((at for end in stop if (at := text.find(end)) >= 0), default=len(text))
    if cut < len(text):
        text, ended = text[:cut], "stop"
    total, least = (sum(logprobs), min(logprobs)) if logprobs else (None, None)
    return Choice(text, ended, tokens, total, least, None, reasoning)


def _text(choice: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return a choice's completion and, where it is kept apart, its thinking."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return str(choice.get("text") or ""), None
    thinking = message.get("reasoning_content") or message.get("reasoning")
    return str(message.get("content") or ""), str(thinking) if thinking else None


def _logprobs(choice: Mapping[str, Any]) -> list[float] | None:
    """Return the log-probability of each token, in nats; None where the server does not say."""
    recorded = choice.get("logprobs")
    if not isinstance(recorded, dict):
        return None
    values = recorded.get("token_logprobs")
    if isinstance(recorded.get("content"), list):
        values = [token.get("logprob") for token in recorded["content"]]
    if not isinstance(values, list) or any(value is None for value in values):
        return None
    return [float(value) for value in values]


def _details(usage: Mapping[str, Any]) -> dict[str, int]:
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    told = {
        "cached_tokens": prompt.get("cached_tokens"),
        "reasoning_tokens": completion.get("reasoning_tokens"),
    }
    return {name: int(value) for name, value in told.items() if value is not None}
