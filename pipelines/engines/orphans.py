"""Ends what an engine started, once the engine's own process is gone, however it went.

vLLM computes in processes of its own, which do not notice when a kill -9 takes the process that
asked for them, and keep the GPU. A guard does: a small process that waits on a pipe, which closes
when the engine's process ends. It finds the others by a mark in their environment (on Linux; it
does nothing elsewhere). It is no child of the engine's process, for Ray kills the children of an
actor that ends, though not theirs. Run as a script, this file is the guard. Knows nothing of
engines.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

VARIABLE = "PASSLAW_ENGINE"
"""Environment variable whose value marks the processes of one engine."""


class Guard:
    """Marks the processes that this one starts from now on, and guards them."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        plain = {name: value for name, value in os.environ.items() if name != VARIABLE}
        self._process = subprocess.Popen(
            # Isolated and without site-packages: it starts in milliseconds.
            [sys.executable, "-I", "-S", __file__, self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # closes when the guard is done
            stderr=subprocess.DEVNULL,
            env=plain,
            start_new_session=True,  # a Ctrl-C is not for the guard
        )
        self._process.wait()  # of the script; what it left behind is the guard
        os.environ[VARIABLE] = self._mark

    def close(self) -> None:
        """End what is left of the marked processes, and the guard."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.stdout.read()
            self._process.stdout.close()
        if os.environ.get(VARIABLE) == self._mark:
            del os.environ[VARIABLE]


def marked(mark: str) -> list[int]:
    """Return the processes that were started with a mark, by their ids."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def _guard(mark: str) -> None:
    if os.fork():
        return
    sys.stdin.buffer.read()  # returns when nobody holds the other end any more
    while processes := marked(mark):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


if __name__ == "__main__":
    _guard(sys.argv[1])
