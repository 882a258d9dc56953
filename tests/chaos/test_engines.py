"""Engines that break their promises: what they do once is mended, what they do always is named."""

import time
from pathlib import Path

import polars as pl

from tests.chaos.faulty_engine import HUGE
from tests.chaos.harness import KEYS, against, ended, read_units, start, write_problems

ONCE = ("too few", "too many", "another order", "a sample twice", "NaN")
ONCE += ("raises", "no memory", "exits", "hangs")
ALWAYS = ("too few", "raises", "no memory", "exits")
MODEL = "  - {{engine: python, name: {name}, parameters: {size}, factory: '{factory}'}}\n"
SWEEP = """
name: faulty
models:
{models}
tasks:
  - {{source: file, name: sums, path: sums.jsonl}}
allocation: {{n: 40}}
fit: {{family: beta_binomial, hold_out: null, k: [1, 10]}}
resources: {{engines: 2, unit_samples: {unit}, unit_seconds: 10}}
tracking: {{enabled: false}}
"""


def name_of(fault):
    return fault.replace(" ", "-")


def write_sweep(folder, names, unit):
    factory = "tests.chaos.faulty_engine:FaultyModel"
    lines = [
        MODEL.format(name=name, size=1_000 * 2**at, factory=factory)
        for at, name in enumerate(names)
    ]
    (folder / "sweep.yaml").write_text(SWEEP.format(models="".join(lines), unit=unit))


def write_faults(folder, faults, suffix=""):
    (folder / "faults").mkdir()
    for fault in faults:
        (folder / "faults" / name_of(fault)).write_text(fault + suffix)


def test_what_an_engine_does_once_leaves_no_trace(tmp_path: Path, lives, ledger):
    write_problems(tmp_path, 4)
    write_sweep(tmp_path, [*map(name_of, ONCE), "huge"], unit=80)
    assert lives.live(tmp_path, "undisturbed").code == 0
    write_faults(tmp_path, ONCE)
    began = time.monotonic()
    errors = ended(start(tmp_path, "sample", "sweep.yaml", "-o", "run=run"))
    assert "actors died and were replaced" in errors
    assert not list((tmp_path / "faults").iterdir()), "a fault was not done"
    assert lives.live(tmp_path, "run", verbs=("score", "fit")).code == 0
    found = against(tmp_path / "run", tmp_path / "undisturbed")
    for fault in ONCE:
        ledger.note(f"engine, once: {fault}", found, time.monotonic() - began)
    ledger.note("engine: a completion of 10 MB", found, 0.0)
    lengths = read_units(tmp_path / "run", "samples")["completion"].str.len_chars()
    assert (lengths == HUGE).sum() == 2  # one of each unit
    files = (tmp_path / "run" / "samples").rglob("*.parquet")
    recorded = pl.concat(pl.read_parquet(file, columns=["sum_logprob"]) for file in files)
    assert recorded["sum_logprob"].is_nan().sum() == 0


def test_what_an_engine_does_always_is_named_and_stops_nothing_else(tmp_path: Path, lives, ledger):
    write_problems(tmp_path, 2)
    write_sweep(tmp_path, map(name_of, ALWAYS), unit=80)
    assert lives.live(tmp_path, "undisturbed").code == 0
    write_faults(tmp_path, ALWAYS, ", always")
    began = time.monotonic()
    ended(start(tmp_path, "sample", "sweep.yaml", "-o", "run=run"), code=1)
    life = lives.live(tmp_path, "run", verbs=("score",))
    assert life.code == 1
    for fault in ALWAYS:
        (line,) = [each for each in life.errors.splitlines() if f" {name_of(fault)} on " in each]
        assert "problem p1: 40 samples failed: " in line
    assert "ArithmeticError: the engine broke" in life.errors
    assert "MemoryError" in life.errors
    was, now = (read_units(tmp_path / run, "samples") for run in ("undisturbed", "run"))
    failed = now.filter(pl.col("finish_reason") == "error")
    assert failed.select(KEYS).equals(was.filter(problem_id="p1").select(KEYS))
    well = pl.col("problem_id") != "p1"
    assert now.filter(well).equals(was.filter(well))
    # The same command again finds nothing to do, and says again what failed.
    assert lives.live(tmp_path, "run", verbs=("sample", "score")).code == 1
    assert read_units(tmp_path / "run", "samples").equals(now)
    found, seconds = against(tmp_path / "run", tmp_path / "undisturbed"), time.monotonic() - began
    for fault in ALWAYS:
        ledger.note_failed(f"engine, always: {fault} (recorded as failed)", found, seconds)
