"""Any table with a field for each thing that a problem has, and any verifier.

Knows field maps; no benchmark.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, get_args

import pyarrow as pa

from pipelines.sweeps.task_sections import FileField, FileTask
from pipelines.tasks.problem import Message, Problem, collect, user
from pipelines.tasks.rows import Row

_KINDS = {"program_tests": "assertions", "program_io": "io"}
"""The kind of tests that each verifier of programs runs."""


def problems(task: FileTask) -> pa.Table:
    """Return the problems of a file; see `pipelines.tasks.problems`.

    Fields that may hold JSON (messages, tests, verifier_options, meta) hold it as text or as
    values. `messages` counts only in style chat.
    """
    way_out = f"name others under tasks.{task.name}.fields"
    return collect(task, partial(_problem, task=task), way_out)


def _problem(row: Row, label: str, task: FileTask) -> Problem:
    column: dict[str, str] = dict(zip(_FIELDS, _FIELDS, strict=True)) | task.fields
    program = task.verifier in _KINDS
    problem_id = row.text(column["problem_id"])
    prompt, messages = _question(row, column, task)
    level = row.get(column["level"])
    return Problem(
        problem_id=problem_id,
        prompt=prompt,
        messages=messages,
        answer=None if program else _answer(row, column["answer"], task),
        verifier=task.verifier,
        options=task.options | _mapping(row, column["verifier_options"]),
        tests=_tests(row, column["tests"], task) if program else None,
        level=None if level is None else str(level),
        meta=_mapping(row, column["meta"]),
    )


_FIELDS = get_args(FileField)


def _question(
    row: Row, column: Mapping[str, str], task: FileTask
) -> tuple[str, Sequence[Message] | None]:
    """Return what is asked, as text and, in style chat, as a conversation."""
    messages = _messages(row, column["messages"]) if task.style == "chat" else None
    if messages is not None:
        return "\n\n".join(message["content"] for message in messages), messages
    prompt = task.template.replace("{prompt}", row.text(column["prompt"]))
    return prompt, user(prompt) if task.style == "chat" else None


def _answer(row: Row, name: str, task: FileTask) -> str:
    value = row.required(name)
    if task.verifier == "json" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return row.text(name)


def _messages(row: Row, name: str) -> list[Message] | None:
    value = _json(row, name)
    if value is None:
        return None
    if not value or not isinstance(value, list) or not all(map(_is_message, value)):
        raise row.error(
            f"field {name} is {str(value)[:60]!r}, must be a list of messages, each with role and "
            "content as text"
        )
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(key), str) for key in ("role", "content")
    )


def _tests(row: Row, name: str, task: FileTask) -> dict[str, Any]:
    row.required(name)
    tests = _mapping(row, name)
    kind = _KINDS[task.verifier]
    if tests.get("kind") != kind:
        raise row.error(
            f"field {name}: kind is {tests.get('kind')!r}; verifier {task.verifier} runs tests of "
            f"kind {kind}"
        )
    return tests


def _mapping(row: Row, name: str) -> dict[str, Any]:
    value = _json(row, name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise row.error(f"field {name} is {str(value)[:60]!r}, must be a JSON object")
    # A Parquet file has every field of a struct in every row.
    return {key: each for key, each in value.items() if each is not None}


def _json(row: Row, name: str) -> Any:
    value = row.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise row.error(f"field {name} is {value[:60]!r}, not valid JSON ({error})") from None
