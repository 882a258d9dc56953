"""What training the ladder looks like: bars at a terminal, lines anywhere else.

Knows rich and the reports of training; not how training is done, nor who runs it.
"""

from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars


class Report(Protocol):
    """What a training says of itself, as `train.Progress` does; here no torch is needed."""

    @property
    def rung(self) -> str:
        """Whose report."""

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def steps(self) -> int:
        """Steps in all."""

    @property
    def loss(self) -> float:
        """Training loss of the last step."""

    @property
    def held_out_accuracy(self) -> float:
        """Mean exact pass probability over held-out problems."""


class TrainingDisplay:
    """Shows reports of any number of trainings; a context manager, and called with each report.

    At a terminal each rung in training has a row: name, bar, steps, loss, held-out accuracy,
    time left. Elsewhere (a log, a pipe) each report that passes a tenth of the steps is a line.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("held out {task.fields[accuracy]:.4f}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._rows: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, report: Report) -> None:
        """Show one report."""
        if self._console.is_terminal:
            self._show_row(report)
        else:
            self._show_line(report)

    def _show_row(self, report: Report) -> None:
        if report.rung not in self._rows:
            self._rows[report.rung] = self._bars.add_task(
                report.rung, total=report.steps, loss=report.loss, accuracy=0.0
            )
        self._bars.update(
            self._rows[report.rung],
            completed=report.step,
            loss=report.loss,
            accuracy=report.held_out_accuracy,
        )

    def _show_line(self, report: Report) -> None:
        tenth = 10 * report.step // report.steps
        if tenth > self._tenths.get(report.rung, 0):
            self._tenths[report.rung] = tenth
            self._console.print(
                f"{report.rung}: step {report.step}/{report.steps}, loss {report.loss:.3f}, "
                f"held out {report.held_out_accuracy:.4f}",
                highlight=False,
                soft_wrap=True,
            )
