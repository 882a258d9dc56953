"""Rows -> a file or folder that appears whole or not at all, with its card beside it.

Knows JSON Lines, Parquet and the layout that `datasets.load_dataset` reads of a folder; not what
the rows are.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UserError

ROWS = 1_000
"""Rows that are written together."""
SHARD = 500_000
"""Rows of one Parquet file of a folder."""
CARD, README = "card.json", "README.md"

Row = Mapping[str, Any]


class Sink(Protocol):
    """Where rows go, some at a time."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish what was written."""


class _Lines:
    def __init__(self, path: Path, _: pa.Schema) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.write_table(pa.Table.from_pylist(list(rows), schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _Shards:
    """A folder of Parquet files of about SHARD rows."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = path / "data", schema
        self._folder.mkdir(parents=True)
        self._shard: _Parquet | None = None
        self._files = self._rows = 0

    def write(self, rows: Sequence[Row]) -> None:
        if self._shard is None or self._rows >= SHARD:
            self.close()
            path = self._folder / f"train-{self._files:05d}.parquet"
            self._shard, self._rows = _Parquet(path, self._schema), 0
            self._files += 1
        self._shard.write(rows)
        self._rows += len(rows)

    def close(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None


_MAKERS: Mapping[str, Callable[[Path, pa.Schema], Sink]] = {
    ".jsonl": _Lines,
    ".parquet": _Parquet,
    "": _Shards,
}


def check_target(out: Path, *, force: bool) -> None:
    """See that an export can be written.

    Raises:
        UserError: it is neither .jsonl nor .parquet nor a folder, or something is there.
    """
    if ":/" in str(out):  # a URL, of which a path keeps one slash
        raise UserError(f"--out {out}: must be a path of this machine; copy the result from there")
    if out.suffix not in (".jsonl", ".parquet", ""):
        raise UserError(f"--out {out}: must end in .jsonl or .parquet, or name a folder")
    if out.suffix == "" and out.is_file():
        raise UserError(f"--out {out}: is a file; a folder or .jsonl or .parquet can be written")
    if out.suffix != "" and out.is_dir():
        raise UserError(f"--out {out}: is a folder; give a file name in it")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise UserError(f"--out {out}: is there already; give another name, or --force")
    if out.is_dir() and not (out / CARD).is_file():
        raise UserError(f"--out {out}: holds no export ({CARD} is missing), so it is not replaced")


@contextmanager
def written(
    out: Path, schema: pa.Schema, card: Callable[[], tuple[Mapping[str, Any], str]]
) -> Iterator[Sink]:
    """Give a sink; what is written there appears as `out` when the block ends without an error.

    Args:
        out: checked by `check_target`.
        schema: of the rows.
        card: called at the end; the card, and what a folder's README says.

    Raises:
        UserError: it cannot be written.
    """
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sink = _MAKERS[out.suffix](temporary, schema)
        with contextlib.closing(sink):
            yield sink
        facts, readme = card()
        text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if temporary.is_dir():
            (temporary / CARD).write_text(text, encoding="utf-8")
            (temporary / README).write_text(readme, encoding="utf-8")
            _replace_folder(temporary, out)
        else:
            # The card first: data without a word on where they are from must not be found.
            card_path(out).write_text(text, encoding="utf-8")
            temporary.replace(out)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def card_path(out: Path) -> Path:
    """Return where the card of an export is."""
    return out / CARD if out.suffix == "" else out.with_name(f"{out.name}.{CARD}")


def _replace_folder(temporary: Path, out: Path) -> None:
    """Put a folder in the place of another, which is gone only when the new one is there."""
    if not out.exists():
        temporary.rename(out)
        return
    old = out.with_name(f".{out.name}.{uuid.uuid4().hex}.old")
    out.rename(old)
    temporary.rename(out)
    shutil.rmtree(old)
