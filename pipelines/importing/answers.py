"""Right answers and tests from a file of their own, for samples that came without."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from operators.verification.extract import canonical_answer
from operators.verification.options import check_options
from operators.verification.programs import ASSERTIONS, STOP, read_tests
from pipelines.errors import UserError
from pipelines.importing import values
from pipelines.importing.field_map import FieldMap
from pipelines.importing.gathering import Gathered
from pipelines.importing.reading import Row, first_rows, rows
from pipelines.importing.records import Asked, BadRow

_FIRST_ROWS = 100


def add_answers(found: Gathered, path: Path) -> int:
    """Give the problems of an import the answers and tests of a file; return how many it has.

    A row is known by its problem_id, else by its prompt. HumanEval's fields test and entry_point
    are tests too.

    Raises:
        UserError: the file cannot be read, has no answers, or has none for any of the problems.
    """
    first = first_rows(path, _FIRST_ROWS)
    fields = FieldMap.of(first, {}, str(path))
    if not {"problem_id", "prompt"} & set(fields.columns):
        raise fields.missing("problem_id", "prompt", why="by which problems are found")
    known: dict[str, Asked] = {}
    for each in rows(path):
        if isinstance(each, BadRow):
            raise UserError(str(each))
        asked = _asked(fields, each[1])
        name = values.text(fields.get(each[1], "problem_id"))
        known |= {key: asked for key in (name, asked.prompt) if key}
    given = 0
    for problems in found.asked.values():
        for name, asked in problems.items():
            more = known.get(name) or known.get(asked.prompt or "")
            if more is not None:
                given += 1
                problems[name] = replace(
                    asked,
                    answer=asked.answer or more.answer,
                    tests=asked.tests or more.tests,
                    prompt=asked.prompt or more.prompt,
                    level=asked.level or more.level,
                )
    if not given:
        raise UserError(
            f"{path}: has no answer to any of the problems; it is looked for by problem_id, then "
            f"by prompt, and has {', '.join(list(known)[:3])}, ..."
        )
    return given


def _asked(fields: FieldMap, row: Row) -> Asked:
    tests = values.text(fields.get(row, "tests"))
    if tests is None and {"test", "entry_point"} <= row.keys():
        tests = json.dumps(_humaneval(row))
    prompt, _ = values.conversation(fields.get(row, "prompt"))
    return Asked(
        prompt=prompt,
        answer=values.text(fields.get(row, "answer")),
        tests=tests,
        level=values.text(fields.get(row, "level")),
    )


def _humaneval(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tests of a problem of HumanEval, whose completions go on with its prompt."""
    return {
        "kind": ASSERTIONS,
        "prompt": row.get("prompt") or "",
        "code": row["test"],
        "entry_point": str(row["entry_point"]).strip(),
        "stop": list(STOP),
    }


def refuse_unjudgeable(found: Gathered, verifier: str, options: Mapping[str, Any]) -> list[BadRow]:
    """Return the problems that a verifier cannot judge: no answer, or one that it cannot read.

    Raises:
        UserError: the verifier has no such option.
    """
    try:
        check_options(verifier, dict(options))
    except ValueError as error:
        raise UserError(f"--verifier-option: {error}") from None
    bad = []
    for task, problems in found.asked.items():
        for name, asked in problems.items():
            reason = _unjudgeable(name, asked, verifier, options)
            if reason is not None:
                bad.append(BadRow(where=found.first_row[task, name], reason=reason))
    return bad


def _unjudgeable(name: str, asked: Asked, verifier: str, options: Mapping[str, Any]) -> str | None:
    try:
        if verifier.startswith("program"):
            if asked.tests is None:
                return f"field tests: problem {name} has none, which verifier {verifier} runs; " \
                    "give a file that has them with --answers"  # fmt: skip
            read_tests(asked.tests, name)
            return None
        if asked.answer is None:
            return f"field answer: problem {name} has none, which verifier {verifier} needs; " \
                "give a file that has them with --answers"  # fmt: skip
        if canonical_answer(asked.answer, verifier, dict(options)) is None:
            return (
                f"field answer: problem {name} has {asked.answer[:60]!r}, which verifier "
                f"{verifier} cannot read; take another verifier, such as exact for words"
            )
    except ValueError as error:
        return str(error)
    return None
