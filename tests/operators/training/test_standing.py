"""What completions are chosen by, against values worked out by hand."""

import polars as pl
import pytest

from operators.training.standing import check_selector, columns_of, with_standing


def scores(**columns):
    made = {
        "problem_id": ["p"] * 5,
        "answer": ["a", "a", "b", None, "c"],
        "passed": [True, True, False, False, None],
        "completion_tokens": [4, 8, 2, 2, 2],
        "sum_logprob": [-4.0, -4.0, -1.0, -2.0, None],
    }
    return pl.DataFrame(made | columns, schema_overrides={"sum_logprob": pl.Float32})


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("majority", [0.5, 0.5, 0.25, None, 0.25]),
        ("verdict", [1.0, 1.0, 0.0, 0.0, None]),
        ("sum_logprob", [-4.0, -4.0, -1.0, -2.0, None]),
        ("mean_logprob", [-1.0, -0.5, -0.5, -1.0, None]),
    ],
)
def test_a_standing_is_the_share_of_votes_the_verdict_or_the_column(by, expected):
    assert with_standing(scores(), by)["standing"].to_list() == expected


def test_a_weighted_vote_gives_each_answer_its_share_of_the_weight():
    table = scores(score=[0.5, 1.5, 1.0, 9.0, 1.0])
    found = with_standing(table, "weighted_majority(score)")
    assert found["standing"].to_list() == [0.5, 0.5, 0.25, None, 0.25]
    assert found["weight"].to_list() == [0.5, 1.5, 1.0, None, 1.0]


def test_problems_vote_apart():
    table = pl.concat([scores(), scores(problem_id=["q"] * 5, answer=["z"] * 5)])
    assert with_standing(table, "majority")["standing"].to_list()[5:] == [1.0] * 5


def test_an_unknown_selector_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'luck' is no selector; give verdict, majority.*borda"):
        check_selector("luck")


@pytest.mark.parametrize(
    ("by", "columns"),
    [("majority", []), ("score", ["score"]), ("mean_logprob", ["sum_logprob"]),
     ("borda(self_certainty)", ["self_certainty"])],
)  # fmt: skip
def test_a_selector_names_the_columns_that_it_reads(by, columns):
    assert columns_of(by) == columns
