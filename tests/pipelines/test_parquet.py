"""The layout of a file: any table comes back as it was, and little is read to find a few rows."""

import io
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.schemas import RECORDED, SAMPLES
from pipelines import parquet

TEXT = st.one_of(st.text(max_size=30), st.sampled_from(["", "\0", "é" * 5, "x" * 3_000]))
FLOAT = st.one_of(st.none(), st.floats(width=32, allow_nan=False))


def samples_of(texts, numbers=None, reasoning=None):
    """A table of one problem's samples."""
    rows = len(texts)
    filled = {
        "problem_id": ["p"] * rows,
        "sample_id": range(rows),
        "completion": texts,
        "finish_reason": ["stop"] * rows,
        "prompt_tokens": [1] * rows,
        "completion_tokens": [2] * rows,
        "sum_logprob": numbers or [None] * rows,
        "reasoning": reasoning or [None] * rows,
    }
    empty = [None] * rows
    arrays = [pa.array(filled.get(field.name, empty), field.type) for field in SAMPLES]
    return pa.Table.from_arrays(arrays, schema=SAMPLES)


def opened(table, **how):
    return io.BytesIO(parquet.encode(table, {"fact": 1}, **how))


def groups(file):
    metadata = pq.read_metadata(file)
    return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]


class Counted(io.BytesIO):
    """A file that notes how many bytes are read, and in how many requests."""

    requests = total = 0

    def read(self, size=-1):
        content = super().read(size)
        self.requests += 1
        self.total += len(content)
        return content


class TestRoundTrip:
    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.tuples(TEXT, FLOAT, st.none() | TEXT), max_size=40), st.integers(1, 5_000))
    def test_any_table(self, rows, group_bytes):
        texts, numbers, reasoning = ([row[at] for row in rows] for at in range(3))
        table = samples_of(texts, numbers, reasoning)
        file = opened(table, group_bytes=group_bytes)
        assert parquet.read(file).equals(table)
        assert parquet.footer(file) == ({"fact": 1}, len(rows), SAMPLES.names)
        assert pa.concat_tables(
            [SAMPLES.empty_table(), *parquet.read_parts(file)]
        ).equals(table)  # fmt: skip

    @settings(deadline=None)
    @given(st.data())
    def test_any_rows_of_it(self, data):
        rows = data.draw(st.integers(1, 60))
        table = samples_of([f"{at}" * (at % 7 * 20) for at in range(rows)])
        file = opened(table, group_bytes=400)
        bound = st.tuples(st.integers(0, rows), st.integers(0, rows)).map(sorted)
        ranges = data.draw(st.lists(bound, max_size=5))
        wanted = [at for start, stop in ranges for at in range(start, stop)]
        found = parquet.read_rows(file, ranges, ["sample_id", "completion"])
        expected = table.take(pa.array(wanted, pa.int64()))
        assert found.equals(expected.select(["sample_id", "completion"]))

    def test_texts_of_several_arrays(self):
        """As they come where they are more than the 2 GiB of one array."""
        pieces = [samples_of(["a" * size, "b"]) for size in (1, 10, 100)]
        table = pa.concat_tables(pieces)
        assert parquet.read(opened(table)).equals(table.combine_chunks())

    def test_a_completion_of_ten_megabytes(self):
        table = samples_of(["short", "x" * 10_000_000, "short too"])
        file = opened(table)
        assert groups(file) == [1, 2]
        assert parquet.read(file).equals(table)
        assert parquet.read_rows(file, [(2, 3)]).equals(table.slice(2))


class TestRowGroups:
    @settings(deadline=None)
    @given(st.lists(st.integers(0, 900), min_size=1, max_size=60))
    def test_none_is_larger_than_asked_but_by_its_first_row(self, lengths):
        """So that none comes near what one array can hold."""
        file = opened(samples_of(["x" * length for length in lengths]), group_bytes=1_000)
        sizes = groups(file)
        assert sum(sizes) == len(lengths)
        for start, stop in pairwise(np.cumsum([0, *sizes])):
            group = [32 + length for length in lengths[start:stop]]
            assert sum(group[1:]) <= 1_000

    def test_a_unit_of_short_texts_has_few(self):
        assert len(groups(opened(samples_of(["42"] * 32_768)))) <= 2


class TestLittleIsRead:
    @pytest.fixture(scope="class")
    @classmethod
    def content(cls):
        noise = np.random.default_rng(0)
        texts = [
            noise.integers(33, 127, 4_000, dtype=np.uint8).tobytes().decode() for _ in range(2_000)
        ]
        return parquet.encode(samples_of(texts), {})

    def test_of_one_row_only_its_group_and_the_footer(self, content):
        file = Counted(content)
        assert parquet.read_rows(file, [(1_000, 1_001)]).num_rows == 1
        assert file.total < 2 * parquet.GROUP_BYTES < len(content) / 3
        assert file.requests == 2

    def test_of_narrow_columns_no_text(self, content):
        file = Counted(content)
        assert parquet.read_rows(file, [(0, 2_000)], ["sample_id"]).num_rows == 2_000
        assert file.total < 100_000 < len(content) / 50

    def test_of_no_rows_only_the_footer(self, content):
        file = Counted(content)
        assert parquet.read_rows(file, []).num_rows == 0
        assert file.requests == 1


class TestForOtherReaders:
    @pytest.fixture(scope="class")
    @classmethod
    def group(cls):
        table = samples_of([f"{at}" * 50 for at in range(100)], [0.5] * 100)
        return pq.read_metadata(opened(table)).row_group(0)

    @pytest.mark.parametrize("name", ["problem_id", "sample_id", "completion_tokens"])
    def test_what_rows_are_found_by_has_statistics_and_a_page_index(self, group, name):
        column = group.column(SAMPLES.names.index(name))
        assert column.statistics.has_min_max
        assert column.has_column_index
        assert column.has_offset_index

    def test_long_texts_have_none(self, group):
        """They would fill the footer, which every listing reads."""
        column = group.column(SAMPLES.names.index("completion"))
        assert not column.is_stats_set
        assert not column.has_column_index

    def test_names_are_dictionaries_and_floats_are_split(self, group):
        encodings = {
            name: group.column(SAMPLES.names.index(name)).encodings for name in SAMPLES.names
        }
        assert "RLE_DICTIONARY" in encodings["problem_id"]
        assert "BYTE_STREAM_SPLIT" in encodings[RECORDED[0]]
        assert "DELTA_LENGTH_BYTE_ARRAY" in encodings["completion"]


class TestDamage:
    def test_a_flipped_bit_in_the_rows_asked_for_is_noticed(self):
        table = samples_of([f"{at} " * 400 for at in range(400)])
        content = bytearray(parquet.encode(table, {}, group_bytes=10_000))
        column = pq.read_metadata(io.BytesIO(content)).row_group(3).column(2)
        content[column.data_page_offset + column.total_compressed_size - 3] ^= 1
        rows = np.cumsum([0, *groups(io.BytesIO(content))])
        damaged = io.BytesIO(content)
        with pytest.raises((OSError, pa.ArrowInvalid)):
            parquet.read_rows(damaged, [(rows[3], rows[4])])
        assert parquet.read_rows(damaged, [(0, rows[3])]).equals(table.slice(0, rows[3]))

    def test_a_file_of_another_program_has_no_facts(self):
        file = io.BytesIO()
        pq.write_table(samples_of(["a"]), file)
        with pytest.raises((KeyError, ValueError)):
            parquet.footer(file)


class TestSameRows:
    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ([1.0, None], [1.0, None], True),
            ([float("nan"), 2.0], [float("nan"), 2.0], True),
            ([float("nan"), 2.0], [float("nan"), 3.0], False),
            ([float("nan")], [None], False),
            ([1.0], [1.0, 1.0], False),
        ],
    )
    def test_not_a_number_is_itself_and_nothing_else(self, one, other, same):
        tables = [pa.table({"x": pa.array(values, pa.float32())}) for values in (one, other)]
        assert parquet.same_rows(*tables) is same

    def test_texts_differ(self):
        assert not parquet.same_rows(pa.table({"x": ["a"]}), pa.table({"x": ["b"]}))
