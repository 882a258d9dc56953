"""A real file system that is full, or may only be read; made by bubblewrap, without privileges."""

import shutil
import subprocess
import time

import pytest

from tests.chaos.harness import ENVIRONMENT, PATIENCE, against, ended, start
from tests.command import COMMAND


@pytest.fixture(scope="module")
def bubblewrap():
    """The beginning of a command line that sees this machine as it is."""
    path = shutil.which("bwrap")
    command = [path or "bwrap", "--dev-bind", "/", "/"]
    works = (
        path and not subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    )
    if not works:
        pytest.skip("needs bubblewrap (bwrap), and a kernel that lets it make mounts")
    return command


FULL = """
set -u
head -c {filler} /dev/zero > run/.filler
"$@" > /dev/null 2> errors
echo $? > code
rm run/.filler
"$@" > /dev/null 2> errors.again
echo $? > code.again
cp -r run kept
"""


def test_a_disk_that_fills_up(through_ray, sweep_folder, lives, ledger, bubblewrap):
    """Its file system holds the run but not the run and what fills it."""
    (sweep_folder / "run").mkdir()
    size = 2**20
    small = ["--size", str(size), "--tmpfs", str(sweep_folder / "run")]
    script = FULL.format(filler=size - 90_000)
    began = time.monotonic()
    subprocess.run(
        [
            *bubblewrap,
            *small,
            "sh",
            "-c",
            script,
            "sh",
            *COMMAND,
            "sample",
            "sweep.yaml",
            "-o",
            "run=run",
        ],
        cwd=sweep_folder,
        env=ENVIRONMENT,
        timeout=PATIENCE,
        check=True,
    )
    errors = (sweep_folder / "errors").read_text()
    assert "Traceback" not in errors, errors
    assert (sweep_folder / "code").read_text() == "2\n", errors
    assert "No space left on device" in errors
    again = (sweep_folder / "errors.again").read_text()
    assert (sweep_folder / "code.again").read_text() == "0\n", again
    assert "Traceback" not in again, again
    assert lives.live(sweep_folder, "kept", verbs=("score", "fit")).code == 0
    found = against(sweep_folder / "kept", through_ray.root)
    ledger.note("disk full (a file system of 1 MB)", found, time.monotonic() - began)


def test_a_run_that_may_only_be_read(folder, finished, undisturbed, ledger, bubblewrap):
    """It can be looked at; what would write says in one line that it cannot."""
    read_only = [*bubblewrap, "--ro-bind", str(finished), str(finished)]
    for verb in ("run", "sample", "score", "fit"):
        process = start(folder, verb, "sweep.yaml", "-o", "run=run", prefix=read_only)
        (line,) = ended(process, code=2).splitlines()
        assert line.startswith("passlaw: error: run: cannot be written"), line
    ended(start(folder, "status", "run", prefix=read_only))
    ledger.note("read-only run", against(finished, undisturbed[0]), 0.0)
