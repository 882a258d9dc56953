"""submit: has a Ray cluster run a sweep as a Ray Job, once however often it is submitted.

Knows Ray's job server and the sweep's text; not whether its models and files are on the cluster.
"""

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.sweeps.config import digest, load_all

INTERRUPTED = 130
"""Exit code of a job that was stopped."""
EXCLUDES = (
    "/runs/", ".git/", ".venv*/", "__pycache__/", "mlruns/", "mlartifacts/", "mlflow.db*",
)  # fmt: skip
"""What of a working directory is not sent, as .gitignore would say it."""
_STOP_SECONDS = "600"
"""Ray kills a job so long after it was told to stop; units in flight are finished in that time."""

_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers of Ray that tell of each upload and socket."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A sweep as a job of Ray."""

    key: str
    """The same for the same sweep: its name, and a hash of what it says."""
    command: str
    """What is run, in the shell of the cluster's head."""
    folder: Path
    """What is sent along; the command's working directory."""
    excludes: tuple[str, ...]
    """What of the folder is not sent."""
    variables: dict[str, str] = field(repr=False)
    """Environment variables of the job and its actors."""
    metadata: dict[str, str]
    """What Ray's dashboard tells of the job."""


def job_of(
    target: Path,
    overrides: Sequence[str] = (),
    *,
    working_dir: Path | None = None,
    variables: Sequence[str] = (),
) -> Job:
    """Return the job that runs a sweep file.

    The file is checked here. Its relative paths, and its wildcards, are resolved on the cluster.
    One job does all points of its grid, and is called by the first.

    Args:
        target: the sweep file, in the working directory.
        overrides: `key.sub=value`, as for a run.
        working_dir: the folder to send; None: the sweep's.
        variables: names of environment variables whose values the job is given.

    Raises:
        UserError: the sweep is bad, lies outside the working directory, or keeps its run in that
            directory, which is gone with the job; or a variable is not set.
    """
    sweeps = load_all(target, overrides, resolve=False)
    sweep = sweeps[0]
    if "://" not in sweep.run_path and not Path(sweep.run_path).is_absolute():
        raise UserError(
            f"{target}: run: is {sweep.run_path!r}, which a job keeps in a copy that is deleted "
            "after it; give -o run=s3://BUCKET/PATH, or an absolute path that all nodes share"
        )
    folder = (working_dir or target.absolute().parent).absolute()
    if not target.absolute().is_relative_to(folder):
        raise UserError(
            f"{target}: lies outside the working directory {folder}, and would not be sent; give "
            "--working-dir a folder that holds it"
        )
    alike = sweep.digest() if len(sweeps) == 1 else digest([one.digest() for one in sweeps])
    options = [part for override in overrides for part in ("-o", override)]
    command = ["passlaw", "run", str(target.absolute().relative_to(folder)), *options]
    return Job(
        key=f"passlaw-{sweep.name}-{alike}",
        # Not below a shell, which would not pass on the signal to stop.
        command=f"exec {shlex.join(command)}",
        folder=folder,
        excludes=(*EXCLUDES, *(f"/{path.parent.name}/" for path in folder.glob("*/pyvenv.cfg"))),
        variables={
            "RAY_JOB_STOP_WAIT_TIME_S": _STOP_SECONDS,
            **{name: _value(name) for name in variables},
        },
        metadata={"sweep": sweep.name, "run": sweep.run_path},
    )


def _value(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise UserError(f"--env {name}: no such environment variable here; export it first")
    return value


class Jobs:
    """The jobs of one Ray cluster."""

    def __init__(self, address: str | None = None) -> None:
        """Connect.

        Args:
            address: of Ray's dashboard, as in http://head:8265; None: that of the variable
                RAY_API_SERVER_ADDRESS or RAY_ADDRESS, or of the Ray that runs on this machine.

        Raises:
            UserError: none answers, or it wants a token that is not here.
        """
        _show_token()
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self._client: Any = JobSubmissionClient(address)
        except AuthenticationError:
            raise UserError(
                f"--address {address or '(none given)'}: Ray's job server wants the token of its "
                "cluster; export RAY_AUTH_TOKEN with what `ray get-auth-token` prints there"
            ) from None
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--address {address or '(none given)'}: no Ray job server answers ({error}); "
                "start the cluster's head by `ray start --head --dashboard-host 0.0.0.0`, where "
                "'passlaw[cluster]' is installed, and give --address http://HEAD:8265"
            ) from None

    def submit(self, job: Job) -> tuple[str, bool]:
        """Submit a job, unless one of its key is waiting or running.

        Returns:
            The submission id, and whether it is new.

        Raises:
            UserError: the cluster cannot be reached, or refuses the job.
        """
        with _reaching():
            earlier = self._of_key(job.key)
            for submission, info in earlier.items():
                if not info.status.is_terminal():
                    return submission, False
            # Ray takes an id once, so of two that submit at the same moment one is refused.
            submission = f"{job.key}-{len(earlier) + 1}"
            runtime = {
                "working_dir": str(job.folder),
                "excludes": list(job.excludes),
                "env_vars": job.variables,
            }
            try:
                self._client.submit_job(
                    entrypoint=job.command,
                    submission_id=submission,
                    runtime_env=runtime,
                    metadata=job.metadata,
                )
            except RuntimeError:
                if submission not in self._of_key(job.key):
                    raise
                return submission, False
            return submission, True

    def follow(self, submission: str, show: Callable[[str], None]) -> int:
        """Show a job's log until it ends, and return its exit code.

        Raises:
            UserError: the cluster cannot be reached any more.
        """
        shown = 0
        with _reaching():
            while True:
                shown = asyncio.run(self._tail(submission, shown, show))
                info = self._client.get_job_info(submission)
                if info.status.is_terminal():
                    break
                time.sleep(1)  # the connection was cut, or there is no log yet
        if info.status == "STOPPED":
            return INTERRUPTED
        if info.driver_exit_code is None and info.status == "FAILED":
            raise UserError(f"job {submission} failed: {info.message}")
        return int(info.driver_exit_code or 0)

    async def _tail(self, submission: str, shown: int, show: Callable[[str], None]) -> int:
        """Show what of a log comes after its first `shown` characters; return how many it has."""
        from aiohttp import ClientError

        seen = 0
        try:
            async for text in self._client.tail_job_logs(submission):
                show(text[max(0, shown - seen) :])
                seen += len(text)
        except (ClientError, RuntimeError):
            pass  # cut off; whether the job has ended is asked next
        return max(shown, seen)

    def _of_key(self, key: str) -> dict[str, Any]:
        return {
            info.submission_id: info
            for info in self._client.list_jobs()
            if (info.submission_id or "").rpartition("-")[0] == key
        }


def _show_token() -> None:
    """Let Ray's client show the token of its cluster where there is one.

    Ray asks for it as soon as the head's machine has one, its client shows it only when told to.
    """
    place = os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")
    if "RAY_AUTH_TOKEN" in os.environ or Path(place).expanduser().is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextmanager
def _reaching() -> Iterator[None]:
    """Turn what Ray's client raises into what a user can act on."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Ray's job server: {error}; what is committed is safe, and the same command goes on"
        ) from None
