"""The lease on a run: at most one driver writes to a run directory at a time.

A courtesy, not the guarantee: units commit by atomic steps, so even two drivers lose nothing. Reads
no calendar clock, so that clocks which jump or disagree never break the lease of a live process.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines.errors import InUseError, UserError
from pipelines.storage import Storage

KEY = "lease.json"
"""Says who holds the run; never changed while it is held."""
BEAT = "lease.beat"
"""Beside it: the holder's token and how often its heart has beaten."""
HEARTBEAT = 10.0
"""Seconds between signs of life."""
EXPIRES = 60.0
"""Seconds without one, watched from another machine, after which a lease may be taken."""


class Lease:
    """Holds a run while open; use as a context manager."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.token = uuid.uuid4().hex
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        """Take the lease; waits to see whether a holder on another machine still lives.

        Raises:
            InUseError: another live process holds it.
            UserError: it cannot be written.
        """
        held = _read(self._storage)
        if held is not None and not _alive(self._storage, held):
            self._remove(held.get("token"))
        if not self._make():
            raise InUseError(
                f"{self._storage}: {_who(_read(self._storage) or {})} is writing to this run; wait "
                f"for it, stop it, or remove {self._storage.url(KEY)} if it is not"
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
        # Where that fails the lease expires, as that of a process that was killed.
        with contextlib.suppress(UserError):
            self._remove(self.token)

    def _beat(self) -> None:
        beats = 0
        while not self._closed.wait(HEARTBEAT):
            beats += 1
            with contextlib.suppress(UserError):
                if holds(self._storage, self.token):
                    self._storage.replace(BEAT, f"{self.token} {beats}".encode())

    def _make(self) -> bool:
        """Make the lease unless there is one; whether this process holds it."""
        content = {
            "token": self.token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": _machine(),
            "started": _started(os.getpid()),
        }
        made = self._storage.create(KEY, json.dumps(content).encode())
        # A reply may be lost: then what was there already is this process's own.
        return made or holds(self._storage, self.token)

    def _remove(self, token: str | None) -> None:
        """Remove a lease, if it is still the one with this token."""
        held = _read(self._storage)
        if held is not None and held.get("token") == token:
            self._storage.remove(BEAT)
            self._storage.remove(KEY)


def holds(storage: Storage, token: str) -> bool:
    """Whether the lease of a run is the one with this token."""
    held = _read(storage)
    return held is not None and held.get("token") == token


def holder(storage: Storage) -> str | None:
    """Return who holds a run, for people; None if nobody does, or a process that is dead.

    A process of another machine is not watched, so it may be dead.
    """
    held = _read(storage)
    if held is None:
        return None
    if not _is_here(held):
        return f"{_who(held)}, if it still lives"
    return _who(held) if _runs(held) else None


def _who(held: dict[str, Any]) -> str:
    return f"process {held.get('pid')} on {held.get('host')}"


def _read(storage: Storage) -> dict[str, Any] | None:
    try:
        held = json.loads(storage.read(KEY))
    except OSError:
        return None
    except ValueError:
        held = None
    # One that is torn names no process, so it is watched as one of another machine is.
    return held if isinstance(held, dict) else {}


def _alive(storage: Storage, held: dict[str, Any]) -> bool:
    """Whether the holder of a lease lives, as far as can be seen from here."""
    if _is_here(held):
        return _runs(held)
    logging.getLogger(__name__).warning(
        "%s: held by %s; watching for up to %.0f s whether it lives", storage, _who(held), EXPIRES
    )
    before = _signs(storage)
    until = time.monotonic() + EXPIRES
    while time.monotonic() < until:
        time.sleep(min(1.0, EXPIRES / 10))
        # After the pause, however long it came to be: this process may have been stopped too.
        now = _signs(storage)
        if now != before:
            return now[0] is not None
    return False


def _signs(storage: Storage) -> tuple[bytes | None, bytes | None]:
    """Return the lease and the last sign of life, each None where there is none."""
    found: list[bytes | None] = []
    for key in (KEY, BEAT):
        try:
            found.append(storage.read(key))
        except OSError:
            found.append(None)
    return found[0], found[1]


def _is_here(held: dict[str, Any]) -> bool:
    """Whether the holder's process number means something on this machine."""
    return held.get("host") == socket.gethostname() and held.get("machine") == _machine()


def _runs(held: dict[str, Any]) -> bool:
    pid = int(held.get("pid", 0))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # The number may have gone to another process since.
    return bool(held.get("started") == _started(pid))


def _machine() -> str | None:
    """Return what tells machines, and containers, of the same name apart; None if nothing does."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """Return when a process started, in the system's own ticks; None where it cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
