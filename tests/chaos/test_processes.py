"""kill -9 of each kind of process of a run, at random moments of the work."""

import os
import random
import signal

import pytest

from tests.chaos.harness import (
    PATIENCE,
    committed,
    ended,
    first_of,
    kill_driver,
    kill_tree,
    processes_of,
    start,
    until,
)

ACTORS = {
    "engine actor": "ray::EngineWorker",
    "scoring actor": "ray::KeeperWorker",
}
SERVERS = {"raylet": "raylet/raylet", "GCS": "gcs_server"}


def moments(chance, through_ray, count):
    """Return after how many committed units to kill, in order."""
    return sorted(chance.randrange(through_ray.units) for _ in range(count))


def wait_for_units(process, root, count):
    """Wait for so many units; whether the process is still at work then."""
    until(lambda: len(committed(root)) >= count or process.poll() is not None, "units")
    return process.poll() is None


def test_driver_killed_at_random_moments(through_ray, sweep_folder, recovered, kills):
    chance = random.Random(20_240_517)
    for life in range(max(1, kills // 20)):
        run = f"driver-{life}"
        for moment in moments(chance, through_ray, 2):
            process = start(sweep_folder, "run", "sweep.yaml", "-o", f"run={run}")
            wait_for_units(process, sweep_folder / run, moment)
            kill_driver(process)
        recovered(run, "kill -9 of the driver, twice")


def test_actors_killed_at_random_moments(through_ray, sweep_folder, recovered, kills):
    """The run goes on without being asked to."""
    chance = random.Random(7)
    for life in range(max(1, kills // 20)):
        run = f"actors-{life}"
        process = start(sweep_folder, "sample", "sweep.yaml", "-o", f"run={run}")
        names = list(ACTORS)
        chance.shuffle(names)
        # In the first half, so that the last kill finds work left.
        for name, moment in zip(names, moments(chance, through_ray, len(names)), strict=True):
            assert wait_for_units(process, sweep_folder / run, moment // 2)
            chance.choice(first_of(process.pid, ACTORS[name])).kill()
        ended(process)
        for name in ACTORS:
            recovered(run, f"kill -9 of the {name}")


@pytest.mark.usefixtures("nightly")
@pytest.mark.parametrize("what", SERVERS)
def test_server_of_ray_killed(through_ray, sweep_folder, recovered, what):
    """The driver says so in a line and stops; the same command begins where it was."""
    process = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=server")
    try:
        until(lambda: committed(sweep_folder / "server"), "a unit")
        (server,) = processes_of(process.pid, SERVERS[what])
        server.kill()
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        kill_tree(process.pid)
    assert "Traceback" not in errors, errors
    assert process.returncode in (0, 2), errors
    recovered("server", f"kill -9 of the {what}")


def test_interrupt_stops_cleanly_and_the_same_command_goes_on(through_ray, sweep_folder, recovered):
    root = sweep_folder / "interrupted"
    process = start(sweep_folder, "sample", "sweep.yaml", "-o", "run=interrupted")
    until(lambda: committed(root), "a unit")
    # As a terminal does it: the whole foreground group gets the signal, Ray's processes too.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list(root.rglob("*.tmp"))
    recovered("interrupted", "Ctrl-C")
