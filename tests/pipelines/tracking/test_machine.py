"""The machine is watched while samples are drawn, and nothing depends on it."""

import threading

import pytest

from pipelines.errors import UserError
from pipelines.storage import Folder
from pipelines.tracking import machine
from pipelines.tracking.machine import MOST, Watch, watched
from pipelines.tracking.spool import Spool


@pytest.fixture
def spool(tmp_path):
    return Spool(Folder(tmp_path))


def test_what_this_machine_does_is_seen(spool):
    """Percentages are percentages, and this process takes some memory."""
    pytest.importorskip("psutil", reason="psutil tells what a machine does")
    with watched(spool, period=0.01):
        threading.Event().wait(0.2)
    points = spool.system()
    seen = {name.removeprefix("system/"): value for name, value, *_ in points}
    assert 0 <= seen["cpu_utilization_percentage"] <= 100
    assert 0 < seen["system_memory_usage_percentage"] <= 100
    assert seen["driver_memory_megabytes"] > 10
    times = [when for name, _, _, when in points if name.endswith("cpu_utilization_percentage")]
    assert times == sorted(times)


def test_a_long_session_stays_small(spool):
    """Every other look is dropped once there are too many."""
    watch = Watch(spool, lambda: {"load": 1.0}, period=1_000.0)
    watch.start()
    for _ in range(10 * MOST):
        watch.look()
    watch.stop()
    assert MOST / 4 < len(spool.system()) <= MOST + 1


def test_a_session_that_found_nothing_to_do_leaves_nothing(spool):
    with watched(spool, period=100.0):
        pass
    assert spool.system() == []


def test_sensors_and_disks_that_fail_are_left_out(tmp_path, monkeypatch):
    """Sampling goes on."""

    def broken():
        raise OSError("no sensor")

    def full(*arguments):
        raise UserError("full")

    spool = Spool(Folder(tmp_path))
    monkeypatch.setattr(machine, "machine", lambda: broken)
    with watched(spool, period=0.001):
        threading.Event().wait(0.02)
    monkeypatch.setattr(machine, "machine", lambda: lambda: {"load": 1.0})
    monkeypatch.setattr(Spool, "keep_system", full)
    with watched(spool, period=0.001):
        threading.Event().wait(0.02)
    assert spool.system() == []


def test_without_psutil_nothing_is_watched(spool, monkeypatch):
    monkeypatch.setattr(machine, "machine", lambda: None)
    with watched(spool, period=0.001):
        assert not [thread for thread in threading.enumerate() if thread.name == "machine"]
