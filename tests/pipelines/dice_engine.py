"""An engine as a user would write one: letters thrown by dice. Its distribution is known exactly.

`factory: tests.pipelines.dice_engine:Dice`.
"""

import math

import numpy as np
import pyarrow as pa

from operators.schemas import RECORDED, SAMPLES, check
from pipelines.engines.protocol import Engine
from pipelines.errors import UserError

LETTERS = "aé漢🙂"
ERRORS = "!"
"""A prompt that holds it is refused."""


class Dice(Engine):
    """Draws letters until the die shows the end; how loaded the die is hangs on the prompt."""

    concurrent = True

    def __init__(self, section=None):
        self.letters = "".join(section.options.get("letters", LETTERS)) if section else LETTERS

    def generate(self, requests, decoding):
        rows = [
            self._sample(request, int(sample_id), int(seed), decoding)
            for request in requests
            for sample_id, seed in zip(request.sample_ids, request.seeds, strict=True)
        ]
        table = pa.Table.from_pylist(rows, schema=SAMPLES)
        return check(table, SAMPLES, "dice")

    def likelihood(self, prompts, completions, decoding=None):
        found = []
        for prompt, completion in zip(prompts, completions, strict=True):
            logp = self._log_probabilities(prompt, decoding)
            places = [self.letters.find(letter) for letter in completion]
            lost = decoding and (
                len(places) + 1 > decoding.max_tokens or any(map(completion.count, decoding.stop))
            )
            known = [-math.inf if at < 0 else logp[at] for at in places]
            found.append(-math.inf if lost else sum(known) + logp[-1])
        return np.array(found, dtype=float)

    def unique_tokens(self):
        return True

    def facts(self):
        return {"engine": "dice 1.0", "seeding": "sample"}

    def _log_probabilities(self, prompt, decoding=None):
        """Of each letter, then of the end."""
        weights = np.ones(len(self.letters) + 1)
        weights[len(prompt) % len(self.letters)] = 2.0
        weights[-1] = 1.5
        if decoding is None:
            return np.log(weights / weights.sum())
        if decoding.temperature == 0:
            kept = np.arange(len(weights)) == weights.argmax()
        else:
            weights = weights ** (1 / decoding.temperature)
            likeliest = np.argsort(-weights, kind="stable")[: decoding.top_k]
            kept = np.isin(np.arange(len(weights)), likeliest)
        with np.errstate(divide="ignore"):
            return np.log(np.where(kept, weights, 0) / weights[kept].sum())

    def _sample(self, request, sample_id, seed, decoding):
        row = {
            "problem_id": request.problem_id,
            "sample_id": sample_id,
            "completion": "",
            "finish_reason": "error",
            "prompt_tokens": len(request.prompt),
            "completion_tokens": 0,
            **dict.fromkeys(RECORDED),
            "seed": seed,
            "error": "it holds an exclamation mark",
            "reasoning": None,
        }
        if request.messages is not None:
            raise UserError("dice: no chat template")
        if ERRORS in request.prompt:
            return row
        bent = np.exp(self._log_probabilities(request.prompt, decoding)).cumsum()
        plain = self._log_probabilities(request.prompt)
        throws = np.random.default_rng(seed)
        text, total, reason, tokens = "", 0.0, "length", 0
        while tokens < decoding.max_tokens and reason == "length":
            face = int(np.searchsorted(bent, throws.random() * bent[-1], side="right"))
            total += plain[face]
            tokens += 1
            text += self.letters[face : face + 1]
            stops = [text.find(stop) for stop in decoding.stop if stop in text]
            if face == len(self.letters) or stops:
                text, reason = text[: min(stops, default=len(text))], "stop"
        said = {"completion": text, "completion_tokens": tokens, "sum_logprob": total}
        return row | said | {"finish_reason": reason, "error": None}
