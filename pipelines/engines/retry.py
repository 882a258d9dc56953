"""Calls that are made again until they go well, or patience ends.

Knows waiting; not what is called, nor over which wire.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

Result = TypeVar("Result")


class TroubleError(Exception):
    """A call failed in a way that may pass."""

    def __init__(self, reason: str, *, gone: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.gone = gone
        """Whether nobody was there to answer, so that the call itself cannot be to blame."""
        self.wait = wait
        """Seconds that the other side asks to be left alone, at least."""


class GaveUpError(RuntimeError):
    """A call did not go well in the time that it was given."""


class GoneError(GaveUpError):
    """The other side was not there in all that time."""


@dataclass(kw_only=True)
class Retry:
    """Exponential backoff with full jitter: each wait is uniform between 0 and a doubling bound.

    Callers that failed together are so spread over the whole wait, and do not fail together again.
    """

    patience: float
    """Seconds after which no further try is begun."""
    first: float = 0.5
    """Seconds, the bound of the first wait."""
    longest: float = 30.0
    """Seconds, the largest bound."""
    jitter: random.Random = field(default_factory=lambda: random.Random(0))
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def until_done(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Return what `call` returns once it raises no TroubleError; other exceptions pass.

        Raises:
            GoneError: every try but perhaps the first found nobody there.
            GaveUpError: patience ended, with the last reason.
        """
        began, gone = self.clock(), True
        for tries in count():
            try:
                return await call()
            except TroubleError as trouble:
                # A call may be cut short as the other side goes away.
                gone = trouble.gone and (gone or tries == 1)
                bound = min(self.longest, self.first * 2.0 ** min(tries, 60))
                wait = max(self.jitter.uniform(0.0, bound), trouble.wait)
                if self.clock() - began + wait > self.patience:
                    kind = GoneError if gone else GaveUpError
                    seconds = self.clock() - began
                    times = f"{tries + 1} tries in {seconds:.0f} s"
                    raise kind(f"{trouble} ({times})") from None
            await self.sleep(wait)
        raise AssertionError
