"""Where and by what an invocation was made: commit, machine, user. Asks git; changes nothing."""

import contextlib
import getpass
import socket
import subprocess
from pathlib import Path

_SECONDS = 5.0
"""Longest that git is waited for: a repository on a slow disk must not hold a run up."""


def surroundings(folder: Path) -> dict[str, str]:
    """Return tags that say where results were made; what is not known is left out.

    Args:
        folder: the working directory, whose git repository is asked for its commit.
    """
    tags = {"passlaw.host": socket.gethostname()}
    with contextlib.suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return tags
    tags |= {"passlaw.git_commit": commit, "mlflow.source.git.commit": commit}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if changes is not None:
        tags["passlaw.git_dirty"] = "true" if changes else "false"
    return tags


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None where it says nothing in time, or there is none."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
