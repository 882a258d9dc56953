"""How a table becomes the bytes of a Parquet file, and is read back: the layout is decided here.

Knows tables and bytes; not what they mean, nor where they are kept.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_METADATA = b"passlaw"
_DICTIONARY = ["problem_id", "finish_reason", "answer", "completion_tokens", "error"]


def encode(table: pa.Table, facts: Mapping[str, Any]) -> bytes:
    """Return a table as a Parquet file, with `facts` (JSON values) in its footer."""
    sink = pa.BufferOutputStream()
    metadata = {_METADATA: json.dumps(facts).encode()}
    # Without the Arrow schema inside, every reader sees plain strings.
    with pq.ParquetWriter(
        sink,
        table.schema.remove_metadata(),
        compression="zstd",
        use_dictionary=[name for name in _DICTIONARY if name in table.column_names],
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return bytes(sink.getvalue())


def footer(path: Path) -> tuple[dict[str, Any], int, list[str]]:
    """Return the facts, the number of rows and the columns of a file, from its footer alone.

    Raises:
        OSError, ArrowInvalid: the file cannot be read.
        KeyError, ValueError: it was not written by `encode`.
    """
    metadata = pq.read_metadata(path)
    facts = json.loads((metadata.metadata or {})[_METADATA])
    return facts, metadata.num_rows, metadata.schema.names


def read(path: Path) -> pa.Table:
    """Return a file's table; OSError or ArrowInvalid where it is damaged, pages included."""
    return pq.read_table(path, partitioning=None, page_checksum_verification=True)
