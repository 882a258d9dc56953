"""What the tests of faults share: sweeps, lives, and what a run that was disturbed must hold."""

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import psutil

from tests.command import COMMAND, ENVIRONMENT

ENVIRONMENT = ENVIRONMENT | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
KEYS = ["model", "task", "problem_id", "sample_id"]
CONTENT = {
    "samples": [*KEYS, "seed", "completion", "finish_reason", "completion_tokens", "error"],
    "scores": [*KEYS, "answer", "passed", "error"],
}
RESULTS = ("counts", "rates", "curves", "laws", "selection")
STARTED: list[subprocess.Popen[str]] = []
"""Commands of the test at work, so that one that fails leaves none behind."""
VERBS = ("sample", "score", "fit")
PATIENCE = 300
"""Seconds after which a process that should have ended is taken for hung."""


def write_problems(folder, count=8):
    rows = [
        {"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(count)
    ]
    for name, verifier in (("sums", "exact"), ("more", "math")):
        lines = [json.dumps(row | {"verifier": verifier}) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))


def read_units(root, kind):
    """Return all rows of a run's unit files, in order; none where there are no files."""
    files = sorted((root / kind).rglob("*.parquet"))
    if not files:
        return pl.DataFrame(schema=dict.fromkeys(CONTENT[kind], pl.String))
    frame = pl.read_parquet(files, hive_partitioning=True)
    return frame.select(CONTENT[kind]).sort(CONTENT[kind])


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run against the undisturbed one."""

    lost: int
    """Rows of the undisturbed run that are not there, samples and scores together."""
    duplicated: int
    """Rows of a sample that is there already."""
    changed: list[str] = field(default_factory=list)
    """Tables that differ."""

    @property
    def whole(self):
        return self.lost == 0 and self.duplicated == 0 and not self.changed


def against(root, undisturbed):
    """Compare a run with the undisturbed one, from the files alone."""
    lost = duplicated = 0
    changed = []
    for kind in CONTENT:
        was, now = read_units(undisturbed, kind), read_units(root, kind)
        assert was.height > 0
        lost += was.select(KEYS).join(now.select(KEYS), on=KEYS, how="anti").height
        duplicated += now.height - now.select(KEYS).n_unique()
        changed += [] if now.equals(was) else [kind]
    for name in RESULTS:
        was = pl.read_parquet(undisturbed / f"{name}.parquet")
        path = root / f"{name}.parquet"
        changed += [] if path.exists() and pl.read_parquet(path).equals(was) else [name]
    return Found(lost=lost, duplicated=duplicated, changed=changed)


@dataclass(frozen=True, kw_only=True)
class Life:
    """How a life ended."""

    code: int
    seconds: float
    errors: str
    steps: list[tuple[str, str]]
    """Of each change to the run: the event, and the path in the run."""


class Lives:
    """Forks lives of the command, see `one_life`; a context manager."""

    def __enter__(self):
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.one_life"],
            cwd=Path(__file__).parents[2],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait(timeout=PATIENCE)
        self._server.stdout.close()

    def live(self, folder, run, verbs=VERBS, kind="none", at=0):
        """Live once, with a fault of a kind at a step."""
        fault = {"kind": kind, "at": at}
        order = {"folder": str(folder), "run": run, "verbs": verbs, "fault": fault}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        ended = json.loads(self._server.stdout.readline())
        steps = [line.split("\t")[1:] for line in (folder / "trace").read_text().splitlines()]
        errors = (folder / "stderr").read_text()
        assert "Traceback" not in errors, errors
        return Life(**ended, errors=errors, steps=[(event, path) for event, path in steps])


def start(folder, *arguments, prefix=(), environment=None):
    """Start the command in a folder, in a session of its own, its errors in a pipe."""
    process = subprocess.Popen(
        [*prefix, *COMMAND, *arguments],
        cwd=folder,
        env=ENVIRONMENT | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def ended(process, code=0):
    """Wait for a command, check its exit code, and return what it said of errors."""
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        raise
    assert "Traceback" not in errors, errors
    assert process.returncode == code, errors
    return errors


def kill_tree(pid):
    """Kill a process that a test started, and all that it started."""
    try:
        parent = psutil.Process(pid)
        with_children = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for process in with_children:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def kill_driver(process):
    """kill -9 the driver alone; its actors must end by themselves, and what is left is killed."""
    actors = processes_of(process.pid, "Worker")
    others = processes_of(process.pid, "ray")
    process.kill()
    process.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(actors, timeout=PATIENCE)
    assert not alive, "actors outlive their driver"
    for each in others:  # Ray's own agents, which take their time
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def processes_of(pid, name):
    """Return the descendants of a process whose command line holds a name."""
    found = []
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for child in children:
        try:
            if name in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def first_of(pid, name):
    """Wait for descendants of a process whose command line holds a name, and return them."""
    return until(lambda: processes_of(pid, name), name)


def until(condition, what):
    """Wait until a condition gives something true, and return that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return found


def committed(root):
    """Return the unit files of samples that are there."""
    return list((root / "samples").rglob("*.parquet"))
