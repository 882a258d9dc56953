"""Parquet files of a storage as one lazy frame. Knows columns, not what they mean."""

import io
from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from pipelines import parquet
from pipelines.packs import Ranges, is_pack
from pipelines.storage import Folder, Storage, several

_ROW = "row in its file"
"""No column of ours."""


def scan(storage: Storage, files: Mapping[str, Ranges], schema: pa.Schema) -> pl.LazyFrame:
    """Return a lazy frame of files, in their order.

    Args:
        storage: where they are.
        files: for each key, the ranges [first, end) of rows to leave out, sorted and disjoint; no
            files give an empty frame.
        schema: of every file.
    """
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    if not files:
        return empty.lazy()
    if isinstance(storage, Folder):
        return _opened(storage, files)
    # Not by the object stores that are built into Polars: these look for credentials elsewhere than
    # the library that wrote the files, and do not know every kind of storage.
    return _fetched(storage, files, empty.schema)


def _opened(folder: Folder, files: Mapping[str, Ranges]) -> pl.LazyFrame:
    """Return a lazy frame of files in a folder; those of which all rows count are one scan."""
    frames = []
    whole = [folder.root / key for key, left_out in files.items() if not left_out]
    if whole:
        frames.append(pl.scan_parquet(whole, hive_partitioning=False, cache=False))
    for key, left_out in files.items():
        if left_out:
            path = folder.root / key
            frame = pl.scan_parquet(path, hive_partitioning=False, cache=False, row_index_name=_ROW)
            frames.append(frame.filter(_counts(left_out)).drop(_ROW))
    return pl.concat(frames)


def _counts(left_out: Ranges) -> pl.Expr:
    """Return whether a row is outside all of the ranges."""
    bounds = np.array(left_out).ravel()
    return pl.col(_ROW).map_batches(
        lambda rows: pl.Series(np.searchsorted(bounds, rows.to_numpy(), side="right") % 2 == 0),
        return_dtype=pl.Boolean,
        is_elementwise=True,
    )


def _fetched(storage: Storage, files: Mapping[str, Ranges], schema: pl.Schema) -> pl.LazyFrame:
    """Return a lazy frame of files that are fetched one after the other, small ones a few ahead."""

    def fetch(key: str) -> bytes | None:
        return None if is_pack(key) else storage.read(key)

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        left = rows
        contents = several(fetch, files, storage.at_once)
        for (key, left_out), content in zip(files.items(), contents, strict=True):
            for frame in _parts(storage, key, content, columns, left_out):
                taken = frame if left is None else frame.head(left)
                if left is not None:
                    left -= taken.height
                yield taken if predicate is None else taken.filter(predicate)
                if left == 0:
                    return

    return register_io_source(frames, schema=schema)


def _parts(
    storage: Storage, key: str, content: bytes | None, columns: list[str] | None, left_out: Ranges
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file that count; of a large one that is not in memory, part by part."""
    if content is not None:
        yield pl.read_parquet(io.BytesIO(content), columns=columns)
        return
    at = 0
    with storage.open(key) as file:
        for table in parquet.read_parts(file, columns):
            frame = pl.DataFrame(pl.from_arrow(table)).with_row_index(_ROW, at)
            at += frame.height
            yield (frame.filter(_counts(left_out)) if left_out else frame).drop(_ROW)
