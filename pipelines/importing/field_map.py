"""Which column of a file holds which field: as the user says, or by the names that are in use.

Knows names; not what is done with a value.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pipelines.errors import UserError
from pipelines.importing.reading import Row

ALIASES: Mapping[str, tuple[str, ...]] = {
    "problem_id": (
        "problem_id", "task_id", "question_id", "doc_id", "problem_idx", "prompt_idx",
        "orig_dset_idx", "instance_id", "example_id", "unique_id", "qid", "uid", "id", "idx",
        "index",
    ),
    "sample_id": ("sample_id", "sample_idx", "completion_id", "attempt", "trial", "epoch"),
    "model": ("model", "model_name"),
    "task": ("task", "benchmark", "task_name", "dataset"),
    "prompt": ("prompt", "question", "problem", "input", "query", "instruction"),
    "messages": ("messages",),
    "completion": (
        "completion", "completions", "response", "responses", "generation", "generations",
        "generated_text", "generated_answer", "output", "outputs", "model_output", "samples",
        "solution", "code", "text",
    ),
    "extracted": (
        "extracted", "extracted_answer", "parsed_answer", "model_answer", "pred", "prediction",
        "predictions",
    ),
    "passed": (
        "passed", "is_correct", "is_corrects", "correct", "corrects", "verdict", "verdicts",
        "is_passed", "success", "resolved",
    ),
    "answer": (
        "gold", "gold_answer", "gt_answer", "ground_truth", "gt", "target", "reference",
        "reference_answer", "expected", "expected_answer", "correct_answer", "answer",
    ),
    "score": ("score", "reward", "reward_score", "pred_score"),
    "tests": ("tests",),
    "level": ("level", "difficulty"),
    "finish_reason": ("finish_reason", "stop_reason"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens", "num_tokens"),
    "sum_logprob": ("sum_logprob", "cumulative_logprob"),
    "seed": ("seed",),
    "error": ("error",),
    "reasoning": ("reasoning", "reasoning_content"),
    "n": ("n", "num_samples_total", "num_samples", "n_samples", "samples", "total", "trials"),
    "c": ("c", "num_samples_correct", "num_correct", "n_correct", "correct", "passes", "successes"),
    "undecided": ("undecided",),
    "r": ("r",),
    "cap": ("cap",),
    "nth_pass": ("nth_pass",),
    "look": ("look",),
}  # fmt: skip
"""For each field of ours, the names that other tools give it, the likeliest first."""


@dataclass(frozen=True, kw_only=True)
class FieldMap:
    """The columns of one file, for the fields that it has."""

    columns: Mapping[str, tuple[str, ...]]
    """For each field that the file has, the path to its value."""
    there: tuple[str, ...]
    """Every path of the file, for errors."""
    where: str
    """The file, for errors."""

    @classmethod
    def of(cls, rows: Sequence[Row], given: Mapping[str, str], where: str) -> Self:
        """Find the fields of a file.

        Args:
            rows: the first ones.
            given: column of each field that the user names, dotted into nested objects; an empty
                one says that the file does not have the field.
            where: the file, for errors.

        Raises:
            UserError: a field that is not ours, or a column that no row has.
        """
        there: dict[str, tuple[str, ...]] = {}
        for row in rows:
            _collect(row, (), there)
        by_name = {_plain(name): path for name, path in reversed(there.items()) if len(path) == 1}
        columns: dict[str, tuple[str, ...]] = {}
        for field, names in ALIASES.items():
            if field in given:
                continue
            path = next((by_name[name] for name in names if name in by_name), None)
            if path is not None:
                columns[field] = path
        for field, name in given.items():
            if field not in ALIASES:
                close = difflib.get_close_matches(field, ALIASES, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise UserError(
                    f"--field {field}={name}: {field} is no field; they are "
                    f"{', '.join(ALIASES)}{hint}"
                )
            if name:
                if name not in there:
                    raise UserError(
                        f"--field {field}={name}: {where} has no {name}; {_guesses(name, there)}"
                    )
                columns[field] = there[name]
        return cls(columns=columns, there=tuple(there), where=where)

    def __contains__(self, field: str) -> bool:
        return field in self.columns

    def get(self, row: Row, field: str) -> Any:
        """Return a row's value of a field; None where it has none."""
        path = self.columns.get(field)
        if path is None:
            return None
        value: Any = row
        for key in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(key)
        return value

    def name(self, field: str) -> str:
        """Return what the file calls a field, for errors."""
        path = self.columns.get(field)
        called = ".".join(path) if path else field
        return field if called == field else f"{field} ({called})"

    def missing(self, *fields: str, why: str) -> UserError:
        """Return the error that a file has none of some fields, with the nearest guesses."""
        wanted = " or ".join(fields)
        names = [name for field in fields for name in ALIASES[field]]
        guesses: dict[str, None] = {}
        for name in names:
            guesses |= dict.fromkeys(difflib.get_close_matches(name, self.there, 2, 0.6))
        near = f"; nearest are {', '.join(list(guesses)[:4])}" if guesses else ""
        return UserError(
            f"{self.where}: no field {wanted}, {why}; its columns are {_some(self.there)}{near}. "
            f"Name it with --field {fields[0]}=COLUMN"
        )


def _plain(name: str) -> str:
    """Return a column's name as aliases are written: "Num. Samples Total" is num_samples_total."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _collect(row: Row, before: tuple[str, ...], there: dict[str, tuple[str, ...]]) -> None:
    """Add the paths of a row, dotted, to those that are known."""
    for key, value in row.items():
        path = (*before, str(key))
        there.setdefault(".".join(path), path)
        if isinstance(value, Mapping):
            _collect(value, path, there)


def _guesses(name: str, there: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, there, 3, 0.5)
    return f"nearest are {', '.join(near)}" if near else f"its columns are {_some(tuple(there))}"


def _some(names: Sequence[str]) -> str:
    most = 30
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
