"""The spool of a run: what MLflow is to be told, kept in RUN/tracking until it was told.

    tracking/<id>/record.jsonl.gz   a record (see `record`), there before anything is sent
    tracking/<id>/sent.json         where it is: {"<tracking URI>": {"run": ..., "experiment": ...}}
    tracking/system/<start>.json    what sampling took of the driver's machine, by time
    tracking/lease.json             while a process sends

Each file appears in one step. Knows keys and bytes; neither MLflow nor what a record is about.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError
from pipelines.lease import Lease
from pipelines.storage import Storage, storage_at
from pipelines.tracking.record import Point, Record, read

FOLDER = "tracking"
_SYSTEM = f"{FOLDER}/system"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Where a record is."""

    run: str
    """MLflow's id of the parent run."""
    experiment: str
    """MLflow's id of the experiment."""


@dataclass(frozen=True)
class Spool:
    """The records of one run directory."""

    storage: Storage

    def lease(self) -> Lease:
        """Return what lets one process send at a time; it holds nobody off the run itself."""
        return Lease(storage_at(self.storage.url(FOLDER)))

    def write(self, record: Record) -> None:
        """Keep a record, unless it is there."""
        self.storage.create(_record(record.id), record.to_bytes())

    def read(self, name: str) -> Record:
        """Return a record by its id; UserError where it cannot be read."""
        return read(self.storage.read(_record(name)), self.storage.url(_record(name)))

    def ids(self) -> list[str]:
        """Return the id of every record."""
        names = self.storage.names(FOLDER)
        return [name for name in names if self.storage.exists(_record(name))]

    def sent(self, name: str) -> Mapping[str, Sent]:
        """Return where a record was sent, by tracking URI."""
        try:
            places = json.loads(self.storage.read(_sent(name)))
            return {uri: Sent(**place) for uri, place in places.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError):
            return {}  # damaged: the server knows better, and is asked

    def mark(self, name: str, uri: str, sent: Sent) -> None:
        """Note that a record was sent."""
        places = {place: vars(at) for place, at in self.sent(name).items()}
        places[uri] = vars(sent)
        self.storage.replace(_sent(name), json.dumps(places, indent=2).encode())

    def keep_system(self, start: int, points: list[Point]) -> None:
        """Keep what a session of sampling, begun at `start` (milliseconds), took of the machine."""
        self.storage.replace(f"{_SYSTEM}/{start}.json", json.dumps(points).encode())

    def system(self) -> list[Point]:
        """Return what all sessions took, in the order of time, each metric's steps from 0."""
        steps: dict[str, int] = {}
        points = []
        for name, value, _, time in sorted(self._system(), key=lambda point: (point[0], point[3])):
            step = steps[name] = steps.get(name, -1) + 1
            points.append((name, value, step, time))
        return points

    def _system(self) -> Iterator[Any]:
        for key in self.storage.keys(_SYSTEM):
            try:
                yield from json.loads(self.storage.read(key))
            except (OSError, ValueError, UserError):
                continue  # a session that is not known costs nothing else


def _record(name: str) -> str:
    return f"{FOLDER}/{name}/record.jsonl.gz"


def _sent(name: str) -> str:
    return f"{FOLDER}/{name}/sent.json"
