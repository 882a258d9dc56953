"""The files of units: each appears by one atomic step, which is the commit, and is found and read.

There is no journal to disagree with the files: the footer of each says which units it holds. One
that cannot be read is named and moved aside, with the scores of its samples. Knows where the files
of a cell are and what they hold; not the other files of a run, nor who draws or scores samples.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl
import pyarrow as pa

from operators.schemas import SAMPLES, SCORES
from operators.schemas import check as check_schema
from pipelines import parquet
from pipelines.errors import UserError, first_line
from pipelines.packs import Holder, Pack, Ranges, settle
from pipelines.run_directory import RunDirectory
from pipelines.scan import scan
from pipelines.storage import several
from pipelines.units import Cell, Unit

Kind = Literal["samples", "scores"]

_SCHEMAS: Mapping[Kind, pa.Schema] = {"samples": SAMPLES, "scores": SCORES}
_FROM_THE_FIRST = ("completion", "prompt_tokens", "completion_tokens")
"""Columns that may hold nulls, but that every file has."""
_PACK_GROUP = 4 * 2**20
"""Values in a row group of a pack, about: a larger file has larger groups, or its footer grows."""


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A unit that is there, as the footer of its file or pack describes it."""

    unit: Unit
    key: str
    """Of the file in the run's storage; the units of a pack share it."""
    rows: int
    facts: Mapping[str, Any]
    """What was recorded at the commit: engine seconds, prompt tokens, the scoring digest."""
    pack: Pack | None = None
    """None: a file of its own."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The files of a cell."""

    found: list[Committed]
    """Each unit once, by name."""
    bad: list[tuple[str, str]]
    """Keys of files that cannot be trusted, with the reason."""
    superseded: list[Holder]
    """Files of which every unit is read from another one."""
    holders: list[Holder]
    """All that can be trusted, superseded or not."""


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A file that was moved aside, and why."""

    path: str
    """Where it was: a path, or a URL."""
    moved_to: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class UnitFiles(RunDirectory):
    """The samples and scores of a run directory."""

    def unit_key(self, kind: Kind, unit: Unit) -> str:
        """Return where in the storage a unit's file is or will be."""
        return f"{_cell_folder(kind, unit.cell)}/{unit.name}.parquet"

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
        table = check_schema(table, _SCHEMAS[kind], f"{kind} of unit {unit.name}")
        _check_rows(unit, table)
        content = parquet.encode(table, {"unit": unit.to_dict(), **facts})
        key = self.unit_key(kind, unit)
        if kind == "samples":
            return self.storage.create(key, content)
        self.storage.replace(key, content)
        return True

    def committed(self, kind: Kind, cell: Cell) -> tuple[list[Committed], list[Quarantined]]:
        """Return a cell's files, by name, after moving aside those that cannot be trusted."""
        found, bad = self.listed(kind, cell)
        return found, [self.quarantine(key, reason) for key, reason in bad]

    def listed(self, kind: Kind, cell: Cell) -> tuple[list[Committed], list[tuple[str, str]]]:
        """Return a cell's units, by name, and the keys of files not to be trusted, with the reason.

        A file cannot be trusted when its footer cannot be read (it was cut short), when it is not
        what its name says, or when it holds samples that a file before it holds.
        """
        inventory = self.inventory(kind, cell)
        return inventory.found, inventory.bad

    def inventory(self, kind: Kind, cell: Cell) -> Inventory:
        """Return a cell's files; of a unit that is in several, one is chosen as `settle` says."""
        holders: list[Holder] = []
        bad: list[tuple[str, str]] = []
        for key, footer in self._footers(kind, cell):
            try:
                holders.append(self._described(kind, key, footer))
            except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
                bad.append((key, first_line(error)))
        settled = settle(holders, renewed=kind == "scores")
        bad += [(holder.key, reason) for holder, reason in settled.overlapping]
        return Inventory(
            found=[
                Committed(
                    unit=unit, key=holder.key, rows=unit.samples, facts=facts, pack=holder.pack
                )
                for unit, facts, holder in settled.found
            ],
            bad=sorted(bad),
            superseded=settled.superseded,
            holders=holders,
        )

    def _footers(self, kind: Kind, cell: Cell) -> Iterator[tuple[str, bytes | OSError]]:
        """Yield the key of each file of a cell, with its last bytes or why they cannot be read."""

        def tail(key: str) -> bytes | OSError:
            try:
                return self._footer(key)
            except OSError as error:
                return error

        folder = _cell_folder(kind, cell)
        names = self.storage.names(folder)
        keys = [f"{folder}/{name}" for name in names if name.endswith(".parquet")]
        for key, footer in zip(keys, several(tail, keys, self.storage.at_once), strict=True):
            # Gone since it was listed: somebody has moved it, and nothing is wrong with it.
            if not isinstance(footer, FileNotFoundError):
                yield key, footer

    def _described(self, kind: Kind, key: str, footer: bytes | OSError) -> Holder:
        """Return a file as its footer describes it; raises where that cannot be."""
        if isinstance(footer, OSError):
            raise footer
        facts, rows, columns = parquet.footer(io.BytesIO(footer))
        if "units" in facts:
            holder = Holder.of_pack(key, Pack.from_facts(facts))
        else:
            holder = Holder.of_unit(key, Unit.from_dict(facts.pop("unit")), facts)
        if key != f"{_cell_folder(kind, holder.cell)}/{holder.name}.parquet" or rows != holder.rows:
            raise ValueError("its rows are not those of its name")
        if not _are_columns(columns, _SCHEMAS[kind]):
            raise ValueError(f"its columns are not those of {kind}")
        return holder

    def read_unit(self, kind: Kind, unit: Unit) -> pa.Table:
        """Return the rows of a unit's own file; OSError or ArrowInvalid where it is damaged inside.

        Columns that came later than the file are null.
        """
        return self.read_file(kind, self.unit_key(kind, unit))

    def read_file(self, kind: Kind, key: str) -> pa.Table:
        """Return all rows of a file of units; OSError or ArrowInvalid where it is damaged."""
        return self.decoded(kind, self.storage.read(key))

    def decoded(self, kind: Kind, content: bytes) -> pa.Table:
        """Return the rows of a file's content; ArrowInvalid or OSError where it is damaged."""
        return _completed(kind, parquet.read(io.BytesIO(content)))

    def read_problem(self, cell: Cell, problem_id: str) -> pa.Table:
        """Return a problem's samples by sample id, reading no others but their neighbours.

        Of the files that hold none, only the footers are read; of the others, the row groups.

        Raises:
            OSError, ArrowInvalid: a file is damaged.
        """
        ranges: dict[str, Ranges] = {}
        for each in self.listed("samples", cell)[0]:
            unit = each.unit
            if problem_id in unit.problems:
                wanted = [(problem_id, unit.start, unit.stop)]
                ranges.setdefault(each.key, []).extend(_places(each, wanted))
        pieces = [self._read_rows(key, sorted(rows)) for key, rows in ranges.items()]
        return pa.concat_tables([SAMPLES.empty_table(), *pieces]).sort_by("sample_id")

    def read_samples(
        self, committed: Committed, wanted: Iterable[tuple[str, int, int]]
    ) -> pa.Table:
        """Return samples of a unit: of each problem, ids [start, stop), in the order asked for.

        Reads only the row groups that hold them.

        Raises:
            OSError, ArrowInvalid: the file is damaged.
        """
        return self._read_rows(committed.key, _places(committed, wanted))

    def _read_rows(self, key: str, ranges: Ranges) -> pa.Table:
        with self.storage.open(key) as file:
            return _completed("samples", parquet.read_rows(file, ranges))

    def scan_scores(self, committed: Sequence[Committed]) -> pl.LazyFrame:
        """Return a lazy frame of the scores of some units."""
        return scan(self.storage, _rows_of(committed), SCORES)

    def scan_completions(self, committed: Sequence[Committed]) -> pl.LazyFrame:
        """Return a lazy frame of the completions of some units, by problem and sample."""
        columns = ["problem_id", "sample_id", "completion"]
        rows = _rows_of(committed)
        if not rows:
            return scan(self.storage, {}, SAMPLES).select(columns)
        return pl.concat(
            scan(self.storage, {key: left_out}, SAMPLES).select(columns)
            for key, left_out in rows.items()
        )

    @contextmanager
    def named_damage(self, kind: Kind, committed: Sequence[Committed]) -> Iterator[None]:
        """While a scan of these units is collected: name a damaged file, and move it aside.

        Raises:
            UserError: a file is damaged; the run draws its samples again.
        """
        try:
            yield
        except (pl.exceptions.PolarsError, pa.ArrowInvalid, OSError):
            for key in sorted({each.key for each in committed}):
                try:
                    self.read_file(kind, key)
                except (OSError, pa.ArrowInvalid) as damage:
                    lost = self.quarantine(key, first_line(damage))
                    raise UserError(
                        f"{lost.path}: damaged ({lost.reason}); moved to {lost.moved_to}; "
                        f"`passlaw run {self.root}` makes it again"
                    ) from None
            raise

    # Packs.

    def write_pack(self, kind: Kind, pack: Pack, table: pa.Table) -> str:
        """Make a pack appear, whole, in one step, and see that what is there is what was written.

        Args:
            kind: of what.
            pack: its units.
            table: their rows, by problem and then sample id.

        Returns:
            Its key.

        Raises:
            UserError: it cannot be written, cannot be read back, or another process took over.
        """
        key = f"{_cell_folder(kind, pack.units[0].cell)}/{pack.name}.parquet"
        self._write(key, parquet.encode(table, pack.to_facts(), level=6, group_bytes=_PACK_GROUP))
        if not self._holds(key, table):
            self._move_aside(key)
            raise UserError(
                f"{self.storage.url(key)}: what is read there is not what was written; see to the "
                "disk or server, then run again: nothing that was committed is lost"
            )
        return key

    def _holds(self, key: str, table: pa.Table) -> bool:
        """Whether a file holds a table, read part by part."""
        at = 0
        try:
            with self.storage.open(key) as file:
                for part in parquet.read_parts(file):
                    if not parquet.same_rows(part, table.slice(at, part.num_rows)):
                        return False
                    at += part.num_rows
        except (OSError, pa.ArrowInvalid):
            return False
        return bool(at == table.num_rows)

    # Files that do not count any more.

    def remove(self, key: str) -> None:
        """Remove a file whose rows are in another one.

        Raises:
            UserError: another process took the run over.
        """
        if self.token is not None:
            self.demand(self.token)
        self.storage.remove(key)

    def quarantine(self, key: str, reason: str) -> Quarantined:
        """Move a file to `quarantine/`, with its score file if it holds samples."""
        moved_to = self._move_aside(key)
        if key.startswith("samples/"):
            self._move_aside(key.replace("samples/", "scores/", 1))
        path = self.storage.url(key)
        return Quarantined(path=path, moved_to=self.storage.url(moved_to), reason=reason)


class Reading:
    """Reads units one after the other, keeping the pack that the last came from."""

    def __init__(self, files: UnitFiles) -> None:
        self._files = files
        self._key: str | None = None
        self._table: pa.Table | None = None

    def unit(self, kind: Kind, committed: Committed) -> pa.Table:
        """Return a unit's rows; OSError or ArrowInvalid where its file is damaged."""
        if committed.pack is None:
            return self._files.read_unit(kind, committed.unit)
        if self._key != committed.key:
            self._key, self._table = None, None  # never two packs in memory
            self._table = self._files.read_file(kind, committed.key)
            self._key = committed.key
        return parquet.pick(self._table, committed.pack.ranges(committed.unit))

    def units(self, asked: Sequence[tuple[Kind, Committed]]) -> Iterator[pa.Table | Exception]:
        """Yield the rows of units in order; of a damaged file, what is wrong with it.

        From an object store, files are fetched a few ahead.
        """

        def fetched(each: tuple[Kind, Committed]) -> pa.Table | Exception | None:
            return self._tried(*each) if each[1].pack is None else None

        ahead = several(fetched, asked, self._files.storage.at_once)
        for each, table in zip(asked, ahead, strict=True):
            yield self._tried(*each) if table is None else table

    def _tried(self, kind: Kind, committed: Committed) -> pa.Table | Exception:
        try:
            return self.unit(kind, committed)
        except (OSError, pa.ArrowInvalid) as error:
            return error


def _cell_folder(kind: Kind, cell: Cell) -> str:
    return f"{kind}/model={cell.model}/task={cell.task}"


def _completed(kind: Kind, table: pa.Table) -> pa.Table:
    """Return a table with nulls for the columns that came later than its file, in their order."""
    for field in _SCHEMAS[kind]:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    # What must not be null has become less since some files were written.
    return table.select(_SCHEMAS[kind].names).cast(_SCHEMAS[kind])


def _places(committed: Committed, wanted: Iterable[tuple[str, int, int]]) -> Ranges:
    """Return where in its file some samples of a unit lie: of each problem, ids [start, stop)."""
    unit, pack = committed.unit, committed.pack
    size = unit.stop - unit.start
    ranges = []
    for problem, start, stop in wanted:
        first = (
            unit.problems.index(problem) * size if pack is None else pack.first_row(unit, problem)
        )
        ranges.append((first + start - unit.start, first + stop - unit.start))
    return ranges


def _rows_of(committed: Sequence[Committed]) -> dict[str, Ranges]:
    """Return the files that hold some units, each with the rows to leave out."""
    files: dict[str, Ranges] = {}
    packed: dict[str, list[Committed]] = {}
    for each in committed:
        files[each.key] = []
        if each.pack is not None:
            packed.setdefault(each.key, []).append(each)
    for key, units in packed.items():
        pack = units[0].pack
        if pack is not None and len(units) < len(pack.units):
            files[key] = pack.other_rows(each.unit for each in units)
    return files


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
    later = all(field.nullable and field.name not in _FROM_THE_FIRST for field in missing)
    return known == names and later
