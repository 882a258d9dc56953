"""Export: the samples of a run as a set to train on, problem by problem, with where each is from.

Narrow scores are read to choose by, then only the texts of what may be chosen. Knows no rule of
choosing, which are in `operators.training`, nor any file format.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from operators.training.candidates import candidates
from operators.training.difficulty import difficulty
from operators.training.standing import columns_of, is_vote
from operators.training.texts import most_different
from pipelines.errors import UserError
from pipelines.exporting.card import Tally, card, readme
from pipelines.exporting.request import Request
from pipelines.exporting.rows import Row, Shape, form_of
from pipelines.exporting.stored_cells import StoredCell, chunks
from pipelines.exporting.taking import Queue, Taken, Texts, take
from pipelines.exporting.writing import ROWS, check_target, written
from pipelines.run import Run
from pipelines.units import Cell

DIVERSE_AMONG = 8
"""The most different texts are found among so many times as many as are needed."""
_NEEDED = ("problem_id", "sample_id", "answer", "passed", "completion_tokens", "error")

Problems = Mapping[str, Mapping[str, Any]]
"""Rows of schema PROBLEMS by id."""


def export(run: Run, request: Request, out: Path, *, force: bool = False) -> Mapping[str, Any]:
    """Write an export and its card; return the card.

    Raises:
        UserError: a model or task is not there, nothing can be exported, a file of the run is
            damaged, or the export cannot be written there.
    """
    check_target(out, force=force)
    models = _named("--model", request.models, [each.name for each in run.sweep.models])
    tasks = _named("--task", request.tasks, [each.name for each in run.sweep.tasks])
    asked = {task: _asked(run, task) for task in tasks}
    shape = Shape(
        kind=request.kind,
        form=form_of(request.form, {task: list(rows.values()) for task, rows in asked.items()}),
        run=run.store.root,
        config=str(run.store.read_sweep()[1].get("sweep", "unknown")),
    )
    tally = Tally()
    exporting = _Exporting(run=run, request=request, shape=shape, tally=tally)
    facts: dict[str, Any] = {}

    def finished() -> tuple[Mapping[str, Any], str]:
        facts.update(card(run, request, shape, tasks, tally))
        return facts, readme(facts)

    rows = exporting.rows(models, asked)
    with written(out, shape.schema, finished) as sink:
        while some := list(islice(rows, ROWS)):
            sink.write(some)
            tally.rows += len(some)
        if not tally.rows:
            raise _nothing(run, request, tally)
    return facts


def _named(option: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the models or tasks that are wanted, in the order of the sweep."""
    for name in given:
        if name not in known:
            raise UserError(f"{option} {name}: is not in the run; it has {', '.join(known)}")
    return [name for name in known if not given or name in given]


def _asked(run: Run, task: str) -> dict[str, dict[str, Any]]:
    rows = run.rows(task)
    return {name: rows[name] for name in run.problem_ids(task)}


def _nothing(run: Run, request: Request, tally: Tally) -> UserError:
    why = "; ".join(f"{len(names):,}: {reason}" for reason, names in tally.without.items())
    over = ", ".join(f"{count:,} {reason}" for reason, count in tally.passed_over.items())
    return UserError(
        f"{run.store.root}: nothing to export as {request.kind}: of {tally.problems:,} problems "
        f"{why or 'none has a rate; run `passlaw fit` first'}"
        + (f" (passed over: {over})" if over else "")
    )


@dataclass(frozen=True, kw_only=True)
class _Exporting:
    """One export under way."""

    run: Run
    request: Request
    shape: Shape
    tally: Tally

    def rows(self, models: Sequence[str], asked: Mapping[str, Problems]) -> Iterator[Row]:
        """Yield every row: task by task, problem by problem, model by model."""
        if self.request.kind == "difficulty":
            yield from self._difficulties(models, asked)
            return
        repeated = _repeated_prompts(asked)
        shared: dict[str, Texts] = {}
        for task, problems in asked.items():
            cells = [StoredCell.open(self.run, Cell(model, task)) for model in models]
            for chunk in chunks(cells, list(problems)):
                texts: dict[str, Texts] = {}
                for name in chunk:
                    prompt = _question(problems[name])
                    kept = shared if prompt in repeated else texts
                    texts[name] = kept.setdefault(prompt, Texts())
                for cell in cells:
                    yield from self._chunk(cell, chunk, problems, texts)

    def _chunk(
        self, cell: StoredCell, chunk: Sequence[str], problems: Problems, texts: Mapping[str, Texts]
    ) -> Iterator[Row]:
        """Yield the rows of one model on some problems."""
        queues = self._queues(cell, chunk, texts)
        model, task = cell.cell
        found: dict[str, list[Taken]] = {name: [] for name in chunk}
        stream = not self.request.pairs and not self._pools
        with_row: set[str] = set()
        passed_over = self.tally.passed_over
        for taken in take(queues, cell.read_texts, self.request.dedup, passed_over):
            if stream:
                with_row.add(taken.problem)
                yield self.shape.example(model, task, problems[taken.problem], taken)
            else:
                found[taken.problem].append(taken)
        for name, several in found.items():
            for row in self._finished(model, task, problems[name], several):
                with_row.add(name)
                yield row
        self._count_missed(cell, chunk, queues, with_row)

    @property
    def _pools(self) -> bool:
        """Whether more texts are read than needed, to find the most different ones."""
        return self.request.prefer == "diverse" and self.request.per_problem is not None

    def _queues(
        self, cell: StoredCell, chunk: Sequence[str], texts: Mapping[str, Texts]
    ) -> list[Queue]:
        """Return who may be chosen or rejected of each problem, in their order."""
        request = self.request
        columns = list(dict.fromkeys([*_NEEDED, *columns_of(request.by)]))
        scores = cell.read_scores(chunk, columns)
        self._count(scores)
        where = f"{self.run.store.root}: {cell.cell.model} on {cell.cell.task}"
        reads = [*(["answer"] if is_vote(request.by) else []), *columns_of(request.by)]
        for name in reads:
            if scores.height and scores[name].null_count() == scores.height:
                raise UserError(
                    f"{where}: --by {request.by}: no sample has a recorded {name}; choose by "
                    "another selector, or --kind rejection by the verdicts"
                )
        try:
            table = candidates(
                scores,
                request.by,
                pairs=request.pairs,
                passes_only=request.kind == "rejection" or request.by == "verdict",
                without_verdicts=request.without_verdicts,
                prefer=request.prefer,
                seed=request.seed,
            )
        except ValueError as error:
            raise UserError(f"{where}: --by {request.by}: {error}") from None
        needed = request.per_problem
        if self._pools and needed is not None:
            needed *= DIVERSE_AMONG
        grouped = table.group_by("problem_id", "role", maintain_order=True).agg(
            "sample_id", "standing", "passed"
        )
        return [
            Queue(
                problem=problem,
                role=role,
                sample_ids=ids,
                standings=standings,
                passed=passed,
                needed=needed,
                texts=texts[problem],
            )
            for problem, role, ids, standings, passed in grouped.iter_rows()
        ]

    def _count(self, scores: pl.DataFrame) -> None:
        verdict = (
            pl.when(pl.col("error").is_not_null()).then(pl.lit("failed"))
            .when(pl.col("passed").is_null()).then(pl.lit("undecided"))
            .when(pl.col("passed")).then(pl.lit("passed"))
            .otherwise(pl.lit("wrong"))
        )  # fmt: skip
        counted = scores.select(verdict.alias("verdict")).group_by("verdict").len()
        for name, count in counted.iter_rows():
            self.tally.read[name] += count

    def _finished(
        self, model: str, task: str, problem: Mapping[str, Any], several: Sequence[Taken]
    ) -> Iterator[Row]:
        """Yield the rows of a problem whose texts are all read."""
        most = self.request.per_problem
        chosen, rejected = (
            _most_different([each for each in several if each.role == role], most)
            if self._pools and most is not None
            else [each for each in several if each.role == role]
            for role in ("chosen", "rejected")
        )
        if not self.request.pairs:
            for each in chosen:
                yield self.shape.example(model, task, problem, each)
            return
        for good, bad in zip(chosen, rejected, strict=False):
            if good.standing - bad.standing <= max(0.0, self.request.min_margin - 1e-12):
                self.tally.passed_over["margin"] += 1
            else:
                yield self.shape.pair(model, task, problem, good, bad)

    def _count_missed(
        self, cell: StoredCell, chunk: Sequence[str], queues: Sequence[Queue], with_row: set[str]
    ) -> None:
        self.tally.problems += len(chunk)
        able = {(queue.problem, queue.role): queue.taken > 0 for queue in queues}
        for name in chunk:
            if name in with_row:
                continue
            if not cell.count(name):
                reason = "no sample has a score"
            elif (name, "chosen") not in able:
                reason = "no sample may be chosen"
            elif not able[name, "chosen"]:
                reason = "every completion that may be chosen was cut off, empty or a repeat"
            elif self.request.pairs and not able.get((name, "rejected")):
                reason = "no sample may be rejected"
            else:
                reason = "the margins are too small"
            self.tally.missed(reason, cell.cell.model, cell.cell.task, name)

    def _difficulties(self, models: Sequence[str], asked: Mapping[str, Problems]) -> Iterator[Row]:
        counts, rates = (self.run.store.read_result(name) for name in ("counts", "rates"))
        if counts is None or rates is None:
            root = self.run.store.root
            raise UserError(f"{root}: has no pass rates; run `passlaw fit {root}` first")
        found = difficulty(counts, rates).filter(pl.col("model").is_in(models))
        self.tally.problems = len(models) * sum(map(len, asked.values()))
        for task, problems in asked.items():
            table = found.filter(task=task)
            have = set(table.select("model", "problem_id").iter_rows())
            for model in models:
                for name in problems:
                    if (model, name) not in have:
                        self.tally.missed("no pass rate", model, task, name)
            for row in table.iter_rows(named=True):
                if row["problem_id"] in problems:
                    yield self.shape.difficulty(row, problems[row["problem_id"]])


def _most_different(taken: Sequence[Taken], count: int) -> list[Taken]:
    if len(taken) <= count:
        return list(taken)
    return [taken[i] for i in most_different([each.sample["completion"] for each in taken], count)]


def _question(problem: Mapping[str, Any]) -> str:
    """Return what was asked, the same for the same prompt."""
    return f"text {problem['prompt']}" if problem["messages"] is None else problem["messages"]


def _repeated_prompts(asked: Mapping[str, Problems]) -> set[str]:
    """Return what more than one problem asks."""
    seen: set[str] = set()
    repeated: set[str] = set()
    for problems in asked.values():
        for problem in problems.values():
            question = _question(problem)
            (repeated if question in seen else seen).add(question)
    return repeated
