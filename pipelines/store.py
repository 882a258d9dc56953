"""A run: its sweep, problems, result tables and report, beside the files of its units.

Built on `unit_files`, and that on `run_directory`: these three alone name the files of a run and
open its Parquet files. Knows what the files mean; not how their content is made, nor where they are
kept, which is `pipelines.storage`.
"""

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import yaml

from operators.schemas import (
    AUDIT,
    CALIBRATION,
    COSTS,
    COUNTS,
    CURVES,
    EXACT,
    LAWS,
    PROBLEMS,
    RATES,
    RELIABILITY,
    SELECTION,
)
from operators.schemas import check as check_schema
from pipelines import parquet
from pipelines.errors import UserError, first_line
from pipelines.run_directory import SWEEP
from pipelines.storage import Folder
from pipelines.sweeps.config import Sweep, parse
from pipelines.unit_files import UnitFiles

ResultName = Literal[
    "counts",
    "exact",
    "audit",
    "rates",
    "costs",
    "curves",
    "laws",
    "selection",
    "calibration",
    "reliability",
]

_SCHEMAS: Mapping[ResultName, pa.Schema] = {
    "counts": COUNTS,
    "exact": EXACT,
    "audit": AUDIT,
    "rates": RATES,
    "costs": COSTS,
    "curves": CURVES,
    "laws": LAWS,
    "selection": SELECTION,
    "calibration": CALIBRATION,
    "reliability": RELIABILITY,
}
_REPORT = "report.html"
_REPLAY = "replay.html"
_INPUTS = "<!-- inputs "


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
    reliability: pl.DataFrame
    audit: pl.DataFrame
    exact: pl.DataFrame | None


@dataclass(frozen=True, kw_only=True)
class Store(UnitFiles):
    """Everything that is kept of one run."""

    # The sweep, and what the files of its models and tasks were when samples were first drawn.

    def write_sweep(self, sweep: Sweep, made: Mapping[str, Any]) -> None:
        """Record the resolved sweep, with `made` (version, hash, identities) under `passlaw`."""
        text = str(yaml.safe_dump({"passlaw": dict(made)}, sort_keys=False)) + sweep.to_yaml()
        self._write(SWEEP, text.encode())

    def read_sweep(self) -> tuple[Sweep, dict[str, Any]]:
        """Return what `write_sweep` recorded.

        Raises:
            UserError: there is no run, or its sweep.yaml was damaged.
        """
        source = self.storage.url(SWEEP)
        try:
            values = yaml.safe_load(self.storage.read(SWEEP).decode())
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.root}: no run of passlaw (it has no sweep.yaml)") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{source}: cannot be read ({error})") from None
        sweep = parse(values, source=source)
        return sweep, dict(values.get("passlaw") or {})

    # Problems.

    def write_problems(self, task: str, problems: pa.Table) -> None:
        """Write a task's problems, unless the same table is there."""
        table = check_schema(problems, PROBLEMS, task)
        try:
            same = self.read_problems(task).equals(table)
        except UserError:
            same = False
        if not same:
            self._write(_problems_key(task), parquet.encode(table, {}))

    def quarantine_problems(self, task: str) -> None:
        """Move a task's problems aside, if they are there."""
        self._move_aside(_problems_key(task))

    def read_problems(self, task: str) -> pa.Table:
        """Return a task's problems; UserError where there are none or they cannot be read."""
        key = _problems_key(task)
        path = self.storage.url(key)
        try:
            return check_schema(self._read(key), PROBLEMS, path)
        except (OSError, pa.ArrowInvalid, ValueError) as error:
            if isinstance(error, FileNotFoundError) and not self.has_sweep:
                raise self._unseen() from None
            raise UserError(f"{path}: cannot be read ({first_line(error)}); run sample") from None

    def _read(self, key: str) -> pa.Table:
        return parquet.read(io.BytesIO(self.storage.read(key)))

    # Results.

    def write_result(self, name: ResultName, table: pl.DataFrame, inputs: str = "") -> None:
        """Write a result table; `inputs` is the digest of what it was made from."""
        checked = check_schema(table.to_arrow(), _SCHEMAS[name], name)
        self._write(f"{name}.parquet", parquet.encode(checked, {"inputs": inputs}))

    def read_result(self, name: ResultName) -> pl.DataFrame | None:
        """Return a result table; None where it is not there or cannot be read."""
        try:
            table = check_schema(self._read(f"{name}.parquet"), _SCHEMAS[name], name)
        except (OSError, pa.ArrowInvalid, ValueError):
            return None
        return pl.DataFrame(pl.from_arrow(table))

    def result_inputs(self, name: ResultName) -> str | None:
        """Return the digest of what a result was made from; None where that is not there, whole."""
        # The table too: one that is damaged inside is to be made again, not taken for done.
        if self.read_result(name) is None:
            return None
        try:
            facts, _, _ = parquet.footer(io.BytesIO(self._footer(f"{name}.parquet")))
            return str(facts["inputs"])
        except (OSError, pa.ArrowInvalid, KeyError, ValueError):
            return None

    @property
    def report_url(self) -> str:
        """Where the report is or will be, for people."""
        return self.storage.url(_REPORT)

    @property
    def has_report(self) -> bool:
        """Whether there is a report."""
        return self.storage.exists(_REPORT)

    def write_report(self, html: str, inputs: str) -> None:
        """Write report.html; `inputs` is the digest of what it was made from."""
        self._write(_REPORT, f"{html}\n{_INPUTS}{inputs} -->\n".encode())

    def report_inputs(self) -> str | None:
        """Return the digest of what the report was made from; None where there is none."""
        try:
            last = self.storage.read(_REPORT).decode().rstrip().rpartition("\n")[2]
        except (OSError, UnicodeDecodeError):
            return None
        return last[len(_INPUTS) : -len(" -->")] if last.startswith(_INPUTS) else None

    def write_figures(self, figures: Mapping[str, bytes]) -> None:
        """Write the report's figures, by file name, to figures/."""
        for name, content in figures.items():
            self._write(f"figures/{name}", content)

    def write_replay(self, table: pl.DataFrame, html: str, page: Path | None = None) -> str:
        """Write replay.parquet, and its page beside it or elsewhere; return where the page is.

        Raises:
            UserError: a file cannot be written.
        """
        self._write("replay.parquet", parquet.encode(table.to_arrow(), {"inputs": ""}))
        if page is None:
            self._write(_REPLAY, html.encode())
            return self.storage.url(_REPLAY)
        Folder(page.parent).replace(page.name, html.encode())
        return str(page)

    @contextmanager
    def artifacts(self) -> Iterator[list[Path]]:
        """Give what a tracker keeps of a run, as paths: sweep, report, figures and tables.

        Those of an object store are fetched, and are gone afterwards.
        """
        names = [SWEEP, _REPORT, _REPLAY, *(f"{name}.parquet" for name in _SCHEMAS)]
        names += ["replay.parquet", "figures"]
        if isinstance(self.storage, Folder):
            paths = [self.storage.root / name for name in names]
            yield [path for path in paths if path.exists()]
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Folder(Path(folder))
            there = set(self.storage.names())
            keys = [name for name in names[:-1] if name in there]
            for key in (*keys, *self.storage.keys("figures")):
                copy.replace(key, self.storage.read(key))
            yield [copy.root / name for name in names if name in there]


def _problems_key(task: str) -> str:
    return f"problems/{task}.parquet"
