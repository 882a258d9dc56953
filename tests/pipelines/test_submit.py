"""submit: a sweep becomes one job of a real Ray cluster, however often it is submitted."""

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from pipelines.errors import UserError
from pipelines.submit import Jobs, job_of
from tests.command import COMMAND, ENVIRONMENT

SWEEP = {
    "name": "small",
    "models": [{"engine": "simulated", "name": "one", "parameters": 1000, "rate": 0.2}],
    "tasks": [{"source": "file", "name": "sums", "path": "problems.jsonl"}],
    "allocation": {"n": 20},
    "tracking": {"enabled": False},
}
PATIENCE = 180
"""Seconds for what takes ten on an idle machine."""


@pytest.fixture
def folder(tmp_path):
    problems = [
        {"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(3)
    ]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, problems)))
    return tmp_path


def write(folder, **changes):
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(SWEEP | {"run": str(folder / "run")} | changes))
    return path


class TestJob:
    def test_its_command_survives_a_shell(self, folder):
        """Overrides reach the command as they were given, whatever a shell makes of them."""
        value = f"decoding.stop=['$HOME', \"it's\"] # {folder}"
        job = job_of(write(folder), [value])
        script = job.command.replace("exec passlaw", "printf '%s\\n'", 1)
        said = subprocess.run(script, shell=True, capture_output=True, text=True, check=True)
        assert said.stdout.splitlines() == ["run", "sweep.yaml", "-o", value]

    def test_the_sweep_may_lie_deep_in_what_is_sent(self, folder):
        (folder / "sweeps").mkdir()
        job = job_of(write(folder / "sweeps"), working_dir=folder)
        assert job.folder == folder
        assert job.command == "exec passlaw run sweeps/sweep.yaml"

    def test_a_sweep_outside_what_is_sent_is_refused(self, folder):
        (folder / "elsewhere").mkdir()
        with pytest.raises(UserError, match=r"sweep\.yaml: lies outside the working directory"):
            job_of(write(folder), working_dir=folder / "elsewhere")

    @pytest.mark.parametrize("run", [None, "runs/small", "../small"])
    def test_a_run_in_a_folder_that_is_deleted_is_refused(self, folder, run):
        """A job works in a copy of its folder: what it wrote there would be lost."""
        with pytest.raises(UserError, match=r"run: is .*small.*; give -o run="):
            job_of(write(folder, run=run))

    def test_a_run_in_an_object_store_is_not(self, folder):
        job = job_of(write(folder), ["run=s3://bucket/small"])
        assert job.metadata == {"sweep": "small", "run": "s3://bucket/small"}

    def test_a_bad_sweep_is_refused_before_it_is_sent(self, folder):
        with pytest.raises(UserError, match=r"allocation\.n: is 'many'"):
            job_of(write(folder, allocation={"n": "many"}))

    def test_folders_are_looked_for_on_the_cluster_only(self, folder):
        """Neither a model's path nor its wildcard has to match anything on this machine."""
        models = [{"name": "m", "path": "/checkpoints/step-*"}, {"name": "o", "path": "./other"}]
        job = job_of(write(folder, models=models, fit={"hold_out": "m-step-9"}))
        assert job.key.startswith("passlaw-small-")

    def test_its_key_follows_from_the_sweep(self, folder):
        plain, again = job_of(write(folder)), job_of(write(folder))
        other = job_of(write(folder), ["allocation.n=30"])
        assert plain.key == again.key != other.key

    def test_variables_are_given_by_name(self, folder, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "a secret")
        job = job_of(write(folder), variables=["OPENAI_API_KEY"])
        assert job.variables["OPENAI_API_KEY"] == "a secret"
        assert "a secret" not in repr(job)

    def test_a_variable_that_is_not_set_is_named(self, folder, monkeypatch):
        monkeypatch.delenv("NOWHERE_SET", raising=False)
        with pytest.raises(UserError, match="--env NOWHERE_SET: no such environment variable"):
            job_of(write(folder), variables=["NOWHERE_SET"])

    def test_virtual_environments_are_not_sent(self, folder):
        (folder / "my-env").mkdir()
        (folder / "my-env" / "pyvenv.cfg").touch()
        assert "/my-env/" in job_of(write(folder)).excludes


def started(cluster, folder, *options):
    """Start the command against the cluster."""
    return subprocess.Popen(
        [*COMMAND, "submit", "sweep.yaml", "--address", cluster["address"], *options],
        cwd=folder, env=ENVIRONMENT | cluster["environment"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def submit(cluster, folder, *options):
    """Run the command against the cluster; its exit code, output and errors."""
    with started(cluster, folder, *options) as process:
        said, complained = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


def submitted(said):
    [name] = re.findall(r"^submit +(\S+)$", said, re.MULTILINE)
    return name


@pytest.fixture(scope="module")
def cluster():
    """A cluster of one node, with Ray's job server and a token."""
    if find_spec("aiohttp_cors") is None:
        if os.environ.get("PASSLAW_REQUIRE_CLUSTER_TOOLS") == "1":
            pytest.fail("Ray's job server is not installed: pip install 'ray[default]'")
        pytest.skip("Ray's job server is not installed: pip install 'ray[default]'")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    with (
        pytest.MonkeyPatch.context() as patch,
        # Ray's sockets want a short path.
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short,
    ):
        folder = Path(short)
        for name, value in token.items():
            patch.setenv(name, value)
        forget_token()
        for _ in range(3):  # Ray gives itself 30 s to start, which a busy machine may exceed
            port, head = started_head(folder, token)
            address = f"http://127.0.0.1:{port}"
            jobs = connected(address, head, folder / "head.log")
            if jobs is not None:
                break
            kill_session(head.pid)
            head.wait()
        assert jobs is not None, "Ray did not start"
        yield {"address": address, "environment": token, "jobs": jobs}
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(60)
        finally:
            kill_session(head.pid)
            head.wait()
    forget_token()


def forget_token():
    """Have Ray, if an earlier test used it in this process, read mode and token anew."""
    from ray._raylet import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def started_head(folder, token):
    """Start a head; return the port of its job server, and its process."""
    # The jobs find this project, and the command that belongs to this interpreter.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    patient = {
        "RAY_health_check_failure_threshold": "100",
        "RAY_agent_register_timeout_ms": "300000",
    }
    ports = free_ports(4)
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(
            [
                sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
                "--port", str(ports[0]), "--dashboard-port", str(ports[1]), "--num-cpus", "2",
                "--dashboard-agent-listen-port", str(ports[2]), "--include-dashboard", "true",
                "--ray-client-server-port", str(ports[3]), "--temp-dir", str(folder),
                "--object-store-memory", str(100 * 2**20), "--disable-usage-stats",
            ],
            env=ENVIRONMENT | token | patient | {"PATH": path},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    return ports[1], head


def connected(address, head, log):
    """Return the jobs of a cluster as soon as they answer; None if its head ends before."""
    deadline = time.monotonic() + PATIENCE
    while head.poll() is None and time.monotonic() < deadline:
        if "Ray runtime started" in log.read_text():
            with contextlib.suppress(UserError):
                return Jobs(address)
        time.sleep(0.5)
    return None


def kill_session(session):
    """Kill what a process that led its own session has left."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(entry.read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except (OSError, IndexError):
            continue


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.2)


def units(folder):
    return sorted((folder / "run" / "samples").rglob("*.parquet"))


class TestCluster:
    def test_a_job_runs_the_sweep(self, cluster, folder, monkeypatch):
        """The copy of the folder, the overrides and the variables reach the cluster."""
        write(folder)
        monkeypatch.setitem(ENVIRONMENT, "PASSLAW_TEST_VARIABLE", "42")
        ended = submit(
            cluster, folder, "-o", "allocation.n=30", "--env", "PASSLAW_TEST_VARIABLE", "--wait"
        )
        assert ended.returncode == 0, ended.stderr
        assert "90 samples drawn" in ended.stdout
        assert (folder / "run" / "report.html").exists()
        client = cluster["jobs"]._client
        name = submitted(ended.stdout)
        assert client.get_job_info(name).runtime_env["env_vars"]["PASSLAW_TEST_VARIABLE"] == "42"

    def test_the_exit_code_is_the_jobs(self, cluster, folder):
        """What only the cluster can tell ends the wait with the code of the command there.

        Submitted again after its end it is another job: Ray takes an id but once.
        """
        write(folder, models=[{"name": "gone", "path": "./nowhere"}])
        names = []
        for _ in range(2):
            ended = submit(cluster, folder, "--wait")
            assert ended.returncode == 2, ended.stdout + ended.stderr
            assert "model gone" in ended.stdout
            assert ended.stderr == ""
            names.append(submitted(ended.stdout))
        assert names[0].endswith("-1")
        assert names[1] == names[0][:-1] + "2"

    def test_a_second_submission_joins_the_first(self, cluster, folder):
        """Twice while it runs is one job; stopping it keeps what was drawn; again goes on."""
        slow = SWEEP["models"][0] | {"samples_per_second": 20}
        write(folder, models=[slow], allocation={"n": 200}, resources={"unit_samples": 20})
        first = submit(cluster, folder)
        name = submitted(first.stdout)
        with started(cluster, folder, "--wait") as second:
            until(lambda: units(folder), "the first unit")
            cluster["jobs"]._client.stop_job(name)
            said, _ = second.communicate(timeout=PATIENCE)
        assert f"{name} is running already" in said
        assert second.returncode == 130
        stopped = units(folder)
        assert stopped
        assert not (folder / "run" / "lease.json").exists()
        before = {path: path.read_bytes() for path in stopped}
        again = submit(cluster, folder, "-o", "models.one.samples_per_second=null", "--wait")
        assert again.returncode == 0, again.stdout + again.stderr
        assert {path: path.read_bytes() for path in stopped} == before
        assert "600 samples, " in again.stdout

    def test_without_the_token_it_says_which(self, cluster, folder):
        write(folder)
        stranger = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32}
        ended = submit(cluster | {"environment": stranger}, folder)
        assert ended.returncode == 2
        assert "wants the token of its cluster" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_no_cluster_is_one_line(folder):
    write(folder)
    [port] = free_ports(1)
    nowhere = {"address": f"http://127.0.0.1:{port}", "environment": {}}
    ended = submit(nowhere, folder)
    assert ended.returncode == 2
    assert "no Ray job server answers" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
