"""The likelihood of given completions, where a server tells it: vLLM's, by echoing a prompt.

Knows tokens and their log-probabilities; nothing of samples.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.engines.event_loop import together
from pipelines.engines.openai_asking import Asker
from pipelines.engines.openai_server import RefusedError
from pipelines.errors import UserError


async def likelihoods(
    asker: Asker, prompts: Sequence[str], completions: Sequence[str]
) -> list[float]:
    """Return log p(completion, then end | prompt) of each pair, in nats; NaN where it is refused.

    Raises:
        UserError: no completion of these prompts ends, so that nobody knows with which token.
    """
    if not prompts:
        return []
    end = await _end_token(asker, prompts)
    pairs = zip(prompts, completions, strict=True)
    return await together([_likelihood(asker, prompt, text, end) for prompt, text in pairs])


async def _likelihood(asker: Asker, prompt: str, completion: str, end: int) -> float:
    try:
        before = await _tokens(asker, prompt, start=True)
        after = await _tokens(asker, completion, start=False) if completion else []
        fields = {
            "prompt": [*before, *after, end],
            "echo": True,
            "logprobs": 0,
            "max_tokens": 0,
        }
        values: list[float] = await asker.ask("/completions", fields, _logprobs)
    except RefusedError:
        return math.nan
    return sum(values[len(before) :])


async def _tokens(asker: Asker, text: str, *, start: bool) -> list[int]:
    """Return the server's tokens of a text, with what opens every text where it is one."""
    fields = {"prompt": text, "add_special_tokens": start}
    tokens: list[int] = await asker.ask("//tokenize", fields, lambda said: said["tokens"])
    return tokens


async def _end_token(asker: Asker, prompts: Sequence[str]) -> int:
    """Learn the token with which completions end, from one that does."""
    fields = {"n": 16, "temperature": 1.0, "seed": 0, "return_token_ids": True}
    for prompt in prompts:
        try:
            room: int = await asker.ask(
                "//tokenize", {"prompt": prompt}, lambda said: said["max_model_len"] - said["count"]
            )
            asked = fields | {"prompt": prompt, "max_tokens": room}
            choices: list[dict[str, Any]] = await asker.ask(
                "/completions", asked, lambda said: said["choices"]
            )
        except RefusedError:
            continue
        for choice in choices:
            if choice["finish_reason"] == "stop" and choice["stop_reason"] is None:
                return int(choice["token_ids"][-1])
    raise UserError("likelihood: no completion of these prompts ends; so nobody knows how one does")


def _logprobs(said: Mapping[str, Any]) -> list[float]:
    """Return the log-probability of each token of a prompt; the first has none, and counts 0."""
    values = said["choices"][0]["logprobs"]["token_logprobs"]
    return [0.0 if value is None else float(value) for value in values]
