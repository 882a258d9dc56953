"""The Slurm script in real bash, under a Slurm of the tests' own that notes how it is called."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "cluster" / "slurm" / "passlaw.sbatch"
PATIENCE = 240
"""Seconds for what takes ten on an idle machine."""

SRUN = """\
echo "srun $*" >>"$CALLS"
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"""
SCONTROL = """\
echo "scontrol $*" >>"$CALLS"
if [ "$1 $2" = "show hostnames" ]; then printf '%s\\n' node1 node2 node3; fi
"""
RAY = """\
case $1 in
    health-check) test -e "$STARTED" ;;
    start)
        trap 'echo "ray stopped" >>"$CALLS"; exit 0' TERM
        echo "ray started" >>"$CALLS"
        touch "$STARTED"
        while :; do sleep 0.1; done ;;
esac
"""
WHEN_RAY_HAS_STARTED = """\
until [ "$(grep -c '^ray started' "$CALLS")" -ge "$STEPS" ]; do sleep 0.1; done
"""
PASSLAW = f"""\
{WHEN_RAY_HAS_STARTED}
echo "passlaw $* at $RAY_ADDRESS" >>"$CALLS"
exit "$CODE"
"""
PATIENT = f"""\
{WHEN_RAY_HAS_STARTED}
trap 'echo "passlaw told" >>"$CALLS"; sleep 0.5; exit 130' TERM
echo "passlaw $* at $RAY_ADDRESS" >>"$CALLS"
while :; do sleep 0.1; done
"""


@dataclass(kw_only=True)
class Slurm:
    """The commands of a Slurm job, in a folder that comes first on PATH."""

    folder: Path
    jobs: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{script}")
        path.chmod(0o755)

    def start(self, *arguments: str, nodes: int = 3, **variables: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(self.folder / "calls"),
            "STARTED": str(self.folder / "started"),
            "TMPDIR": str(self.folder),
            "SLURM_JOB_ID": "12345",
            "SLURM_JOB_NODELIST": "node[1-3]",
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_CPUS_PER_TASK": "2",
            "STEPS": str(min(nodes, 2)),
        }
        job = subprocess.Popen(
            ["bash", str(SCRIPT), *arguments], cwd=self.folder, env=environment | variables,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.jobs.append(job)
        return job

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def called(self, beginning: str) -> list[str]:
        return [call for call in self.calls if call.startswith(beginning)]


@pytest.fixture
def slurm(tmp_path):
    made = Slurm(folder=tmp_path)
    made.command("srun", SRUN)
    made.command("scontrol", SCONTROL)
    made.command("hostname", "echo 127.0.0.1\n")
    made.command("ray", RAY)
    made.command("passlaw", PASSLAW)
    yield made
    for job in made.jobs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.communicate()


def units(run):
    return list((run / "samples").rglob("*.parquet"))


def drawing_or_ended(run, job):
    return units(run) or job.poll() is not None


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.05)


def test_the_head_is_on_the_first_node_and_the_workers_join_it(slurm):
    job = slurm.start("sweep.yaml", CODE="0")
    job.communicate(timeout=PATIENCE)
    head, workers = slurm.called("srun --overlap --nodes=1 --ntasks=1 --nodelist=node1 ray")[
        :1
    ] + slurm.called("srun --overlap --nodes=2 --ntasks-per-node=1 --exclude=node1 ray")
    assert "ray start --head --node-ip-address=127.0.0.1 --port=21035" in head
    assert "ray start --address=127.0.0.1:21035" in workers
    for call in (head, workers):
        assert "--num-cpus 2" in call


def test_one_node_needs_no_workers(slurm):
    job = slurm.start("sweep.yaml", nodes=1, CODE="0")
    job.communicate(timeout=PATIENCE)
    assert slurm.called("ray started") == ["ray started"]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_code_is_that_of_the_run(slurm, code):
    """It is given the sweep and the overrides as they are, and joins this job's Ray."""
    job = slurm.start("my sweep.yaml", "-o", "allocation.n=3", CODE=str(code))
    job.communicate(timeout=PATIENCE)
    assert job.returncode == code
    assert slurm.called("passlaw") == [
        "passlaw run my sweep.yaml -o allocation.n=3 at 127.0.0.1:21035"
    ]
    assert not slurm.called("scontrol requeue")


def test_ray_is_stopped_on_every_node(slurm):
    job = slurm.start("sweep.yaml", CODE="0")
    job.communicate(timeout=PATIENCE)
    assert slurm.called("ray stopped") == ["ray stopped"] * 2


def test_when_time_is_up_the_run_finishes_its_units_and_is_queued_again(slurm):
    """Slurm tells the script alone; it tells the run, waits for it, and keeps its exit code."""
    slurm.command("passlaw", PATIENT)
    job = slurm.start("sweep.yaml")
    until(lambda: slurm.called("passlaw run"), "the run")
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=PATIENCE)
    assert job.returncode == 130
    order = [call for call in slurm.calls if "told" in call or "requeue" in call or "stop" in call]
    assert order == ["passlaw told", "scontrol requeue 12345", "ray stopped", "ray stopped"]


def test_a_run_that_is_done_when_time_is_up_is_not_queued_again(slurm):
    slurm.command("passlaw", PATIENT.replace("exit 130", "exit 0"))
    job = slurm.start("sweep.yaml")
    until(lambda: slurm.called("passlaw run"), "the run")
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=PATIENCE)
    assert job.returncode == 0
    assert not slurm.called("scontrol requeue")


def test_where_ray_does_not_start_nothing_is_run(slurm):
    slurm.command("ray", "exit 1\n")
    job = slurm.start("sweep.yaml", CODE="0")
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode == 1
    assert "passlaw: Ray did not start on node1" in said
    assert not slurm.called("passlaw")


def test_without_a_sweep_it_says_how(slurm):
    job = slurm.start()
    said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode == 2
    assert said.startswith("usage: sbatch passlaw.sbatch SWEEP.yaml")


def free_job_id():
    """Return a job id whose ports are free."""
    for job in range(os.getpid() % 1000, 2000):
        try:
            for port in range(20_000 + 3 * job, 20_003 + 3 * job):
                with socket.socket() as probe:
                    probe.bind(("", port))
        except OSError:
            continue
        return job
    raise AssertionError("no ports are free")


def test_a_real_run_is_stopped_cleanly(slurm):
    """With Ray itself and our own command: what was drawn is committed, the lease given back."""
    python = f'exec env PYTHONPATH="{ROOT}" "{sys.executable}" -m'
    slurm.command("ray", f'{python} ray.scripts.scripts "$@"\n')
    slurm.command("passlaw", f'{python} pipelines "$@"\n')
    problems = [
        {"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(3)
    ]
    (slurm.folder / "problems.jsonl").write_text("\n".join(map(json.dumps, problems)))
    slow = {"engine": "simulated", "name": "one", "parameters": 9, "rate": 0.2}
    sweep = {
        "name": "slow",
        "run": "run",
        "models": [slow | {"samples_per_second": 20}],
        "tasks": [{"name": "sums", "path": "problems.jsonl"}],
        "allocation": {"n": 10_000},
        "resources": {"unit_samples": 20},
        "tracking": {"enabled": False},
    }
    (slurm.folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    run = slurm.folder / "run"
    # Sockets of Ray want a short path.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as short:
        for _ in range(3):  # Ray gives itself 30 s to start, which a busy machine may exceed
            number = str(free_job_id())
            job = slurm.start("sweep.yaml", nodes=1, STEPS="0", SLURM_JOB_ID=number, TMPDIR=short)
            until(partial(drawing_or_ended, run, job), "the first unit")
            if job.poll() is None:
                break
        job.send_signal(signal.SIGTERM)
        said, _ = job.communicate(timeout=PATIENCE)
    assert job.returncode == 130, said
    assert "The same command goes on" in said
    assert not (run / "lease.json").exists()
    assert units(run)
    assert not list((run / "samples").rglob("*.tmp"))
    assert slurm.called("scontrol requeue")
