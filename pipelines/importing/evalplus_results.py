"""Results of EvalPlus: *_eval_results.json, with what became of each program.

`eval` has for each task a list of programs with `solution`, `base_status` and `plus_status`, each
"pass", "fail" or "timeout" (evalplus/evalplus, evalplus/evaluate.py). A program passes the plus
tests only if it passes the base tests too, as EvalPlus counts. Older files have lists `base` and
`plus` of [status, details], in which "success" is a pass, and no programs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.importing import values
from pipelines.importing.reading import document, stem
from pipelines.importing.records import Asked, BadRow, Reading, Record, RowError, Sample, Where

_PASS = ("pass", "success")
_METRICS = ("base", "plus")
_ENDINGS = ("_eval_results", ".eval_results")


def is_results(value: Any) -> bool:
    """Whether a JSON document is one of these results."""
    if not isinstance(value, dict) or not isinstance(value.get("eval"), dict):
        return False
    first = next(iter(value["eval"].values()), None)
    programs = first if isinstance(first, list) else [first]
    return all(isinstance(each, dict) and _is_program(each) for each in programs)


def _is_program(each: Mapping[str, Any]) -> bool:
    return "base_status" in each or "base" in each


def samples_of(path: Path) -> str:
    """Return the name of the file of samples that results were made of."""
    name = stem(path)
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return f"{name}.jsonl"


def read(path: Path, reading: Reading) -> Iterator[Record]:
    """Yield the programs of a file.

    Raises:
        UserError: the metric is neither base nor plus, or the file has no plus tests.
    """
    if reading.metric not in (None, *_METRICS):
        raise UserError(f"--metric {reading.metric}: must be one of {', '.join(_METRICS)}")
    model = reading.model or samples_of(path).removesuffix(".jsonl")
    results = document(path)
    if not is_results(results):
        raise UserError(f"{path}: no results of EvalPlus; its eval has no base_status or base")
    for number, (task, found) in enumerate(results["eval"].items(), start=1):
        where = Where(str(path), number)
        try:
            programs = _programs(found)
            for at, program in enumerate(programs):
                yield Sample(
                    where=where,
                    model=model,
                    task=reading.task or "evalplus",
                    problem_id=task,
                    asked=Asked(),
                    sample_id=at,
                    completion=values.text(program.get("solution")),
                    passed=_passed(program, reading.metric) if reading.judged else None,
                )
        except (RowError, KeyError, TypeError, IndexError) as error:
            yield BadRow(where=where, reason=f"{task}: {error}")


def _programs(found: Any) -> list[Mapping[str, Any]]:
    if isinstance(found, list):
        return found
    plus = found.get("plus") or []
    return [
        {"base_status": each[0], "plus_status": plus[at][0] if plus else None}
        for at, each in enumerate(found["base"])
    ]


def _passed(program: Mapping[str, Any], metric: str | None) -> bool:
    base, plus = program["base_status"], program.get("plus_status")
    if metric == "plus" and plus is None:
        raise RowError("has no plus_status; take --metric base")
    if metric == "base" or plus is None:
        return base in _PASS
    return base in _PASS and plus in _PASS
