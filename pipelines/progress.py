"""The live display of sampling: a table that is redrawn on a terminal, plain lines elsewhere.

On a terminal its height stays the same while the work goes on, so that nothing jumps.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines.scheduler import CellProgress, Progress

PLAIN_EVERY = 10.0
"""Seconds between plain lines."""
WINDOW = 15.0
"""Seconds over which the rate is measured."""
MOST_CELLS = 12
"""Most cells that are shown at a time; fewer on a low terminal."""


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
        self._rows = MOST_CELLS

    def __enter__(self) -> Self:
        """Take the line, if there is a terminal."""
        # Not what rich takes for one: notebooks set FORCE_COLOR, and cannot redraw.
        if self._stream.isatty():
            console = Console(file=self._stream)
            self._rows = max(min(MOST_CELLS, console.height - 4), 1)
            self._live = Live(console=console, refresh_per_second=2, transient=True)
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
            self._live.update(_view(reading, self._rows))
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


def _view(reading: Reading, rows: int) -> Group:
    """Return the cells that are worked on, and below them how far everything is."""
    cells = reading.progress.cells
    grid = Table.grid(padding=(0, 2))
    shown = _shown(cells, rows)
    for cell in shown:
        grid.add_row(*_row(cell))
    done = sum(cell.finished for cell in cells)
    hidden = len(cells) - len(shown)
    more = f"; {hidden:,} not shown" if hidden else ""
    told = [Text(f"{done:,} of {len(cells):,} cells done{more}", style="dim")] if cells else []
    return Group(grid, *told, Text(reading.line(), overflow="fold"))


def _shown(cells: Sequence[CellProgress], rows: int) -> list[CellProgress]:
    """Return at most so many cells, in their order: those at work, then what is next, then done."""
    urgent = sorted(
        range(len(cells)), key=lambda at: (not cells[at].working, cells[at].finished, at)
    )
    return [cells[at] for at in sorted(urgent[:rows])]


def _row(cell: CellProgress) -> tuple[Text, Text, ProgressBar, Text, Text, Text]:
    rate = f"{cell.passes / cell.samples:.3g} pass" if cell.samples else ""
    return (
        Text(cell.cell.model, style="bold" if cell.working else "", overflow="ellipsis"),
        Text(cell.cell.task, overflow="ellipsis"),
        ProgressBar(total=max(cell.problems, 1), completed=cell.settled, width=24),
        Text(f"{cell.settled:,}/{cell.problems:,} settled", justify="right"),
        Text(f"{cell.samples:,} samples", justify="right"),
        Text(rate, justify="right"),
    )


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
