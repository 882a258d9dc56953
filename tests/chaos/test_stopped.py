"""Processes that stop answering without dying (SIGSTOP), and wake up when nobody expects them."""

import os
import signal

import psutil
import pytest

from tests.chaos.harness import PATIENCE, committed, ended, processes_of, start, until


def hang(folder, actor):
    """Stop an actor in the middle of a run, and see that it is replaced."""
    limit = ("-o", "resources.unit_seconds=8")
    process = start(folder, "sample", "sweep.yaml", "-o", "run=hung", *limit)
    until(lambda: committed(folder / "hung"), "a unit")
    hung = processes_of(process.pid, f"ray::{actor}")[0]
    hung.suspend()
    assert "actors died and were replaced" in ended(process)
    assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE


def test_an_engine_that_hangs_is_replaced(through_ray, sweep_folder, recovered):
    hang(sweep_folder, "EngineWorker")
    recovered("hung", "SIGSTOP of an engine actor")


@pytest.mark.usefixtures("nightly")
def test_a_scorer_that_hangs_is_replaced(through_ray, sweep_folder, recovered):
    hang(sweep_folder, "KeeperWorker")
    recovered("hung", "SIGSTOP of a scoring actor")


def test_a_driver_that_is_stopped_goes_on(through_ray, sweep_folder, recovered):
    process = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=paused")
    until(lambda: committed(sweep_folder / "paused"), "a unit")
    os.kill(process.pid, signal.SIGSTOP)
    refused = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=paused")
    assert "is writing to this run" in ended(refused, code=2)
    os.kill(process.pid, signal.SIGCONT)
    ended(process)
    recovered("paused", "SIGSTOP of the driver, then SIGCONT")


def test_a_driver_that_wakes_after_another_took_over_stops(through_ray, sweep_folder, recovered):
    """Its lease was removed by hand, as the message to the second driver says that one may."""
    root = sweep_folder / "taken"
    sleeper = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=taken")
    until(lambda: committed(root), "a unit")
    os.kill(sleeper.pid, signal.SIGSTOP)
    (root / "lease.json").unlink()
    second = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=taken")
    until((root / "lease.json").exists, "the second driver")
    os.kill(sleeper.pid, signal.SIGCONT)
    _, errors = sleeper.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors, errors
    # It may have had all its units committed before it was stopped.
    assert sleeper.returncode in (0, 2), errors
    if sleeper.returncode == 2:
        assert "another process" in errors
    ended(second)
    recovered("taken", "a second driver takes over a stopped one, which wakes")
