"""The run directory: the only module that names a path in it or opens its Parquet files.

A unit's file appears by one atomic step and is the commit; there is no journal to disagree with
it. What cannot be read is named and moved to `quarantine/`; nothing is ever deleted in silence.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import yaml

from operators.schemas import (
    CALIBRATION,
    COSTS,
    COUNTS,
    CURVES,
    EXACT,
    LAWS,
    PROBLEMS,
    RATES,
    SAMPLES,
    SCORES,
    SELECTION,
)
from operators.schemas import check as check_schema
from pipelines import parquet
from pipelines.config import Sweep, parse
from pipelines.errors import UserError
from pipelines.units import Cell, Unit

Kind = Literal["samples", "scores"]
ResultName = Literal[
    "counts", "exact", "rates", "costs", "curves", "laws", "selection", "calibration"
]

_UNIT_SCHEMAS: Mapping[Kind, pa.Schema] = {"samples": SAMPLES, "scores": SCORES}
_RESULT_SCHEMAS: Mapping[ResultName, pa.Schema] = {
    "counts": COUNTS,
    "exact": EXACT,
    "rates": RATES,
    "costs": COSTS,
    "curves": CURVES,
    "laws": LAWS,
    "selection": SELECTION,
    "calibration": CALIBRATION,
}
_INPUTS = "<!-- inputs "


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A unit's file, as its footer describes it."""

    unit: Unit
    path: Path
    rows: int
    facts: Mapping[str, Any]
    """What was recorded at the commit: engine seconds, prompt tokens, the scoring digest."""


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A file that was moved aside, and why."""

    path: Path
    moved_to: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunTables:
    """Everything that a report or a tracker reads of a run."""

    sweep: Sweep
    run: str
    """The run directory as the user knows it."""
    version: str
    parameters: Mapping[str, int]
    """Size of each model."""
    counts: pl.DataFrame
    rates: pl.DataFrame
    curves: pl.DataFrame
    laws: pl.DataFrame
    costs: pl.DataFrame
    selection: pl.DataFrame
    calibration: pl.DataFrame
    exact: pl.DataFrame | None


class Store:
    """One run directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def at(cls, path: str) -> "Store":
        """Return the store of a path, which need not exist yet; UserError for a URL."""
        if "://" in path:
            raise UserError(f"{path}: a run must be a local folder; object stores come later")
        return cls(Path(path).expanduser())

    def create(self) -> None:
        """Make the folder and see that it can be written.

        Raises:
            UserError: it cannot be made or written, or something else is there.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"{self.root}: cannot be written ({error.strerror}); give another run directory "
                "with -o run=PATH"
            ) from None
        strangers = sorted(path.name for path in self.root.iterdir())
        if strangers and not self.sweep_path.exists() and not self._is_ours(strangers):
            raise UserError(
                f"{self.root}: holds {strangers[0]!r} but no sweep.yaml, so it is no run of "
                "passlaw; give another run directory with -o run=PATH"
            )

    @staticmethod
    def _is_ours(names: list[str]) -> bool:
        return set(names) <= {"lease.json", "problems", "quarantine"} or all(
            name.startswith(".") for name in names
        )

    # The sweep, and what the files of its models and tasks were when samples were first drawn.

    @property
    def sweep_path(self) -> Path:
        """The resolved sweep."""
        return self.root / "sweep.yaml"

    @property
    def report_path(self) -> Path:
        """The report."""
        return self.root / "report.html"

    @property
    def figures_path(self) -> Path:
        """Folder of the report's figures as PNG and SVG."""
        return self.root / "figures"

    @property
    def lease_path(self) -> Path:
        """Says who is writing to the run."""
        return self.root / "lease.json"

    def write_sweep(self, sweep: Sweep, made: Mapping[str, Any]) -> None:
        """Record the resolved sweep, with `made` (version, hash, identities) under `passlaw`."""
        text = str(yaml.safe_dump({"passlaw": dict(made)}, sort_keys=False)) + sweep.to_yaml()
        _replace(self.sweep_path, text.encode())

    def read_sweep(self) -> tuple[Sweep, dict[str, Any]]:
        """Return what `write_sweep` recorded.

        Raises:
            UserError: there is no run, or its sweep.yaml was damaged.
        """
        try:
            values = yaml.safe_load(self.sweep_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.root}: no run of passlaw (it has no sweep.yaml)") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{self.sweep_path}: cannot be read ({error})") from None
        sweep = parse(values, source=str(self.sweep_path))
        return sweep, dict(values.get("passlaw") or {})

    # Problems.

    def write_problems(self, task: str, problems: pa.Table) -> None:
        """Write a task's problems, unless the same table is there."""
        path = self.root / "problems" / f"{task}.parquet"
        table = check_schema(problems, PROBLEMS, task)
        try:
            same = self.read_problems(task).equals(table)
        except UserError:
            same = False
        if not same:
            _replace(path, parquet.encode(table, {}))

    def quarantine_problems(self, task: str) -> None:
        """Move a task's problems aside, if they are there."""
        path = self.root / "problems" / f"{task}.parquet"
        if path.exists():
            self._move_aside(path)

    def read_problems(self, task: str) -> pa.Table:
        """Return a task's problems; UserError where there are none or they cannot be read."""
        path = self.root / "problems" / f"{task}.parquet"
        try:
            return check_schema(parquet.read(path), PROBLEMS, str(path))
        except (OSError, pa.ArrowInvalid, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({_first_line(error)}); run sample") from None

    # Units.

    def unit_path(self, kind: Kind, unit: Unit) -> Path:
        """Return where a unit's file is or will be."""
        return self._cell_path(kind, unit.cell) / f"{unit.name}.parquet"

    def _cell_path(self, kind: Kind, cell: Cell) -> Path:
        return self.root / kind / f"model={cell.model}" / f"task={cell.task}"

    def commit(self, kind: Kind, unit: Unit, table: pa.Table, facts: Mapping[str, Any]) -> bool:
        """Make a unit's file appear, whole, in one step.

        Samples are never replaced: whoever commits a unit first wins, and losing is harmless.
        Scores are derived, so new ones replace old ones.

        Returns:
            Whether this call's file is the one that is there.

        Raises:
            ValueError: the rows are not the unit's samples, each once and in order.
            UserError: the file cannot be written, which no other attempt would mend.
        """
        table = check_schema(table, _UNIT_SCHEMAS[kind], f"{kind} of unit {unit.name}")
        _check_rows(unit, table)
        content = parquet.encode(table, {"unit": unit.to_dict(), **facts})
        path = self.unit_path(kind, unit)
        try:
            if kind == "samples":
                return _create(path, content)
            _replace(path, content)
        except OSError as error:
            raise UserError(
                f"{path.parent}: cannot be written ({error.strerror}); make room or mend it, then "
                "run again: nothing that was committed is lost"
            ) from None
        return True

    def committed(self, kind: Kind, cell: Cell) -> tuple[list[Committed], list[Quarantined]]:
        """Return a cell's files, by name, after moving aside those that cannot be trusted."""
        found, bad = self.listed(kind, cell)
        return found, [self.quarantine(path, reason) for path, reason in bad]

    def listed(self, kind: Kind, cell: Cell) -> tuple[list[Committed], list[tuple[Path, str]]]:
        """Return a cell's files, by name, and those that cannot be trusted, with the reason.

        A file cannot be trusted when its footer cannot be read (it was cut short), when it is not
        what its name says, or when it holds samples that a file before it holds.
        """
        found: list[Committed] = []
        bad: list[tuple[Path, str]] = []
        held: dict[str, list[tuple[int, int]]] = {}
        for path in sorted(self._cell_path(kind, cell).glob("*.parquet")):
            try:
                facts, rows, columns = parquet.footer(path)
                unit = Unit.from_dict(facts.pop("unit"))
                if path != self.unit_path(kind, unit) or rows != unit.samples:
                    raise ValueError("its rows are not those of its name")
                if not _are_columns(columns, _UNIT_SCHEMAS[kind]):
                    raise ValueError(f"its columns are not those of {kind}")
                for problem in unit.problems:
                    for start, stop in held.get(problem, ()):
                        if unit.start < stop and start < unit.stop:
                            raise ValueError(
                                f"samples {max(start, unit.start)} to {min(stop, unit.stop) - 1} "
                                f"of problem {problem} are in another file too"
                            )
            except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
                bad.append((path, _first_line(error)))
                continue
            for problem in unit.problems:
                held.setdefault(problem, []).append((unit.start, unit.stop))
            found.append(Committed(unit=unit, path=path, rows=rows, facts=facts))
        return found, bad

    def read_unit(self, kind: Kind, unit: Unit) -> pa.Table:
        """Return a unit's rows; OSError or ArrowInvalid where the file is damaged inside.

        Columns that came later than the file are null.
        """
        table = parquet.read(self.unit_path(kind, unit))
        for field in _UNIT_SCHEMAS[kind]:
            if field.nullable and field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return table

    def scan_scores(self, files: list[Path]) -> pl.LazyFrame:
        """Return a lazy frame of score files."""
        if not files:
            return pl.from_arrow(SCORES.empty_table()).lazy()  # type: ignore[union-attr]
        return pl.scan_parquet(files, hive_partitioning=False, cache=False)

    def scan_completions(self, files: list[Path]) -> pl.LazyFrame:
        """Return a lazy frame of the completions of sample files, by problem and sample."""
        columns = ["problem_id", "sample_id", "completion"]
        if not files:
            return pl.from_arrow(SAMPLES.empty_table()).lazy().select(columns)  # type: ignore[union-attr]
        return pl.concat(
            pl.scan_parquet(file, hive_partitioning=False, cache=False).select(columns)
            for file in files
        )

    def quarantine(self, path: Path, reason: str) -> Quarantined:
        """Move a file to `quarantine/`, with its score file if it holds samples."""
        moved_to = self._move_aside(path)
        relative = path.relative_to(self.root)
        if relative.parts[0] == "samples":
            scores = self.root / "scores" / Path(*relative.parts[1:])
            if scores.exists():
                self._move_aside(scores)
        return Quarantined(path=path, moved_to=moved_to, reason=reason)

    def clean(self, older_than: float = 3_600.0) -> None:
        """Remove what writers that were killed left unfinished, `older_than` seconds ago."""
        for path in self.root.rglob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older_than:
                    path.unlink()

    def _move_aside(self, path: Path) -> Path:
        relative = path.relative_to(self.root)
        target = self.root / "quarantine" / relative
        target = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}")
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        return target

    def quarantined(self) -> Iterator[Path]:
        """Yield every file in quarantine."""
        yield from (
            path for path in sorted((self.root / "quarantine").rglob("*")) if path.is_file()
        )

    # Results.

    def write_result(self, name: ResultName, table: pl.DataFrame, inputs: str = "") -> None:
        """Write a result table; `inputs` is the digest of what it was made from."""
        checked = check_schema(table.to_arrow(), _RESULT_SCHEMAS[name], name)
        _replace(self.root / f"{name}.parquet", parquet.encode(checked, {"inputs": inputs}))

    def read_result(self, name: ResultName) -> pl.DataFrame | None:
        """Return a result table; None where it is not there or cannot be read."""
        path = self.root / f"{name}.parquet"
        try:
            table = check_schema(parquet.read(path), _RESULT_SCHEMAS[name], name)
        except (OSError, pa.ArrowInvalid, ValueError):
            return None
        frame = pl.from_arrow(table)
        return frame if isinstance(frame, pl.DataFrame) else None

    def result_inputs(self, name: ResultName) -> str | None:
        """Return the digest of what a result was made from; None where it is not there."""
        try:
            facts, _, _ = parquet.footer(self.root / f"{name}.parquet")
            return str(facts["inputs"])
        except (OSError, pa.ArrowInvalid, KeyError, ValueError):
            return None

    def write_report(self, html: str, inputs: str) -> None:
        """Write report.html; `inputs` is the digest of what it was made from."""
        _replace(self.report_path, f"{html}\n{_INPUTS}{inputs} -->\n".encode())

    def report_inputs(self) -> str | None:
        """Return the digest of what the report was made from; None where there is none."""
        try:
            last = self.report_path.read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
        except (OSError, UnicodeDecodeError):
            return None
        return last[len(_INPUTS) : -len(" -->")] if last.startswith(_INPUTS) else None

    def write_replay(self, table: pl.DataFrame, html: str, page: Path | None = None) -> Path:
        """Write replay.parquet, and its page beside it or elsewhere; return the page's path.

        Raises:
            UserError: a file cannot be written.
        """
        path = self._replay_path if page is None else page
        facts = {"inputs": ""}
        try:
            _replace(self.root / "replay.parquet", parquet.encode(table.to_arrow(), facts))
            _replace(path, html.encode())
        except OSError as error:
            raise UserError(
                f"{error.filename or path}: cannot be written ({error.strerror})"
            ) from None
        return path

    @property
    def _replay_path(self) -> Path:
        return self.root / "replay.html"

    @property
    def artifact_paths(self) -> list[Path]:
        """What a tracker keeps of a run: the sweep, the report, its figures and the tables."""
        tables = [self.root / f"{name}.parquet" for name in _RESULT_SCHEMAS]
        pages = [self.report_path, self._replay_path, self.figures_path]
        paths = [self.sweep_path, *pages, *tables, self.root / "replay.parquet"]
        return [path for path in paths if path.exists()]


def _check_rows(unit: Unit, table: pa.Table) -> None:
    """Raise ValueError unless the rows are each of the unit's samples, once and in order."""
    frame = pl.DataFrame(pl.from_arrow(table.select(["problem_id", "sample_id"])))
    ids = pl.DataFrame({"sample_id": range(unit.start, unit.stop)}, schema={"sample_id": pl.Int64})
    problems = pl.DataFrame({"problem_id": list(unit.problems)}, schema={"problem_id": pl.String})
    expected = problems.join(ids, how="cross", maintain_order="left_right")
    if not frame.equals(expected):
        raise ValueError(
            f"unit {unit.name}: must be samples {unit.start} to {unit.stop - 1} of each of "
            f"{len(unit.problems)} problems in order, {unit.samples} rows; got {table.num_rows} "
            "rows or another order"
        )


def _are_columns(names: list[str], schema: pa.Schema) -> bool:
    """Whether a file has a schema's columns in order, but for nullable ones that came later."""
    missing = [field for field in schema if field.name not in names]
    known = [field.name for field in schema if field.name in names]
    return known == names and all(field.nullable for field in missing)


def _temporary(path: Path, content: bytes) -> Path:
    """Write beside `path`, durably, under a name that no reader's glob finds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _replace(path: Path, content: bytes) -> None:
    _temporary(path, content).replace(path)


def _create(path: Path, content: bytes) -> bool:
    """Make a file appear unless it is there; whether it was made."""
    temporary = _temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
