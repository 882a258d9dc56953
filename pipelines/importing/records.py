"""What every format is read into: one record a sample, or one a problem where there are counts.

Knows what may be known of a sample; not how any file says it, nor where it is kept.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple


class Where(NamedTuple):
    """A row of a file."""

    file: str
    row: int
    """A line of JSONL; else the position, from 1."""

    def __str__(self) -> str:
        return f"{self.file}:{self.row}"


class RowError(ValueError):
    """A row that cannot be imported; the message names the field, the value and what is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A row that cannot be imported, and why."""

    where: Where
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a row says of the problem that was asked; None: it does not say."""

    prompt: str | None = None
    messages: str | None = None
    """JSON, as in `operators.schemas.PROBLEMS`."""
    answer: str | None = None
    """The right one."""
    tests: str | None = None
    """JSON, as in `operators.schemas.PROBLEMS`."""
    level: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One sample; None is what the file does not say."""

    where: Where
    model: str
    task: str
    problem_id: str
    asked: Asked
    sample_id: int | None = None
    """None: numbered in the order of the rows."""
    completion: str | None = None
    answer: str | None = None
    """That was read from the completion."""
    passed: bool | None = None
    """None: undecided, or never judged."""
    score: float | None = None
    finish_reason: str = "stop"
    """One of `operators.schemas.FINISH_REASONS`."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    sum_logprob: float | None = None
    seed: int | None = None
    error: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """The counts of one problem; fields as in `operators.schemas.COUNTS`."""

    where: Where
    model: str
    task: str
    problem_id: str
    asked: Asked
    n: int
    c: int
    undecided: int = 0
    r: int | None = None
    cap: int | None = None
    nth_pass: int | None = None
    look: int | None = None


Record = Sample | Count | BadRow


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are to be read, as the user says."""

    fields: Mapping[str, str] = field(default_factory=dict)
    """For a field of ours, the column that holds it; empty: none does."""
    model: str | None = None
    """Of all rows; None: what the rows say."""
    task: str | None = None
    threshold: float | None = None
    """A verdict that is a number passes from here on; None: verdicts are 0 or 1."""
    metric: str | None = None
    """Which of several metrics or scorers is the verdict."""
    filter: str | None = None
    """Which of several filters of lm-evaluation-harness was applied to the completions."""
    judged: bool = True
    """Whether verdicts are wanted; False: a verifier will judge, and none need be there."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: two readings that differ give other ones."""
        return {**asdict(self), "fields": dict(self.fields)}
