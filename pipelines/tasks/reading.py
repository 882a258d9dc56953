"""Rows of a table as it is published: JSON Lines, JSON, Parquet, tab-separated, or a data set.

Knows formats; not which fields a row should have.
"""

import gzip
import importlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.errors import UserError
from pipelines.sweeps.task_sections import ReadTask

FORMATS = ".jsonl, .jsonl.gz, .json, .parquet or .tsv"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What was read."""

    where: str
    """The task and its file, for messages."""
    label: str
    """The file's name without its ending, or the data set's split; part of ids made up for rows
    that have none."""
    rows: Sequence[Mapping[str, Any]]


def read(task: ReadTask) -> Rows:
    """Return the rows of a task's file or data set, in its order.

    Raises:
        UserError: it is missing or cannot be read; names the file, and the line where one is bad.
    """
    if task.path is None:
        return _data_set(task)
    path = Path(task.path)
    where = f"task {task.name}: {path}"
    if not path.is_file():
        raise UserError(f"{where}: no such file")
    label, _, ending = path.name.partition(".")
    match ending.rpartition(".")[2] if not ending.endswith(".gz") else ending:
        case "parquet":
            rows = _parquet(path, where)
        case "tsv":
            rows = _tab_separated(path, where)
        case "json":
            rows = _objects(_parse(_text(path, where), where), where)
        case "jsonl" | "ndjson" | "jsonl.gz":
            rows = _json_lines(_text(path, where), where)
        case _:
            raise UserError(f"{where}: must end in {FORMATS}")
    return Rows(where=where, label=label, rows=rows)


def _parquet(path: Path, where: str) -> list[dict[str, Any]]:
    try:
        return pl.read_parquet(path).to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{where}: cannot be read as Parquet ({error})") from None


def _tab_separated(path: Path, where: str) -> list[dict[str, Any]]:
    try:
        # Every field is text; a quote is a character like any other.
        table = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{where}: cannot be read as tab-separated text ({error})") from None
    return table.to_dicts()


def _text(path: Path, where: str) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{where}: cannot be read ({error})") from None


def _json_lines(text: str, where: str) -> list[dict[str, Any]]:
    rows = []
    # Not splitlines: JSON may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = _parse(line, f"{where}: line {number}")
            if not isinstance(row, dict):
                raise UserError(f"{where}: line {number}: must be a JSON object, is {line[:40]!r}")
            rows.append(row)
    return rows


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:  # numbers or nesting without end
        raise UserError(f"{where}: not JSON that can be read ({error})") from None


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise UserError(f"{where}: must hold a JSON list of objects")
    return value


def _data_set(task: ReadTask) -> Rows:
    where = f"task {task.name}: dataset {task.dataset}"
    split = task.split or "test"
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise UserError(
            f"{where}: needs the library datasets; pip install datasets, or download the file and "
            "give its path"
        ) from None
    try:
        rows = list(datasets.load_dataset(task.dataset, task.config, split=split))
    except Exception as error:  # the library raises errors of many others
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{where}, config {task.config}, split {split}: cannot be loaded ({lines[0][:200]})"
        ) from None
    return Rows(where=where, label=split, rows=rows)
