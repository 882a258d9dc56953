import pytest

from pipelines.errors import UserError
from pipelines.importing.field_map import ALIASES, FieldMap


def test_published_names_are_known():
    """Those of the counts that belong to Large Language Monkeys."""
    row = {
        "Model": "Pythia 12B", "Benchmark": "MATH", "Problem Idx": "82",
        "Num. Samples Total": "10000", "Num. Samples Correct": "122.0",
    }  # fmt: skip
    fields = FieldMap.of([row], {}, "counts.csv")
    found = [fields.get(row, field) for field in ("model", "task", "problem_id", "n", "c")]
    assert found == list(row.values())


def test_a_column_may_lie_in_nested_objects():
    row = {"doc": {"id": 7}, "metrics": {"exact": 1}, "a.b": 2}
    fields = FieldMap.of(
        [row], {"problem_id": "doc.id", "passed": "metrics.exact", "seed": "a.b"}, "f"
    )
    assert [fields.get(row, name) for name in ("problem_id", "passed", "seed")] == [7, 1, 2]


def test_what_the_user_names_comes_before_what_is_guessed():
    row = {"passed": True, "really": False}
    assert FieldMap.of([row], {"passed": "really"}, "f").get(row, "passed") is False


def test_a_field_may_be_said_not_to_be_there():
    fields = FieldMap.of([{"sample_id": 3, "correct": 1}], {"sample_id": ""}, "f")
    assert "sample_id" not in fields


def test_an_unknown_column_is_named_with_what_is_near():
    with pytest.raises(UserError, match=r"f has no metrics\.exakt; nearest are metrics\.exact"):
        FieldMap.of([{"metrics": {"exact": 1}}], {"passed": "metrics.exakt"}, "f")


def test_an_unknown_field_is_named_with_what_is_near():
    with pytest.raises(UserError, match=r"pased is no field.*did you mean passed"):
        FieldMap.of([{"a": 1}], {"pased": "a"}, "f")


def test_a_missing_field_names_the_columns_and_the_nearest():
    fields = FieldMap.of([{"pasd": 1, "text": ""}], {}, "f")
    with pytest.raises(UserError, match=r"f: no field passed.*columns are pasd, text; nearest are"):
        raise fields.missing("passed", why="which is needed")


def test_no_alias_is_looked_for_under_a_name_that_cannot_match():
    """Columns are compared in lower case with underscores, so aliases are written so."""
    for names in ALIASES.values():
        for name in names:
            assert name == name.lower().strip("_")
