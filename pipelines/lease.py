"""The lease on a run: at most one driver writes to a run directory at a time.

A courtesy, not the guarantee: units commit by atomic steps, so even two drivers lose nothing.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines.errors import UserError

HEARTBEAT = 10.0
"""Seconds between signs of life."""
EXPIRES = 60.0
"""Seconds without one after which a lease held on another machine may be taken."""


class Lease:
    """Holds a run while open; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.token = uuid.uuid4().hex
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            UserError: another live process holds it.
        """
        held = _read(self._path)
        if held is not None and not _alive(held, self._path):
            self._path.unlink(missing_ok=True)
        if not self._write():
            held = _read(self._path) or {}
            raise UserError(
                f"{self._path.parent}: process {held.get('pid')} on {held.get('host')} is writing "
                f"to this run; wait for it, stop it, or remove {self._path} if it is not"
            )
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lease back."""
        self._closed.set()
        self._heart.join()
        if holds(self._path, self.token):
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT):
            if holds(self._path, self.token):
                # Not touch, which would leave an empty lease if this one has just been removed.
                with contextlib.suppress(OSError):
                    os.utime(self._path)

    def _write(self) -> bool:
        """Make the lease unless there is one; whether it was made."""
        content = {
            "token": self.token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": _started(os.getpid()),
        }
        temporary = self._path.with_name(f".{self._path.name}.{self.token}.tmp")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        try:
            os.link(temporary, self._path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True


def holds(path: Path, token: str) -> bool:
    """Whether the lease at `path` is the one with this token."""
    held = _read(path)
    return held is not None and held.get("token") == token


def holder(path: Path) -> str | None:
    """Return who holds the lease at `path`, for people; None if no live process does."""
    held = _read(path)
    if held is None or not _alive(held, path):
        return None
    return f"process {held.get('pid')} on {held.get('host')}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        held = None
    # One that a crash tore names no process, so it expires as one of another machine does.
    return held if isinstance(held, dict) else {}


def _alive(held: dict[str, Any], path: Path) -> bool:
    if held.get("host") == socket.gethostname():
        pid = int(held.get("pid", 0))
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        # The number may have gone to another process since.
        return held.get("started") == _started(pid)
    try:
        return time.time() - path.stat().st_mtime < EXPIRES
    except OSError:
        return False


def _started(pid: int) -> str | None:
    """Return when a process started, in the system's own ticks; None where it cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
