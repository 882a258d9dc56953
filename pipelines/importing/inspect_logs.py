"""Logs of inspect_ai: .eval, a zip of JSON with a file for each sample, or one .json.

`eval.model` and `eval.task` name the cell; a sample has `id`, `epoch` (from 1), `input`, `target`,
`output` and, for each scorer, `scores.NAME.value`: C, I, P (partial) or N (no answer), or a number
(UKGovernmentBEIS/inspect_ai, src/inspect_ai/log/_log.py, scorer/_metric.py). Epochs are tries.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import UserError, first_line
from pipelines.importing import values
from pipelines.importing.reading import document
from pipelines.importing.records import Asked, BadRow, Reading, Record, RowError, Sample, Where

_HEADERS = ("header.json", "_journal/start.json", "start.json")
_CUT_OFF = ("max_tokens", "model_length")
_PARTIAL = 0.5
"""What inspect_ai counts P for."""


def is_log(value: Any) -> bool:
    """Whether a JSON document is one of these logs."""
    return isinstance(value, dict) and isinstance(value.get("eval"), dict) and "samples" in value


def read(path: Path, reading: Reading) -> Iterator[Record]:
    """Yield the samples of a log.

    Raises:
        UserError: the file is damaged, or has several scorers and none is named.
    """
    try:
        if path.suffix == ".eval":
            with zipfile.ZipFile(path) as log:
                yield from _of_zip(path, log, reading)
        else:
            log_file = document(path)
            if not is_log(log_file):
                raise UserError(f"{path}: no log of inspect_ai; it has no eval or no samples")
            spec = log_file["eval"]
            for number, sample in enumerate(log_file.get("samples") or [], start=1):
                yield _record(Where(str(path), number), spec, sample, reading)
    except (OSError, zipfile.BadZipFile, zlib.error, json.JSONDecodeError, KeyError) as error:
        raise UserError(f"{path}: no log of inspect_ai ({first_line(error)})") from None


def _of_zip(path: Path, log: zipfile.ZipFile, reading: Reading) -> Iterator[Record]:
    names = log.namelist()
    header = next((name for name in _HEADERS if name in names), None)
    if header is None:
        raise UserError(f"{path}: no log of inspect_ai (it has none of {', '.join(_HEADERS)})")
    spec = json.loads(log.read(header))["eval"]
    samples = [name for name in names if name.startswith("samples/") and name.endswith(".json")]
    for number, name in enumerate(samples, start=1):
        yield _record(Where(str(path), number), spec, json.loads(log.read(name)), reading)


def _record(
    where: Where, spec: Mapping[str, Any], sample: Mapping[str, Any], reading: Reading
) -> Record:
    try:
        return _sample(where, spec, sample, reading)
    except (RowError, KeyError, TypeError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        return BadRow(where=where, reason=reason)


def _sample(
    where: Where, spec: Mapping[str, Any], sample: Mapping[str, Any], reading: Reading
) -> Sample:
    prompt, messages = values.conversation(sample.get("input"))
    target = sample.get("target")
    if isinstance(target, list):
        target = target[0] if len(target) == 1 else None
    output = sample.get("output") or {}
    choice = (output.get("choices") or [{}])[0]
    usage = output.get("usage") or {}
    error = sample.get("error")
    score = _score(where, sample, reading) if reading.judged and not error else {}
    ended = "length" if choice.get("stop_reason") in _CUT_OFF else "stop"
    content = (choice.get("message") or {}).get("content")
    return Sample(
        where=where,
        model=reading.model or str(spec["model"]),
        task=reading.task or str(spec["task"]).rpartition("/")[2],
        problem_id=str(sample["id"]),
        asked=Asked(prompt=prompt, messages=messages, answer=values.text(target)),
        sample_id=(values.whole(sample.get("epoch"), "epoch", 1) or 1) - 1,
        completion=values.said(output.get("completion") if content is None else content),
        answer=values.text(score.get("answer")),
        passed=_passed(score.get("value"), reading.threshold),
        finish_reason="error" if error else ended,
        prompt_tokens=_tokens(usage, "input_tokens"),
        completion_tokens=_tokens(usage, "output_tokens"),
        error=str(error.get("message") if isinstance(error, dict) else error) if error else None,
        reasoning=_thinking(content),
    )


def _tokens(usage: Mapping[str, Any], name: str) -> int | None:
    return values.whole(usage.get(name), f"usage.{name}", 0, values.MOST_TOKENS)


def _score(where: Where, sample: Mapping[str, Any], reading: Reading) -> Mapping[str, Any]:
    """Return the score that is the verdict; empty where the sample was not scored."""
    scores = sample.get("scores") or ({"score": sample["score"]} if sample.get("score") else {})
    if reading.metric is not None:
        if scores and reading.metric not in scores:
            raise UserError(
                f"{where.file}: has no scorer {reading.metric}; it has {', '.join(scores)}"
            )
        return dict(scores.get(reading.metric) or {})
    if len(scores) > 1:
        raise UserError(
            f"{where.file}: has several scorers: {', '.join(scores)}; name the one that is the "
            "verdict with --metric"
        )
    return dict(next(iter(scores.values()), {}))


def _passed(value: Any, threshold: float | None) -> bool | None:
    if value == "P":
        value = _PARTIAL
    elif value in ("C", "I", "N"):
        return bool(value == "C")
    return values.verdict(value, "passed (scores.value)", threshold)


def _thinking(content: Any) -> str | None:
    """Return what a reasoning model thought, which stands in parts of its own."""
    if not isinstance(content, list):
        return None
    parts = [part.get("reasoning") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str)) or None
