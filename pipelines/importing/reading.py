"""Files -> rows, one after the other: JSONL, JSON, YAML, CSV and Parquet; knows no field of them.

Never holds a whole JSONL, CSV or Parquet file in memory.
"""

import csv
import gzip
import io
import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipelines.errors import UserError, first_line
from pipelines.importing.records import BadRow, Where

Row = Mapping[str, Any]

SUFFIXES = (
    ".jsonl", ".jsonl.gz", ".ndjson", ".json", ".json.gz", ".yaml", ".yml", ".csv", ".csv.gz",
    ".tsv", ".parquet", ".eval",
)  # fmt: skip
_BATCH = 1_024
"""Rows of a Parquet file that are in memory at a time."""


def expanded(names: Sequence[str]) -> list[Path]:
    """Return files, with a folder replaced by the files in it, in the order of their names.

    Raises:
        UserError: one is not there, a folder holds none, or nothing says how one is read.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if _suffix(each) and each.is_file())
            if not inside:
                raise UserError(f"{name}: holds no file of {', '.join(SUFFIXES)}")
            found += inside
        elif not path.exists():
            raise UserError(f"{name}: no such file")
        elif not _suffix(path):
            raise UserError(f"{name}: must end in one of {', '.join(SUFFIXES)}")
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def stem(path: Path) -> str:
    """Return a file's name without what says how it is read."""
    return path.name[: -len(_suffix(path) or "")]


def is_lines(path: Path) -> bool:
    """Whether a file has a row on each line."""
    return _suffix(path) in (".jsonl", ".jsonl.gz", ".ndjson")


def rows(path: Path) -> Iterator[tuple[Where, Row] | BadRow]:
    """Yield the rows of a file; a line that is no JSON object comes as what is wrong with it.

    A JSON file holds a list of objects, or one object, which is then the only row; so does YAML.

    Raises:
        UserError: the file cannot be read.
    """
    suffix = _suffix(path)
    try:
        if is_lines(path):
            yield from _lines(path)
        elif suffix == ".parquet":
            yield from _parquet(path)
        elif suffix in (".csv", ".csv.gz", ".tsv"):
            yield from _csv(path, "\t" if suffix == ".tsv" else ",")
        else:
            yield from _document(path)
    except (OSError, UnicodeDecodeError, pa.ArrowException, csv.Error, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from None


def first_rows(path: Path, count: int) -> list[Row]:
    """Return the first rows of a file that can be read, at most `count`."""
    found = (each[1] for each in rows(path) if not isinstance(each, BadRow))
    return list(itertools.islice(found, count))


def document(path: Path) -> Any:
    """Return what a JSON or YAML file holds.

    Raises:
        UserError: it is neither, or cannot be read.
    """
    try:
        with _opened(path) as file:
            if _suffix(path) in (".yaml", ".yml"):
                return yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            return json.load(file)
    except (json.JSONDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({first_line(error)})") from None


def _opened(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig", newline="")


def _lines(path: Path) -> Iterator[tuple[Where, Row] | BadRow]:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = Where(str(path), number)
            try:
                value = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                yield BadRow(where=where, reason=f"is no JSON ({error})")
                continue
            yield _object(where, value)


def _object(where: Where, value: Any) -> tuple[Where, Row] | BadRow:
    if isinstance(value, dict):
        return where, value
    return BadRow(where=where, reason=f"is {str(value)[:40]!r}, must be an object with fields")


def _document(path: Path) -> Iterator[tuple[Where, Row] | BadRow]:
    value = document(path)
    for number, item in enumerate(value if isinstance(value, list) else [value], start=1):
        yield _object(Where(str(path), number), item)


def _csv(path: Path, delimiter: str) -> Iterator[tuple[Where, Row] | BadRow]:
    # Completions are longer than the 128 KiB that the reader allows.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with _opened(path) as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        for number, row in enumerate(reader, start=1):
            where = Where(str(path), number)
            if None in row or None in row.values():
                columns = len(reader.fieldnames or ())
                yield BadRow(where=where, reason=f"has not the {columns} columns of the first line")
                continue
            yield where, {key: value or None for key, value in row.items()}


def _parquet(path: Path) -> Iterator[tuple[Where, Row] | BadRow]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield Where(str(path), number), {key: _known(value) for key, value in row.items()}


def _known(value: Any) -> Any:
    """Return a value of a table, which writes what is missing as NaN, as JSON would have it."""
    return None if isinstance(value, float) and math.isnan(value) else value
