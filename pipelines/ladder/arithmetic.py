"""The arithmetic problems of the ladder: what is asked, what is right, what training never sees.

Knows numbers, their characters and the rule that holds problems out; nothing of models.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from itertools import islice
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

CHARACTERS = "0123456789*="
PADDING = len(CHARACTERS)
END = PADDING + 1
"""The token that ends an answer; a pass needs it, or "46" would pass inside "461"."""
VOCABULARY = {character: index for index, character in enumerate(CHARACTERS)} | {
    "<pad>": PADDING,
    "<eos>": END,
}

HELD_OUT_POOL = 150
"""Held-out problems that every task can give: what 51 pairs of two digits and one allow."""
HELD_OUT_ONE_IN = 10


@dataclass(frozen=True)
class Problem:
    """One question with its one right answer."""

    problem_id: str
    prompt: str
    answer: str
    level: str
    """What makes problems of one task differ in difficulty, in words."""


@dataclass(frozen=True)
class Task:
    """Products of operands of some digit counts; every count in a range is equally likely."""

    name: str
    first_digits: tuple[int, int]
    """Fewest and most digits of the first operand."""
    second_digits: tuple[int, int]

    @property
    def longest(self) -> int:
        """Tokens of the longest problem with its answer and its end."""
        first, second = self.first_digits[1], self.second_digits[1]
        return len(f"{'9' * first}*{'9' * second}=") + first + second + 1

    def operands(self, size: int, random: np.random.Generator) -> tuple[Integers, Integers]:
        """Operands of `size` problems, held out or not."""
        uniform = random.random((size, 4))
        return (
            _number(_even(self.first_digits, uniform[:, 0]), uniform[:, 1]),
            _number(_even(self.second_digits, uniform[:, 2]), uniform[:, 3]),
        )

    def problem(self, first: int, second: int) -> Problem:
        """The problem on two operands."""
        return Problem(
            problem_id=f"{self.name}/{first}*{second}",
            prompt=f"{first}*{second}=",
            answer=str(first * second),
            level=f"{len(str(first))}x{len(str(second))} digits",
        )


def held_out(first: Integers, second: Integers) -> NDArray[np.bool_]:
    """Which pairs are kept from training: a hash of the pair, the same in either order.

    One rule for every task, so that a pair held out of one is held out of all.
    """
    low = np.minimum(first, second).astype(np.uint64)
    high = np.maximum(first, second).astype(np.uint64)
    hashed = _mixed(low * np.uint64(1_000_003) + high)
    return np.asarray(hashed % np.uint64(HELD_OUT_ONE_IN) == 0)


def _task_table(*tasks: Task) -> Mapping[str, Task]:
    return MappingProxyType({task.name: task for task in tasks})


TASKS = _task_table(
    Task("multiply1", (2, 4), (1, 1)),
    Task("multiply2", (2, 2), (2, 2)),
    Task("multiply3", (3, 3), (3, 3)),
)
"""From easy to hard, named by the digits of the second operand.

Products, because models learn them by degrees: each digit of an answer needs all the digits of
the question, more so towards the middle. Sums come in jumps, a digit at a time.
"""


def held_out_problems(task: str, count: int) -> tuple[Problem, ...]:
    """The first `count` held-out problems of a task: always the same, in the same order.

    Args:
        task: A name in TASKS.
        count: How many, from 1 to HELD_OUT_POOL.

    Raises:
        ValueError: The task or the count is none of ours.
    """
    if task not in TASKS:
        raise ValueError(f"no task {task!r}; the ladder has {', '.join(TASKS)}")
    if not 1 <= count <= HELD_OUT_POOL:
        raise ValueError(f"count {count} of task {task} is outside 1..{HELD_OUT_POOL}")
    return tuple(TASKS[task].problem(*pair) for pair in islice(_held_out(TASKS[task]), count))


def held_out_batch(
    tasks: Sequence[str], count: int, width: int
) -> tuple[Integers, NDArray[np.bool_]]:
    """Tokens of the first `count` held-out problems of each task, with their answers' mask."""
    pairs = {name: np.array(list(islice(_held_out(TASKS[name]), count))) for name in tasks}
    return _joined(encoded(pairs[name][:, 0], pairs[name][:, 1], width) for name in tasks)


def training_batch(
    tasks: Sequence[str], size: int, width: int, random: np.random.Generator
) -> tuple[Integers, NDArray[np.bool_]]:
    """Tokens of `size` problems, none of them held out, and which tokens a model must learn.

    Args:
        tasks: Where the problems come from: equal shares, rounded up for the first.
        size: Rows.
        width: Columns; the rest of a row is padding.
        random: Where the operands come from.

    Returns:
        Tokens, and a mask that is true at the answer and its end.
    """
    shares = [(size + place) // len(tasks) for place in reversed(range(len(tasks)))]
    return _joined(
        encoded(*_training_pairs(TASKS[name], share, random), width)
        for name, share in zip(tasks, shares, strict=True)
    )


def _joined(
    parts: Iterable[tuple[Integers, NDArray[np.bool_]]],
) -> tuple[Integers, NDArray[np.bool_]]:
    tokens, answer = zip(*parts, strict=True)
    return np.concatenate(tokens), np.concatenate(answer)


def _training_pairs(
    task: Task, size: int, random: np.random.Generator
) -> tuple[Integers, Integers]:
    first, second = task.operands(size, random)
    held = np.flatnonzero(held_out(first, second))
    while held.size:
        first[held], second[held] = task.operands(held.size, random)
        held = held[held_out(first[held], second[held])]
    return first, second


def _held_out(task: Task) -> Iterator[tuple[int, int]]:
    """Pairs of every combination of digit counts in turn: any first few show all alike."""
    turns = [
        _held_out_of(first, second)
        for first in range(task.first_digits[0], task.first_digits[1] + 1)
        for second in range(task.second_digits[0], task.second_digits[1] + 1)
    ]
    while True:
        yield from map(next, turns)


def _held_out_of(first_digits: int, second_digits: int) -> Iterator[tuple[int, int]]:
    """Held-out pairs of these digit counts, in an order that no library's version moves."""
    seen: set[tuple[int, int]] = set()
    for draw in count_from():
        index = np.arange(4_096, dtype=np.uint64) + np.uint64(4_096 * draw)
        salted = _mixed(index + np.uint64((10 * first_digits + second_digits) << 40))
        first = _number(np.full(index.size, first_digits), _uniform(salted))
        second = _number(np.full(index.size, second_digits), _uniform(_mixed(salted)))
        asked = held_out(first, second) & ~_copied(first) & ~_copied(second)
        for pair in zip(first[asked].tolist(), second[asked].tolist(), strict=True):
            if pair not in seen:
                seen.add(pair)
                yield pair


def encoded(first: Integers, second: Integers, width: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Tokens of problems with their answers and ends, and the mask of answer and end."""
    tokens = np.full((first.size, width), PADDING, dtype=np.int64)
    rows = np.arange(first.size)
    column = np.zeros(first.size, dtype=np.int64)
    column = _write(tokens, column, first)
    tokens[rows, column] = VOCABULARY["*"]
    column = _write(tokens, column + 1, second)
    tokens[rows, column] = VOCABULARY["="]
    start = column + 1
    column = _write(tokens, start, first * second)
    tokens[rows, column] = END
    columns = np.arange(width)
    return tokens, (columns >= start[:, None]) & (columns <= column[:, None])


def _copied(operands: Integers) -> NDArray[np.bool_]:
    """Operands whose products are mostly copied: 1, and round numbers.

    Training has them, held-out problems do not: a handful of them, right at 9 in 10, would be
    nearly all of the mean of a task whose other problems are right at 1 in 10,000.
    """
    return np.asarray((operands == 1) | (operands % 10 == 0))


def _write(tokens: Integers, start: Integers, values: Integers) -> Integers:
    """Write decimal numbers into rows from a column on; the columns after them."""
    lengths = _digit_counts(values)
    for place in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(place < lengths)
        power = 10 ** (lengths[rows] - 1 - place)
        tokens[rows, start[rows] + place] = values[rows] // power % 10
    return start + lengths


def _digit_counts(values: Integers) -> Integers:
    powers = 10 ** np.arange(1, 18, dtype=np.int64)
    return np.searchsorted(powers, values, side="right") + 1


def _even(digits: tuple[int, int], uniform: NDArray[np.float64]) -> Integers:
    """Digit counts from a range, all as likely."""
    fewest, most = digits
    return fewest + (uniform * (most - fewest + 1)).astype(np.int64)


def _number(digits: Integers, uniform: NDArray[np.float64]) -> Integers:
    """Numbers of these digit counts, all as likely."""
    low = 10 ** (digits - 1)
    return low + (uniform * (9 * low)).astype(np.int64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: our own, so that no library's new version moves a problem."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _uniform(mixed: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in [0, 1) from mixed bits."""
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
