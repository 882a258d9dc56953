"""The lease: one driver at a time, and a dead one never keeps the others out."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipelines import lease
from pipelines.errors import UserError
from pipelines.lease import BEAT, KEY, Lease, holder, holds
from pipelines.storage import Folder

HERE = socket.gethostname()
HOLD = (
    "import sys, pathlib; from pipelines import lease; from pipelines.storage import Folder\n"
    "lease.HEARTBEAT, storage = 0.05, Folder(pathlib.Path(sys.argv[1]))\n"
    "with lease.Lease(storage) as held:\n"
    "    print(held.token, flush=True)\n"
    "    sys.stdin.readline()\n"
    "    print(lease.holds(storage, held.token), flush=True)\n"
)


@pytest.fixture
def storage(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def soon(monkeypatch):
    """Heartbeats and expiry in fractions of a second."""
    monkeypatch.setattr(lease, "HEARTBEAT", 0.01)
    monkeypatch.setattr(lease, "EXPIRES", 0.2)


@pytest.fixture
def patient(monkeypatch):
    """Watch for so long that even on a busy machine a heart is seen to beat."""
    monkeypatch.setattr(lease, "EXPIRES", 30.0)


def write(storage, **held):
    content = {"token": "other", "pid": 1, "host": HERE, "machine": lease._machine()} | held
    storage.replace(KEY, json.dumps(content).encode())


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def another_process(storage):
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, storage.root],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_held_while_open_and_given_back(storage):
    with Lease(storage) as held:
        assert holds(storage, held.token)
        assert not holds(storage, "another token")
        assert holder(storage) == f"process {os.getpid()} on {HERE}"
    assert list(storage.root.iterdir()) == []
    assert holder(storage) is None
    with Lease(storage) as again:
        assert again.token != held.token


def test_given_back_after_an_error(storage):
    with pytest.raises(ZeroDivisionError), Lease(storage):
        _ = 1 / 0
    assert list(storage.root.iterdir()) == []


def test_given_back_with_its_heartbeats(storage, soon):
    with Lease(storage):
        wait_for(lambda: storage.exists(BEAT))
    assert list(storage.root.iterdir()) == []


def test_a_second_holder_is_refused_and_told_who_holds_it(storage):
    with Lease(storage) as held:
        with pytest.raises(UserError, match=f"process {os.getpid()} on {HERE} is writing"):
            Lease(storage).__enter__()
        assert holds(storage, held.token)
    assert list(storage.root.iterdir()) == []


def test_another_process_is_refused_until_the_holder_is_killed(storage):
    """Killed, not stopped: it never gave the lease back, and it is taken over at once."""
    with another_process(storage) as process:
        process.stdout.readline()
        with pytest.raises(UserError, match=f"process {process.pid} on {HERE} is writing"):
            Lease(storage).__enter__()
        process.kill()
        process.wait()
        assert storage.exists(KEY)
        assert holder(storage) is None
        with Lease(storage) as held:
            assert holds(storage, held.token)


def test_a_dead_process_is_taken_over(storage):
    write(storage, pid=dead_pid())
    with Lease(storage) as held:
        assert holds(storage, held.token)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times are read from /proc")
def test_a_number_that_another_process_got_since_is_taken_over(storage):
    write(storage, pid=os.getpid(), started="1")
    with Lease(storage) as held:
        assert holds(storage, held.token)


class TestElsewhere:
    """Its process cannot be asked: only its heart tells."""

    def test_one_whose_heart_beats_is_refused(self, storage, patient):
        write(storage, host="elsewhere", pid=7)
        stop = threading.Event()

        def beat():
            count = 0
            while not stop.wait(0.01):
                count += 1
                storage.replace(BEAT, f"other {count}".encode())

        heart = threading.Thread(target=beat)
        heart.start()
        try:
            with pytest.raises(UserError, match=f"process 7 on elsewhere .* remove {storage}"):
                Lease(storage).__enter__()
        finally:
            stop.set()
            heart.join()
        assert holds(storage, "other")

    def test_one_whose_heart_stands_still_is_taken_over(self, storage, soon):
        write(storage, host="elsewhere", pid=7)
        storage.replace(BEAT, b"other 3")
        with Lease(storage) as held:
            assert holds(storage, held.token)

    def test_one_that_is_given_back_while_we_watch_is_taken(self, storage, monkeypatch):
        """Long before it would have expired."""
        write(storage, host="elsewhere")
        monkeypatch.setattr(lease.time, "sleep", lambda _: storage.remove(KEY))
        with Lease(storage) as held:
            assert holds(storage, held.token)

    @pytest.mark.parametrize("jump", [-1e9, 1e9])
    def test_no_clock_that_jumps_breaks_it(self, storage, monkeypatch, patient, jump):
        """Neither the calendar of this machine nor the dates of the files decide."""
        monkeypatch.setattr(time, "time", lambda: 1e9 + jump)
        with another_process(storage) as process:
            token = process.stdout.readline().strip()
            held = json.loads(storage.read(KEY))
            write(storage, **held | {"host": "elsewhere"})
            for key in (KEY, BEAT):
                if storage.exists(key):
                    os.utime(storage.root / key, (1e9 - jump,) * 2)
            with pytest.raises(UserError, match="on elsewhere is writing"):
                Lease(storage).__enter__()
            process.communicate("\n")
        assert token == held["token"]

    def test_a_machine_of_our_name_is_another_machine(self, storage, soon):
        """Containers may share a host name; a process number of one says nothing in another."""
        write(storage, pid=dead_pid(), machine="another boot")
        assert holder(storage).endswith(f"on {HERE}, if it still lives")
        began = time.monotonic()
        with Lease(storage) as held:
            assert time.monotonic() - began >= lease.EXPIRES
            assert holds(storage, held.token)

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\x00", b"\xed\xa0\x80"])
    def test_a_torn_lease_expires(self, storage, soon, content):
        storage.replace(KEY, content)
        assert not holds(storage, "any")
        with Lease(storage) as held:
            assert holds(storage, held.token)


def test_the_heart_beats(storage, soon):
    with Lease(storage) as held:
        beats = set()

        def two():
            beats.add(storage.read(BEAT) if storage.exists(BEAT) else b"")
            return len(beats - {b""}) >= 2

        wait_for(two)
        assert all(beat.startswith(held.token.encode()) for beat in beats - {b""})


def test_one_that_another_took_over_is_neither_kept_alive_nor_removed(storage, soon):
    with Lease(storage) as held:
        write(storage, host="elsewhere")
        time.sleep(0.3)  # a beat that was under way
        storage.remove(BEAT)
        time.sleep(0.1)
        assert not storage.exists(BEAT)
        assert not holds(storage, held.token)
    assert holds(storage, "other")


def test_a_paused_process_finds_that_it_was_replaced(storage, soon):
    """SIGSTOP: on another machine it looks dead; when it wakes up its token is not the lease's."""
    with another_process(storage) as process:
        token = process.stdout.readline().strip()
        process.send_signal(signal.SIGSTOP)
        try:
            assert holds(storage, token)
            write(storage, **json.loads(storage.read(KEY)) | {"host": "elsewhere"})
            with Lease(storage) as held:
                process.send_signal(signal.SIGCONT)
                said, _ = process.communicate("\n")
                assert said == "False\n"
                assert holds(storage, held.token), "its leaving takes nothing from the new holder"
        finally:
            process.send_signal(signal.SIGCONT)


def test_an_answer_that_was_lost_is_no_refusal(tmp_path):
    """The server made the lease, its reply got lost, and asked again it says: there is one."""

    class Lossy(Folder):
        def create(self, key, content):
            super().create(key, content)
            return super().create(key, content)

    with Lease(Lossy(tmp_path)) as held:
        assert holds(Folder(tmp_path), held.token)


def test_a_disk_that_fails_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"lease.json: cannot be written \("):
        Lease(Folder(tmp_path / "file")).__enter__()
