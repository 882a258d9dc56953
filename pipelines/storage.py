"""Where the files of a run are kept, and how in a folder; object stores are `object_store`.

Knows keys and bytes; not what they mean. A file appears whole, in one step, or not at all: in a
folder it is written beside and then linked or renamed.
"""

import contextlib
import errno
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from pipelines.errors import UserError
from pipelines.object_store import ObjectStore

Item = TypeVar("Item")
Result = TypeVar("Result")

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links say."""


class Storage(Protocol):
    """Files under a root. A key is a path from the root, with "/" between its parts.

    Reading raises FileNotFoundError where there is no such file, and OSError where a disk fails.
    Writing raises UserError, and so does everything where an object store fails, after some tries.
    """

    at_once: int
    """How many requests are best under way together."""

    def __str__(self) -> str:
        """Return the root as the user knows it."""

    @property
    def absolute(self) -> str:
        """The root as it is known from everywhere on this machine."""

    def url(self, key: str) -> str:
        """Return where a file is, for people and for other programs."""

    def read(self, key: str) -> bytes:
        """Return a file."""

    def tail(self, key: str, size: int) -> bytes:
        """Return the last `size` bytes of a file; all of one that is shorter."""

    def open(self, key: str) -> BinaryIO:
        """Open a file of which only parts are to be read."""

    def exists(self, key: str) -> bool:
        """Whether there is a file of this key."""

    def names(self, folder: str = "") -> list[str]:
        """Return the names right below a folder, sorted, without hidden ones."""

    def keys(self, folder: str) -> list[str]:
        """Return the key of every file below a folder, sorted, without hidden ones."""

    def create(self, key: str, content: bytes) -> bool:
        """Make a file appear unless it is there; whether it was made."""

    def replace(self, key: str, content: bytes) -> None:
        """Make a file appear in the place of what is there."""

    def move(self, key: str, to: str) -> None:
        """Give a file another key; FileNotFoundError where there is none."""

    def remove(self, key: str) -> None:
        """Remove a file; nothing happens if it is not there."""

    def probe(self) -> None:
        """See that files can be made here, making the root if need be."""

    def clean(self, older_than: float) -> None:
        """Remove what writers that were killed left unfinished, `older_than` seconds ago."""


def storage_at(path: str) -> Storage:
    """Return the storage of a path or URL, which need not exist yet."""
    if path.startswith("file://"):
        path = path.removeprefix("file://")
    if "://" in path:
        return ObjectStore(path)
    return Folder(Path(path).expanduser())


def several(
    function: Callable[[Item], Result], items: Iterable[Item], at_once: int
) -> Iterator[Result]:
    """Yield the result of each item in order, with a few calls ahead of what is taken."""
    if at_once == 1:
        yield from map(function, items)
        return
    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        try:
            for item in items:
                ahead.append(threads.submit(function, item))
                if len(ahead) > at_once:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


@dataclass(frozen=True)
class Folder:
    """A folder on a disk, or on a file system that several machines share.

    Needs no locks: hard links create if absent, also over NFS.
    """

    root: Path
    at_once = 1

    def __str__(self) -> str:
        return str(self.root)

    def __reduce__(self) -> tuple[type["Folder"], tuple[Path]]:
        # Other processes may have another working directory.
        return Folder, (self.root.absolute(),)

    @property
    def absolute(self) -> str:
        """The absolute path."""
        return str(self.root.absolute())

    def url(self, key: str) -> str:
        """Return a file's path."""
        return str(self.root / key)

    def read(self, key: str) -> bytes:
        """Return a file."""
        return (self.root / key).read_bytes()

    def tail(self, key: str, size: int) -> bytes:
        """Return the last `size` bytes of a file."""
        with (self.root / key).open("rb", buffering=0) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read()

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading."""
        return (self.root / key).open("rb")

    def exists(self, key: str) -> bool:
        """Whether there is a file of this key."""
        return (self.root / key).is_file()

    def names(self, folder: str = "") -> list[str]:
        """Return the names right below a folder."""
        try:
            with os.scandir(self.root / folder) as found:
                names = [entry.name for entry in found]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if not name.startswith("."))

    def keys(self, folder: str) -> list[str]:
        """Return every file below a folder."""
        found = (self.root / folder).rglob("*")
        paths = [path.relative_to(self.root) for path in found if path.is_file()]
        return sorted(path.as_posix() for path in paths if not path.name.startswith("."))

    def create(self, key: str, content: bytes) -> bool:
        """Make a file appear unless it is there; whether it was made."""
        path = self.root / key
        with _written(path, content) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                # A server whose reply was lost is asked again, and finds the link that it made.
                return temporary.stat().st_nlink == 2
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # No hard links here: between two steps another may come, unless a lease keeps it.
                if path.exists():
                    return False
                temporary.replace(path)
        return True

    def replace(self, key: str, content: bytes) -> None:
        """Make a file appear in the place of what is there."""
        path = self.root / key
        with _written(path, content) as temporary:
            temporary.replace(path)

    def move(self, key: str, to: str) -> None:
        """Give a file another key."""
        path, target = self.root / key, self.root / to
        path.stat()
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

    def remove(self, key: str) -> None:
        """Remove a file, if it is there."""
        with _writing(self.root / key):
            (self.root / key).unlink(missing_ok=True)

    def probe(self) -> None:
        """Make the folder and a file in it."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / f".probe-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()

    def clean(self, older_than: float) -> None:
        """Remove unfinished files, their age told by the clock of the disk that dates them."""
        now = self.root / f".now-{uuid.uuid4().hex}.tmp"
        # On a disk that fails, cleaning can wait.
        with contextlib.suppress(OSError):
            now.touch()
            limit = now.stat().st_mtime - older_than
            now.unlink()
            for path in self.root.rglob(".*.tmp"):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < limit:
                        path.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what a disk says against writing into one line for the user."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); make room or mend it, then give the "
            "same command again: nothing that was committed is lost"
        ) from None


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """Give a file beside `path` that holds `content` durably, under a name no reader's glob finds.

    It is gone afterwards: a full disk must not be kept full by what did not fit.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
