"""Tables of samples and of counts: JSONL, JSON, CSV, Parquet and YAML of whatever columns.

A row is one sample, or one problem with a list of completions or verdicts, or one problem's counts.
Knows fields and values; not which files other tools write.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from operators.schemas import FINISH_REASONS
from pipelines.importing import values
from pipelines.importing.field_map import FieldMap
from pipelines.importing.reading import Row, first_rows, is_lines, rows, stem
from pipelines.importing.records import (
    Asked,
    BadRow,
    Count,
    Reading,
    Record,
    RowError,
    Sample,
    Where,
)

FIRST_ROWS = 100
"""Rows of which the columns are looked at."""
MODEL = "model"
"""What a model is called where nothing names it."""
_OF_A_SAMPLE = (
    "completion", "passed", "extracted", "score", "finish_reason", "completion_tokens",
    "sum_logprob", "seed", "error", "reasoning",
)  # fmt: skip
_CUT_OFF = frozenset({"length", "max_tokens", "max_length", "model_length"})


def has_counts(fields: FieldMap, sample: Row) -> bool:
    """Whether a row holds counts of samples, rather than samples."""
    n, c = fields.get(sample, "n"), fields.get(sample, "c")
    try:
        numbers = values.whole(n, "n") is not None and values.whole(c, "c") is not None
    except RowError:
        return False
    return numbers and not isinstance(n, bool) and not isinstance(c, bool)


def read_samples(path: Path, reading: Reading) -> Iterator[Record]:
    """Yield the samples of a table.

    Raises:
        UserError: the file cannot be read, or has no field that is needed.
    """
    first = first_rows(path, FIRST_ROWS)
    fields = FieldMap.of(first, reading.fields, str(path))
    if "completion" not in fields and "passed" not in fields:
        raise fields.missing("passed", "completion", why="of which samples are made")
    if reading.judged and "passed" not in fields:
        raise fields.missing(
            "passed", why="and without verdicts a verifier has to judge (--verifier)"
        )
    table = _Table(path, fields, reading)
    alone = len(first) == 1 and not is_lines(path)
    for each in rows(path):
        if isinstance(each, BadRow):
            yield each
            continue
        where, row = each
        try:
            yield from table.samples(where, row, alone=alone)
        except RowError as error:
            yield BadRow(where=where, reason=str(error))


def read_counts(path: Path, reading: Reading) -> Iterator[Record]:
    """Yield the counts of a table; as `read_samples`."""
    fields = FieldMap.of(first_rows(path, FIRST_ROWS), reading.fields, str(path))
    for field in ("problem_id", "n", "c"):
        if field not in fields:
            raise fields.missing(field, why="which counts need")
    table = _Table(path, fields, reading)
    for each in rows(path):
        if isinstance(each, BadRow):
            yield each
            continue
        where, row = each
        try:
            yield table.count(where, row)
        except RowError as error:
            yield BadRow(where=where, reason=str(error))


class _Table:
    """One file, with the columns that its fields are in."""

    def __init__(self, path: Path, fields: FieldMap, reading: Reading) -> None:
        self._fields = fields
        self._reading = reading
        self._stem = stem(path)
        self._asked: dict[Asked, Asked] = {}

    def samples(self, where: Where, row: Row, *, alone: bool) -> Iterator[Sample]:
        """Yield the samples of a row; `alone`: the file holds this one problem."""
        listed = {
            field: value
            for field in _OF_A_SAMPLE
            if isinstance(value := self._fields.get(row, field), list)
        }
        if "completion" not in listed and "passed" not in listed:
            yield self._sample(where, row, None, {})
            return
        sizes = {field: len(value) for field, value in listed.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{self._fields.name(at)} has {size}" for at, size in sizes.items())
            raise RowError(f"lists of one problem must be of one length; {told}")
        for at in range(next(iter(sizes.values()))):
            values_at = {field: value[at] for field, value in listed.items()}
            yield self._sample(where, row, self._stem if alone else None, values_at)

    def _sample(
        self,
        where: Where,
        row: Row,
        fallback: str | None,
        listed: Mapping[str, Any],
    ) -> Sample:
        """Return one sample: of a list where the row has lists, else the row itself."""

        def value(field: str) -> Any:
            return listed[field] if field in listed else self._fields.get(row, field)

        asked = self._asked_of(row)
        tokens = {
            field: values.whole(value(field), self._fields.name(field), 0, values.MOST_TOKENS)
            for field in ("prompt_tokens", "completion_tokens")
        }
        finish, error = self._ended(value("finish_reason"), values.text(value("error")))
        return Sample(
            where=where,
            model=self._model(row),
            task=self._task(row),
            problem_id=self._problem_id(where, row, asked, fallback, wide=bool(listed)),
            asked=asked,
            sample_id=None
            if listed
            else values.whole(value("sample_id"), self._fields.name("sample_id")),
            completion=values.said(value("completion")),
            answer=values.text(_single(value("extracted"))),
            passed=values.verdict(
                _single(value("passed")), self._fields.name("passed"), self._reading.threshold
            )
            if self._reading.judged
            else None,
            score=values.number(_single(value("score")), self._fields.name("score"))
            if self._reading.judged and "score" in self._fields
            else None,
            finish_reason=finish,
            **tokens,
            sum_logprob=values.number(value("sum_logprob"), self._fields.name("sum_logprob")),
            seed=values.whole(value("seed"), self._fields.name("seed"), -(2**63)),
            error=error,
            reasoning=values.said(value("reasoning")),
        )

    def count(self, where: Where, row: Row) -> Count:
        """Return the counts of a row."""
        asked = self._asked_of(row)
        found = {
            field: values.whole(self._fields.get(row, field), self._fields.name(field))
            for field in ("n", "c", "undecided", "r", "cap", "nth_pass", "look")
        }
        n, c, undecided = found.pop("n"), found.pop("c"), found.pop("undecided") or 0
        if n is None or c is None:
            raise RowError(f"field {self._fields.name('n' if n is None else 'c')}: is empty")
        if c + undecided > n:
            raise RowError(
                f"field {self._fields.name('c')}: is {c}, with {undecided} undecided more than "
                f"n = {n}"
            )
        if found["r"] is not None and found["r"] < 2:
            raise RowError(f"field {self._fields.name('r')}: is {found['r']}, must be from 2 on")
        return Count(
            where=where,
            model=self._model(row),
            task=self._task(row),
            problem_id=self._problem_id(where, row, asked, None, wide=True),
            asked=asked,
            n=n,
            c=c,
            undecided=undecided,
            **found,
        )

    def _model(self, row: Row) -> str:
        return self._reading.model or values.text(self._fields.get(row, "model")) or MODEL

    def _task(self, row: Row) -> str:
        return self._reading.task or values.text(self._fields.get(row, "task")) or self._stem

    def _problem_id(
        self, where: Where, row: Row, asked: Asked, fallback: str | None, *, wide: bool
    ) -> str:
        """Return the problem's name: its field, the file's, a digest of the prompt, or the row.

        Each only where those before are not there; the row where it is all there is of a problem.
        """
        found = values.text(self._fields.get(row, "problem_id"))
        if found:
            return found
        if fallback is not None:
            return fallback
        if asked.prompt:
            return values.digest_of(asked.prompt)
        if wide:
            return str(where.row - 1)
        raise RowError(f"field {self._fields.name('problem_id')}: is empty, and so is the prompt")

    def _asked_of(self, row: Row) -> Asked:
        get = self._fields.get
        prompt, messages = values.conversation(get(row, "prompt"))
        if get(row, "messages"):
            joined, messages = values.conversation(get(row, "messages"))
            prompt = prompt or joined
        answer = get(row, "answer")
        asked = Asked(
            prompt=prompt,
            messages=messages,
            answer=None if answer is None or isinstance(answer, list) else values.text(answer),
            tests=values.text(get(row, "tests")),
            level=values.text(get(row, "level")),
        )
        return self._asked.setdefault(asked, asked)  # one in memory for all samples of a problem

    def _ended(self, reason: Any, error: str | None) -> tuple[str, str | None]:
        """Return a sample's finish reason in our words, and its error."""
        if error:
            return "error", error
        word = str(reason or "stop").lower()
        if word in FINISH_REASONS:
            return word, "no reason was recorded" if word == "error" else None
        return ("length" if word in _CUT_OFF else "stop"), None


def _single(value: Any) -> Any:
    """Return the only item of a list of one, as some tools wrap each number."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
