"""The server or database that MLflow writes to: where it is, whether it answers, and quietly so.

MLflow waits for a server that is gone, and for a database that cannot be written, for minutes; here
both are asked first, and briefly. Knows nothing of what is sent.
"""

import getpass
import logging
import os
import socket
import sqlite3
import ssl
import tempfile
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.errors import first_line
from pipelines.sweeps.config import Tracking, digest

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = "PASSLAW_MLFLOW_ARTIFACTS"
"""Environment variable: where new experiments keep their files, such as s3://bucket/mlflow. MLflow
has such a variable for its server only."""
CONNECT_SECONDS = 3.0
"""Longest that a server or database may take to show that it is there."""

_MAKING_SECONDS = 60.0
"""Longest that another process is waited for that makes the same database."""
_SQLITE = "sqlite:///"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Set while we track, where the user has not set them; so are the next ones."""
_BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""By default MLflow waits for minutes for a server that dies on the way."""
_PATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}


def tracking_uri(settings: Tracking) -> str:
    """Return where a sweep's results are tracked; a SQLite file by its absolute path."""
    uri = settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    path = _sqlite_path(uri)
    return uri if path is None else f"{_SQLITE}{path}"


def shown(uri: str) -> str:
    """Return a tracking URI without the password that it may hold."""
    parts = urlsplit(uri)
    if not parts.password:
        return uri
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


def artifact_root(uri: str, experiment: str) -> str | None:
    """Return where a new experiment keeps its files; None: where the server says."""
    if root := os.environ.get(ARTIFACTS):
        return f"{root.rstrip('/')}/{experiment}"
    path = _sqlite_path(uri)
    return None if path is None else (path.parent / "mlartifacts").as_uri()


def unreachable(uri: str, seconds: float = CONNECT_SECONDS) -> str | None:
    """Return why nothing can be written to a tracking URI now; None if nothing speaks against it.

    Never waits longer than `seconds`, whatever a resolver, a firewall or a lock does.
    """
    probe = _probe(uri, seconds)
    if probe is None:
        return None
    found: list[str | None] = [f"no answer within {seconds:g} s"]

    def ask() -> None:
        try:
            found[0] = probe()
        except (OSError, ValueError, sqlite3.Error) as error:
            found[0] = first_line(error)

    # Not a pool: leaving one waits for its threads.
    thread = threading.Thread(target=ask, name="probe", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0]


def _probe(uri: str, seconds: float) -> Callable[[], str | None] | None:
    """Return what asks whether a URI answers; None where that cannot be asked briefly."""
    path = _sqlite_path(uri)
    if path is not None:
        return lambda: _database(path, seconds)
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return lambda: _health(uri, seconds)
    port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname and port and parts.scheme.partition("+")[0] in _PORTS:
        host = parts.hostname
        return lambda: socket.create_connection((host, port), seconds).close()
    return None


def _health(uri: str, seconds: float) -> str | None:
    """Return why a server is not to be asked. Any answer shows that it is there, but its own no."""
    # Whether its certificate is to be trusted is for MLflow to say; nothing is told here.
    unchecked = ssl._create_unverified_context()
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=seconds, context=unchecked)
    except urllib.error.HTTPError as error:
        return f"it answers {error.code} {error.reason}" if error.code >= 500 else None
    except urllib.error.URLError as error:
        return str(error.reason)
    return None


def _database(path: Path, seconds: float) -> str | None:
    """Return why a SQLite file cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("ROLLBACK")
    return None


def _sqlite_path(uri: str) -> Path | None:
    return Path(uri.removeprefix(_SQLITE)).absolute() if uri.startswith(_SQLITE) else None


@contextmanager
def connected(uri: str, *, patient: bool = False) -> Iterator[None]:
    """Let MLflow write to `uri`, without a word on the terminal; afterwards where it did before.

    Args:
        uri: where to.
        patient: whether a busy server is waited for; a run that is to go on does not.
    """
    with _environment(_QUIET | (_PATIENT if patient else _BRIEF)), _silence():
        import mlflow

        # MLflow's own setting outranks the variable, and would outlive us if it were not unset.
        is_set = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call] # it left it untyped
        before = mlflow.get_tracking_uri() if is_set else None
        mlflow.set_tracking_uri(uri)
        try:
            with _making(uri):
                mlflow.MlflowClient(uri)
            yield
        finally:
            mlflow.set_tracking_uri(before)  # type: ignore[arg-type] # None is how to unset it


@contextmanager
def _making(uri: str) -> Iterator[None]:
    """Be the only process of this user that lets MLflow make or migrate a SQLite file.

    Two at once break each other. The lock is one of SQLite's, on a file of our own, because such a
    lock ends with its process.
    """
    path = _sqlite_path(uri)
    if path is None:
        yield
        return
    name = f"passlaw-{getpass.getuser()}-{digest(str(path.resolve()))}.lock"
    lock = Path(tempfile.gettempdir(), name)
    with closing(sqlite3.connect(lock, timeout=_MAKING_SECONDS, isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables that the user has not set; undo what MLflow sets of its own too."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    os.environ.update({name: value for name, value in wanted.items() if name not in before})
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep MLflow's banners, hints and migration notes off the terminal."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: F401 # sets up its logging, which is then turned down

        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
