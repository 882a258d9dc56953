"""Asks a server until it answers, finds out who is to blame where it does not, and keeps the bill.

Knows answers only as far as the reader that it is given; not what is asked for, nor why.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pipelines.engines.openai_requests import Answer, BreachError, read
from pipelines.engines.openai_server import FaultError, RefusedError, Server
from pipelines.engines.retry import GoneError, Retry, TroubleError
from pipelines.errors import UserError
from pipelines.sweeps.engine_sections import OpenAIEngine

BLAME = 8
"""Times that the server breaks down over a request, and answers others meanwhile, until the
request is to blame. A server that fails one request in five at random does so 8 times in a row
for one in 390,000."""
BREACHES = 3
"""Answers that break the API until the server is given up."""

Result = TypeVar("Result")


class Asker:
    """One server, asked by all that an engine does; made and used in one event loop."""

    def __init__(self, model: OpenAIEngine, retry: Retry) -> None:
        self._model = model
        self._where = f"model {model.name}"
        self._retry = retry
        self._room = asyncio.Semaphore(model.concurrency)
        self._usage: Counter[str] = Counter()
        self._apportioned = False
        self._answered = 0
        """Answers so far."""
        self._good: tuple[str, dict[str, Any]] | None = None
        """The last request for samples that got one, now for one sample."""
        self.server = Server(model)

    async def ask(
        self, path: str, fields: dict[str, Any], reader: Callable[[Any], Result]
    ) -> Result:
        """Ask until an answer can be read.

        Raises:
            RefusedError: the request is to blame.
            UserError: the server is, or the sweep.
            GaveUpError: nobody knows, and patience has ended.
        """
        faults, breaches, before = 0, 0, self._answered

        async def once() -> Result:
            nonlocal faults, breaches
            try:
                result = reader(await self._post(path, fields))
            except FaultError as fault:
                faults += 1
                if faults >= BLAME and await self._works(since=before):
                    raise RefusedError(f"the server breaks down over it ({fault})") from None
                raise
            except BreachError as breach:
                breaches += 1
                raise self._breached(breach, breaches) from None
            self._answered += 1
            if "n" in fields:
                self._good = (path, fields | {"n": 1})
            return result

        return await self.patiently(once)

    async def patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Call until it goes well; raises UserError where nobody was there all the time."""
        tries = 0

        async def counted() -> Result:
            nonlocal tries
            tries += 1
            self._usage["retries"] += tries > 1
            return await call()

        try:
            return await self._retry.until_done(counted)
        except GoneError as gone:
            raise UserError(
                f"{self._where}: the server cannot be reached: {gone}; start it, or give "
                "patience_seconds more, and run the same command again: nothing is lost"
            ) from None

    def bill(self, answer: Answer) -> None:
        """Add what an answer cost."""
        self._usage["prompt_tokens"] += answer.prompt_tokens
        self._usage["completion_tokens"] += answer.completion_tokens
        self._usage.update(answer.details)
        self._apportioned = self._apportioned or answer.apportioned

    async def drain(self) -> dict[str, Any]:
        """Return what was used since the last time; in the loop, where alone it is counted."""
        counts = ("requests", "retries", "prompt_tokens", "completion_tokens")
        usage: dict[str, Any] = dict.fromkeys(counts, 0) | dict(self._usage)
        facts = {"tokens": "apportioned" if self._apportioned else "exact", "usage": usage}
        self._usage.clear()
        self._apportioned = False
        prompt = self._model.usd_per_million_prompt_tokens
        completion = self._model.usd_per_million_completion_tokens
        if prompt is not None and completion is not None:
            billed = prompt * usage["prompt_tokens"] + completion * usage["completion_tokens"]
            usage["usd"] = billed / 1e6
        return facts

    async def _post(self, path: str, fields: dict[str, Any]) -> Any:
        async with self._room:
            self._usage["requests"] += 1
            return await self.server.post(path, fields)

    async def _works(self, *, since: int) -> bool:
        """Whether the server gave enough answers meanwhile, or gives them to what it knows."""
        while self._answered - since < BLAME:
            if self._good is None:
                return False
            path, fields = self._good
            try:
                said = await self._post(path, fields)
            except (TroubleError, RefusedError):
                return False
            with contextlib.suppress(BreachError):
                self.bill(read(said, int(fields["n"]), (), raw_logprobs=False))
            self._answered += 1
        return True

    def _breached(self, breach: BreachError, times: int) -> Exception:
        """Return what an answer that breaks the API means, after so many of them."""
        if times < BREACHES:
            return TroubleError(str(breach))
        if breach.harmless:
            return RefusedError(f"the server gave {breach}")
        return UserError(f"{self._where}: the server gave {breach}; it does not speak OpenAI's API")
