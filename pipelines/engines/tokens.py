"""What a tokenizer makes of requests, and texts of tokens, the same way whoever runs the model.

Knows tokenizers as Hugging Face writes them; not models, sampling or any engine's library.
"""

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.engines.protocol import Request
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding

Pair: TypeAlias = tuple[list[int], list[int]]
"""Tokens of a prompt, and of a completion."""
ANCHOR = 4
"""Prompt tokens decoded before a completion: decoders treat the start of a text differently."""


class TokenReader:
    """A model's tokenizer, with what the model says of its vocabulary and context."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        name: str,
        context: int | None,
        vocabulary: int,
        ends: Collection[int],
        skip_special: bool = False,
    ) -> None:
        """Take a tokenizer.

        Args:
            tokenizer: with encode, batch_decode, get_vocab and apply_chat_template.
            name: of the model, for errors.
            context: most tokens that the model reads, prompt and completion together; None: any.
            vocabulary: how many tokens the model knows.
            ends: the tokens with which a completion ends.
            skip_special: whether special tokens are left out of completions.
        """
        self._tokenizer = tokenizer
        self._name = name
        self._context = context
        self._vocabulary = vocabulary
        self._ends = frozenset(ends)
        self._skip_special = skip_special
        start: list[int] = list(tokenizer.encode(""))
        if start and start[-1] == tokenizer.eos_token_id and start != [tokenizer.bos_token_id]:
            start = start[:-1]  # some tokenizers close every text
        self._start = start
        self.unique = self._has_unique_tokens()

    def request(self, request: Request, max_tokens: int) -> tuple[list[int], str | None]:
        """Return the tokens that a request has the model continue, and why it cannot.

        Raises:
            UserError: it has messages, and the tokenizer no chat template.
        """
        if request.messages is None:
            return self._prompt(request.prompt, max_tokens, self._start)
        if getattr(self._tokenizer, "chat_template", None) is None:
            raise UserError(
                f"{self._name}: has no chat template, so it takes no messages; use "
                "style: few_shot or zero_shot in the task, or the model's instruct version"
            )
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in request.messages],
                tokenize=False,
                add_generation_prompt=True,
            )
        except Exception as error:  # templates raise errors of their own, such as for a role
            return [], f"the chat template refuses the messages: {brief(error)}"
        # A template writes the start token itself.
        return self._prompt(str(text), max_tokens, ())

    def pairs(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        decoding: Decoding | None,
        *,
        behind: int = 0,
    ) -> tuple[NDArray[np.float64], dict[int, Pair]]:
        """Return the likelihoods that need no model, and the tokens that the model is to score.

        Args:
            prompts: texts.
            completions: one for each prompt.
            decoding: what the completions are drawn under; None for the model's own distribution.
            behind: tokens that the engine has the model read behind a completion.

        Returns:
            log-probabilities, one for each pair: -inf where the decoding cannot give the
            completion, for a stop string in it or for want of `max_tokens`; NaN where the model
            cannot read the pair, and, for now, where it is to score it.
            place -> tokens, for the pairs that it is to score.
        """
        known = np.full(len(prompts), np.nan)
        left = {}
        for at, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            pair = self._pair(prompt, completion, behind)
            if pair is None:
                continue
            if decoding is not None and (
                len(pair[1]) + 1 > decoding.max_tokens
                or any(stop in completion for stop in decoding.stop)
            ):
                known[at] = -np.inf
            else:
                left[at] = pair
        return known, left

    def texts(self, prompts: Sequence[list[int]], drawn: Sequence[list[int]]) -> list[str]:
        """Return the text that each list of tokens adds to its prompt."""
        if self.unique:
            return self.decode(drawn)
        anchors = [prompt[-ANCHOR:] for prompt in prompts]
        distinct = dict.fromkeys(map(tuple, anchors), "")
        distinct = dict(zip(distinct, self.decode([list(each) for each in distinct]), strict=True))
        whole = self.decode([one + two for one, two in zip(anchors, drawn, strict=True)])
        texts = []
        for anchor, text, tokens in zip(anchors, whole, drawn, strict=True):
            before = distinct[tuple(anchor)]
            if text.startswith(before):
                texts.append(text[len(before) :])
            else:
                texts += self.decode([tokens])
        return texts

    def without_end(self, tokens: Sequence[int]) -> list[int]:
        """Return a completion's tokens without the one with which it ended."""
        return list(tokens[:-1] if tokens and tokens[-1] in self._ends else tokens)

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of tokens, as if nothing came before it."""
        if not tokens:
            return []  # tokenizers make one text of nothing
        return list(
            self._tokenizer.batch_decode(list(tokens), skip_special_tokens=self._skip_special)
        )

    def _prompt(
        self, text: str, max_tokens: int, start: Sequence[int]
    ) -> tuple[list[int], str | None]:
        try:
            tokens = [*start, *self._encode(text)]
        except Exception as error:  # tokenizers raise bare Exception; the other prompts go on
            return [], f"the prompt has no tokens: {brief(error)}"
        if not tokens:
            return [], "the prompt is empty after tokenisation"
        if not self._fits(len(tokens) + max_tokens):
            return tokens, (
                f"the prompt has {len(tokens)} tokens; with max_tokens {max_tokens} that is more "
                f"than the model's context of {self._context}"
            )
        return tokens, None

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _pair(self, prompt: str, completion: str, behind: int) -> Pair | None:
        """Return the tokens of prompt and completion, or None if the model cannot read them."""
        before, error = self._prompt(prompt, 0, self._start)
        whole, other = self._prompt(prompt + completion, 0, self._start)
        if error or other:
            return None
        joined = whole[: len(before)] == before
        after = whole[len(before) :] if joined else self._encode(completion)
        return (before, after) if self._fits(len(before) + len(after) + behind) else None

    def _fits(self, tokens: int) -> bool:
        return self._context is None or tokens <= self._context

    def _has_unique_tokens(self) -> bool:
        """Whether each token is one character, and no special token is spelled by others."""
        known = self._tokenizer.get_vocab()
        if sorted(known.values()) != list(range(self._vocabulary)):
            return False  # some token stands for no text, or a text for no token
        special = set(self._tokenizer.all_special_ids) | self._ends
        plain = sorted(set(range(self._vocabulary)) - special)
        characters = self.decode([[token] for token in plain])
        if any(len(character) != 1 for character in characters):
            return False
        spelled = [
            text
            for text in self.decode([[token] for token in special])
            if set(text) <= set(characters)
        ]
        whole = "".join(characters)
        try:
            tokens = self._encode(whole)
        except Exception:  # tokenizers raise bare Exception
            return False
        return not spelled and tokens == plain and self.decode([plain]) == [whole]


def brief(error: BaseException) -> str:
    """Return an error's first line, at most 160 characters of it."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
