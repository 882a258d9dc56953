"""The openai engine: samples from any server that speaks OpenAI's API.

Many requests are in flight at once, those of several units together. Every sample has its place:
an answer that lacks some is asked for the rest, and one that holds too many is refused. Knows what
to ask for and what to make of the answers; not the wire (`openai_server`), nor what to do when it
breaks (`openai_asking`).
"""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.schemas import RECORDED, SAMPLES
from pipelines.engines.event_loop import EventLoop, together
from pipelines.engines.openai_asking import Asker
from pipelines.engines.openai_likelihood import likelihoods
from pipelines.engines.openai_requests import Ask, Choice, body, failed, plan, read
from pipelines.engines.openai_server import RefusedError
from pipelines.engines.protocol import Engine, Request
from pipelines.engines.repetition import repeated
from pipelines.engines.retry import Retry
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding
from pipelines.sweeps.engine_sections import OpenAIEngine

_PORTABLE_SEEDS = 2**31
"""Seeds for servers that we do not know stay below; some read them into 32 bits."""
_FIELDS = {
    "stop": "decoding.stop",
    "temperature": "decoding.temperature",
    "top_k": "decoding.top_k",
    "top_p": "decoding.top_p",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
}
"""Fields of a request that come from the sweep alone: to refuse one refuses them all."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """The samples of one ask, in their order."""

    choices: Sequence[Choice]
    prompt_tokens: int


class OpenAIModel(Engine):
    """A model behind a server, behind the two verbs of `Engine`."""

    concurrent = True

    def __init__(self, model: OpenAIEngine, retry: Retry | None = None) -> None:
        self._model = model
        self._where = f"model {model.name}"
        self._many = model.samples_per_request > 1
        """Whether the server gives the n choices that it is asked for."""
        self._seeds = True
        """Whether it takes seeds at all."""
        self._loop = EventLoop()
        try:
            self._loop.run(self._connect(retry or _retry(model)))
        except BaseException:
            self._loop.close()
            raise

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Draw every sample of every request.

        Raises:
            UserError: the server, its key or its address is to blame, or the sweep; or the samples
                cannot be independent.
            GaveUpError: `patience_seconds` passed, and nobody knows why it does not go.
        """
        return self._loop.run(self._generate(requests, decoding))

    def likelihood(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        decoding: Decoding | None = None,
    ) -> NDArray[np.float64]:
        """Return log p(completion, then end | prompt) of each pair; NaN where it is refused.

        Raises:
            UserError: the server is not vLLM, which alone tells it; or the decoding is not that of
                the model itself.
        """
        if self._about.kind != "vllm":
            raise UserError(f"{self._where}: only a vLLM server tells a likelihood")
        if decoding is not None and not _is_plain(decoding):
            raise UserError(f"{self._where}: a server tells no likelihood under this decoding")
        found = self._loop.run(likelihoods(self._asker, prompts, completions))
        return np.array(found, dtype=np.float64)

    def unique_tokens(self) -> bool:
        """Nobody knows: the tokenizer is the server's."""
        return False

    def facts(self) -> dict[str, Any]:
        """Return the versions, how samples are seeded, and what was billed since last asked."""
        return {
            "engine": f"openai {version('openai')}",
            "server": str(self._about),
            "seeding": "sample" if self._known_seeds else "none",
            **self._loop.run(self._asker.drain()),
        }

    def close(self) -> None:
        """Close the connections and end the thread."""
        if self._loop.running:
            self._loop.run(self._asker.server.close())
            self._loop.close()

    @property
    def _known_seeds(self) -> bool:
        return self._seeds and self._about.honours_seeds

    async def _connect(self, retry: Retry) -> None:
        self._asker = Asker(self._model, retry)
        try:
            self._about = await self._asker.patiently(self._asker.server.about)
        except BaseException:
            await self._asker.server.close()
            raise

    async def _generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        most = self._model.samples_per_request if self._many else 1
        asks = plan(requests, most, paired=not self._known_seeds)
        drawn = await together([self._drawn(requests[ask.request], ask, decoding) for ask in asks])
        if decoding.temperature > 0 and decoding.top_k != 1:
            self._refuse_repeated(requests, asks, drawn)
        return self._table(requests, asks, drawn)

    async def _drawn(self, request: Request, ask: Ask, decoding: Decoding) -> _Drawn:
        """Draw the samples of an ask, in as many requests as the server makes of it."""
        everyone = range(ask.n)
        if ask.n > 1 and not self._many:
            return await self._singly(request, ask, everyone, decoding)
        fields = self._fields(request, ask, decoding)
        plain = self._about.raw_logprobs or _is_plain(decoding)
        try:
            answer = await self._asker.ask(
                "/completions" if request.messages is None else "/chat/completions",
                fields,
                lambda said: read(said, ask.n, decoding.stop, raw_logprobs=plain),
            )
        except RefusedError as refused:
            if self._does_without(refused.field, ask, fields):
                return await self._drawn(request, ask, decoding)
            self._blame_the_sweep(refused, chat=request.messages is not None)
            return _Drawn(choices=[failed(str(refused))] * ask.n, prompt_tokens=0)
        self._asker.bill(answer)
        found = dict(answer.choices)
        missing = [at for at in everyone if at not in found]
        if missing:
            if len(found) == 1:
                self._forgo_many("gives one choice whatever n is")
            rest = await self._singly(request, ask, missing, decoding)
            found |= dict(zip(missing, rest.choices, strict=True))
        choices = [found[at] for at in everyone]
        return _Drawn(choices=choices, prompt_tokens=answer.prompt_tokens)

    async def _singly(
        self, request: Request, ask: Ask, places: Sequence[int], decoding: Decoding
    ) -> _Drawn:
        """Draw samples of an ask one by one."""
        asks = [Ask(request=ask.request, start=ask.start + at, n=1) for at in places]
        drawn = await together([self._drawn(request, each, decoding) for each in asks])
        return _Drawn(
            choices=[choice for each in drawn for choice in each.choices],
            prompt_tokens=max(each.prompt_tokens for each in drawn),
        )

    def _fields(self, request: Request, ask: Ask, decoding: Decoding) -> dict[str, Any]:
        """Return what is sent for an ask."""
        fields = body(
            request,
            decoding,
            logprobs=self._model.logprobs,
            defaults=self._about.kind in ("vllm", "sglang"),
            hosted=self._asker.server.hosted,
            extra=self._model.extra_body,
        )
        fields["n"] = ask.n
        if self._seeds:
            seed = request.stream + int(request.sample_ids[ask.start])
            fields["seed"] = seed if self._known_seeds else seed % _PORTABLE_SEEDS
        return fields

    def _does_without(self, field: str | None, ask: Ask, sent: Mapping[str, Any]) -> bool:
        """Whether a refused field can be left out, from now on."""
        if field == "n" and ask.n > 1:
            self._forgo_many("refuses n above 1")
            return True
        if field == "seed" and "seed" in sent:
            if self._seeds:
                _log.warning("%s: the server takes no seeds", self._where)
            self._seeds = False
            return True
        return False

    def _forgo_many(self, why: str) -> None:
        if self._many:
            _log.warning("%s: the server %s; samples are asked for singly", self._where, why)
        self._many = False

    def _blame_the_sweep(self, refused: RefusedError, *, chat: bool) -> None:
        """Raise UserError where a refusal would meet every problem."""
        field = refused.field or ""
        if field in _FIELDS or field in self._model.extra_body:
            name = _FIELDS.get(field, f"extra_body.{field}")
            way_out = "set logprobs: false" if name == "logprobs" else "change or drop it"
            raise UserError(f"{self._where}: the server refuses {name}; {way_out} ({refused})")
        if chat and "chat template" in str(refused):
            raise UserError(
                f"{self._where}: the server has no chat template for it; start it with one, or "
                f"ask in style: completion ({refused})"
            )

    def _refuse_repeated(
        self, requests: Sequence[Request], asks: Sequence[Ask], drawn: Sequence[_Drawn]
    ) -> None:
        """Raise UserError where the samples cannot be independent."""
        problems: list[list[list[str]]] = [[] for _ in requests]
        for ask, got in zip(asks, drawn, strict=True):
            if all(choice.error is None for choice in got.choices):
                problems[ask.request].append([choice.text for choice in got.choices])
        if repeated(problems):
            raise UserError(
                f"{self._where}: the server repeats itself: its choices are copies of each other, "
                "not independent samples; set samples_per_request: 1, or switch off its "
                "deterministic mode or its cache of answers"
            )

    def _table(
        self, requests: Sequence[Request], asks: Sequence[Ask], drawn: Sequence[_Drawn]
    ) -> pa.Table:
        """Return the samples; asks are in the order of the requests and their samples."""
        choices = [choice for each in drawn for choice in each.choices]
        prompts = [each.prompt_tokens for each in drawn for _ in each.choices]
        owners = [ask.request for ask in asks for _ in range(ask.n)]
        ids = np.concatenate([np.empty(0, np.int64), *(each.sample_ids for each in requests)])
        streams = np.array([each.stream for each in requests], dtype=np.int64)
        rows = len(choices)
        columns = {
            "problem_id": pa.array([requests[at].problem_id for at in owners], pa.string()),
            "sample_id": ids,
            "completion": pa.array([choice.text for choice in choices], pa.string()),
            "finish_reason": pa.array([choice.finish_reason for choice in choices], pa.string()),
            "prompt_tokens": pa.array(prompts, pa.int32()),
            "completion_tokens": pa.array([choice.tokens for choice in choices], pa.int32()),
            **{name: pa.nulls(rows, pa.float32()) for name in RECORDED},
            "sum_logprob": pa.array([choice.sum_logprob for choice in choices], pa.float32()),
            "min_logprob": pa.array([choice.min_logprob for choice in choices], pa.float32()),
            "seed": ids + streams[owners] if self._known_seeds else pa.nulls(rows, pa.int64()),
            "error": pa.array([choice.error for choice in choices], pa.string()),
            "reasoning": pa.array([choice.reasoning for choice in choices], pa.string()),
        }
        return pa.table([columns[name] for name in SAMPLES.names], schema=SAMPLES)


def _retry(model: OpenAIEngine) -> Retry:
    return Retry(patience=model.patience_seconds, jitter=random.Random(model.name))


def _is_plain(decoding: Decoding) -> bool:
    """Whether samples come of the model's own distribution."""
    return decoding.temperature == 1 and decoding.top_p == 1 and decoding.top_k is None
