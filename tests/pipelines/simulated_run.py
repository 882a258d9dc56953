"""A whole sweep simulated with known pass rates: the tables that fit, report and tracking read."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from operators.schemas import AUDIT, CALIBRATION, COUNTS, RELIABILITY, SELECTION
from operators.selection.table import selection_table
from pipelines.fit import fit_tables
from pipelines.store import RunTables
from pipelines.sweeps.config import Sweep, parse

SIZES = (2_600, 5_200, 9_800, 18_500, 35_000, 66_000, 115_000, 200_000)
FIRST_LOOK, GROWTH, CAP, R = 1_000, 2, 100_000, 5


@dataclass(frozen=True, kw_only=True)
class Simulated:
    sweep: Sweep
    parameters: dict[str, int]
    counts: pl.DataFrame
    exact: pl.DataFrame
    costs: pl.DataFrame


def simulate(
    sizes=SIZES,
    tasks=("add-2", "add-3", "sort-4"),
    problems=40,
    seeds=3,
    undecided=0.0,
    n=None,
    **fit,
) -> Simulated:
    """Simulate one model a size, `seeds` of them for three sizes; n: fixed, else until 5 pass."""
    generator = np.random.default_rng(7)
    parameters = {}
    for size in sizes:
        several = seeds if size in sizes[2::2] else 1
        for seed in range(several):
            suffix = f"-s{seed}" if several > 1 else ""
            parameters[f"m{size / 1000:g}k{suffix}"] = size
    counts, exact, costs = [], [], []
    for index, task in enumerate(tasks):
        scale, alpha = (900.0, 0.75) if index == 0 else (4000.0, 0.74) if index == 1 else (8.0, 0.2)
        hardness = generator.normal(0, 0.35, problems)
        for model, size in parameters.items():
            bend = 0.03 * np.log(size / 30_000) ** 2 if index == 2 else 0.0
            f = np.log(scale) - alpha * np.log(size) - bend + generator.normal(0, 0.08)
            rates = np.exp(-np.exp(f + hardness))
            total = 0
            for problem, rate in enumerate(rates):
                key = {"model": model, "task": task, "problem_id": f"p{problem:03d}"}
                row = _draw(generator, rate, n)
                row["undecided"] = int(generator.binomial(row["n"] - row["c"], undecided))
                tokens = 9 * row["n"]
                counts.append({**key, **row, "distinct_answers": 3, "completion_tokens": tokens})
                exact.append({**key, "p": float(rate)})
                total += row["n"]
            costs.append(
                {
                    "model": model,
                    "task": task,
                    "parameters": size,
                    "samples": total,
                    "prompt_tokens": 12 * problems,
                    "completion_tokens": 9 * total,
                    "flops": 2.0 * size * (12 * problems + 9 * total),
                    "engine_seconds": total * (2e-5 + size * 1e-10),
                    "usd": None,
                    "engine": "simulated",
                    "seeding": "sample",
                }
            )
    sweep = parse(
        {
            "name": "simulated-ladder",
            "models": [
                {"engine": "simulated", "name": model, "parameters": size, "rate": 0.1}
                for model, size in parameters.items()
            ],
            "tasks": [{"name": task, "problems": problems} for task in tasks],
            "allocation": {"n": n} if n else {"r": R, "cap": CAP, "first_round": FIRST_LOOK},
            "fit": fit,
        },
        source="test",
    )
    return Simulated(
        sweep=sweep,
        parameters=parameters,
        counts=pl.DataFrame(counts).select(COUNTS.names),
        exact=pl.DataFrame(exact),
        costs=pl.DataFrame(costs, schema_overrides={"usd": pl.Float64}),
    )


def _draw(generator, rate, fixed):
    if fixed:
        c = int(generator.binomial(fixed, rate))
        stop = {"stop_reason": "fixed", "r": None, "cap": None, "nth_pass": None, "look": 0}
        return {"n": fixed, "c": c, **stop}
    n = c = look = 0
    following = FIRST_LOOK
    rule = {"r": R, "cap": CAP}
    while n < CAP:
        end = min(following, CAP)
        passes = np.flatnonzero(generator.random(end - n) < rate)
        if c + len(passes) >= R:
            nth = n + int(passes[R - c - 1])
            stop = {"stop_reason": "r_reached", **rule, "nth_pass": nth, "look": look}
            return {"n": end, "c": c + len(passes), **stop}
        n, c, look = end, c + len(passes), end
        following = end * GROWTH
    return {"n": n, "c": c, "stop_reason": "cap", **rule, "nth_pass": None, "look": 0}


def tabled(made):
    """A simulated sweep with its fits, as a report or a tracker reads them."""
    fits = fit_tables(made.sweep, made.parameters, made.counts)
    return RunTables(
        sweep=made.sweep,
        run="runs/simulated-ladder",
        version="1.2.3",
        parameters=made.parameters,
        counts=made.counts,
        rates=fits.rates,
        curves=fits.curves,
        laws=fits.laws,
        costs=made.costs,
        selection=_selection(made),
        calibration=_calibration(made),
        reliability=_reliability(made),
        audit=pl.DataFrame(pl.from_arrow(AUDIT.empty_table())),
        exact=made.exact,
    )


def _selection(made):
    """What choosing is worth on votes of three answers, for every cell."""
    cells = []
    for model, task in made.counts.select("model", "task").unique(maintain_order=True).iter_rows():
        problems = made.counts.filter(model=model, task=task)["problem_id"]
        votes = [
            {
                "problem_id": name,
                "answer": str(vote % 3),
                "passed": vote % 3 == at % 4,
                "completion_tokens": 3,
            }
            for at, name in enumerate(problems)
            for vote in range(8)
        ]
        table = selection_table(pl.DataFrame(votes))
        cells.append(table.with_columns(model=pl.lit(model), task=pl.lit(task)))
    return pl.concat(cells).select(SELECTION.names)


def _calibration(made):
    rows = [
        {"confidence": "vote_share", "measure": measure, "estimate": 0.5, "low": 0.4, "high": 0.6}
        for measure in ("auroc", "ece_debiased", "brier")
    ]
    cells = made.counts.select("model", "task").unique(maintain_order=True)
    measured = pl.DataFrame(rows).with_columns(level=0.95, samples=80)
    return cells.join(measured, how="cross").select(CALIBRATION.names)


def _reliability(made):
    """A confidence that passes as often as it says, in two bins of each cell."""
    bins = [
        {"bin_low": low, "bin_high": low + 0.5, "mean_confidence": low + 0.25,
         "passed": low + 0.25, "low": low, "high": low + 0.5}
        for low in (0.0, 0.5)
    ]  # fmt: skip
    cells = made.counts.select("model", "task").unique(maintain_order=True)
    found = pl.DataFrame(bins).with_columns(
        confidence=pl.lit("vote_share"), level=0.95, samples=pl.lit(40, pl.Int64)
    )
    return cells.join(found, how="cross").select(RELIABILITY.names)
