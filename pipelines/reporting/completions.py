"""A few completions of a run, to read beside its numbers: found by their verdicts, cut to size.

Reads the narrow scores of the problems that are asked for, then only the row groups that hold the
chosen samples. Knows which completion is telling; not which problem is, nor how it is shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from pipelines.run import Run
from pipelines.unit_files import Committed
from pipelines.units import Cell

EARLIEST = 131_072
"""Samples of a problem among which completions are looked for: its first ones."""
MOST_WRONG = 2
"""Wrong answers of a problem that are shown, the commonest first."""
MOST_TEXT = 2_400
"""Characters of a text that are shown."""
ALL_TEXT = 800_000
"""Characters of all texts of a page: where many are shown, each is shorter."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A problem whose completions are to be read."""

    task: str
    problem_id: str
    passing: str | None
    """The model whose passing completion is shown; None: no model passed."""
    failing: str | None
    """The model whose failing completions are shown; None: none failed."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One sample, to read."""

    model: str
    sample_id: int
    passed: bool
    answer: str | None
    """As the verifier read it; None: it found none."""
    alike: int
    """Samples with this answer and this verdict, among those looked at."""
    of: int
    """Samples with this verdict, among those looked at."""
    text: str | None
    """None: its file is damaged, or it was imported without."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What there is to read of a problem."""

    prompt: str | None
    answer: str | None
    completions: Sequence[Completion]


def read(run: Run, wanted: Sequence[Wanted]) -> dict[tuple[str, str], Reading]:
    """Return what there is to read of some problems, by task and problem."""
    found: dict[tuple[str, str], list[Completion]] = {}
    for cell, ids in _by_cell(wanted).items():
        for problem_id, completion in _of_cell(run, cell, ids, wanted):
            found.setdefault((cell.task, problem_id), []).append(completion)
    limit = _limit(wanted)
    known = {task: run.rows(task) for task in dict.fromkeys(each.task for each in wanted)}
    readings = {}
    for each in wanted:
        problem = known[each.task].get(each.problem_id, {})
        place = (each.task, each.problem_id)
        readings[place] = Reading(
            prompt=shortened(problem.get("prompt"), limit),
            answer=shortened(problem.get("answer"), limit),
            completions=_cut(found.get(place, ()), limit),
        )
    return readings


def _limit(wanted: Sequence[Wanted]) -> int:
    """Return how many characters of each text are shown."""
    texts = len(wanted) * (MOST_WRONG + 3)
    return max(200, min(MOST_TEXT, ALL_TEXT // max(texts, 1)))


def shortened(text: str | None, limit: int) -> str | None:
    """Return a text with its middle left out, and how much that was, if it is too long."""
    if text is None or len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def _cut(completions: Iterable[Completion], limit: int) -> list[Completion]:
    """Return completions with short texts, those that passed first."""
    cut = [
        Completion(
            **{
                **vars(each),
                "text": shortened(each.text, limit),
                "answer": shortened(each.answer, 200),
            }
        )
        for each in completions
    ]
    return sorted(cut, key=lambda each: (not each.passed, -each.alike))


def _by_cell(wanted: Sequence[Wanted]) -> Mapping[Cell, list[str]]:
    cells: dict[Cell, list[str]] = {}
    for each in wanted:
        for model in dict.fromkeys((each.passing, each.failing)):
            if model is not None:
                cells.setdefault(Cell(model, each.task), []).append(each.problem_id)
    return cells


def _of_cell(
    run: Run, cell: Cell, ids: Sequence[str], wanted: Sequence[Wanted]
) -> list[tuple[str, Completion]]:
    """Return the completions of one model on some problems of a task."""
    shown = {each.problem_id: each for each in wanted if each.task == cell.task}
    units = _early(run.store.listed("samples", cell)[0], ids)
    found = []
    for row in _telling(run, cell, ids).iter_rows(named=True):
        problem_id = row.pop("problem_id")
        each = shown[problem_id]
        if cell.model == (each.passing if row["passed"] else each.failing):
            text = _text(run, units, problem_id, row["sample_id"])
            found.append((problem_id, Completion(model=cell.model, text=text, **row)))
    return found


def _telling(run: Run, cell: Cell, ids: Sequence[str]) -> pl.DataFrame:
    """Return which samples to show: the first that passed, and the commonest wrong answers.

    With columns problem_id, passed, answer, alike, of and sample_id.
    """
    scored = _early(run.store.listed("scores", cell)[0], ids)
    kinds = ["problem_id", "passed"]
    groups = (
        run.store.scan_scores(scored)
        .filter(pl.col("problem_id").is_in(ids), pl.col("passed").is_not_null())
        .group_by(*kinds, "answer")
        .agg(alike=pl.len().cast(pl.Int64), sample_id=pl.col("sample_id").min())
    )
    with run.store.named_damage("scores", scored):
        found = groups.with_columns(of=pl.col("alike").sum().over(kinds)).collect()
    rank = pl.col("alike").rank("ordinal", descending=True).over(kinds)
    most = pl.when(pl.col("passed")).then(1).otherwise(MOST_WRONG)
    return found.sort(*kinds, "sample_id").filter(rank <= most)


def _early(committed: Iterable[Committed], ids: Sequence[str]) -> list[Committed]:
    """Return the units that hold early samples of some problems."""
    wanted = set(ids)
    return [
        each
        for each in committed
        if each.unit.start < EARLIEST and not wanted.isdisjoint(each.unit.problems)
    ]


def _text(run: Run, units: Sequence[Committed], problem_id: str, sample_id: int) -> str | None:
    for each in units:
        unit = each.unit
        if problem_id in unit.problems and unit.start <= sample_id < unit.stop:
            try:
                rows = run.store.read_samples(each, [(problem_id, sample_id, sample_id + 1)])
            except (OSError, pa.ArrowInvalid):
                return None
            text: str | None = rows["completion"][0].as_py()
            return text
    return None
