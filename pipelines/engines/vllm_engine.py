"""The engine for GPUs: vLLM, offline in the engine's own process.

A problem's samples are one request: one prefill, which later units find in vLLM's prefix cache.
Several units are at work at once, so that the model never waits for a unit's last samples. Tensor
and pipeline parallel as `engine_args` say: inside a Ray actor, vLLM starts its workers in the
bundles of the actor's placement group; elsewhere, as processes of this one. Data parallel: several
engines (`resources.engines`).

Samples have seeds of their own (see `vllm_requests`), but for two cases: where the section says
`seeding: unit`; and on a CPU with chunked prefill, where vLLM 0.32 dies of them («CPU Generator
does not use offset»: it rewinds a generator when a prompt was read in part). Prompts are therefore
read whole on a CPU, unless `engine_args` say otherwise.

Knows vLLM and tokens; not where a sweep, a store or a seed comes from.
"""

import contextlib
import itertools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.engines.event_loop import EventLoop, together
from pipelines.engines.orphans import Guard
from pipelines.engines.protocol import Engine, Request
from pipelines.engines.tokens import TokenReader, brief
from pipelines.engines.vllm_likelihood import Likelihood
from pipelines.engines.vllm_requests import Ask, plan, undrawable, unit_seed
from pipelines.engines.vllm_samples import Drawn, texts
from pipelines.engines.vllm_start import arguments, refusals, start, thinker
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding
from pipelines.sweeps.engine_sections import VLLMEngine

_WHY_NOT = ": vLLM takes none for each sample on a CPU with engine_args.enable_chunked_prefill"
_BENT_VOCABULARY = 4_096
"""Largest vocabulary whose whole distributions are asked for."""


class EngineDied(SystemExit):
    """vLLM's own processes died. Ends a Ray actor, in whose place a new one is started."""


class VLLMModel(Engine):
    """A model in vLLM, behind the two verbs of `Engine`."""

    concurrent = True

    def __init__(self, model: VLLMEngine) -> None:
        """Start vLLM, which takes from seconds to minutes.

        Raises:
            UserError: vLLM is not installed, or takes no such argument, model or adapter.
            RuntimeError: its processes did not start; its own log says why.
        """
        self._model = model
        self._loop: EventLoop | None = None
        self._guard = Guard()
        try:
            given = arguments(model)
            self._loop = EventLoop()
            self._engine, self._lora = self._loop.run(start(model, given))
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        import vllm

        config = self._engine.vllm_config
        tokenizer = self._engine.get_tokenizer()
        self._version = vllm.__version__
        self._names = itertools.count()
        self._vocabulary = int(config.model_config.get_vocab_size())
        self._ends = _ends(config.model_config, tokenizer, self._model.sampling_params)
        self._reader = TokenReader(
            tokenizer,
            name=self._model.path,
            context=int(config.model_config.max_model_len),
            vocabulary=self._vocabulary,
            ends=self._ends,
            skip_special=bool(self._model.sampling_params.get("skip_special_tokens", False)),
        )
        self._likelihood = Likelihood(
            answer=self._answer,
            ends=self._ends,
            vocabulary=self._vocabulary,
            adapter=self._lora is not None,
        )
        self._think = thinker(self._model, tokenizer)
        self._unit_seed: int | None = None
        self._per_unit = self._model.seeding == "unit" or _rewinds(config)
        if self._per_unit:
            self.concurrent = False
            logging.getLogger(__name__).warning(
                "model %s: one seed for all samples of a unit, drawn a unit at a time%s",
                self._model.name,
                "" if self._model.seeding == "unit" else _WHY_NOT,
            )

    # ---------------------------------------------------------------- the two verbs

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Draw every sample of every request; see `Engine.generate`.

        Stop strings and `max_tokens` count in what a reasoning model thinks, too.

        Raises:
            UserError: vLLM cannot draw under this decoding; or as in `Engine.generate`.
            EngineDied: vLLM's processes died.
            RuntimeError: it handed back other samples than it was asked for.
        """
        params = self._params(decoding)
        read = [self._reader.request(request, decoding.max_tokens) for request in requests]
        taken = {at for at, (_, error) in enumerate(read) if error is None}
        asks = plan(requests, taken)
        if self._per_unit and asks:
            self._unit_seed = unit_seed(requests)
            self._run(self._engine.collective_rpc("reseed", args=(self._unit_seed,)))
        answers = self._run(
            together([self._ask(ask, read[ask.request][0], params) for ask in asks])
        )
        drawn = Drawn(requests, read)
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(answer, str):
                drawn.fail(ask, answer)
            else:
                said = texts(answer, read[ask.request][0], decoding.stop, self._reader)
                drawn.write(ask, answer, said, self._think)
        return drawn.table(seeded=not self._per_unit)

    def likelihood(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        decoding: Decoding | None = None,
    ) -> NDArray[np.float64]:
        """Return log p(completion, then end | prompt) for each pair; see `Engine.likelihood`.

        -inf where the decoding cannot give the completion, also for want of `max_tokens`; NaN
        where the model cannot read the pair. What `sampling_params` add is not counted.

        Raises:
            UserError: the decoding bends the distribution, and the vocabulary is too large for
                whole distributions to be asked for.
            EngineDied: vLLM's processes died.
        """
        whole = decoding is not None and _bends(decoding)
        if whole and self._vocabulary > _BENT_VOCABULARY:
            raise UserError(
                f"model {self._model.name}: likelihood under temperature, top_k or top_p: vLLM "
                f"gives it for vocabularies up to {_BENT_VOCABULARY}, this one has "
                f"{self._vocabulary}; use engine transformers"
            )
        # vLLM has the model draw a token behind every text that it reads.
        result, pairs = self._reader.pairs(prompts, completions, decoding, behind=1)
        under = decoding if whole else None
        calls = [self._likelihood.score(*pair, under) for pair in pairs.values()]
        result[list(pairs)] = self._run(together(calls))
        return result

    def unique_tokens(self) -> bool:
        """Whether every text has exactly one tokenisation, and nothing bends its distribution."""
        return self._reader.unique and not self._model.sampling_params and self._think is None

    def facts(self) -> dict[str, Any]:
        """Return vLLM's version, and what a seed is for; `seed` is that of the last unit."""
        facts: dict[str, Any] = {"engine": f"vllm {self._version}"}
        if self._per_unit:
            return facts | {"seeding": "unit", "seed": self._unit_seed}
        return facts | {"seeding": "sample"}

    def close(self) -> None:
        """Shut vLLM down, with all its processes."""
        if self._loop is not None and self._loop.running:
            if hasattr(self, "_engine"):
                self._loop.run(_shut(self._engine))
                del self._engine  # its __del__ wants modules that are gone at the end
            self._loop.close()
        self._guard.close()

    # ---------------------------------------------------------------- asking

    def _run(self, call: Any) -> Any:
        from vllm.v1.engine.exceptions import EngineDeadError

        assert self._loop is not None
        try:
            return self._loop.run(call)
        except EngineDeadError:
            raise EngineDied(f"model {self._model.name}: vLLM's processes died") from None

    def _params(self, decoding: Decoding) -> Any:
        """Return vLLM's parameters for a decoding, but for n and seed."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        where = f"model {self._model.name}"
        problem = undrawable(decoding)
        if problem:
            raise UserError(f"{where}: {problem}")
        top = self._model.token_confidence
        logprobs = min(top, self._vocabulary) if top else 0 if self._model.logprobs else None
        try:
            return SamplingParams(
                **{"skip_special_tokens": False} | self._model.sampling_params,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                top_k=decoding.top_k or 0,
                max_tokens=decoding.max_tokens,
                stop=list(decoding.stop),
                logprobs=logprobs,
                flat_logprobs=True,
                # Texts are made at the end, all at once; only stop strings need them on the way.
                detokenize=bool(decoding.stop),
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
        except refusals() as error:
            raise UserError(f"{where}: sampling_params: {brief(error)}") from None

    async def _ask(self, ask: Ask, prompt: list[int], params: Any) -> Any:
        """Return the outputs of one request, in the order of its samples; why not, as text."""
        asked = params.clone()
        # Greedy samples are all the same, and vLLM draws but one.
        asked.n = ask.count if asked.temperature else 1
        asked.seed = None if self._per_unit else ask.seed
        try:
            answer = await self._answer(prompt, asked)
        except refusals() as error:  # of this prompt; the others go on
            return brief(error)
        outputs = sorted(answer.outputs, key=lambda output: output.index)
        if [output.index for output in outputs] != list(range(asked.n)):
            raise RuntimeError(
                f"vLLM handed back {len(outputs)} of {asked.n} samples (request of seed "
                f"{ask.seed}, prompt of {len(prompt)} tokens)"
            )
        return outputs if asked.n == ask.count else outputs * ask.count

    async def _answer(self, prompt: list[int], params: Any) -> Any:
        from vllm import TokensPrompt

        answer = None
        asked = TokensPrompt(prompt_token_ids=prompt)
        outputs = self._engine.generate(
            asked, params, str(next(self._names)), lora_request=self._lora
        )
        async for output in outputs:
            answer = output
        return answer


def _bends(decoding: Decoding) -> bool:
    plain = decoding.temperature == 1 and decoding.top_p == 1 and decoding.top_k is None
    return not plain


def _rewinds(config: Any) -> bool:
    """Whether vLLM would rewind the random numbers of a sample, which it cannot on a CPU."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu() or getattr(config, "use_v2_model_runner", False):
        return False
    return bool(config.scheduler_config.enable_chunked_prefill)


def _ends(config: Any, tokenizer: Any, sampling_params: dict[str, Any]) -> list[int]:
    """Return the tokens at which vLLM ends a completion."""
    told = config.try_get_generation_config().get("eos_token_id")
    ends = {told} if isinstance(told, int) else set(told or ())
    ends |= {tokenizer.eos_token_id} - {None}
    if sampling_params.get("ignore_eos"):
        ends = set()
    return sorted(ends | set(sampling_params.get("stop_token_ids") or ()))


async def _shut(engine: Any) -> None:
    with contextlib.suppress(Exception):  # its processes may be gone already
        engine.shutdown()
