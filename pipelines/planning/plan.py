"""What a plan is: an answer in sentences, the alternatives in rows, and a picture.

Knows numbers and words, not how they came about nor where they are shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series of a panel."""

    name: str
    points: Sequence[tuple[float, float]]
    """x and y; what is not finite or, on a log axis, not positive is left out."""
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One diagram."""

    title: str
    x_title: str
    y_title: str
    lines: Sequence[Line]
    log_y: bool = True
    target: float | None = None
    """The y that was asked for, drawn as a rule."""
    chosen: tuple[float, float] | None = None
    """The point that the plan recommends."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table of alternatives."""

    name: str
    """Its key in the rows."""
    heading: str
    kind: str = "number"
    """number, count (all its digits), percent, half_width (with its sign), or text."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The answer to one question."""

    question: str
    """The sub-verb: coverage, compare, rate or next-size."""
    title: str
    asked: Row
    """What was asked, by name of the option."""
    reached: bool
    """Whether something gets to what was asked."""
    answer: Sequence[str]
    """Sentences, the most important first."""
    assumptions: Sequence[str]
    """What the answer rests on, in sentences."""
    columns: Sequence[Column]
    rows: Sequence[Row]
    """Alternatives; null for what is not known."""
    chosen: int | None
    """The row that the answer recommends."""
    panels: Sequence[Panel]
    caption: str
    """Of the picture."""

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON carries it."""
        return {
            "question": self.question,
            "asked": dict(self.asked),
            "reached": self.reached,
            "answer": list(self.answer),
            "assumptions": list(self.assumptions),
            "rows": [dict(row) for row in self.rows],
            "chosen": self.chosen,
        }
