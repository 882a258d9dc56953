"""A record: everything that one invocation has to tell MLflow, as plain values and as JSON lines.

Knows neither MLflow nor where a record is kept. Its id is made of the results, so that the same
results are the same record wherever and however often they are described.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.errors import UserError

BATCH = 1_000
"""Most metrics in one line, which is also the most that MLflow takes in one call."""
ALL_LAWS = "laws"
"""The model of all laws of an invocation."""
_FORMAT = 1
_LEVEL = 1
"""Of compression: more would take seconds and save a tenth."""

Point = tuple[str, float, int, int | None]
"""A metric: name, value, step, and milliseconds since 1970; None: when the record was made."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """A data set that a run was made from; it is named, not copied."""

    name: str
    context: str
    """What it is to the run: problems, samples, counts."""
    source: str
    """Its absolute path or URL."""
    digest: str
    columns: Sequence[tuple[str, str, bool]]
    """Name, type in MLflow's words, and whether a value is always there."""
    profile: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class LawModel:
    """Laws that predict together, as one MLflow model."""

    name: str
    laws: Sequence[Mapping[str, Any]]
    """Each with model (None: over model sizes), task and law, as its `to_dict` gave it."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    registered: str | None = None
    """The name under which it is registered where the sweep asks for that."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What becomes one run of MLflow."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Sequence[Point] = ()
    inputs: Sequence[Input] = ()
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By path: columns and data, row by row."""
    models: Sequence[LawModel] = ()


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file of the run directory that MLflow keeps a copy of."""

    key: str
    """Its path in the run directory, and in MLflow."""
    digest: str
    """Of its content; one that has changed since belongs to a later record."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One invocation."""

    id: str
    experiment: str
    made: int
    """When it was made, in milliseconds since 1970."""
    parent: Entry
    cells: Sequence[Entry]
    artifacts: Sequence[Artifact]

    @property
    def metrics(self) -> int:
        """How many values it holds."""
        return sum(len(entry.metrics) for entry in (self.parent, *self.cells))

    @property
    def laws(self) -> LawModel | None:
        """Every law of the record as one model of the parent; None if there are none."""
        models = [model for entry in (self.parent, *self.cells) for model in entry.models]
        if not models:
            return None
        return LawModel(
            name=ALL_LAWS,
            laws=[law for model in models for law in model.laws],
            tags=self.parent.tags,
            params={"laws": str(sum(len(model.laws) for model in models))},
            registered=f"{self.experiment}.laws",
        )

    def to_bytes(self) -> bytes:
        """Return the record as compressed JSON lines: the invocation, then run by run.

        A line has one key, which says what it is: invocation, run, metrics (at most a thousand, of
        the run before) or model (of the run before).
        """
        lines = [json.dumps(line, allow_nan=False) for line in self._lines()]
        return gzip.compress("\n".join(lines).encode(), _LEVEL, mtime=0)

    def _lines(self) -> Iterator[dict[str, Any]]:
        yield {
            "invocation": {
                "format": _FORMAT,
                "id": self.id,
                "experiment": self.experiment,
                "made": self.made,
                "artifacts": [asdict(artifact) for artifact in self.artifacts],
            }
        }
        for entry in (self.parent, *self.cells):
            bare = replace(entry, metrics=(), models=())
            yield {"run": asdict(bare)}
            for start in range(0, len(entry.metrics), BATCH):
                yield {"metrics": entry.metrics[start : start + BATCH]}
            for model in entry.models:
                yield {"model": asdict(model)}


def read(content: bytes, source: str) -> Record:
    """Return the record that `to_bytes` wrote.

    Raises:
        UserError: it is damaged, or of another version; names the source.
    """
    try:
        return _parse([json.loads(line) for line in gzip.decompress(content).splitlines()])
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{source}: cannot be read ({type(error).__name__}: {error}); remove its folder, and "
            "`passlaw track` makes the record of the present results again"
        ) from None


def _parse(lines: Sequence[Mapping[str, Any]]) -> Record:
    invocation = dict(lines[0]["invocation"])
    if invocation.pop("format") != _FORMAT:
        raise ValueError(f"a record of another version than {_FORMAT}")
    entries: list[Entry] = []
    for line in lines[1:]:
        ((kind, value),) = line.items()
        if kind == "run":
            inputs = [Input(**each) for each in value.pop("inputs")]
            entries.append(Entry(**value | {"inputs": inputs}))
            continue
        last = entries[-1]
        if kind == "metrics":
            points = [(name, at, step, time) for name, at, step, time in value]
            entries[-1] = replace(last, metrics=[*last.metrics, *points])
        else:
            entries[-1] = replace(last, models=[*last.models, LawModel(**value)])
    artifacts = [Artifact(**each) for each in invocation.pop("artifacts")]
    parent, *cells = entries
    return Record(parent=parent, cells=cells, artifacts=artifacts, **invocation)
