"""How likely a completion is, by vLLM's log-probabilities of a prompt that holds it.

Knows tokens and their log-probabilities; not texts, nor how vLLM is run.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pipelines.engines.event_loop import together
from pipelines.engines.vllm_requests import bent, by_token
from pipelines.sweeps.config import Decoding

Place: TypeAlias = tuple[list[int], list[float]]
"""Tokens, and the log-probability of each at one place of a text."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Scores completions of one model."""

    answer: Callable[[list[int], Any], Awaitable[Any]]
    """Asks vLLM to continue tokens under parameters of its own."""
    ends: Sequence[int]
    """The tokens with which a completion ends."""
    vocabulary: int
    adapter: bool
    """Whether the model has one: vLLM cannot tell log-probabilities of a prompt under it."""

    async def score(self, before: list[int], after: list[int], decoding: Decoding | None) -> float:
        """Return log p(after, then an end token | before), in nats.

        Args:
            before: tokens of the prompt.
            after: tokens of the completion.
            decoding: the distribution is that of this decoding; None for the model's own.
        """
        if any(token in self.ends for token in after):
            return -np.inf  # it would have ended there
        places = await self._places(before, after, whole=decoding is not None)
        if decoding is None:
            told = [dict(zip(tokens, logprobs, strict=True)) for tokens, logprobs in places]
            inner = sum(row[token] for row, token in zip(told[:-1], after, strict=True))
            return float(inner + np.logaddexp.reduce([told[-1][end] for end in self.ends]))
        rows = [by_token(tokens, logprobs, self.vocabulary) for tokens, logprobs in places]
        logp = bent(np.array(rows), decoding)
        inner = sum(row[token] for row, token in zip(logp[:-1], after, strict=True))
        return float(inner + np.logaddexp.reduce(logp[-1, list(self.ends)]))

    async def _places(self, before: list[int], after: list[int], *, whole: bool) -> list[Place]:
        """Return what is likely at each token of `after` and behind it.

        Args:
            before: what the model continues.
            after: tokens.
            whole: of all tokens; else of the one that is there, and of the ends behind.
        """
        told: dict[str, Any] = {"logprobs": -1}
        if not whole:
            told = {"logprob_token_ids": list(self.ends)}
        if not self.adapter:
            found = await self._peek(before + after, prompt_logprobs=-1 if whole else 0, **told)
            inside = range(len(before), len(before + after))
            prompt = [_place(found.prompt_logprobs, at) for at in inside]
            return [*prompt, _place(found.outputs[0].logprobs, 0)]
        asked = [told if whole else {"logprob_token_ids": [token]} for token in after]
        peeks = [self._peek(before + after[:at], **each) for at, each in enumerate([*asked, told])]
        return [_place(found.outputs[0].logprobs, 0) for found in await together(peeks)]

    async def _peek(self, tokens: list[int], **told: Any) -> Any:
        """Return vLLM's answer to a prompt of which one more token is drawn."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=1,
            temperature=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **told,
        )
        return await self.answer(tokens, params)


def _place(told: Any, at: int) -> Place:
    inside = slice(told.start_indices[at], told.end_indices[at])
    return told.token_ids[inside], told.logprobs[inside]
