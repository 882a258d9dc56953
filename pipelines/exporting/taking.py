"""Candidates in their order -> completions that are taken: read a few at a time, none twice.

A completion is taken if it ended by itself, and its text was neither taken nor refused before for
the same prompt. Knows ranks and texts; not what a row of the export looks like.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators.training.texts import Dedup, text_digest
from pipelines.exporting.stored_cells import Key

AT_ONCE = 4_096
"""Texts that are read together, about."""
_BLOCK = 1_024
"""Most of them of one problem."""

Fetch = Callable[[Sequence[Key]], Mapping[Key, Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Digests of the texts that were taken for one prompt."""

    chosen: set[bytes] = field(default_factory=set)
    rejected: set[bytes] = field(default_factory=set)


@dataclass(kw_only=True)
class Queue:
    """The candidates of one problem for one role, the best first."""

    problem: str
    role: str
    """chosen or rejected."""
    sample_ids: Sequence[int]
    standings: Sequence[float]
    passed: Sequence[bool | None]
    needed: int | None
    """Completions to take; None: all."""
    texts: Texts
    """Of the prompt, shared by whatever asks the same."""
    at: int = 0
    """The next candidate."""
    taken: int = 0

    @property
    def open(self) -> bool:
        """Whether more is needed, and there is more."""
        wants = self.needed is None or self.taken < self.needed
        return wants and self.at < len(self.sample_ids)

    def next_block(self) -> range:
        """Return the places of the candidates to read next: twice what is lacking, for repeats."""
        lacking = _BLOCK if self.needed is None else 2 * (self.needed - self.taken)
        return range(self.at, min(self.at + min(lacking, _BLOCK), len(self.sample_ids)))


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A completion that is to be exported."""

    problem: str
    role: str
    sample: Mapping[str, Any]
    """Its columns `stored_cells.TEXT`."""
    standing: float
    passed: bool | None


def take(
    queues: Sequence[Queue], fetch: Fetch, dedup: Dedup, left_out: Counter[str]
) -> Iterator[Taken]:
    """Yield completions until each queue has what it needs or is at its end.

    Args:
        queues: of different problems or roles.
        fetch: reads samples.
        dedup: which texts are the same.
        left_out: counts why candidates were passed over, by reason.
    """
    waiting = [queue for queue in queues if queue.open]
    while waiting:
        asked: list[tuple[Queue, range]] = []
        size = 0
        for queue in waiting:
            if size >= AT_ONCE:
                break
            asked.append((queue, queue.next_block()))
            size += len(asked[-1][1])
        rows = fetch(
            [(queue.problem, queue.sample_ids[i]) for queue, block in asked for i in block]
        )
        for queue, block in asked:
            for place in block:
                if not queue.open:
                    break
                queue.at = place + 1
                row = rows.get((queue.problem, queue.sample_ids[place]))
                reason = _refused(queue, row, dedup)
                if row is None or reason is not None:
                    left_out[reason or "lost"] += 1
                    continue
                queue.taken += 1
                yield Taken(
                    problem=queue.problem,
                    role=queue.role,
                    sample=row,
                    standing=queue.standings[place],
                    passed=queue.passed[place],
                )
        waiting = [queue for queue in waiting if queue.open]


def _refused(queue: Queue, row: Mapping[str, Any] | None, dedup: Dedup) -> str | None:
    """Return why a completion is not taken; None: it is, and its text is remembered."""
    if row is None:
        return "lost"
    if row["finish_reason"] != "stop":
        return "truncated"
    if not row["completion"].strip():
        return "empty"
    digest = text_digest(row["completion"], dedup)
    chosen = queue.role == "chosen"
    own = queue.texts.chosen if chosen else queue.texts.rejected
    other = queue.texts.rejected if chosen else queue.texts.chosen
    if digest in own:
        return "repeated"
    if digest in other:
        return "contradicted"
    own.add(digest)
    return None
