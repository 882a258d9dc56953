"""The live display of sampling: a line that is redrawn on a terminal, plain lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines.scheduler import Progress

PLAIN_EVERY = 10.0
"""Seconds between plain lines."""
WINDOW = 15.0
"""Seconds over which the rate is measured."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One moment of a run, ready to be shown."""

    progress: Progress
    rate: float
    """Samples per second of late."""
    seconds_left: float | None
    """None while nothing is known."""
    note: str
    """What the engines do, or that the run is stopping."""

    def line(self) -> str:
        """Return it as one plain line."""
        progress = self.progress
        parts = [
            f"{progress.samples:,} samples ({self.rate:,.0f}/s)",
            f"{progress.passes:,} passes",
            f"{progress.settled:,}/{progress.problems:,} problems settled",
            f"units {progress.units_done:,} done, {progress.units_open:,} open",
            f"ETA {duration(self.seconds_left)}",
        ]
        return " · ".join([*parts, self.note] if self.note else parts)


class Display:
    """Shows how far sampling is; a context manager."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._history: deque[tuple[float, int]] = deque()
        self._printed = float("-inf")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Take the line, if there is a terminal."""
        console = Console(file=self._stream)
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the line back."""
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def update(self, progress: Progress, note: str = "", *, force: bool = False) -> None:
        """Show the state of the work; plain lines come at most every few seconds."""
        reading = self._read(progress, note)
        if self._live is not None:
            self._live.update(_table(reading))
        elif force or self._clock() - self._printed >= PLAIN_EVERY:
            self._printed = self._clock()
            print(reading.line(), file=self._stream, flush=True)

    def _read(self, progress: Progress, note: str) -> Reading:
        now = self._clock()
        if not self._history or self._history[-1][1] != progress.samples:
            self._history.append((now, progress.samples))
        while len(self._history) > 2 and now - self._history[0][0] > WINDOW:
            self._history.popleft()
        then, samples = self._history[0]
        rate = (progress.samples - samples) / (now - then) if now > then else 0.0
        left = progress.samples_left / rate if rate > 0 else None
        return Reading(progress=progress, rate=rate, seconds_left=left, note=note)


def _table(reading: Reading) -> Table:
    progress = reading.progress
    grid = Table.grid(padding=(0, 1))
    total = max(progress.problems, 1)
    grid.add_row(
        Text("sampling"),
        ProgressBar(total=total, completed=progress.settled, width=24),
        Text(reading.line(), overflow="fold"),
    )
    return grid


def duration(seconds: float | None) -> str:
    """Return a length of time for people: 45 s, 3 min 20 s, 2 h 05 min."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
