"""`check`: a table has the columns it promises, or the message says which it lacks."""

import pyarrow as pa
import pytest

from operators import schemas
from operators.schemas import EXACT, SAMPLES, check

GOOD = {"model": ["m"], "task": ["t"], "problem_id": ["p"], "p": [0.5]}


def test_columns_are_ordered_and_converted():
    table = pa.table({"p": pa.array([1], pa.int64()), "extra": [0], **dict(list(GOOD.items())[:3])})
    checked = check(table, EXACT, "exact")
    assert checked.schema == EXACT
    assert checked.to_pylist() == [{"model": "m", "task": "t", "problem_id": "p", "p": 1.0}]


def test_nulls_are_kept_where_they_are_allowed():
    rows = {field.name: [None] for field in SAMPLES if field.nullable}
    filled = {field.name: [0] for field in SAMPLES if field.type in (pa.int32(), pa.int64())}
    texts = {field.name: ["x"] for field in SAMPLES if field.type == pa.string()}
    checked = check(pa.table(texts | filled | rows), SAMPLES, "samples")
    assert [checked.column(name).null_count for name in rows] == [1] * len(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": None}, r"exact: column p is missing; it has \['model', 'task', 'problem_id'\]"),
        ({"p": ["half"]}, "exact: column p is string, must be double"),
        ({"p": [[0.5]]}, "exact: column p is list.* must be double"),
        ({"model": pa.array([None], pa.string())}, "exact: column model has 1 nulls"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    columns = {name: column for name, column in (GOOD | change).items() if column is not None}
    with pytest.raises(ValueError, match=message):
        check(pa.table(columns), EXACT, "exact")


def test_a_number_that_does_not_fit_is_refused_rather_than_wrapped():
    row = {field.name: ["x"] if field.type == pa.string() else [0] for field in SAMPLES}
    with pytest.raises(ValueError, match="samples: column prompt_tokens is int64, must be int32"):
        check(pa.table(row | {"prompt_tokens": [2**31]}), SAMPLES, "samples")


def test_completions_stay_out_of_what_counting_reads():
    assert "completion" in schemas.SAMPLES.names
    assert "completion" not in schemas.SCORES.names
