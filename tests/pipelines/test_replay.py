"""`passlaw replay`: what it prints and writes, and what it refuses in one line."""

import json
import re
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import yaml

from pipelines import replay as replays
from pipelines import run as runs
from pipelines.errors import UserError
from pipelines.reporting.replay_figures import draw
from pipelines.reporting.replay_page import page
from pipelines.store import Store
from pipelines.sweeps.config import parse
from tests.command import passlaw

SWEEP: dict[str, Any] = {
    "name": "small",
    "models": [
        {"engine": "simulated", "name": "one", "parameters": 1000, "rate": 0.6},
        {"engine": "simulated", "name": "two", "parameters": 2000, "rate": 0.9},
    ],
    "tasks": [{"source": "file", "name": "sums", "path": "problems.jsonl"}],
    "allocation": {"n": 30},
    "tracking": {"enabled": False},
}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    problems = [
        {"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(8)
    ]
    (folder / "problems.jsonl").write_text("\n".join(json.dumps(each) for each in problems))
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    done = passlaw(folder, "sample", "sweep.yaml")
    assert done.returncode == 0, done.stderr
    return folder


def reopened(sampled: Path, **changes: Any) -> AbstractContextManager[runs.Run]:
    sweep = parse(SWEEP | {"run": str(sampled / "runs" / "small")} | changes, source="test")
    return runs.reopened(sweep, write=False)


@pytest.fixture(scope="module")
def replayed(sampled: Path) -> tuple[str, pl.DataFrame, str]:
    """What the command printed, its table, and its page."""
    done = passlaw(
        sampled, "replay", "runs/small", "--policy", "adaptive", "--policy", "early:window=3",
        "--orders", "4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = sampled / "runs" / "small"
    page = (run / "replay.html").read_text(encoding="utf-8")
    return done.stdout, pl.read_parquet(run / "replay.parquet"), page


def test_every_cell_and_setting_has_a_row(replayed: tuple[str, pl.DataFrame, str]) -> None:
    _, rows, _ = replayed
    assert rows.group_by("model", "policy").len().sort("model", "policy").rows() == [
        (model, policy, count)
        for model in ("one", "two")
        for policy, count in (("adaptive", 4), ("early", 1), ("fixed", 9))
    ]
    assert rows["orders"].unique().to_list() == [4]
    assert rows["cap"].unique().to_list() == [30]


def test_savings_are_of_the_runs_own_samples(replayed: tuple[str, pl.DataFrame, str]) -> None:
    _, rows, _ = replayed
    full = rows.filter(pl.col("setting") == "n=30")
    assert full["samples_saved"].to_list() == [0, 0]
    assert (rows["samples"] / rows["samples_full"] + rows["samples_saved"]).is_close(1).all()
    by_threshold = rows.filter(pl.col("policy") == "adaptive", pl.col("model") == "two")
    assert by_threshold["samples"].is_sorted()


def test_the_terminal_names_every_policy(replayed: tuple[str, pl.DataFrame, str]) -> None:
    printed, rows, _ = replayed
    assert "one on sums" in printed
    for policy in rows["policy"].unique():
        assert policy in printed
    assert "replay.html" in printed
    assert max(len(line) for line in printed.splitlines()) <= 80


def test_the_page_needs_nothing_else(replayed: tuple[str, pl.DataFrame, str]) -> None:
    _, _, page = replayed
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', page)
    for name in ("accuracy", "width"):
        figure = re.search(rf'<figure id="figure-{name}">(.*?)</figure>', page, re.DOTALL)
        assert figure is not None
        assert 'data-row="' in figure[1]


def test_figures_hold_every_policy_of_a_cell(replayed: tuple[str, pl.DataFrame, str]) -> None:
    _, rows, _ = replayed
    for chart in draw(rows).values():
        drawn = {
            (row["policy"], row["setting"])
            for data in chart.to_dict(validate=False)["datasets"].values()
            for row in data
            if "policy" in row
        }
        assert drawn == set(rows.select("policy", "setting").rows())


def test_the_page_may_go_elsewhere(sampled: Path, tmp_path: Path) -> None:
    with reopened(sampled) as run:
        rows = replays.replay(run, [replays.asked("until:r=1")])
        path = replays.write(run, rows, tmp_path / "elsewhere.html")
        assert Path(path).read_text(encoding="utf-8") == page(run, rows)
        with pytest.raises(UserError, match="cannot be written"):
            replays.write(run, rows, Path(path) / "folder.html")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("addaptive", "policy addaptive: unknown; there are fixed"),
        ("early:w=3", "early.w: unknown key; allowed here are window"),
        ("early:window=x", "early.window: 'x' is not a whole number"),
        ("early:window", "early: 'window' is no key=value"),
        ("early:window=0", "EarlyStopping.window: 0 must be a whole number"),
        ("adaptive:threshold=2", "threshold: 2.0 must lie between 0 and 1"),
        ("width:growth=nan", "growth: nan must be from 1 to 100"),
    ],
)
def test_a_bad_policy_is_told_with_what_is_allowed(policy: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^--policy {policy}: .*{said}"):
        replays.asked(policy)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs/small", "--policy", "addaptive"], "error: --policy addaptive"),
        (["runs/nowhere", "--policy", "early"], "runs/nowhere"),
        (["runs/small"], "Missing option '--policy'"),
    ],
)
def test_bad_input_ends_with_exit_code_2(sampled: Path, arguments: list[str], said: str) -> None:
    done = passlaw(sampled, "replay", *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_random_orders_of_a_run_that_stopped_at_passes_are_refused(sampled: Path) -> None:
    with (
        reopened(sampled, allocation={"r": 2, "cap": 40}) as run,
        pytest.raises(UserError, match="only their own order is fair"),
    ):
        replays.replay(run, [replays.asked("early")], orders=5)


def test_a_confidence_that_no_sample_has_is_refused(sampled: Path) -> None:
    with reopened(sampled) as run, pytest.raises(UserError, match="no sample has one"):
        replays.replay(run, [replays.asked("confidence")], confidence="score")


def test_scores_against_other_answers_are_refused(sampled: Path) -> None:
    with reopened(sampled) as run:
        table = run.problems["sums"]
        other = pa.array(["0"] * table.num_rows)
        at = table.schema.get_field_index("answer")
        changed = replace(run, problems={"sums": table.set_column(at, "answer", other)})
        with pytest.raises(UserError, match="other answers; run `passlaw score"):
            replays.replay(changed, [replays.asked("early:window=3")])


def test_a_cell_without_scores_is_told_what_to_do(sampled: Path, tmp_path: Path) -> None:
    with (
        reopened(sampled) as run,
        pytest.raises(UserError, match="one on sums has no scores; run `passlaw sample"),
    ):
        replays.replay(
            replace(run, store=Store.at(str(tmp_path))), [replays.asked("early:window=3")]
        )


def test_a_cap_beyond_what_is_stored_is_told(sampled: Path) -> None:
    with reopened(sampled) as run:
        asked = replays.asked("adaptive:threshold=0.999999999999,cap=50")
        rows = replays.replay(run, [asked]).filter(pl.col("policy") == "adaptive")
    assert rows["exhausted"].to_list() == [1, 1]
    assert rows["samples"].to_list() == [30, 30]
