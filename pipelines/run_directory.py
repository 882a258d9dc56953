"""A run directory: where it is, who may write in it, and where what cannot be trusted is put.

What others wrote is never removed in silence: what is no run is refused, what was damaged is moved
to `quarantine/`. Knows that sweep.yaml makes a folder a run; not what that or any other file says.
"""

import contextlib
import socket
import uuid
from dataclasses import dataclass, replace
from typing import Self

from pipelines import lease
from pipelines.errors import UserError
from pipelines.storage import Storage, storage_at

SWEEP = "sweep.yaml"
"""The file that makes a folder a run."""
_EARLY = {"lease.json", "lease.beat", "problems", "quarantine"}
"""What a run may hold before its sweep was written."""
_FOOTER = 64 * 1024
"""Bytes that are read of the end of a file, which hold the footer of most."""


@dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """The folder, or the prefix of an object store, of one run."""

    storage: Storage
    token: str | None = None
    """Of the lease under which results may be written; None asks for none."""

    @classmethod
    def at(cls, path: str) -> Self:
        """Return the one at a path or URL, which need not exist yet."""
        return cls(storage=storage_at(path))

    @property
    def root(self) -> str:
        """The run directory as the user knows it."""
        return str(self.storage)

    @property
    def has_sweep(self) -> bool:
        """Whether a sweep was recorded, which makes the folder a run."""
        return self.storage.exists(SWEEP)

    def create(self) -> None:
        """Make the folder and see that it can be written.

        Raises:
            UserError: it cannot be made or written, or something else is there.
        """
        try:
            self.storage.probe()
        except OSError as error:
            raise UserError(
                f"{self.root}: cannot be written ({error.strerror}); give another run directory "
                "with -o run=PATH"
            ) from None
        strangers = self.storage.names()
        if strangers and not self.has_sweep and not set(strangers) <= _EARLY:
            raise UserError(
                f"{self.root}: holds {strangers[0]!r} but no sweep.yaml, so it is no run of "
                "passlaw; give another run directory with -o run=PATH"
            )

    def clean(self, older_than: float = 3_600.0) -> None:
        """Remove what writers that were killed left unfinished, `older_than` seconds ago."""
        self.storage.clean(older_than)

    # The lease.

    def under(self, token: str) -> Self:
        """Return this one, whose results are written only while the lease has this token."""
        return replace(self, token=token)

    def demand(self, token: str) -> None:
        """See that the lease of the run is the one with this token.

        Raises:
            UserError: another process has it, nobody has, or the run is not seen from here.
        """
        if lease.holds(self.storage, token):
            return
        if not self.has_sweep:
            raise self._unseen()
        if not self.storage.exists(lease.KEY):
            raise UserError(
                f"{self.root}: {socket.gethostname()} finds no {lease.KEY} there, so another "
                "process may take this run over; stopped, and the same command goes on. Machines "
                "that share a run must see one and the same folder"
            )
        raise UserError(f"{self.root}: another process took this run over; stopped")

    def _unseen(self) -> UserError:
        return UserError(
            f"{self.root}: {socket.gethostname()} does not see this run; machines that work on it "
            "together need a shared folder or an object store: -o run=s3://BUCKET/PREFIX"
        )

    # Files.

    def _write(self, key: str, content: bytes) -> None:
        """Replace a file that the driver alone writes.

        Raises:
            UserError: it cannot be written, or another process took the run over.
        """
        if self.token is not None:
            self.demand(self.token)
        self.storage.replace(key, content)

    def _footer(self, key: str) -> bytes:
        """Return the last bytes of a file, its footer among them."""
        tail = self.storage.tail(key, _FOOTER)
        # The last eight bytes of a Parquet file are the length of its footer, and a mark.
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        whole = len(tail) < _FOOTER or needed <= _FOOTER
        return tail if whole else self.storage.tail(key, needed)

    def _move_aside(self, key: str) -> str:
        """Move a file to `quarantine/`, if it is there; return its key in it."""
        target = f"quarantine/{key}.{uuid.uuid4().hex[:8]}"
        with contextlib.suppress(FileNotFoundError):
            self.storage.move(key, target)
        return target

    def quarantined(self) -> list[str]:
        """Return the key of every file in quarantine."""
        return self.storage.keys("quarantine")
