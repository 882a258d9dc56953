"""Which format a file has, told by its content, and the records of files of any of them."""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import UserError
from pipelines.importing import evalplus_results, harness_logs, inspect_logs, tables
from pipelines.importing.field_map import FieldMap
from pipelines.importing.reading import document, expanded, first_rows
from pipelines.importing.records import Reading, Record

Format = Literal["samples", "counts", "lm-eval", "inspect", "evalplus", "monkeys"]

FORMATS: Mapping[Format, str] = {
    "samples": "a table of samples",
    "counts": "a table of counts",
    "lm-eval": "a log of lm-evaluation-harness",
    "inspect": "a log of inspect_ai",
    "evalplus": "results of EvalPlus",
    "monkeys": "samples as Large Language Monkeys releases them",
}
"""What each format is, for people."""

_READERS: Mapping[Format, Callable[[Path, Reading], Iterator[Record]]] = {
    "samples": tables.read_samples,
    "counts": tables.read_counts,
    "lm-eval": harness_logs.read,
    "inspect": inspect_logs.read,
    "evalplus": evalplus_results.read,
    # One problem a file or row, with `question`, `samples`, `gt_answer` and `is_corrects`
    # (ScalingIntelligence/large_language_monkeys, llmonk/evaluate/math_datasets.py).
    "monkeys": tables.read_samples,
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that is to be imported."""

    path: Path
    format: Format


def sources(names: Sequence[str], forced: Format | None, fields: Mapping[str, str]) -> list[Source]:
    """Return the files to import, each with its format.

    Of a folder, files that only describe others are left out: results of lm-evaluation-harness, and
    samples of which EvalPlus's results are there.

    Raises:
        UserError: a file is not there, or its format is not known.
    """
    paths = expanded(names)
    found = [Source(path=path, format=forced or recognise(path, fields)) for path in paths
             if not _describes(path)]  # fmt: skip
    judged = {
        each.path.parent / evalplus_results.samples_of(each.path)
        for each in found
        if each.format == "evalplus" and each.path.suffix == ".json"
    }
    kept = [each for each in found if each.path not in judged]
    if not kept:
        raise UserError(f"{', '.join(names)}: nothing to import; these files describe others")
    return kept


def _describes(path: Path) -> bool:
    """Whether a file is what lm-evaluation-harness writes beside its samples."""
    return path.suffix == ".json" and path.name.startswith("results") and _has_results(path)


def _has_results(path: Path) -> bool:
    value = document(path)
    return isinstance(value, dict) and "results" in value and "eval" not in value


def recognise(path: Path, fields: Mapping[str, str]) -> Format:
    """Return a file's format, by its content.

    Raises:
        UserError: it cannot be read, is empty, or is of none of them.
    """
    if path.suffix == ".eval" or zipfile.is_zipfile(path):
        return "inspect"
    if path.suffix == ".json":
        value = document(path)
        if inspect_logs.is_log(value):
            return "inspect"
        if evalplus_results.is_results(value):
            return "evalplus"
    rows = first_rows(path, tables.FIRST_ROWS)
    if not rows:
        raise UserError(f"{path}: holds no row that can be read")
    if harness_logs.is_harness(rows[0]):
        return "lm-eval"
    if {"samples", "is_corrects"} <= rows[0].keys():
        return "monkeys"
    known = FieldMap.of(rows, fields, str(path))
    if tables.has_counts(known, rows[0]):
        return "counts"
    if "passed" in known or "completion" in known:
        return "samples"
    raise known.missing(
        "passed",
        "completion",
        why=f"so this is none of the formats {', '.join(FORMATS)}",
    )


def records(source: Source, reading: Reading) -> Iterator[Record]:
    """Yield the records of a file; UserError where it cannot be read at all."""
    yield from _READERS[source.format](source.path, reading)


def sizes(found: Sequence[Source]) -> dict[str, int]:
    """Return the sizes of models that logs record, by the names that the logs have."""
    known: dict[str, int] = {}
    for source in found:
        if source.format == "lm-eval":
            name, size = harness_logs.model_and_size(source.path)
            if size is not None:
                known[name] = size
    return known


def described(found: Sequence[Source]) -> str:
    """Say what the files are, in a line."""
    formats: dict[Any, int] = {}
    for source in found:
        formats[source.format] = formats.get(source.format, 0) + 1
    return "; ".join(
        f"{FORMATS[each]} ({each}, {many} file{'s' if many > 1 else ''})"
        for each, many in formats.items()
    )
