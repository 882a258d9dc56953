"""The completions that a report shows: the telling ones, and no more of them than can be read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.reporting.completions import EARLIEST, Wanted, read, shortened
from pipelines.units import Cell
from tests.pipelines.reporting.committed_samples import commit, opened_run

CELL = Cell("m", "quiz")
BOTH = Wanted(task="quiz", problem_id="p1", passing="m", failing="m")


@pytest.fixture
def run(tmp_path):
    with opened_run(tmp_path, ("p0", "p1")) as run:
        yield run


def shown(run, wanted=BOTH):
    return read(run, [wanted])["quiz", wanted.problem_id]


def test_a_pass_and_the_commonest_wrong_answers_are_shown(run):
    """Of each the first sample, with how many are like it; the rarest wrong answer is left out."""
    commit(run, CELL, {"p0": ["right"] * 8,
                       "p1": ["b", "a", "b", "right", "a", "b", "c", "right"]})  # fmt: skip
    told = [
        (each.passed, each.answer, each.sample_id, each.alike, each.of, each.text)
        for each in shown(run).completions
    ]
    assert told == [
        (True, "right", 3, 2, 2, "it is right"),
        (False, "b", 0, 3, 6, "it is b"),
        (False, "a", 1, 2, 6, "it is a"),
    ]


def test_the_problem_is_told_with_its_answer(run):
    """What was asked and what is right are beside what was said."""
    commit(run, CELL, {"p0": ["a"], "p1": ["a"]})
    assert (shown(run).prompt, shown(run).answer) == ("p1?", "right")


def test_samples_of_several_units_are_found(run):
    """The pass may lie in another unit than the failures."""
    commit(run, CELL, {"p0": ["a"] * 4, "p1": ["a"] * 4})
    commit(run, CELL, {"p0": ["a"] * 2, "p1": ["a", "right"]}, start=4)
    passed = [each for each in shown(run).completions if each.passed]
    assert [(each.sample_id, each.text) for each in passed] == [(5, "it is right")]


def test_undecided_samples_are_not_shown_as_wrong(run):
    """What nobody could judge is neither."""
    commit(run, CELL, {"p0": ["a", "a"], "p1": [None, "a"]})
    assert [each.sample_id for each in shown(run).completions] == [1]


def test_a_wrong_sample_without_an_answer_is_shown(run):
    """No answer is the commonest wrong answer of some models."""
    commit(run, CELL, {"p0": ["a", "a"], "p1": ["", ""]})
    assert [(each.answer, each.alike) for each in shown(run).completions] == [(None, 2)]


def test_late_samples_are_not_looked_for(run):
    """A problem with a million samples costs no more than one with EARLIEST."""
    commit(run, CELL, {"p0": ["a"], "p1": ["right"]}, start=EARLIEST)
    assert list(shown(run).completions) == []


def test_each_model_is_read_for_what_is_asked_of_it(tmp_path):
    """The passing completion is of one model, the failing ones of another."""
    with opened_run(tmp_path, ("p0",), models=("m", "large")) as run:
        for model in ("m", "large"):
            commit(run, Cell(model, "quiz"), {"p0": ["right", "a"]}, text=f"{model} says {{}}")
        wanted = Wanted(task="quiz", problem_id="p0", passing="large", failing="m")
        texts = [each.text for each in shown(run, wanted).completions]
    assert texts == ["large says right", "m says a"]


def test_a_damaged_file_of_samples_leaves_its_text_out(run):
    """The verdicts are still told."""
    commit(run, CELL, {"p0": ["a"] * 400, "p1": ["a"] * 400})
    unit = run.store.listed("samples", CELL)[0][0]
    path = run.store.storage.root / unit.key
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    assert [(each.answer, each.text) for each in shown(run).completions] == [("a", None)]


@settings(deadline=None)
@given(st.text(max_size=3_000), st.integers(200, 2_400))
def test_a_shown_text_is_bounded_and_keeps_its_ends(text, limit):
    """Nothing is cut from what fits; else the ends stay, and what is gone is counted."""
    cut = shortened(text, limit)
    half = limit // 2
    if len(text) <= limit:
        assert cut == text
    else:
        assert cut.startswith(text[:half])
        assert cut.endswith(text[-half:])
        assert f"{len(text) - 2 * half:,} characters left out" in cut
        assert len(cut) < limit + 60
