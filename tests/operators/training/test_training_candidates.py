"""Who may be chosen and who rejected, by enumeration."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.training.candidates import candidates


def table(rows):
    """Scores of (problem, answer, passed), ids from 0 on; answer "!": failed with an error."""
    seen = {}
    made = []
    for problem, answer, passed in rows:
        sample = seen[problem] = seen.get(problem, -1) + 1
        made.append(
            {
                "problem_id": problem,
                "sample_id": sample,
                "answer": None if answer == "!" else answer,
                "passed": passed,
                "completion_tokens": 10 - sample,
                "score": float(sample),
                "error": "lost" if answer == "!" else None,
            }
        )
    schema = {
        "problem_id": pl.String,
        "sample_id": pl.Int64,
        "answer": pl.String,
        "passed": pl.Boolean,
        "completion_tokens": pl.Int64,
        "score": pl.Float32,
        "error": pl.String,
    }
    return pl.DataFrame(made, schema=schema)


ROWS = [
    ("p", "right", True), ("p", "wrong", False), ("p", "wrong", False), ("p", "open", None),
    ("p", "!", None), ("p", "right", True), ("p", "right", True), ("p", None, False),
]  # fmt: skip


def ids(found, role):
    return found.filter(role=role)["sample_id"].to_list()


def test_only_passes_are_chosen_and_only_failures_rejected_by_verdict():
    found = candidates(table(ROWS), "verdict", pairs=True, passes_only=True)
    assert set(ids(found, "chosen")) == {0, 5, 6}
    assert set(ids(found, "rejected")) == {1, 2, 7}


def test_the_shortest_come_first_among_equals():
    found = candidates(table(ROWS), "verdict", pairs=True, passes_only=True, prefer="shortest")
    assert ids(found, "chosen") == [6, 5, 0]
    assert ids(found, "rejected") == [7, 2, 1]


def test_a_vote_chooses_the_winning_answer_and_rejects_the_rarest_failures():
    rows = [*ROWS, ("p", "rare", False)]
    found = candidates(table(rows), "majority", pairs=True, passes_only=False)
    assert set(ids(found, "chosen")) == {0, 5, 6}
    assert ids(found, "rejected")[0] == 8
    assert set(ids(found, "rejected")[1:]) == {1, 2}
    margin = found.filter(rank=0)["standing"].to_list()
    assert margin == pytest.approx([3 / 7, 1 / 7])


def test_a_winner_that_is_known_to_be_wrong_is_not_chosen():
    rows = [("p", "wrong", False), ("p", "wrong", False), ("p", "right", True)]
    assert candidates(table(rows), "majority", pairs=False, passes_only=False).is_empty()
    blind = candidates(
        table(rows), "majority", pairs=True, passes_only=False, without_verdicts=True
    )
    assert set(ids(blind, "chosen")) == {0, 1}
    assert ids(blind, "rejected") == [2]


def test_an_answer_that_both_passed_and_failed_counts_as_undecided():
    rows = [("p", "slow", True), ("p", "slow", False), ("p", "good", True), ("p", "bad", False)]
    found = candidates(table(rows), "verdict", pairs=True, passes_only=True)
    assert (ids(found, "chosen"), ids(found, "rejected")) == ([2], [3])


def test_verdicts_suffice_where_no_answer_was_recorded():
    rows = [("p", None, True), ("p", None, False), ("p", None, None)]
    found = candidates(table(rows), "verdict", pairs=True, passes_only=True)
    assert (ids(found, "chosen"), ids(found, "rejected")) == ([0], [1])


def test_a_column_chooses_the_largest_and_rejects_the_smallest_that_failed():
    found = candidates(table(ROWS), "score", pairs=True, passes_only=False)
    assert ids(found, "chosen") == [6, 5, 3, 0]
    assert ids(found, "rejected") == [1, 2, 7]


@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf"), -float("inf")])
def test_a_sample_whose_column_says_nothing_is_neither_chosen_nor_rejected(unknown):
    scores = table([("p", "a", True), ("p", "b", False), ("p", "c", True)])
    scores = scores.with_columns(score=pl.Series([unknown, unknown, 1.0], dtype=pl.Float32))
    found = candidates(scores, "score", pairs=True, passes_only=False)
    assert found["sample_id"].to_list() == [2]


verdicts = st.sampled_from([True, False, None])
samples = st.lists(
    st.tuples(st.sampled_from("pq"), st.sampled_from(["a", "b", "c", "!", None]), verdicts),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(samples, st.sampled_from(["majority", "verdict", "score"]), st.integers(0, 9))
def test_no_failure_is_chosen_and_nothing_undecided_or_passed_is_rejected(rows, by, seed):
    scores = table(rows)
    found = candidates(scores, by, pairs=True, passes_only=by == "verdict", seed=seed)
    joined = found.join(scores, on=["problem_id", "sample_id"], suffix="_was")
    assert joined["error"].null_count() == joined.height
    assert not joined.filter(role="chosen", passed_was=False, passed=False).height
    assert joined.filter(role="rejected")["passed"].to_list() == [False] * (
        joined.filter(role="rejected").height
    )


@settings(deadline=None)
@given(samples, st.integers(0, 9), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows, seed, random):
    scores = table(rows).sort("problem_id", "sample_id")
    shuffled = list(range(scores.height))
    random.shuffle(shuffled)
    one, other = (
        candidates(each, "majority", pairs=True, passes_only=False, seed=seed)
        for each in (scores, scores[shuffled].sort("problem_id", maintain_order=True))
    )
    assert one.equals(other)


def test_every_seed_gives_another_random_order_and_the_same_one_again():
    scores = table([("p", "a", True)] * 40)
    orders = [
        tuple(
            ids(candidates(scores, "verdict", pairs=False, passes_only=True, seed=seed), "chosen")
        )
        for seed in (0, 1, 2, 0)
    ]
    assert len(set(orders)) == 3
    assert orders[0] == orders[3]


def test_the_random_order_is_uniform():
    """Of 20 samples each comes first about equally often: chi-square, 1 in 10,000 by chance."""
    scores = table([("p", "a", True)] * 20)
    first = [
        ids(candidates(scores, "verdict", pairs=False, passes_only=True, seed=seed), "chosen")[0]
        for seed in range(600)
    ]
    expected = 600 / 20
    statistic = sum((first.count(i) - expected) ** 2 / expected for i in range(20))
    assert statistic < 50.8
