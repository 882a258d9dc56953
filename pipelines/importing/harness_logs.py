"""Logs of lm-evaluation-harness: samples_TASK_DATE.jsonl, as --log_samples writes them.

Each row is one document under one filter: `doc_id`, `doc`, `target`, `arguments`, `resps` (for each
request of the document, its repeats), `filtered_resps`, `filter`, `metrics` and a column for each
metric (EleutherAI/lm-evaluation-harness, lm_eval/evaluator.py and loggers/evaluation_tracker.py).
A task of likelihoods asks for each choice once, and its document is one sample.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.importing import values
from pipelines.importing.reading import Row, first_rows, rows, stem
from pipelines.importing.records import Asked, BadRow, Reading, Record, RowError, Sample, Where
from pipelines.importing.tables import FIRST_ROWS, MODEL

_NO_METRIC = frozenset(
    {
        "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
        "doc_hash", "prompt_hash", "target_hash", "input", "schema_version", "task_name",
    }
)  # fmt: skip
_NAME = re.compile(r"^samples_(?P<task>.+?)_(?P<date>\d{4}-\d\d-\d\dT.*)$")


def is_harness(row: Row) -> bool:
    """Whether a row is one of these logs."""
    return {"doc_id", "resps"} <= row.keys() and "target" in row


def read(path: Path, reading: Reading) -> Iterator[Record]:
    """Yield the samples of a log.

    Raises:
        UserError: there are several metrics or filters, and none is named; or repeats of a document
            have one verdict, and no verifier is to judge them.
    """
    first = first_rows(path, FIRST_ROWS)
    if not all(is_harness(row) for row in first):
        raise UserError(
            f"{path}: no log of lm-evaluation-harness; its rows have doc_id, target and resps"
        )
    metric = _metric(path, first, reading) if reading.judged else ""
    chosen = _filter(path, reading)
    for each in rows(path):
        if isinstance(each, BadRow):
            yield each
            continue
        where, row = each
        if row.get("filter") != chosen and "filter" in row:
            continue
        try:
            yield from _samples(path, where, row, metric, reading)
        except RowError as error:
            yield BadRow(where=where, reason=str(error))


def model_and_size(path: Path) -> tuple[str, int | None]:
    """Return what the results beside a log say of its model: its name, and its size if known."""
    match = _NAME.match(stem(path))
    date = match["date"] if match else ""
    for beside in (path.parent / f"results_{date}.json", path.parent / "results.json"):
        try:
            results = json.loads(beside.read_text(encoding="utf-8"))
            config = results.get("config") or {}
            name = results.get("model_name") or _pretrained(config.get("model_args"))
            size = config.get("model_num_parameters")
            break
        except (OSError, ValueError, AttributeError):
            continue
    else:
        return MODEL, None
    return str(name or MODEL), int(size) if isinstance(size, int) and size > 0 else None


_model_and_size = lru_cache(maxsize=64)(model_and_size)


def _pretrained(arguments: Any) -> str | None:
    if isinstance(arguments, dict):
        return arguments.get("pretrained") or arguments.get("model")
    found = re.search(r"(?:pretrained|model)=([^,]+)", str(arguments or ""))
    return found[1] if found else None


def _metric(path: Path, first: Sequence[Row], reading: Reading) -> str:
    """Return the column of the verdict."""
    names: dict[str, None] = {}
    for row in first:
        there = row.get("metrics") or [key for key in row if key not in _NO_METRIC]
        names |= dict.fromkeys(name for name in there if name in row)
    if reading.metric in names:
        return str(reading.metric)
    if reading.metric is None and len(names) == 1:
        return next(iter(names))
    said = "has several metrics" if reading.metric is None else f"has no metric {reading.metric}"
    raise UserError(
        f"{path}: {said}: {', '.join(names) or 'none'}; name the one that is the verdict with "
        "--metric"
    )


def _filter(path: Path, reading: Reading) -> str | None:
    """Return the filter whose rows are taken."""
    names: dict[str, None] = {}
    documents: set[Any] = set()
    for each in rows(path):
        if isinstance(each, BadRow) or "filter" not in each[1]:
            continue
        row = each[1]
        names.setdefault(str(row["filter"]))
        # All filters of a document stand together, or all documents of a filter do.
        documents.add((row["filter"], str(row.get("doc_id"))))
        if len(documents) > 100_000:
            break
    if reading.filter is not None and reading.filter not in names:
        raise UserError(
            f"{path}: has no filter {reading.filter}; it has {', '.join(names) or 'none'}"
        )
    if reading.filter is None and len(names) > 1:
        raise UserError(
            f"{path}: holds each document under several filters: {', '.join(names)}; name one with "
            "--filter"
        )
    return reading.filter or next(iter(names), None)


def _samples(path: Path, where: Where, row: Row, metric: str, reading: Reading) -> Iterator[Sample]:
    name, _ = _model_and_size(path)
    match = _NAME.match(stem(path))
    task = reading.task or (match["task"] if match else stem(path).removeprefix("samples_"))
    plain = Sample(
        where=where,
        model=reading.model or name,
        task=task,
        problem_id=str(row["doc_id"]),
        asked=_asked(row),
    )
    value = row.get(metric) if metric else None
    said = f"passed ({metric})"
    completions = _completions(row)
    if completions is None:
        passed = values.verdict(value, said, reading.threshold)
        yield replace(plain, answer=_likeliest(row), passed=passed)
        return
    found = row.get("filtered_resps") or []
    answers = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    verdicts: list[Any] = value if isinstance(value, list) else [value]
    if reading.judged and len(verdicts) != len(completions):
        raise RowError(
            f"field {said}: is {value!r}, one for {len(completions)} repeats of the document; let "
            "each be judged with --verifier"
        )
    for at, completion in enumerate(completions):
        answer = answers[at] if len(answers) == len(completions) else None
        yield replace(
            plain,
            sample_id=at,
            completion=completion,
            answer=answer if isinstance(answer, str) else None,
            passed=values.verdict(verdicts[at], said, reading.threshold)
            if reading.judged
            else None,
        )


def _completions(row: Row) -> list[str] | None:
    """Return the repeats of a document; None where its requests were for likelihoods."""
    resps = row.get("resps") or []
    repeats = resps[0] if len(resps) == 1 and isinstance(resps[0], list) else resps
    if repeats and all(isinstance(each, str) for each in repeats):
        return list(repeats)
    return None


def _likeliest(row: Row) -> str | None:
    """Return the number of the choice of the largest likelihood, where there are several."""
    found = row.get("filtered_resps") or []
    try:
        likelihoods = [float(each[0]) for each in found]
    except (TypeError, ValueError, IndexError):
        return None
    return str(likelihoods.index(max(likelihoods))) if len(likelihoods) > 1 else None


def _asked(row: Row) -> Asked:
    arguments = row.get("arguments")
    if isinstance(arguments, dict):
        first: Any = next(iter(arguments.values()), {})
        prompt = first.get("arg_0") if isinstance(first, dict) else None
    else:
        prompt = arguments[0][0] if arguments and isinstance(arguments[0], list) else None
    return Asked(prompt=values.said(prompt), answer=values.text(row.get("target")))
