"""The lease: one driver at a time, and a dead one never keeps the others out."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines import lease
from pipelines.errors import UserError
from pipelines.lease import EXPIRES, Lease, holder, holds

HERE = socket.gethostname()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lease.json"


def write(path, *, age=0.0, **held):
    content = {"token": "other", "pid": 1, "host": HERE, "started": None} | held
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age,) * 2)


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_held_while_open_and_given_back(path):
    with Lease(path) as held:
        assert holds(path, held.token)
        assert not holds(path, "another token")
        assert holder(path) == f"process {os.getpid()} on {HERE}"
    assert not path.exists()
    assert holder(path) is None
    with Lease(path) as again:
        assert again.token != held.token


def test_given_back_after_an_error(path):
    with pytest.raises(ZeroDivisionError), Lease(path):
        _ = 1 / 0
    assert list(path.parent.iterdir()) == []


def test_a_second_holder_is_refused_and_told_who_holds_it(path):
    with Lease(path) as held:
        with pytest.raises(UserError, match=f"process {os.getpid()} on {HERE} is writing"):
            Lease(path).__enter__()
        assert holds(path, held.token)
    assert list(path.parent.iterdir()) == []


def test_another_process_is_refused_until_the_holder_is_killed(path):
    """Killed, not stopped: it never gave the lease back, and it is taken over at once."""
    script = (
        "import sys, pathlib; from pipelines.lease import Lease\n"
        "with Lease(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {process.pid} on {HERE} is writing"):
            Lease(path).__enter__()
        process.kill()
        process.wait()
        assert path.exists()
        assert holder(path) is None
        with Lease(path) as held:
            assert holds(path, held.token)


def test_a_dead_process_is_taken_over(path):
    write(path, pid=dead_pid())
    with Lease(path) as held:
        assert holds(path, held.token)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times are read from /proc")
def test_a_number_that_another_process_got_since_is_taken_over(path):
    write(path, pid=os.getpid(), started="1")
    with Lease(path) as held:
        assert holds(path, held.token)


@pytest.mark.parametrize(("age", "alive"), [(EXPIRES - 10, True), (EXPIRES + 10, False)])
def test_one_of_another_host_expires(path, age, alive):
    write(path, host="elsewhere", pid=7, age=age)
    assert holder(path) == ("process 7 on elsewhere" if alive else None)
    if alive:
        with pytest.raises(UserError, match=f"process 7 on elsewhere .* remove {path}"):
            Lease(path).__enter__()
        assert holds(path, "other")
        return
    with Lease(path) as held:
        assert holds(path, held.token)


def test_signs_of_life_keep_it_from_expiring(path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.01)
    with Lease(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_one_that_another_took_over_is_neither_kept_alive_nor_removed(path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.01)
    with Lease(path) as held:
        write(path, host="elsewhere", age=1000.0)
        time.sleep(0.1)
        assert not holds(path, held.token)
        assert path.stat().st_mtime < time.time() - 900
    assert holds(path, "other")


def test_one_removed_at_the_last_moment_is_not_made_again(path, monkeypatch):
    """Between the look at who holds it and the sign of life: an empty lease would lock all out."""
    found = []

    def holds_until_now(held, token):
        found.append(held.exists())
        held.unlink(missing_ok=True)
        return True

    monkeypatch.setattr(lease, "HEARTBEAT", 0.001)
    monkeypatch.setattr(lease, "holds", holds_until_now)
    with Lease(path):
        deadline = time.monotonic() + 10
        while len(found) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    assert found[0]
    assert not any(found[1:])


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00", "\ud800"])
def test_a_torn_lease_expires(path, content):
    path.write_text(content, encoding="utf-8", errors="surrogatepass")
    assert not holds(path, "any")
    with pytest.raises(UserError, match="is writing to this run"):
        Lease(path).__enter__()
    os.utime(path, (time.time() - EXPIRES - 1,) * 2)
    assert holder(path) is None
    with Lease(path) as held:
        assert holds(path, held.token)
