"""A life of the command in one process, without Ray, which a fault may end at any step.

A step is whatever changes a file of the run: to make a folder, open a file for writing, sync it,
link, rename or remove it. The interpreter's own audit events tell of them before they happen, so
the product needs no hook. Run as a process, it forks a life for each order on its standard input,
because to import everything takes longer than to live.
"""

import errno
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from pipelines import choose, cli, compact, fit, sample, score
from pipelines.units import covered, missing
from pipelines.workers import EngineWorker, KeeperWorker, Plan

CHANGES = {"os.mkdir", "os.link", "os.rename", "os.remove", "os.rmdir"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
PREPARED = (choose, compact, fit, score)
"""Stages that the command imports only when it needs them; here before the fork."""


class Steps:
    """Counts the steps of this process, writes each down, and does the fault when it is due."""

    def __init__(self, run, trace, fault):
        self._run = str(run)
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._fault = fault
        self._count = 0

    def install(self):
        """Listen from now on, for good."""
        self._sync = os.fsync
        os.fsync = self.synced
        sys.addaudithook(self.heard)

    def heard(self, event, arguments):
        """Take an audit event."""
        if event in CHANGES or (event == "open" and arguments[2] & WRITES):
            paths = arguments[:2] if event in ("os.link", "os.rename") else arguments[:1]
            for path in paths:
                if isinstance(path, str | os.PathLike) and self._is_ours(os.fspath(path)):
                    return self._step(event, os.fspath(path))
        return None

    def synced(self, file):
        """Take a file that is to be made durable."""
        number = file if isinstance(file, int) else file.fileno()
        path = str(Path(f"/proc/self/fd/{number}").readlink())
        if self._is_ours(path):
            self._step("os.fsync", path, number)
        self._sync(file)

    def _is_ours(self, path):
        return os.path.abspath(path).startswith(self._run)  # noqa: PTH100 - lexical, and fast

    def _step(self, event, path, number=None):
        at, self._count = self._count, self._count + 1
        os.write(self._trace, f"{at}\t{event}\t{os.path.relpath(path, self._run)}\n".encode())
        kind, due = self._fault["kind"], self._fault["at"]
        if kind == "full" and at >= due and event != "os.remove":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if at != due:
            return
        if kind == "error":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if kind == "torn" and number is not None:
            os.ftruncate(number, os.fstat(number).st_size // 2)
        if kind in ("torn", "kill"):
            os.kill(os.getpid(), signal.SIGKILL)


class JumpingClock:
    """Tells a time of day that jumps by up to a day, back and forth, at each reading."""

    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._time = time.time

    def __call__(self):
        return self._time() + self._chance.uniform(-86_400, 86_400)


def draw(run, display):
    """Do what `pipelines.sample` does for a fixed n, with the actors' own code in this process."""
    held = score.refresh(run)
    sweep, drawn = run.sweep, 0
    plan = Plan.of(run)
    engine, keeper = EngineWorker(plan), KeeperWorker(plan)
    for cell in run.cells:
        there = covered(committed.unit for committed in held.units[cell])
        wanted = dict.fromkeys(run.problem_ids(cell.task), sweep.allocation.n)
        for unit in missing(cell, wanted, there, sweep.resources.unit_samples):
            keeper.keep(unit, *engine.generate(unit))
            drawn += unit.samples
    return sample.Sampled(drawn=drawn, quarantined=held.quarantined)


def live(order):
    """Run the command's verbs one after another until one fails; never returns."""
    os.chdir(order["folder"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sample.sample = draw
    if order["fault"]["kind"] == "clock":
        time.time = JumpingClock(order["fault"]["at"])
    Steps(Path(order["run"]).absolute(), "trace", order["fault"]).install()
    code = 0
    for verb in order["verbs"]:
        sweep = ["sweep.yaml", "-o", f"run={order['run']}"]
        sys.argv = ["passlaw", verb, *([order["run"]] if verb == "compact" else sweep)]
        try:
            cli.main()
        except SystemExit as ended:
            code = max(code, int(ended.code or 0))
        except BaseException:  # what a user would see of it
            sys.excepthook(*sys.exc_info())
            code = 70
        if code > 1:
            break
    sys.stdout.flush()
    os._exit(code)


def serve():
    """Fork a life for each order, a line of JSON; answer with how it ended."""
    for line in sys.stdin:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            live(json.loads(line))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    serve()
