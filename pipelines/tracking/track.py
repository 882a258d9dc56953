"""Tracking: each invocation is kept as a record, and sent to MLflow when it can be had.

A record is written to the run's spool first, and then sent; a server that is gone costs one line
and a few seconds, and `passlaw track RUN` sends what is left, once. Whatever goes wrong here is a
warning: the results are in the run directory, and nothing of them depends on a tracking server.
"""

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pipelines.run import Run, results
from pipelines.store import Store
from pipelines.sweeps.config import Tracking
from pipelines.tracking import machine, server
from pipelines.tracking.calls import GoOn
from pipelines.tracking.contents import describe
from pipelines.tracking.inputs import place_of
from pipelines.tracking.record import Artifact, Record
from pipelines.tracking.send import Sender
from pipelines.tracking.spool import Sent, Spool
from pipelines.tracking.surroundings import surroundings

_log = logging.getLogger(__name__)
_MOST = 200
"""Characters of a reason that fit on a terminal."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one record."""

    id: str
    sent: Sent | None = None
    """Where it is; None: it is still in the spool."""
    now: bool = False
    """Whether it was sent just now, and not before."""
    reason: str | None = None
    """Why it was not sent."""


def track_run(run: Run) -> str | None:
    """Keep a run's results for MLflow and send them, with any that were not sent before.

    Never raises, and never takes much longer than `tracking.seconds`.

    Returns:
        Where they are, for people; None if tracking is off, or after one line of warning.
    """
    settings = run.sweep.tracking
    if not settings.enabled:
        return None
    uri = server.tracking_uri(settings)
    try:
        record = keep(run)
        outcomes = sync(run.store, settings, uri, seconds=settings.seconds)
    except Exception as error:  # MLflow, a disk or a server may fail in any way they like
        _log.warning("not tracked in MLflow at %s: %s", server.shown(uri), _line(error))
        return None
    unsent = [outcome for outcome in outcomes if outcome.sent is None]
    if unsent:
        _log.warning(
            "not tracked in MLflow at %s: %s; kept in %s, and `passlaw track %s` sends it",
            server.shown(uri),
            unsent[0].reason,
            run.store.storage.url("tracking"),
            run.store.root,
        )
    here = next((outcome.sent for outcome in outcomes if outcome.id == record.id), None)
    return None if here is None else f"MLflow run {here.run} in {server.shown(uri)}"


def watching(run: Run) -> AbstractContextManager[None]:
    """Return what watches the driver's machine while samples are drawn, if tracking is on."""
    if not run.sweep.tracking.enabled:
        return nullcontext()
    return machine.watched(Spool(run.store.storage))


def keep(run: Run, *, made_here: bool = True) -> Record:
    """Put the record of a run's present results into its spool; return it.

    Args:
        run: whose results.
        made_here: whether this process made them, so that its machine and commit are theirs.

    Raises:
        UserError: results are missing, or it cannot be written.
    """
    spool = Spool(run.store.storage)
    with _files(run.store) as files:
        record = describe(
            results(run),
            place_of(run),
            made=int(time.time() * 1_000),
            surroundings=surroundings(Path.cwd()) if made_here else {},
            system=spool.system(),
            artifacts=[Artifact(key=key, digest=_digest(path)) for key, path in files.items()],
        )
    spool.write(record)
    return record


def kept(run: Run) -> bool:
    """Whether a run's spool holds any record, sent or not."""
    return bool(Spool(run.store.storage).ids())


def sync(
    store: Store, settings: Tracking, uri: str, *, seconds: float | None = None
) -> list[Outcome]:
    """Send every record of a run that is not at a tracking URI yet, the oldest first.

    Args:
        store: of the run.
        settings: whether models are registered.
        uri: where to.
        seconds: longest that this may take, but for one call of MLflow's; None: no limit.

    Returns:
        What became of each record, those that were sent before too.

    Raises:
        UserError: a record cannot be read, the spool cannot be written, or another process sends.
    """
    spool = Spool(store.storage)
    names = spool.ids()
    marks = {name: spool.sent(name).get(uri) for name in names}
    outcomes = [Outcome(id=name, sent=sent) for name, sent in marks.items() if sent is not None]
    unsent = [spool.read(name) for name, sent in marks.items() if sent is None]
    if not unsent:
        return outcomes
    reason = server.unreachable(uri)
    if reason is not None:
        return [*outcomes, *(Outcome(id=record.id, reason=reason) for record in unsent)]
    sender = Sender(uri, _until(seconds), settings.register_models)
    connection = server.connected(uri, patient=seconds is None)
    with spool.lease(), _files(store) as files, connection:
        oldest_first = sorted(unsent, key=lambda record: record.made)
        return [*outcomes, *_send(oldest_first, spool, sender, files)]


def _send(
    records: Iterable[Record], spool: Spool, sender: Sender, files: Mapping[str, Path]
) -> Iterator[Outcome]:
    """Send records until one fails for a reason that holds for the next ones too."""
    stopped: str | None = None
    for record in records:
        if stopped is not None:
            yield Outcome(id=record.id, reason=stopped)
            continue
        try:
            sent, now = sender.send(record, _unchanged(record, files))
            spool.mark(record.id, sender.uri, sent)
            yield Outcome(id=record.id, sent=sent, now=now)
        except Exception as error:  # MLflow, a disk or a server may fail in any way they like
            if isinstance(error, _OutOfTimeError) or server.unreachable(sender.uri) is not None:
                stopped = _line(error)
            yield Outcome(id=record.id, reason=_line(error))


class _OutOfTimeError(Exception):
    """Sending has taken as long as it may."""


def _until(seconds: float | None) -> GoOn:
    """Return what raises once so many seconds have passed."""
    end = math.inf if seconds is None else time.monotonic() + seconds

    def go_on() -> None:
        if time.monotonic() > end:
            raise _OutOfTimeError(f"it takes longer than tracking.seconds = {seconds:g}")

    return go_on


@contextmanager
def _files(store: Store) -> Iterator[dict[str, Path]]:
    """Give the files of a run that MLflow keeps, by their keys."""
    with store.artifacts() as paths:
        files: dict[str, Path] = {}
        for path in paths:
            within = sorted(path.rglob("*")) if path.is_dir() else [path]
            files |= {
                each.relative_to(path.parent).as_posix(): each for each in within if each.is_file()
            }
        yield files


def _unchanged(record: Record, files: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files that are still what they were when the record was made."""
    return {
        artifact.key: files[artifact.key]
        for artifact in record.artifacts
        if artifact.key in files and _digest(files[artifact.key]) == artifact.digest
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _line(error: Exception) -> str:
    """Return what an error says in a line of a bearable length; the cause is often at its end."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= _MOST else f"{said[: _MOST // 2]} ... {said[-_MOST // 2 :]}"
