"""replay: what other allocations would have cost, on the stored scores of a run.

Reads scores and writes replay.parquet and replay.html; never samples, and never decides for a run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from operators.allocation.confident import ConfidenceStop
from operators.allocation.passes import FixedNumber
from operators.allocation.policies import POLICIES, field_types, policy, setting, swept
from operators.allocation.replay import replay as play
from operators.allocation.savings import Change, Savings, savings
from operators.allocation.state import Policy
from operators.allocation.stored import Stored
from pipelines.errors import UserError
from pipelines.reporting.replay_figures import FIXED
from pipelines.reporting.replay_page import LEVEL, page
from pipelines.run import Run
from pipelines.sweeps.config import UntilAllocation
from pipelines.units import Cell
from pipelines.verification import scoring_key

Row = dict[str, Any]

TOKEN_PROBABILITY = "token_probability"
"""The confidence that every engine's samples can have: exp of the mean log-probability."""
CONFIDENCES = (TOKEN_PROBABILITY, "score")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A policy as the user names it: with the values that are given, and no others."""

    name: str
    values: Mapping[str, Any]


def asked(text: str) -> Asked:
    """Read NAME[:key=value,...].

    Raises:
        UserError: there is no such policy or key, or a value is not of its type or not allowed.
    """
    name, _, rest = text.partition(":")
    try:
        types = field_types(name)
        values = {}
        for pair in filter(None, rest.split(",")):
            key, equals, value = pair.partition("=")
            if not equals:
                raise ValueError(f"{name}: {pair!r} is no key=value")
            if key not in types:
                policy(name, {key: value})  # says what is allowed
            values[key] = _read(f"{name}.{key}", value, types[key])
        swept(name, values, cap=40)  # values out of range are told before a run is read
    except ValueError as error:
        raise UserError(f"--policy {text}: {error}") from None
    return Asked(name=name, values=values)


def _read(name: str, text: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(text)
    except ValueError:
        words = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: {text!r} is not {words}") from None


def replay(
    run: Run, policies: Sequence[Asked], *, orders: int = 0, confidence: str = TOKEN_PROBABILITY
) -> pl.DataFrame:
    """Play policies on every cell of a run.

    Args:
        run: opened for reading.
        policies: what to play; a policy without its main parameter is played at several values.
            A cap that is not given is the fewest samples that any problem of the cell has.
        orders: random orders of the samples; 0: that of their ids.
        confidence: what a confidence policy goes by, one of `CONFIDENCES`.

    Returns:
        One row for each cell and policy, see `_row`; a sweep of fixed numbers comes first.

    Raises:
        UserError: a cell has no scores, or old ones; random orders of a run that stopped at
            passes; a confidence that the samples lack.
    """
    if orders and isinstance(run.sweep.allocation, UntilAllocation):
        raise UserError(
            f"{run.store.root}: --orders {orders}: this run stopped at passes, so how many samples "
            "a problem has depends on what they are, and only their own order is fair; leave "
            "--orders out"
        )
    if not any(each.name == FIXED for each in policies):
        policies = [Asked(name=FIXED, values={}), *policies]
    rows: list[Row] = []
    cells = [cell for cell in run.cells if cell not in run.imported.counts_alone]
    if not cells:
        raise UserError(
            f"{run.store.root}: its counts were imported without samples, so there is nothing to "
            "replay; import the samples"
        )
    for cell in cells:
        needed = any(POLICIES[each.name].kind is ConfidenceStop for each in policies)
        stored = _stored(run, cell, confidence if needed else None)
        rows += _cell_rows(cell, stored, policies, orders, run.sweep.seed)
    return pl.DataFrame(rows, infer_schema_length=None)


def _cell_rows(
    cell: Cell, stored: Stored, policies: Sequence[Asked], orders: int, seed: int
) -> list[Row]:
    fewest, most = int(stored.n.min()), int(stored.n.max())
    full: dict[int, pl.DataFrame] = {}

    def played(rule: Policy) -> pl.DataFrame:
        return play(rule, stored, orders=orders, seed=seed)

    rows = []
    for each in policies:
        for rule in swept(each.name, each.values, cap=fewest):
            # Fixed numbers are judged by the largest, any other policy by its own cap.
            cap = fewest if each.name == FIXED else rule.cap
            if cap not in full:
                full[cap] = played(FixedNumber(n=cap))
            found = savings(played(rule), full[cap], level=LEVEL)
            names = {"model": cell.model, "task": cell.task, "policy": each.name}
            stock = {"fewest": fewest, "most": most, "undecided": int(stored.undecided.sum())}
            rule_of = {"setting": setting(each.name, rule), "cap": cap}
            rows.append({**names, **rule_of, **stock, **_row(found)})
    return rows


def _row(found: Savings) -> Row:
    """Return savings as columns; a change's are its name, _full, _change, _low, _high, _error."""
    row: Row = {}
    for name, value in vars(found).items():
        if not isinstance(value, Change):
            row[name] = value
            continue
        ends = {"": value.value, "_full": value.full, "_change": value.change, "_low": value.low}
        ends |= {"_high": value.high, "_error": value.standard_error}
        row |= {f"{name}{end}": number for end, number in ends.items()}
    return row


def _stored(run: Run, cell: Cell, confidence: str | None) -> Stored:
    """Return a cell's samples, those from id 0 on without a gap."""
    committed, bad = run.store.listed("scores", cell)
    if bad:
        key, reason = bad[0]
        where = run.store.storage.url(key)
        raise UserError(f"{where}: {reason}; run `passlaw score {run.store.root}` first")
    problems = run.rows(cell.task)
    for each in committed:
        if each.facts.get("scoring") != scoring_key(each.unit, problems, run.sweep.verification):
            raise UserError(
                f"{run.store.storage.url(each.key)}: was scored against other answers; run "
                f"`passlaw score {run.store.root}` first"
            )
    scores = run.store.scan_scores(committed)
    asked_now = pl.DataFrame({"problem_id": run.problem_ids(cell.task)})
    rows = scores.join(asked_now.lazy(), on="problem_id").sort("problem_id", "sample_id").collect()
    rows = rows.filter(pl.int_range(pl.len()).over("problem_id") == pl.col("sample_id"))
    if rows["completion_tokens"].has_nulls():  # imported without: then no share of them is saved
        rows = rows.with_columns(completion_tokens=pl.lit(0, pl.Int64))
    if rows.is_empty():
        raise UserError(
            f"{run.store.root}: {cell.model} on {cell.task} has no scores; run "
            f"`passlaw sample {run.store.root}` first"
        )
    try:
        return Stored.of(*_with_confidence(rows, confidence))
    except ValueError as error:
        where = f"{run.store.root}: {cell.model} on {cell.task}"
        raise UserError(f"{where}: {error}") from None


def _with_confidence(rows: pl.DataFrame, name: str | None) -> tuple[pl.DataFrame, str | None]:
    if name == TOKEN_PROBABILITY:
        mean = pl.col("sum_logprob").cast(pl.Float64) / pl.col("completion_tokens")
        rows = rows.with_columns(
            # Rounding of the engine's floats may carry a sure completion a little above 0.
            mean.clip(upper_bound=0).exp().alias(name)
        )
    if name is not None and not rows[name].is_not_null().any():
        raise ValueError(f"--confidence {name}: no sample has one; there are {CONFIDENCES}")
    return rows, name


def write(run: Run, rows: pl.DataFrame, out: Path | None) -> str:
    """Write replay.parquet into the run, and the page beside it or to `out`; return where it is.

    Raises:
        UserError: a file cannot be written.
    """
    return run.store.write_replay(rows, page(run, rows), out)
