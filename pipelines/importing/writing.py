"""An import -> a run: its sweep, problems, samples, recorded scores and counts, each once.

Nothing is written before every row was looked at. The sweep names the import first, as one that is
not done, and last as done; the same import goes on where it was interrupted, and until then no
other stage opens the run. Knows the run directory; not how files look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from operators.schemas import PROBLEMS, SAMPLES, SCORES
from operators.schemas import check as check_schema
from operators.verification.verify import UNDECIDED
from pipelines.errors import UserError
from pipelines.imported import Import, Imported
from pipelines.importing.contents import (
    Held,
    Order,
    made_of,
    new_counts,
    problems_of,
    record_of,
    sweep_of,
)
from pipelines.importing.gathering import Gathered
from pipelines.importing.placing import Place, numbered, places, tables_of
from pipelines.importing.repeats import refuse_other_samples
from pipelines.importing.spill import Spill
from pipelines.lease import Lease
from pipelines.run import recorded_run
from pipelines.score import Scored, score
from pipelines.store import Store
from pipelines.unit_files import Committed
from pipelines.units import Cell, Unit, covered
from pipelines.verification import RECORDED_VERIFIER

NO_VERDICT = UNDECIDED + "no verdict was recorded"
"""The error of a sample that came without a verdict among others that have one."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What an import did."""

    samples: int
    """That were written now."""
    repeated: int
    """That were there already, and are the same."""
    scored: Scored
    nothing_to_do: bool = False
    """The import was complete before."""


def write(order: Order, found: Gathered, spill: Spill) -> Written:
    """Write an import into its run, then score and count.

    Args:
        order: where to, and what of.
        found: all of its rows, none refused.
        spill: its samples.

    Raises:
        UserError: the run was not imported, or says otherwise of a problem or a sample; another
            import was interrupted; or this one was done before.
    """
    store = Store.at(order.run)
    store.create()
    with Lease(store.storage) as lease:
        store = store.under(lease.token)
        held = Held.of(store)
        units = _units(store, held)
        _refuse_disorder(store, order, held.imported, units)
        placed = _placed(store, order, found, spill, units)
        counts = new_counts(store, held, found)
        problems = {task: problems_of(store, order, held, found, task) for task in found.asked}
        sweep = sweep_of(order, held, found)
        done = held.imported.find(order.key)
        record = record_of(order, held, found, placed)
        if done is None or not done.done:
            store.write_sweep(sweep, made_of(order, held, sweep, record, problems))
        for task, table in problems.items():
            store.write_problems(task, check_schema(table.to_arrow(), PROBLEMS, task))
        written, judged = _write_samples(store, order, found, spill, placed)
        if counts is not None:
            store.write_result("counts", counts)
        nothing_new = not written and not judged and counts is None
        was_there = nothing_new and done is not None and done.done
        if was_there and not order.skip_existing:
            raise UserError(
                f"{order.run}: {', '.join(order.files)}: was imported before, and all of it is "
                "there; --skip-existing makes that no error"
            )
        finished = record.having(replace(_of(record, order), done=True))
        made = made_of(order, held, sweep, finished, problems)
        store.write_sweep(sweep, made)
        run = recorded_run(store, sweep, made, token=lease.token)
        scored = score(run)
    return Written(
        samples=written,
        repeated=sum(place.repeated for each in placed.values() for place in each.values()),
        scored=scored,
        nothing_to_do=was_there,
    )


def _of(record: Imported, order: Order) -> Import:
    found = record.find(order.key)
    assert found is not None  # `_record` put it there
    return found


def _units(store: Store, held: Held) -> dict[Cell, list[Committed]]:
    """Return the samples that are there."""
    if held.sweep is None:
        return {}
    cells = [
        Cell(model.name, task.name) for model in held.sweep.models for task in held.sweep.tasks
    ]
    return {cell: store.committed("samples", cell)[0] for cell in cells}


def _refuse_disorder(
    store: Store, order: Order, imported: Imported, units: Mapping[Cell, Sequence[Committed]]
) -> None:
    """Raise UserError unless all earlier imports are complete: later ones number on from them."""
    there: dict[str, int] = {}
    for committed in units.values():
        for each in committed:
            key = str(each.facts.get("import"))
            there[key] = there.get(key, 0) + each.rows
    for one in imported.imports:
        if one.key == order.key:
            return
        if not one.done or there.get(one.key, 0) < one.samples:
            was = "was interrupted" if not one.done else "has lost samples since"
            raise UserError(
                f"{store.root}: the import of {', '.join(one.files)} {was}; run that one again "
                "first, with the same options"
            )


def _placed(
    store: Store,
    order: Order,
    found: Gathered,
    spill: Spill,
    units: Mapping[Cell, Sequence[Committed]],
) -> dict[Cell, dict[str, Place]]:
    """Return where the samples go, after seeing that those which are there are the same."""
    others = {
        cell: [each for each in committed if each.facts.get("import") != order.key]
        for cell, committed in units.items()
    }
    ranges = {cell: covered(each.unit for each in committed) for cell, committed in others.items()}
    placed = places(found, ranges, skip_existing=order.skip_existing)
    if any(place.repeated for each in placed.values() for place in each.values()):
        for part in spill.tables():
            refuse_other_samples(store, others, placed, numbered(part, placed, found.shifted))
    return placed


def _write_samples(
    store: Store,
    order: Order,
    found: Gathered,
    spill: Spill,
    placed: Mapping[Cell, Mapping[str, Place]],
) -> tuple[int, int]:
    """Commit the units that are not there; return how many samples and verdicts these are."""
    cells = list(found.tries)
    there = {
        (cell, each.unit.name) for cell in cells for each in store.committed("samples", cell)[0]
    }
    scored = {
        (cell, each.unit.name)
        for cell in cells
        for each in store.committed("scores", cell)[0]
        if not each.facts.get("lost")
    }
    written = judged = 0
    for part in spill.tables():
        for unit, rows in tables_of(numbered(part, placed, found.shifted), placed):
            name = (unit.cell, unit.name)
            if name not in there:
                _commit_samples(store, order, unit, rows)
                written += unit.samples
            if order.verifier == RECORDED_VERIFIER and name not in scored:
                _commit_scores(store, unit, rows)
                judged += unit.samples
    return written, judged


def _commit_samples(store: Store, order: Order, unit: Unit, rows: pl.DataFrame) -> None:
    prompts = rows.group_by("problem_id").agg(pl.col("prompt_tokens").max())["prompt_tokens"]
    facts = {
        "import": order.key,
        "engine": "imported",
        "engine_seconds": None,
        "prompt_tokens": None if prompts.has_nulls() else int(prompts.sum()),
    }
    store.commit("samples", unit, _shaped(rows, SAMPLES), facts)


def _commit_scores(store: Store, unit: Unit, rows: pl.DataFrame) -> None:
    undecided = pl.col("passed").is_null() & pl.col("error").is_null()
    scores = rows.with_columns(
        error=pl.when(undecided).then(pl.lit(NO_VERDICT)).otherwise("error"),
    )
    facts = {"scoring": RECORDED_VERIFIER, "passed": int(rows["passed"].sum())}
    store.commit("scores", unit, _shaped(scores, SCORES), facts)


def _shaped(rows: pl.DataFrame, schema: Any) -> Any:
    """Return the columns of a schema, null where the import has none."""
    kinds = pl.DataFrame(pl.from_arrow(schema.empty_table())).schema
    columns = [
        pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name)
        for name, kind in kinds.items()
    ]
    return rows.select(columns).to_arrow()
