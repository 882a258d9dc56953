"""All records of an import, seen once: refuses what contradicts itself, and says what there is.

Holds no completion: these go to a `Spill`. Knows records; not how files look, nor any run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from pipelines.importing import values
from pipelines.importing.records import Asked, BadRow, Count, Record, RowError, Sample, Where
from pipelines.importing.spill import SPILLED, Spill
from pipelines.units import Cell

_OWN = [name for name in SPILLED.names if name not in ("model", "task", "problem_id", "sample_id")]
_TEXTS = ("completion", "answer", "error", "reasoning")
_FACTS = [each.name for each in fields(Asked)]


@dataclass(kw_only=True)
class Tries:
    """The samples of one problem of a cell."""

    given: dict[int, Where] = field(default_factory=dict)
    """Sample ids that the file gives, with their rows."""
    numbered: int = 0
    """Samples without an id, which are numbered in the order of the rows."""
    passed: int = 0
    undecided: int = 0
    unjudged: int = 0
    """Of the undecided, those that are no failure of an engine."""

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.given) + self.numbered


@dataclass(kw_only=True)
class Gathered:
    """What an import holds."""

    asked: dict[str, dict[str, Asked]] = field(default_factory=dict)
    """For each task its problems, in the order of the rows."""
    first_row: dict[tuple[str, str], Where] = field(default_factory=dict)
    """Of each task and problem."""
    tries: dict[Cell, dict[str, Tries]] = field(default_factory=dict)
    counts: dict[Cell, dict[str, Count]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """What the files call each model, by its name in the run."""
    tasks: dict[str, str] = field(default_factory=dict)
    """The same of tasks."""
    bad: list[BadRow] = field(default_factory=list)
    """The first rows that are refused."""
    bad_rows: int = 0
    shifted: int = 0
    """What was taken from every sample id: 1 where the files number from 1."""

    @property
    def cells(self) -> list[Cell]:
        """Every model on every task that it has, in the order of the rows."""
        return list(dict.fromkeys([*self.tries, *self.counts]))

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(each.samples for tries in self.tries.values() for each in tries.values())


MOST_BAD = 10
"""Refused rows that are kept, to be named."""


def gather(records: Iterable[Record], spill: Spill) -> Gathered:
    """Look at every record, and hand the samples on to `spill`.

    Args:
        records: of all files.
        spill: gets the samples; ids are those of the files less `shifted`, null where they have
            none.

    Returns:
        What there is. Rows that are refused are counted in it, the first are kept.
    """
    found = Gathered()
    for record in records:
        if isinstance(record, BadRow):
            _refuse(found, record)
            continue
        try:
            _refuse_broken_texts(record)
            cell = _cell(found, record)
            _ask(found, record, cell.task)
            if isinstance(record, Count):
                _count(found, record, cell)
            else:
                _try(found, record, cell, spill)
        except RowError as error:
            _refuse(found, BadRow(where=record.where, reason=str(error)))
    spill.close()
    ids = [each.given for tries in found.tries.values() for each in tries.values() if each.given]
    if ids and min(min(given) for given in ids) == 1:
        found.shifted = 1
        for tries in found.tries.values():
            for each in tries.values():
                each.given = {number - 1: where for number, where in each.given.items()}
    return found


def _refuse_broken_texts(record: Sample | Count) -> None:
    """Raise RowError where a text holds half of a character: no file of ours can."""
    texts = {"problem_id": record.problem_id, **plain(record.asked)}
    if isinstance(record, Sample):
        texts |= {name: getattr(record, name) for name in _TEXTS}
    for name, text in texts.items():
        if text is None or text.isascii():
            continue
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RowError(
                f"field {name}: holds {text[error.start : error.end]!r} at {error.start}, half of "
                "a character (a lone surrogate); write the file again without it"
            ) from None


def _refuse(found: Gathered, row: BadRow) -> None:
    found.bad_rows += 1
    if len(found.bad) < MOST_BAD:
        found.bad.append(row)


def _cell(found: Gathered, record: Sample | Count) -> Cell:
    """Return the cell of a record, by names that may be part of a path."""
    named = []
    for known, said in ((found.names, record.model), (found.tasks, record.task)):
        name = values.name(said)
        if known.setdefault(name, said) != said:
            raise RowError(
                f"{said!r} and {known[name]!r} would both be called {name}; rename one, or give "
                "--model or --task"
            )
        named.append(name)
    return Cell(*named)


def _ask(found: Gathered, record: Sample | Count, task: str) -> None:
    """Take what a row says of its problem; RowError where an earlier row said otherwise."""
    problems = found.asked.setdefault(task, {})
    before = problems.get(record.problem_id)
    if before is None:
        problems[record.problem_id] = record.asked
        found.first_row[task, record.problem_id] = record.where
        return
    if before is record.asked or before == record.asked:
        return
    merged: dict[str, str] = {}
    for name in _FACTS:
        old, new = getattr(before, name), getattr(record.asked, name)
        if old is not None and new is not None and old != new:
            raise RowError(
                f"field {name}: problem {record.problem_id} has {_short(new)} here and "
                f"{_short(old)} in {found.first_row[task, record.problem_id]}; a problem has one "
                f"{name}"
            )
        if old is None and new is not None:
            merged[name] = new
    if merged:
        problems[record.problem_id] = replace(before, **merged)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _count(found: Gathered, record: Count, cell: Cell) -> None:
    before = found.counts.setdefault(cell, {}).get(record.problem_id)
    if before is not None:
        raise RowError(
            f"problem {record.problem_id} of {cell.model} on {cell.task} has counts in "
            f"{before.where} already"
        )
    found.counts[cell][record.problem_id] = record


def _try(found: Gathered, record: Sample, cell: Cell, spill: Spill) -> None:
    tries = found.tries.setdefault(cell, {}).setdefault(record.problem_id, Tries())
    number = record.sample_id
    if number is None:
        tries.numbered += 1
    elif number in tries.given:
        raise RowError(
            f"sample {number} of problem {record.problem_id} is in {tries.given[number]} already; "
            "number samples in the order of the rows with --field sample_id="
        )
    else:
        tries.given[number] = record.where
    if tries.given and tries.numbered:
        raise RowError(
            f"problem {record.problem_id} has samples with and without a sample_id; give all one, "
            "or none with --field sample_id="
        )
    tries.passed += record.passed is True
    tries.undecided += record.passed is None
    tries.unjudged += record.passed is None and record.finish_reason != "error"
    where = {"model": cell.model, "task": cell.task, "problem_id": record.problem_id}
    spill.add({**where, "sample_id": number, **{name: getattr(record, name) for name in _OWN}})


def plain(asked: Asked) -> Mapping[str, str | None]:
    """Return what is known of a problem, by the columns of PROBLEMS."""
    return asdict(asked)
