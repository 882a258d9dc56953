"""status: says what is done and what is wrong, and changes nothing."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.engines.protocol import Request
from pipelines.engines.simulated_engine import SimulatedModel
from pipelines.lease import Lease
from pipelines.run import opened, reopened
from pipelines.score import refresh, score
from pipelines.status import cell_status, examine, show
from pipelines.sweeps.config import parse
from pipelines.units import Cell, Unit, seeds

CELL = Cell("m", "quiz")
PROBLEMS = ("a", "b", "c")


@pytest.fixture
def sweep(tmp_path):
    rows = [{"problem_id": name, "prompt": name, "answer": f"right {name}"} for name in PROBLEMS]
    (tmp_path / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return parse(
        {
            "name": "s",
            "run": str(tmp_path / "run"),
            "models": [
                {"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.5, "spread": 0.0}
            ],
            "tasks": [{"name": "quiz", "path": str(tmp_path / "quiz.jsonl")}],
            "allocation": {"r": 3, "first_round": 4, "cap": 64},
        },
        source="test",
    )


def draw(run, start, stop, problems=PROBLEMS):
    """Commit a unit's samples, as an engine would give them."""
    unit = Unit(cell=CELL, problems=problems, start=start, stop=stop)
    rows = run.rows("quiz")
    requests = [
        Request(
            task="t",
            stream=0,
            problem_id=name,
            prompt=name,
            sample_ids=range(start, stop),
            seeds=seeds(0, run.cell_key(CELL), name, start, stop),
            answer=rows[name]["answer"],
        )
        for name in problems
    ]
    table = SimulatedModel(run.sweep.models[0]).generate(requests, run.sweep.decoding)
    assert run.store.commit("samples", unit, table, {"engine_seconds": 1.0, "prompt_tokens": 3})
    return unit


def told(run):
    stream = io.StringIO()
    show(examine(run), Console(file=stream, width=200))
    return stream.getvalue()


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_run(sweep):
    with opened(sweep) as run:
        pass
    with reopened(sweep, write=False) as run:
        status = cell_status(run, CELL)
        assert (status.problems, status.settled, status.samples, status.scored) == (3, 0, 0, 0)
        text = told(run)
    assert "0/3" in text
    assert "no counts.parquet yet; `passlaw score" in text
    assert "no laws.parquet yet; `passlaw fit" in text
    assert "no report yet; `passlaw report" in text
    assert "running" not in text


def test_it_agrees_with_the_counts(sweep):
    """With 64 samples each, all are settled; with 4, those that passed 3 times."""
    with opened(sweep) as run:
        for start, stop in ((0, 4), (4, 64)):
            draw(run, start, stop)
            counts = score(run).counts
            status = cell_status(run, CELL)
            assert status.settled == counts["stop_reason"].count()
            assert (status.samples, status.scored) == (3 * stop, 3 * stop)
            assert status.passes >= counts["c"].sum()
        assert status.settled == 3
        text = told(run)
    assert "3/3" in text
    assert f"{status.passes / 192:.3g}" in text
    assert "counts.parquet" not in text


def test_with_a_fixed_number_nothing_but_the_number_settles(sweep):
    fixed = parse(sweep.model_dump(mode="json") | {"allocation": {"n": 8}}, source="test")
    with opened(fixed) as run:
        draw(run, 0, 8, ("a", "b"))
        draw(run, 0, 4, ("c",))
        refresh(run)
        assert cell_status(run, CELL).settled == 2


def test_samples_without_scores_are_told(sweep):
    with opened(sweep) as run:
        draw(run, 0, 4)
        status = cell_status(run, CELL)
        assert (status.samples, status.scored, status.passes) == (12, 0, 0)
        assert "unscored samples: 12; the next run or score does them" in told(run)


@pytest.mark.parametrize("kind", ["samples", "scores"])
def test_a_file_cut_short_is_told_and_left_where_it_is(sweep, kind, tmp_path):
    with opened(sweep) as run:
        unit = draw(run, 0, 4)
        refresh(run)
        path = Path(run.store.storage.url(run.store.unit_key(kind, unit)))
        path.write_bytes(path.read_bytes()[:-1])
        before = snapshot(tmp_path)
        status = cell_status(run, CELL)
        assert len(status.unreadable) == 1
        assert status.unreadable[0].startswith(f"{path}: ")
        assert f"unreadable, will be redone: {path}" in told(run)
        assert snapshot(tmp_path) == before


def test_a_file_damaged_inside_is_told_too(sweep):
    with opened(sweep) as run:
        unit = draw(run, 0, 4)
        refresh(run)
        path = Path(run.store.storage.url(run.store.unit_key("scores", unit)))
        content = bytearray(path.read_bytes())
        content[20:60] = bytes(40)
        path.write_bytes(content)
        status = cell_status(run, CELL)
        assert [line.partition(": ")[0] for line in status.unreadable] == [str(path)]
        assert "unreadable, will be redone" in told(run)


def test_quarantine_is_told(sweep):
    with opened(sweep) as run:
        path = Path(run.store.storage.url(run.store.unit_key("samples", draw(run, 0, 4))))
        path.write_bytes(b"")
        refresh(run)
        text = told(run)
    assert f"in quarantine: 1 files under {run.store.root}/quarantine" in text
    assert "unreadable" not in text


def test_who_is_running_is_told(sweep):
    with opened(sweep) as run:
        pass
    with Lease(run.store.storage), reopened(sweep, write=False) as run:
        assert "running: process " in told(run)
    with reopened(sweep, write=False) as run:
        Path(run.store.report_url).write_text("<p>")
        assert f"report: {run.store.report_url}" in told(run)
