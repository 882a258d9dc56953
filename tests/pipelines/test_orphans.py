"""A guard ends the processes of an engine, when its own process is gone or it is closed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipelines.engines.orphans import VARIABLE, Guard, marked

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").is_file(), reason="processes are found by /proc"
)
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
PARENT = f"""
import subprocess, time
from pipelines.engines.orphans import Guard
guard = Guard()
print(subprocess.Popen({SLEEP!r}).pid, flush=True)
time.sleep(600)
"""


def test_processes_do_not_outlive_a_parent_that_was_killed():
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
    _, left = psutil.wait_procs([child], timeout=60)
    for process in left:
        process.kill()
    assert not left


def test_closing_a_guard_ends_what_was_started_since_and_nothing_else():
    with subprocess.Popen(SLEEP) as before:
        guard = Guard()
        mark = os.environ[VARIABLE]
        with subprocess.Popen(SLEEP) as after:
            assert marked(mark) == [after.pid]
            # A guard among them would be killed with the children of an actor.
            children = {each.pid for each in psutil.Process().children()}
            assert {before.pid, after.pid} <= children
            guards = [each for each in psutil.Process().children() if mark in each.cmdline()]
            assert not guards
            guard.close()
            assert after.wait(60) == -signal.SIGKILL
        assert before.poll() is None
        assert VARIABLE not in os.environ
        guard.close()  # once more is harmless
        before.kill()
