"""How the samples of a run ended and were judged, counted on the first of every cell.

Reads two narrow columns of a bounded number of samples. Knows where they are; not what they say.
"""

from collections.abc import Sequence

import polars as pl

from operators.schemas import SAMPLES
from pipelines.packs import Ranges
from pipelines.run import Run
from pipelines.scan import scan
from pipelines.unit_files import Committed
from pipelines.units import Cell

MOST_SAMPLES = 100_000
"""Samples of a cell that are looked at, about."""
ENDINGS = {
    "model": pl.String,
    "task": pl.String,
    "looked": pl.Int64,
    "truncated": pl.Int64,
    "failed": pl.Int64,
    "contradicted": pl.Int64,
}


def endings(run: Run) -> pl.DataFrame:
    """Return for each cell how many samples were looked at and how these ended.

    `truncated` ended at the length limit, `failed` are errors of the engine; `contradicted` have
    an answer that was judged both ways for the same problem. A cell without samples has no row.
    """
    rows = [row for cell in run.cells if (row := _cell(run, cell)) is not None]
    return pl.DataFrame(rows, schema=ENDINGS)


def _cell(run: Run, cell: Cell) -> dict[str, object] | None:
    samples = _first(run.store.listed("samples", cell)[0])
    if not samples:
        return None
    keys: dict[str, Ranges] = {each.key: [] for each in samples}
    with run.store.named_damage("samples", samples):
        ended = scan(run.store.storage, keys, SAMPLES).select("finish_reason").collect()
    reason = ended["finish_reason"]
    return {
        "model": cell.model,
        "task": cell.task,
        "looked": len(reason),
        "truncated": int((reason == "length").sum()),
        "failed": int((reason == "error").sum()),
        "contradicted": _contradicted(run, cell),
    }


def _contradicted(run: Run, cell: Cell) -> int:
    scored = _first(run.store.listed("scores", cell)[0])
    judged = run.store.scan_scores(scored).drop_nulls(["answer", "passed"])
    groups = judged.group_by("problem_id", "answer").agg(
        pl.len(), both=pl.col("passed").min() != pl.col("passed").max()
    )
    with run.store.named_damage("scores", scored):
        return int(groups.filter("both").select(pl.col("len").sum()).collect().item())


def _first(committed: Sequence[Committed]) -> list[Committed]:
    """Return the files with the earliest samples, as many as hold enough; whole files only."""
    rows: dict[str, int] = {}
    for each in committed:
        rows[each.key] = rows.get(each.key, 0) + each.rows
    chosen: list[Committed] = []
    for each in sorted(committed, key=lambda each: (each.unit.start, each.key)):
        # Of a pack, some units may be read from another file: its rows would count twice.
        whole = each.pack is None or rows[each.key] == sum(u.samples for u in each.pack.units)
        if whole and sum(other.rows for other in chosen) < MOST_SAMPLES:
            chosen.append(each)
    return chosen
