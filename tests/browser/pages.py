"""Every page that passlaw writes, of small runs made up here."""

from types import SimpleNamespace

import numpy as np
import polars as pl

from operators.allocation.stored import Stored
from pipelines import replay as replays
from pipelines.commands.plan import plan as plan_command
from pipelines.reporting import compare_page, replay_page, report
from pipelines.units import Cell
from tests.pipelines.reporting.compared_runs import compared_run
from tests.pipelines.simulated_run import simulate, tabled

PAGES = ("report", "replay", "compare", "plan")


def write_pages(folder):
    """Write each page as NAME.html."""
    plan_command.main(
        ["coverage", "--k", "10", "--within", "0.05", "--out", str(folder / "plan.html")],
        standalone_mode=False,
    )
    for name, html in (("report", _report()), ("replay", _replay()), ("compare", _compare())):
        (folder / f"{name}.html").write_text(html, encoding="utf-8")


def _report():
    made = simulate(sizes=(2_600, 9_800, 35_000), tasks=("add-2", "add-3"), problems=8, seeds=1)
    return report.render(tabled(made)).html


def _replay():
    generator = np.random.default_rng(1)
    scores = pl.DataFrame(
        {
            "problem_id": f"p{problem}",
            "sample_id": sample,
            "answer": answer,
            "passed": answer == "0",
            "completion_tokens": 5,
        }
        for problem in range(12)
        for sample, answer in enumerate(generator.choice(["0", "1", "2"], 24, p=[0.6, 0.2, 0.2]))
    )
    policies = [replays.asked(name) for name in ("fixed", "adaptive", "early:window=3")]
    rows = replays._cell_rows(Cell("m", "t"), Stored.of(scores), policies, 0, 0)
    run = SimpleNamespace(sweep=SimpleNamespace(name="small"), store=SimpleNamespace(root="runs/s"))
    return replay_page.page(run, pl.DataFrame(rows, infer_schema_length=None))


def _compare():
    rates = np.linspace(0.1, 0.6, 20)
    runs = [
        compared_run(name, {task: {"m": rates + gap} for task in ("sums", "sorts")}, seed=at)
        for at, (name, gap) in enumerate((("cool", 0.0), ("warm", 0.2)))
    ]
    return compare_page.page(compare_page.compared(runs), "1.2.3")
