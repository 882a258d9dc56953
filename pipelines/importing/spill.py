"""Samples on their way into a run, in a temporary folder: all of a problem's in one part.

So every row can be checked before the first is written, in memory that does not grow with the
file. Knows columns; not what is right in them.
"""

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import pyarrow as pa

SPILLED = pa.schema(
    [
        pa.field("model", pa.string()),
        pa.field("task", pa.string()),
        pa.field("problem_id", pa.string()),
        pa.field("sample_id", pa.int64()),
        pa.field("completion", pa.string()),
        pa.field("finish_reason", pa.string()),
        pa.field("prompt_tokens", pa.int32()),
        pa.field("completion_tokens", pa.int32()),
        pa.field("sum_logprob", pa.float32()),
        pa.field("seed", pa.int64()),
        pa.field("error", pa.string()),
        pa.field("reasoning", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("passed", pa.bool_()),
        pa.field("score", pa.float32()),
    ]
)
"""Columns of SAMPLES and of SCORES, by their names, and the cell."""

PART_BYTES = 64 * 2**20
"""Bytes of files for which there is one part, about; files that are compressed count eightfold."""
_MOST_PARTS = 256
_ROWS = 8_192
"""Rows in memory before they are written."""


class Spill:
    """Parts in a temporary folder; a context manager, which removes them."""

    def __init__(self, bytes_of_files: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="passlaw-import-")
        self.parts = max(1, min(_MOST_PARTS, bytes_of_files // PART_BYTES))
        self._waiting: list[dict[str, Any]] = []
        self._writers: dict[int, pa.RecordBatchFileWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the parts."""
        self.close()
        self._folder.cleanup()

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, with the columns of `SPILLED`."""
        self._waiting.append(row)
        if len(self._waiting) >= _ROWS:
            self._write()

    def close(self) -> None:
        """Write what is waiting."""
        self._write()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def tables(self) -> Iterator[pl.DataFrame]:
        """Yield the parts, one after the other, their rows in the order in which they came."""
        for path in sorted(Path(self._folder.name).iterdir()):
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                table = reader.read_all()
            yield pl.DataFrame(pl.from_arrow(table))

    def head(self, rows: int) -> pl.DataFrame:
        """Return the first rows of the first part."""
        first = next(self.tables(), None)
        empty = pl.DataFrame(pl.from_arrow(SPILLED.empty_table()))
        return empty if first is None else first.head(rows)

    def _write(self) -> None:
        by_part: dict[int, list[dict[str, Any]]] = {}
        for row in self._waiting:
            by_part.setdefault(self._part(row), []).append(row)
        self._waiting = []
        for part, rows in by_part.items():
            if part not in self._writers:
                path = Path(self._folder.name) / f"{part:03d}.arrow"
                options = pa.ipc.IpcWriteOptions(compression="zstd")
                self._writers[part] = pa.ipc.new_file(str(path), SPILLED, options=options)
            self._writers[part].write_batch(pa.RecordBatch.from_pylist(rows, schema=SPILLED))

    def _part(self, row: dict[str, Any]) -> int:
        return zlib.crc32(row["problem_id"].encode()) % self.parts
