"""What an engine is: two verbs, and the tables and arrays that pass through them.

Knows requests and decoding; not stores, units, scoring or Ray.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.sweeps.config import Decoding


@dataclass(frozen=True, kw_only=True)
class Request:
    """Samples wanted of one problem."""

    task: str
    problem_id: str
    prompt: str
    """What the model continues, where there are no messages."""
    sample_ids: NDArray[np.int64] = field(repr=False)
    """[S] ids, ascending."""
    seeds: NDArray[np.int64] = field(repr=False)
    """[S] one 63-bit seed for each sample."""
    stream: int
    """A number below 2**62, unlike any other problem's. An engine that can only number samples from
    a base gives sample id i the seed `stream` + i, so that no two requests share a sample."""
    messages: tuple[Mapping[str, str], ...] | None = None
    """A conversation of {role, content}, which the model continues in its own chat template."""
    answer: str | None = None
    """A completion that passes. Only the simulated engine reads it: it has to know one."""


class Engine(Protocol):
    """A model behind two verbs. Built inside the process that runs it.

    Inherit from it for the rest, which most engines have no use for.
    """

    concurrent: bool = False
    """Whether `generate` may be called from several threads at once, so that one unit's last
    samples and another's first ones keep the model busy together."""

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Draw every sample of every request.

        Returns:
            A table of schema `operators.schemas.SAMPLES`, in the order of the requests and their
            sample ids. `completion_tokens` counts the end token; what is recorded of how sure the
            model was (`RECORDED`) is that of the model before temperature, top-k and top-p.
            A prompt that the model cannot take gives rows with finish_reason "error" and the
            reason in `error`.

        Raises:
            UserError: a request has messages, and the model no chat template.
        """
        ...

    def likelihood(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        decoding: Decoding | None = None,
    ) -> NDArray[np.float64]:
        """Return log p(completion, then end | prompt) for each pair, in nats, by teacher forcing.

        Args:
            prompts: what the model continues.
            completions: one for each prompt.
            decoding: the distribution is that of this decoding (its temperature, top-k and
                top-p); None for the model itself.
        """
        ...

    def unique_tokens(self) -> bool:
        """Whether every text has exactly one spelling in tokens, as with a character tokenizer.

        Only then is the likelihood of a text the probability that the engine writes it.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """Return what to record with the unit that was just drawn, as JSON values.

        `engine`: the library and its version. `seeding`: "sample" if the column `seed` draws a
        sample again; "unit" if seeds are per unit, or "none" if the engine takes none; the column
        is null then. `usage`: what a server billed since it was last asked.
        """
        return {}

    def close(self) -> None:
        """Free the model, with every process and connection that it has."""
        return
