"""How a table becomes the bytes of a Parquet file, and is read back: the layout is decided here.

Knows tables and bytes; not what they mean, nor where they are kept. The numbers below were chosen
by measurement: see STORAGE.md.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Source = Path | BinaryIO
"""A file, or an open one of which only parts are read."""

GROUP_BYTES = 2**20
"""Values in a row group, about: the least that is read of a file."""
LEVEL = 3
"""Of zstd. A higher one is for files that are written once and kept, as it takes more time."""

_METADATA = b"passlaw"
_DICTIONARY = ["problem_id", "finish_reason", "answer", "completion_tokens", "error"]
_TEXTS = ["completion", "reasoning"]
_STATISTICS = ["problem_id", "sample_id", "finish_reason", "completion_tokens", "passed"]
"""Columns by whose range a reader may leave out rows; those of long texts would only fill the
footer, which every listing reads."""
_GROUPS_AT_ONCE = 16
_FIXED_BYTES = 32
"""Of a row's numbers, about."""


def encode(
    table: pa.Table,
    facts: Mapping[str, Any],
    *,
    level: int = LEVEL,
    group_bytes: int = GROUP_BYTES,
) -> bytes:
    """Return a table as a Parquet file, with `facts` (JSON values) in its footer.

    Args:
        table: of any size; its texts may be more than the 2 GiB of one Arrow array.
        facts: what a footer is to say.
        level: of zstd, 1 to 22.
        group_bytes: most values in a row group, but for a longer row that begins one.
    """
    sink = pa.BufferOutputStream()
    # Without the Arrow schema inside, every reader sees plain strings.
    with pq.ParquetWriter(
        sink,
        table.schema.remove_metadata(),
        compression="zstd",
        compression_level=level,
        use_dictionary=[name for name in _DICTIONARY if name in table.column_names],
        column_encoding=_encodings(table.schema),
        write_statistics=[name for name in _STATISTICS if name in table.column_names],
        write_page_index=True,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        for group in _groups(table, group_bytes):
            writer.write_table(group, row_group_size=max(1, group.num_rows))
        writer.add_key_value_metadata({_METADATA: json.dumps(facts).encode()})
    return bytes(sink.getvalue())


def _encodings(schema: pa.Schema) -> dict[str, str]:
    """Return how columns without a dictionary are encoded."""
    floats = [field.name for field in schema if pa.types.is_float32(field.type)]
    chosen = dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
    chosen |= {name: "DELTA_LENGTH_BYTE_ARRAY" for name in _TEXTS if name in schema.names}
    chosen |= {"sample_id": "DELTA_BINARY_PACKED"} if "sample_id" in schema.names else {}
    return chosen


def _groups(table: pa.Table, group_bytes: int) -> Iterator[pa.Table]:
    """Cut a table into row groups; one empty group if it has no rows."""
    sizes = np.full(table.num_rows, _FIXED_BYTES, dtype=np.int64)
    for name in _TEXTS:
        if name in table.column_names:
            sizes += pc.fill_null(pc.binary_length(table[name]), 0).to_numpy()
    group = (np.cumsum(sizes) - 1) // group_bytes
    cuts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), table.num_rows]
    for start, stop in pairwise(cuts):
        yield table.slice(start, stop - start)


def footer(source: Source) -> tuple[dict[str, Any], int, list[str]]:
    """Return the facts, the number of rows and the columns of a file, from its footer alone.

    Raises:
        OSError, ArrowInvalid: the file cannot be read.
        KeyError, ValueError: it was not written by `encode`.
    """
    metadata = pq.read_metadata(source)
    facts = json.loads((metadata.metadata or {})[_METADATA])
    return facts, metadata.num_rows, metadata.schema.names


def read(source: Source) -> pa.Table:
    """Return a file's table; OSError or ArrowInvalid where it is damaged, pages included."""
    return pq.read_table(source, partitioning=None, page_checksum_verification=True)


def read_rows(
    source: Source, ranges: Iterable[tuple[int, int]], columns: list[str] | None = None
) -> pa.Table:
    """Return the rows of some ranges [start, stop) in their order, reading only their row groups.

    Args:
        source: a file that `encode` made.
        ranges: positions of rows in the file.
        columns: their names; None for all.

    Raises:
        OSError, ArrowInvalid: the file is damaged where it was read.
    """
    file = pq.ParquetFile(source, page_checksum_verification=True)
    rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    ends = np.cumsum(rows)
    wanted = [(start, stop) for start, stop in ranges if start < stop]
    needed = np.zeros(len(rows), dtype=bool)
    for start, stop in wanted:
        first, last = np.searchsorted(ends, [start, stop - 1], side="right")
        needed[first : last + 1] = True
    table = file.read_row_groups(np.flatnonzero(needed).tolist(), columns=columns)
    # Where a group begins among those that were read.
    begins = np.concatenate([[0], np.cumsum(np.where(needed, rows, 0))])
    moved = []
    for start, stop in wanted:
        group = int(np.searchsorted(ends, start, side="right"))
        first = int(begins[group]) + start - (int(ends[group]) - rows[group])
        moved.append((first, first + stop - start))
    return pick(table, moved)


def read_parts(source: Source, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield a file's rows in order, some row groups at a time, so that a large one fits in memory.

    Raises:
        OSError, ArrowInvalid: the file is damaged.
    """
    file = pq.ParquetFile(source, page_checksum_verification=True)
    for first in range(0, file.num_row_groups, _GROUPS_AT_ONCE):
        groups = range(first, min(first + _GROUPS_AT_ONCE, file.num_row_groups))
        yield file.read_row_groups(list(groups), columns=columns)


def pick(table: pa.Table, ranges: Iterable[tuple[int, int]]) -> pa.Table:
    """Return the rows of some ranges [start, stop), in their order, without copying them."""
    pieces = [table.slice(start, stop - start) for start, stop in ranges]
    return pa.concat_tables(pieces) if pieces else table.slice(0, 0)


def same_rows(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables of a schema hold the same values in the same order; NaN is NaN."""
    return one.num_rows == other.num_rows and all(
        _same(one[name], other[name]) for name in other.column_names
    )


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if one.equals(other):
        return True
    if not pa.types.is_floating(one.type):
        return False
    return bool(pc.is_nan(one).equals(pc.is_nan(other))) and bool(
        _without_nan(one).equals(_without_nan(other))
    )


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
