"""Files in an object store (S3, Google's, Azure's), or any other place that fsspec knows by a URL.

Knows keys, bytes and what servers answer. One PUT makes a file appear, whole. A network that fails
is waited for; credentials that fail are for the user.
"""

import contextlib
import errno
import inspect
import logging
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from typing import Any, BinaryIO, TypeVar

from pipelines.errors import UserError

Result = TypeVar("Result")

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between the attempts of a request that a busy or absent server did not answer."""
_BUSY = {errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO)}
_UNREACHED = {"EndpointConnectionError", "ConnectionClosedError", "ConnectTimeoutError"}
_UNREACHED |= {"ReadTimeoutError", "HTTPClientError", "ConnectionError", "FSTimeoutError"}
_UNKNOWN = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
_UNKNOWN |= {"CredentialRetrievalError", "DefaultCredentialsError", "TokenRetrievalError"}
_INSTALL = {"s3": "'passlaw[s3]'", "s3a": "'passlaw[s3]'", "gs": "gcsfs", "gcs": "gcsfs"}
_INSTALL |= {"abfs": "adlfs", "abfss": "adlfs", "az": "adlfs"}
_CREDENTIALS = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; AWS_ENDPOINT_URL for a "
    "server that is not Amazon's",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class ObjectStore:
    """A prefix of a bucket, or any other place that fsspec knows by a URL.

    Credentials and the server's address come from the environment, as its library reads it.
    """

    at_once = 16

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._creates = True
        """Whether the server refuses to create what is there; `probe` finds out."""
        self._answered = False
        """Whether any request has succeeded, so that the address is right."""

    def __str__(self) -> str:
        return self._url

    def __getstate__(self) -> dict[str, Any]:
        # A connection is of its process.
        return {name: value for name, value in vars(self).items() if name != "_system"}

    @property
    def absolute(self) -> str:
        """The URL."""
        return self._url

    @property
    def _protocol(self) -> str:
        return self._url.partition("://")[0]

    @cached_property
    def _system(self) -> tuple[Any, str]:
        """The file system, and the root's path in it."""
        try:
            import fsspec

            # Of its own: a cached one may have been made for another server of the environment.
            system, path = fsspec.url_to_fs(
                self._url, use_listings_cache=False, skip_instance_cache=True
            )
        except ImportError:
            package = _INSTALL.get(self._protocol, "the fsspec library of this protocol")
            raise UserError(
                f"{self._url}: {self._protocol}:// needs a library that is not installed; pip "
                f"install {package}"
            ) from None
        except Exception as error:
            raise self._told(error) from None
        return system, path.rstrip("/")

    def _ask(self, key: str, request: Callable[[Any, str], Result]) -> Result:
        """Return what a request of the file system gives for a key.

        Raises:
            FileNotFoundError, FileExistsError: as the file system does.
            UserError: it fails in any other way, again and again if another attempt could mend it.
        """
        system, root = self._system
        # A server that never answered is more likely a wrong address than a busy one.
        for pause in (*(_PAUSES if self._answered else ()), None):
            try:
                result = request(system, f"{root}/{key}" if key else root)
                self._answered = True
                return result
            except (FileNotFoundError, FileExistsError) as error:
                if _code(error) == "NoSuchBucket":
                    raise self._told(error) from None
                raise
            except Exception as error:  # each library has errors of its own
                if pause is None or not _may_pass(error):
                    raise self._told(error) from None
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _told(self, error: BaseException) -> UserError:
        """Return what went wrong, with the way out."""
        said = " ".join(str(error).split())[:200] or type(error).__name__
        if _code(error) == "NoSuchBucket":
            return UserError(f"{self._url}: there is no such bucket; make it, or mend the address")
        if isinstance(error, PermissionError) or type(error).__name__ in _UNKNOWN:
            known = _CREDENTIALS.get(self._protocol, "as its library reads them")
            return UserError(
                f"{self._url}: access denied ({said}); give credentials that may list, read, write "
                f"and delete there, by the environment ({known})"
            )
        if _may_pass(error):
            return UserError(
                f"{self._url}: the server does not answer ({said}); mend its address or wait for "
                "it, then run again: nothing that was committed is lost"
            )
        return UserError(f"{self._url}: {type(error).__name__}: {said}")

    def url(self, key: str) -> str:
        """Return a file's URL."""
        return f"{self._url}/{key}"

    def read(self, key: str) -> bytes:
        """Return a file, by one request."""
        return self._from(key, 0)

    def tail(self, key: str, size: int) -> bytes:
        """Return the last `size` bytes of a file, by one request."""
        return self._from(key, -size)

    def _from(self, key: str, start: int) -> bytes:
        """Return a file from a byte on, counted from its end if negative."""

        def request(system: Any, path: str) -> bytes:
            try:
                return bytes(system.cat_file(path, start=start))
            except FileNotFoundError:
                raise
            except OSError:
                # An empty file has no range of bytes.
                if system.info(path)["size"] == 0:
                    return b""
                raise

        return self._ask(key, request)

    def open(self, key: str) -> BinaryIO:
        """Open a file that is read by ranges, no more of them than asked for."""
        opened: BinaryIO = self._ask(
            key, lambda system, path: system.open(path, "rb", cache_type="none")
        )
        return opened

    def exists(self, key: str) -> bool:
        """Whether there is a file of this key."""
        try:
            return bool(self._ask(key, lambda system, path: system.info(path))["type"] == "file")
        except FileNotFoundError:
            return False

    def names(self, folder: str = "") -> list[str]:
        """Return the names right below a folder, from as many pages as there are."""
        try:
            found = self._ask(folder, lambda system, path: system.ls(path, detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        # Some tools mark a folder by an empty file of its name with a "/" at the end.
        whole = f"{self._system[1]}/{folder}".rstrip("/")
        paths = [path.rstrip("/") for path in found]
        names = {path.rpartition("/")[2] for path in paths if path.strip("/") != whole.strip("/")}
        return sorted(name for name in names if not name.startswith("."))

    def keys(self, folder: str) -> list[str]:
        """Return every file below a folder."""
        found = self._ask(folder, lambda system, path: system.find(path))
        start = len(self._system[1]) + 1
        keys = [path[start:] for path in found if not path.endswith("/")]
        return sorted(key for key in keys if not key.rpartition("/")[2].startswith("."))

    def create(self, key: str, content: bytes) -> bool:
        """Make a file appear unless it is there, by a conditional PUT; whether it was made.

        A server without conditional PUTs may let two writers at the same moment both make it, one
        after the other; a lease keeps them apart.
        """
        if not self._creates and self.exists(key):
            return False
        return self._ask(key, lambda system, path: _put_new(system, path, content, self._creates))

    def replace(self, key: str, content: bytes) -> None:
        """Make a file appear in the place of what is there."""
        self._ask(key, lambda system, path: system.pipe_file(path, content))

    def move(self, key: str, to: str) -> None:
        """Copy a file, then remove it: stopped between the two, both are there."""
        target = f"{self._system[1]}/{to}"
        self._ask(key, lambda system, path: system.cp_file(path, target))
        self.remove(key)

    def remove(self, key: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._ask(key, lambda system, path: system.rm_file(path))

    def probe(self) -> None:
        """Make a file and see whether the server would make it twice."""
        key = f".probe-{uuid.uuid4().hex}"
        self._ask(key, lambda system, path: system.pipe_file(path, b"probe"))
        try:
            self._creates = not self._ask(
                key, lambda system, path: _put_new(system, path, b"again", True)
            )
        except UserError:
            self._creates = False
        self.remove(key)
        if not self._creates:
            logging.getLogger(__name__).warning(
                "%s: this server has no conditional PUT (If-None-Match), so only the lease keeps "
                "two runs apart that write at the same moment",
                self._url,
            )

    def clean(self, older_than: float) -> None:
        """Do nothing: a PUT that was cut off leaves no file."""


def _put_new(system: Any, path: str, content: bytes, conditional: bool) -> bool:
    """Put a file unless, if the server can tell, it is there; whether it was put."""
    known = inspect.signature(getattr(system, "_pipe_file", system.pipe_file)).parameters
    how: dict[str, Any] = {}
    if conditional:
        how = {"mode": "create"} if "mode" in known else {"overwrite": False}
    try:
        system.pipe_file(path, content, **how)
    except FileExistsError:
        return False
    except Exception as error:
        if _code(error) in ("PreconditionFailed", "412"):
            return False
        raise
    return True


def _code(error: BaseException) -> str:
    """Return the server's own code of an error; "" where it gave none."""
    response = getattr(error.__cause__ or error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return str(getattr(error, "code", ""))


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, PermissionError):
        return False
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & _UNREACHED) or getattr(error, "errno", None) in _BUSY
