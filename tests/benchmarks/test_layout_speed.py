"""The layout of sample files against others, on real texts and on very short ones.

pytest -s tests/benchmarks/test_layout_speed.py
"""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.schemas import RECORDED, SAMPLES
from pipelines import parquet

DATA = Path(__file__).parents[2].parent / "shared" / "data"
DICTIONARY = ["problem_id", "finish_reason", "completion_tokens", "error"]
NARROW = ["problem_id", "sample_id", "completion_tokens"]
Texts = dict[str, list[str]]
CHANCE = np.random.default_rng(0)


def lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def long_texts() -> Texts:
    """64 chains of thought a problem, of the paragraphs of 8 real ones."""
    texts = {}
    for row in lines(DATA / "qwen_math_cot_100/math_cot_100.jsonl"):
        parts = [text.split("\n\n") for text in row["code"]]
        made = []
        for _ in range(64):
            picked = [parts[CHANCE.integers(len(parts))] for _ in range(max(map(len, parts)))]
            made.append("\n\n".join(part[at] for at, part in enumerate(picked) if at < len(part)))
        texts[f"math/{row['idx']}"] = made
    return texts


def programs() -> Texts:
    """100 real programs a problem."""
    (path,) = (DATA / "codet_humaneval_codegen16b").glob("HumanEval_*_code_solution.jsonl")
    return {f"HumanEval/{at}": row["samples"] for at, row in enumerate(lines(path))}


def short_answers() -> Texts:
    """2,048 numbers a problem, as of a model that adds."""
    draws = (CHANCE.standard_cauchy(2_048).clip(-100, 900) for _ in range(16))
    return {f"add/{at}": [str(123 + int(x)) for x in found] for at, found in enumerate(draws)}


def samples(texts: Texts) -> pa.Table:
    """A unit's samples, as an engine with log-probabilities gives them."""
    said = [text for each in texts.values() for text in each]
    rows = len(said)
    tokens = np.array([max(1, len(text) // 4) for text in said])
    filled: dict[str, Any] = {
        "problem_id": [name for name, each in texts.items() for _ in each],
        "sample_id": [at for each in texts.values() for at in range(len(each))],
        "completion": said,
        "finish_reason": ["stop"] * rows,
        "prompt_tokens": np.full(rows, 50),
        "completion_tokens": tokens,
        "sum_logprob": -tokens * CHANCE.gamma(2, 0.2, rows),
        "min_logprob": -CHANCE.gamma(2, 2, rows),
        "seed": CHANCE.integers(0, 2**63, rows),
    }
    arrays = [
        pa.array(filled[field.name], field.type, safe=False)
        if field.name in filled
        else pa.nulls(rows, field.type)
        for field in SAMPLES
    ]
    return pa.Table.from_arrays(arrays, schema=SAMPLES)


def plain(table: pa.Table, **options: Any) -> bytes:
    """A file in one row group, as pyarrow makes it but for the options."""
    sink = pa.BufferOutputStream()
    known: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    pq.write_table(table, sink, **(known | {"store_schema": False} | options))
    return bytes(sink.getvalue())


SPLIT = {"use_dictionary": DICTIONARY, "use_byte_stream_split": list(RECORDED)}
LAYOUTS: dict[str, Callable[[pa.Table], bytes]] = {
    "pyarrow's own, zstd 1": plain,
    "no checksums": lambda table: plain(table, write_page_checksum=False),
    "some dictionaries": lambda table: plain(table, use_dictionary=DICTIONARY),
    "and floats split": lambda table: plain(table, **SPLIT),
    "and zstd 3": lambda table: plain(table, **SPLIT, compression_level=3),
    "and page index": lambda table: plain(
        table, **SPLIT, compression_level=3, write_page_index=True
    ),
    "and pages of 64 KiB": lambda table: plain(
        table, **SPLIT, compression_level=3, data_page_size=2**16, write_batch_size=64
    ),
    "ours, groups 256 KiB": lambda table: parquet.encode(table, {}, group_bytes=2**18),
    "ours, groups 1 MiB": lambda table: parquet.encode(table, {}),
    "ours, groups 4 MiB": lambda table: parquet.encode(table, {}, group_bytes=2**22),
    "ours, 1 MiB, zstd 6": lambda table: parquet.encode(table, {}, level=6),
    "ours, 1 MiB, zstd 9": lambda table: parquet.encode(table, {}, level=9),
    "ours, a pack's": lambda table: parquet.encode(table, {}, level=6, group_bytes=2**22),
}


class Counted(io.BytesIO):
    total = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.total += len(content)
        return content


def seconds(work: Callable[[], object]) -> float:
    """The least processor time of five turns, which a loaded machine lengthens least."""
    found = []
    for _ in range(5):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


@pytest.mark.benchmark
@pytest.mark.parametrize("texts", [long_texts, programs, short_answers])
def test_one_problem_is_read_without_the_rest(texts: Callable[[], Texts]) -> None:
    if not DATA.is_dir():
        pytest.skip("the measured data (shared/data) are not beside this checkout")
    made = texts()
    table = samples(made)
    each = table.num_rows // len(made)
    rows = [(len(made) // 2 * each, (len(made) // 2 + 1) * each)]
    print(f"\n{texts.__name__}: {table.num_rows:,} rows, {table['completion'].nbytes / 1e6:.1f} MB")
    print(
        f"{'layout':24}{'file KB':>9}{'write ms':>9}{'scan ms':>9}{'problem ms':>11}{'KB read':>9}"
    )
    read = {}
    for name, encode in LAYOUTS.items():
        content = encode(table)
        assert parquet.read(io.BytesIO(content)).equals(table)
        counted = Counted(content)
        assert parquet.read_rows(counted, rows).num_rows == each
        read[name] = counted.total
        writing = seconds(lambda encode=encode: encode(table))
        scan = seconds(
            lambda content=content: pq.read_table(
                io.BytesIO(content), columns=NARROW, use_threads=False
            )
        )
        fetch = seconds(lambda content=content: parquet.read_rows(io.BytesIO(content), rows))
        print(
            f"{name:24}{len(content) / 1e3:9.1f}{writing * 1e3:9.1f}{scan * 1e3:9.2f}"
            f"{fetch * 1e3:11.2f}{counted.total / 1e3:9.1f}"
        )
    assert read["ours, groups 1 MiB"] <= read["pyarrow's own, zstd 1"]
