"""What MLflow is told of a run: tables in, one record out. Neither sends nor keeps it.

The parent holds what concerns all models (laws over sizes, held-out predictions, totals, tables,
the machine's load); a run below it holds each model on each task (curves over tries, its law, what
choosing is worth).
"""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from fitting import Status
from pipelines.store import RunTables
from pipelines.sweeps.config import digest
from pipelines.tracking import inputs, tags
from pipelines.tracking.inputs import Place
from pipelines.tracking.record import ALL_LAWS, Artifact, Entry, LawModel, Point, Record
from pipelines.tracking.summaries import law_values, summaries

Row = Mapping[str, Any]

_ENDS = {"": "estimate", "_low": "low", "_high": "high"}


def describe(
    tables: RunTables,
    place: Place,
    *,
    made: int,
    surroundings: Mapping[str, str],
    system: Sequence[Point] = (),
    artifacts: Sequence[Artifact] = (),
) -> Record:
    """Return the record of a run's present results.

    Args:
        tables: the results.
        place: where they are.
        made: now, in milliseconds since 1970.
        surroundings: tags that say where and by what they were made.
        system: metrics of the machine, by time.
        artifacts: files of the run that are to be kept with it.
    """
    shared = tags.common(tables) | {"passlaw.run": place.url} | dict(surroundings)
    cells = tables.counts.partition_by("model", "task", as_dict=True, maintain_order=True)
    return Record(
        id=results_digest(tables),
        experiment=tables.sweep.name,
        made=made,
        parent=_parent(tables, place, shared, system),
        cells=[
            _cell(tables, place, shared, str(model), str(task), counts)
            for (model, task), counts in cells.items()
        ],
        artifacts=artifacts,
    )


def results_digest(tables: RunTables) -> str:
    """Return a hash of the results and of the sweep that they answer."""
    frames = [
        tables.counts, tables.rates, tables.curves, tables.laws, tables.selection,
        tables.calibration, tables.exact,
    ]  # fmt: skip
    rows = [[] if f is None else f.sort(f.columns).rows() for f in frames]
    return digest([tags.config_digest(tables.sweep), rows], size=16)


def _parent(
    tables: RunTables, place: Place, shared: Mapping[str, str], system: Sequence[Point]
) -> Entry:
    counts, over_models = tables.counts, tables.laws.filter(pl.col("model").is_null())
    sweep = tables.sweep.model_dump(mode="json", include={"seed", "decoding", "allocation", "fit"})
    verdicts = {f"{law['task']}/{law['kind']}": law["status"] for law in _rows(over_models)}
    used = [
        each
        for task in counts["task"].unique(maintain_order=True)
        for each in inputs.problems(place, task, counts.filter(pl.col("task") == task))
    ]
    used.append(inputs.samples(place, "samples", "samples", counts))
    points = [*_totals(tables), *_over_sizes(tables, over_models)]
    return Entry(
        name=tables.sweep.name,
        tags=dict(shared) | tags.invocation(tables) | verdicts,
        params=_flat(sweep),
        metrics=[*_finite(points), *system],
        inputs=used,
        tables=summaries(tables),
        models=_parent_models(tables, dict(shared) | tags.invocation(tables)),
    )


def _totals(tables: RunTables) -> Iterator[Point]:
    yield "models", tables.counts["model"].n_unique(), 0, None
    yield "samples", int(tables.counts["n"].sum()), 0, None
    yield "passes", int(tables.counts["c"].sum()), 0, None
    for name in ("flops", "engine_seconds", "usd"):
        spent = tables.costs[name].drop_nulls()
        if len(spent):
            yield name, float(spent.sum()), 0, None


def _over_sizes(tables: RunTables, laws: pl.DataFrame) -> Iterator[Point]:
    """Laws over model sizes, what they predicted, and pass rates with the size as the step."""
    for law in _rows(laws):
        prefix = f"{law['task']}/{law['kind']}/"
        yield from ((prefix + name, value, 0, None) for name, value in law_values(law).items())
    for row in _rows(tables.curves.filter(pl.col("kind") == "pass_until")):
        if tables.parameters.get(row["model"]) is not None:
            yield from _interval(f"{row['task']}/pass_rate", row, int(row["x"]))
    for row in _rows(tables.curves.filter(pl.col("kind") == "task_law_prediction")):
        yield from _interval(f"{row['task']}/predicted/{row['model']}", row, 0)


def _cell(
    tables: RunTables,
    place: Place,
    shared: Mapping[str, str],
    model: str,
    task: str,
    counts: pl.DataFrame,
) -> Entry:
    here = (pl.col("model") == model) & (pl.col("task") == task)
    size = tables.parameters.get(model)
    params = {"model": model, "task": task, "parameters": "unknown" if size is None else str(size)}
    laws = list(_rows(tables.laws.filter(here & pl.col("chosen"))))
    for law in laws:
        params |= {"law": law["family"], "law_status": law["status"]}
    own = tags.cell(tables, model, task)
    folder = f"samples/model={model}/task={task}"
    return Entry(
        name=f"{model} {task}",
        tags=dict(shared) | own,
        params=params,
        metrics=list(_finite(_cell_metrics(tables, counts, here, laws, size))),
        inputs=[
            *inputs.problems(place, task, counts),
            inputs.samples(place, f"{model} {task}", folder, counts),
        ],
        models=_models(_usable(laws), dict(shared) | own, lambda _: "law"),
    )


def _cell_metrics(
    tables: RunTables,
    counts: pl.DataFrame,
    here: pl.Expr,
    laws: Iterable[Row],
    size: int | None,
) -> Iterator[Point]:
    yield "problems", counts.height, 0, None
    for name, column in (("samples", "n"), ("passes", "c"), ("undecided", "undecided")):
        yield name, int(counts[column].sum()), 0, None
    if size is not None:
        yield "parameters", size, 0, None
    for cost in _rows(tables.costs.filter(here)):
        for name in ("flops", "engine_seconds", "usd"):
            if cost[name] is not None:
                yield name, cost[name], 0, None
    for law in laws:
        yield from ((f"law/{name}", value, 0, None) for name, value in law_values(law).items())
    for row in _rows(tables.curves.filter(here)):
        if row["kind"] in ("pass_at_k", "pass_all_k"):
            yield from _interval(row["kind"], row, int(row["x"]))
        elif row["kind"] == "pass_until":
            yield from _interval("pass_rate", row, 0)
    for row in _rows(tables.selection.filter(here)):
        yield from _interval(f"selection/{_metric_name(row['method'])}", row, row["k"])
    for row in _rows(tables.calibration.filter(here)):
        yield from _interval(f"confidence/{row['confidence']}/{row['measure']}", row, 0)


def _parent_models(tables: RunTables, about: Mapping[str, str]) -> list[LawModel]:
    """Return each law over sizes as a model."""
    laws = _usable(_rows(tables.laws.filter("chosen", pl.col("model").is_null())))
    return _models(laws, about, lambda law: f"{law['task']}-law", tables.sweep.name)


def _usable(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the laws that can predict."""
    return [
        {"model": row["model"], "task": row["task"], "law": law}
        for row in rows
        if row["kind"] != "emergence" and Status[(law := json.loads(row["law"]))["status"]].usable
    ]


def _models(
    laws: Iterable[Mapping[str, Any]],
    about: Mapping[str, str],
    named: Callable[[Mapping[str, Any]], str],
    registered: str | None = None,
) -> list[LawModel]:
    models: list[LawModel] = []
    for law in laws:
        name = _model_name(named(law), {model.name for model in models} | {ALL_LAWS})
        over = "parameters of the model" if law["model"] is None else "tries"
        models.append(
            LawModel(
                name=name,
                laws=[law],
                tags=about,
                params={"family": law["law"]["family"], "x": over, "status": law["law"]["status"]},
                registered=registered and f"{registered}.{name}",
            )
        )
    return models


def _model_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name that MLflow takes for a model, unlike those that are taken."""
    name = re.sub(r"[^A-Za-z0-9_\-]", "_", wanted)
    while name in taken:
        name += "_"
    return name


def _metric_name(method: str) -> str:
    """Return a method's name in the characters that MLflow takes: best_of/self_certainty."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "/", method).strip("/")


def _interval(name: str, row: Row, step: int) -> Iterator[Point]:
    yield from ((name + end, row[column], step, None) for end, column in _ENDS.items())


def _finite(points: Iterable[Point]) -> Iterator[Point]:
    """Drop what MLflow's databases cannot hold."""
    return (point for point in points if math.isfinite(point[1]))


def _rows(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    return frame.iter_rows(named=True)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values as MLflow parameters with dotted names."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat
