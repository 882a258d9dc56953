"""A run that was imported: what is in it, what is refused, and that every sample is there once."""

import json
import re
from collections import Counter
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest

from pipelines import status
from pipelines.audit import audit
from pipelines.choose import choose
from pipelines.errors import UserError
from pipelines.importing import spill
from pipelines.run import opened as opened_for_writing
from pipelines.run import reopened
from pipelines.sample import sample
from pipelines.score import score
from pipelines.store import Store
from pipelines.sweeps.config import parse
from tests.pipelines.importing.importing_files import (
    command,
    counts,
    import_files,
    jsonl,
    long_rows,
    opened,
    preview,
    samples,
)

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


@pytest.fixture
def long(tmp_path):
    return jsonl(tmp_path / "long.jsonl", long_rows())


def passes(run):
    return dict(counts(run).select("problem_id", "c").iter_rows())


def in_order(run):
    """Return the passes of each problem by sample id."""
    rows = samples(run).group_by("problem_id", maintain_order=True).agg("passed")
    return dict(rows.iter_rows())


def uneven(seed=3, problems=12):
    """Rows in any order, each problem with its own number of samples."""
    generator = np.random.default_rng(seed)
    rows = [
        {
            "model": f"m{model}",
            "problem_id": f"p{problem}",
            "completion": f"{model}.{problem}.{number}",
            "passed": bool(generator.random() < 0.4) if generator.random() < 0.9 else None,
        }
        for model in range(2)
        for problem in range(problems)
        for number in range(int(generator.integers(1, 6)))
    ]
    return [rows[at] for at in generator.permutation(len(rows))]


@pytest.mark.parametrize("part_bytes", [spill.PART_BYTES, 300])
def test_every_sample_is_there_once_and_counted(tmp_path, run, monkeypatch, part_bytes):
    """In the order of the rows, whatever parts the samples went through on their way."""
    monkeypatch.setattr(spill, "PART_BYTES", part_bytes)
    rows = uneven()
    import_files(jsonl(tmp_path / "f.jsonl", rows), "--run", run, "--task", "t")
    numbers: Counter = Counter()
    expected = []
    for row in rows:
        key = (row["model"], row["problem_id"])
        expected.append((*key, numbers[key], row["completion"], row["passed"]))
        numbers[key] += 1
    kept = samples(run).select("model", "problem_id", "sample_id", "completion", "passed")
    assert sorted(kept.rows()) == sorted(expected)
    table = counts(run)
    wanted = (
        pl.DataFrame(rows)
        .group_by("model", "problem_id")
        .agg(n=pl.len(), c=pl.col("passed").sum(), undecided=pl.col("passed").null_count())
    )
    assert sorted(table.select(wanted.columns).rows()) == sorted(wanted.rows())
    assert set(table["stop_reason"]) == {"fixed"}


def test_more_samples_of_a_problem_go_on_where_the_first_ended(tmp_path, run, long):
    more = jsonl(tmp_path / "more.jsonl", long_rows(problems=5, tries=2))
    import_files(long, "--run", run, "--task", "t")
    import_files(more, "--run", run, "--task", "t")
    found = in_order(run)
    assert found["p1"] == [True, False, False, False, True, False]
    assert found["p4"] == [True, True]
    assert passes(run) == {"p0": 0, "p1": 2, "p2": 4, "p3": 2, "p4": 2}


def test_the_same_import_twice_changes_nothing(run, long):
    import_files(long, "--run", run)
    before = samples(run)
    with pytest.raises(UserError, match=r"was imported before.*--skip-existing"):
        import_files(long, "--run", run)
    assert import_files(long, "--run", run, "--skip-existing") == 0
    assert samples(run).equals(before)


class TestSampleIds:
    def rows(self, ids, tag=""):
        return [
            {"problem_id": "p", "sample_id": at, "completion": f"{at}{tag}", "passed": at % 2}
            for at in ids
        ]

    def test_they_are_kept(self, tmp_path, run):
        import_files(jsonl(tmp_path / "f.jsonl", self.rows([2, 0, 1])), "--run", run)
        assert samples(run)["completion"].to_list() == ["0", "1", "2"]

    def test_those_that_begin_at_one_are_shifted(self, tmp_path, run):
        import_files(jsonl(tmp_path / "f.jsonl", self.rows([1, 3, 2])), "--run", run)
        assert samples(run)["sample_id"].to_list() == [0, 1, 2]
        assert samples(run)["completion"].to_list() == ["1", "2", "3"]

    def test_a_gap_is_refused(self, tmp_path, run):
        path = jsonl(tmp_path / "f.jsonl", self.rows([0, 1, 3]))
        with pytest.raises(UserError, match="has no sample 2, but later ones"):
            import_files(path, "--run", run)
        assert not (run / "samples").exists()

    def test_those_that_are_there_are_refused_or_skipped(self, tmp_path, run):
        import_files(jsonl(tmp_path / "f.jsonl", self.rows(range(3))), "--run", run, "--task", "t")
        both = jsonl(tmp_path / "g.jsonl", self.rows(range(5)))
        with pytest.raises(UserError, match=r"sample 0 of problem p .* is in the run already"):
            import_files(both, "--run", run, "--task", "t")
        import_files(both, "--run", run, "--task", "t", "--skip-existing")
        assert samples(run)["completion"].to_list() == ["0", "1", "2", "3", "4"]

    def test_another_sample_of_the_same_id_is_never_skipped(self, tmp_path, run):
        import_files(jsonl(tmp_path / "f.jsonl", self.rows(range(3))), "--run", run, "--task", "t")
        other = jsonl(tmp_path / "g.jsonl", self.rows(range(4), tag="!"))
        with pytest.raises(UserError, match="is another one in"):
            import_files(other, "--run", run, "--task", "t", "--skip-existing")

    def test_one_that_is_given_twice_names_both_rows(self, tmp_path, run, capsys):
        path = jsonl(tmp_path / "f.jsonl", self.rows([0, 1, 0]))
        with pytest.raises(UserError, match="1 rows cannot be imported"):
            import_files(path, "--run", run)
        told = capsys.readouterr().err.replace(str(path), "f.jsonl")
        assert "f.jsonl:3: sample 0 of problem p is in f.jsonl:1 already" in told


HOSTILE = {
    "a surrogate": ({"completion": "\ud800"}, "field completion: holds .* half of a character"),
    "too many tokens": ({"completion_tokens": 2**31}, "must be a whole number from 0 to 2,147,483"),
    "too long a seed": ({"seed": 2**70}, "field seed: is 1180591620717411303424"),
    "no name": ({"problem_id": "", "prompt": None}, "field problem_id: is empty"),
    "no Latin letter": ({"model": "日本"}, "cannot be made a name .* give one with --model"),
    "a text for a number": (
        {"sum_logprob": "low"},
        "field sum_logprob: is 'low', must be a number",
    ),
    "no verdict": ({"correct": "maybe"}, r"field passed \(correct\): is 'maybe', must be true"),
}


class TestBadRows:
    @pytest.mark.parametrize(("changed", "told"), HOSTILE.values(), ids=HOSTILE)
    def test_what_no_table_holds_is_named_by_its_row(self, tmp_path, run, capsys, changed, told):
        everything = {"completion_tokens": 1, "seed": 1, "model": "m", "sum_logprob": -1.0}
        rows = [row | everything for row in long_rows()]
        rows[2] |= changed
        with pytest.raises(UserError, match="1 rows cannot be imported"):
            import_files(jsonl(tmp_path / "f.jsonl", rows), "--run", run)
        assert re.search(rf"f\.jsonl:3: .*{told}", capsys.readouterr().err)
        assert not run.exists()

    @pytest.fixture
    def bad(self, tmp_path):
        rows = long_rows()
        for at in (1, *range(4, 16)):
            if at < len(rows):
                rows[at]["correct"] = "maybe"
        return jsonl(tmp_path / "f.jsonl", rows)

    def test_the_first_are_named_and_nothing_is_written(self, run, bad, capsys):
        with pytest.raises(UserError, match="9 rows cannot be imported, so nothing was written"):
            import_files(bad, "--run", run)
        told = capsys.readouterr().err.replace(str(bad), "f.jsonl").splitlines()
        assert [line.split(": ")[1] for line in told] == [
            f"f.jsonl:{line}" for line in (2, *range(5, 13))
        ]
        assert not run.exists()

    def test_they_may_be_left_out(self, run, bad):
        assert import_files(bad, "--run", run, "--skip-bad-rows") == 1
        assert counts(run)["n"].sum() == 3

    @pytest.mark.parametrize("field", ["prompt", "answer"])
    def test_a_problem_that_is_asked_in_two_ways_names_both_rows(
        self, tmp_path, run, capsys, field
    ):
        rows = [{"id": 1, "response": "x", "correct": 1, "prompt": "q", "answer": "a"}] * 2
        rows[1] = rows[1] | {field: "other"}
        path = jsonl(tmp_path / "f.jsonl", rows)
        with pytest.raises(UserError, match="1 rows"):
            import_files(path, "--run", run)
        told = capsys.readouterr().err.replace(str(path), "f.jsonl")
        assert f"f.jsonl:2: field {field}: problem 1 has 'other' here and" in told
        assert "in f.jsonl:1" in told

    def test_nor_may_a_later_import_ask_otherwise(self, tmp_path, run, long):
        import_files(long, "--run", run, "--task", "t")
        rows = [row | {"prompt": "another question"} for row in long_rows()]
        with pytest.raises(UserError, match=r"other\.jsonl:1: field prompt: problem p0"):
            import_files(jsonl(tmp_path / "other.jsonl", rows), "--run", run, "--task", "t")
        assert counts(run)["n"].to_list() == [4, 4, 4]


def test_an_import_that_is_interrupted_anywhere_is_completed_by_the_same_command(
    tmp_path, monkeypatch
):
    """Until then no other stage opens the run; afterwards each sample is there once."""
    monkeypatch.chdir(tmp_path)
    path = jsonl(tmp_path / "f.jsonl", uneven(problems=3))
    import_files(path, "--run", "whole")
    expected = samples(tmp_path / "whole")
    steps = 0
    while True:
        name = f"run{steps}"
        left = [steps]

        def counted(method, left=left):
            def replaced(*arguments, **named):
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return method(*arguments, **named)

            return replaced

        with monkeypatch.context() as patched:
            for method in ("commit", "write_sweep", "write_problems", "write_result"):
                patched.setattr(Store, method, counted(getattr(Store, method)))
            try:
                import_files(path, "--run", name)
            except click.Abort:
                interrupted = True
            else:
                interrupted = False
        if not interrupted:
            break
        if (tmp_path / name / "sweep.yaml").exists() and not done(tmp_path / name):
            with pytest.raises(UserError, match="was interrupted; run the same"):
                opened(tmp_path / name).__enter__()
        import_files(path, "--run", name, "--skip-existing")
        assert samples(tmp_path / name).equals(expected)
        steps += 1
    assert steps > 10


def done(run):
    _, recorded = Store.at(str(run)).read_sweep()
    return all(each["done"] for each in recorded["imported"]["imports"])


def test_another_import_waits_for_one_that_was_interrupted(tmp_path, run, long, monkeypatch):
    def stop(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Store, "commit", stop)
        with pytest.raises(click.Abort):
            import_files(long, "--run", run)
    more = jsonl(tmp_path / "more.jsonl", long_rows(tries=2))
    with pytest.raises(UserError, match=r"long\.jsonl was interrupted"):
        import_files(more, "--run", run, "--task", "long")


class TestLostFiles:
    def test_lost_verdicts_are_undecided_until_they_are_imported_again(self, run, long):
        import_files(long, "--run", run)
        for path in run.glob("scores/**/*.parquet"):
            path.unlink()
        assert command("score", run) == 0
        assert counts(run)["undecided"].to_list() == [4, 4, 4]
        errors = pl.read_parquet(f"{run}/scores/**/*.parquet")["error"]
        assert errors.str.contains("import the file again").all()
        import_files(long, "--run", run)
        assert passes(run) == {"p0": 0, "p1": 1, "p2": 2}

    def test_lost_samples_are_named_until_they_are_imported_again(self, run, long, capsys):
        import_files(long, "--run", run)
        before = samples(run)
        for path in run.glob("samples/**/*.parquet"):
            path.write_bytes(path.read_bytes()[:-20])
        assert command("score", run) == 1
        assert "12 of 12 imported samples are gone; import again" in capsys.readouterr().err
        import_files(long, "--run", run)
        assert samples(run).equals(before)

    def test_compaction_changes_nothing(self, tmp_path, run):
        import_files(jsonl(tmp_path / "f.jsonl", uneven()), "--run", run)
        before = samples(run)
        assert command("compact", run) == 0
        assert command("score", run) == 0
        assert samples(run).equals(before)
        with pytest.raises(UserError, match="was imported before"):
            import_files(tmp_path / "f.jsonl", "--run", run)


class TestCountsAlone:
    ROWS = (
        {"problem_id": "a", "n": 20, "c": 5, "r": 5, "cap": 1000, "nth_pass": 17, "look": 10},
        {"problem_id": "b", "n": 1000, "c": 2, "r": 5, "cap": 1000, "look": 500},
        {"problem_id": "c", "n": 30, "c": 4, "undecided": 2},
    )

    @pytest.fixture
    def counted(self, tmp_path, run):
        assert import_files(jsonl(tmp_path / "c.jsonl", self.ROWS), "--run", run) == 0
        return run

    def test_they_are_kept_as_they_are(self, counted):
        before = counts(counted)
        assert before.select("n", "c", "undecided", "r", "cap", "nth_pass", "look").rows() == [
            (20, 5, 0, 5, 1000, 17, 10),
            (1000, 2, 0, 5, 1000, None, 500),
            (30, 4, 2, None, None, None, None),
        ]
        assert before["stop_reason"].to_list() == ["r_reached", "cap", "fixed"]
        assert command("score", counted) == 0
        assert counts(counted).equals(before)

    def test_what_needs_samples_is_empty(self, counted):
        with opened(counted) as run:
            assert audit(run) == []
            choose(run)
            for name in ("costs", "audit", "selection", "calibration"):
                assert run.store.read_result(name).is_empty()
            (told,) = [status.cell_status(run, cell) for cell in run.cells]
        assert (told.settled, told.problems, told.samples, told.passes) == (3, 3, 1050, 11)

    def test_they_say_what_they_are_once_lost(self, counted):
        (counted / "counts.parquet").unlink()
        with pytest.raises(UserError, match=r"lacks the counts .*import their file again"):
            command("score", counted)
        assert import_files(counted.parent / "c.jsonl", "--run", counted) == 0
        assert counts(counted)["n"].sum() == 1050

    def test_other_counts_of_a_problem_are_refused(self, tmp_path, counted):
        other = jsonl(tmp_path / "other.jsonl", [{"problem_id": "a", "n": 20, "c": 6}])
        with pytest.raises(UserError, match=r"problem a .* has other counts in the run: n = 20"):
            import_files(other, "--run", counted, "--task", "c")

    def test_samples_beside_them_are_counted(self, tmp_path, counted, long):
        import_files(long, "--run", counted, "--task", "samples")
        assert command("score", counted) == 0
        assert sorted(counts(counted)["n"]) == [4, 4, 4, 20, 30, 1000]

    def test_of_counted_samples_no_counts_are_taken(self, tmp_path, run, long):
        import_files(long, "--run", run, "--task", "t")
        path = jsonl(tmp_path / "c.jsonl", self.ROWS)
        with pytest.raises(UserError, match="has samples, which are counted"):
            import_files(path, "--run", run, "--task", "t")


class TestVerifiers:
    ROWS = tuple(
        {"problem_id": f"p{at}", "completion": f"so it is {at + (try_ % 2)}"}
        for at in range(3)
        for try_ in range(4)
    )

    @pytest.fixture
    def answers(self, tmp_path):
        rows = [{"problem_id": f"p{at}", "answer": str(at), "prompt": f"{at}?"} for at in range(3)]
        return jsonl(tmp_path / "answers.jsonl", rows)

    def test_a_verifier_judges_what_has_no_verdict(self, tmp_path, run, answers):
        path = jsonl(tmp_path / "f.jsonl", self.ROWS)
        import_files(path, "--run", run, "--verifier", "numeric", "--answers", answers)
        assert passes(run) == {"p0": 2, "p1": 2, "p2": 2}
        assert counts(run)["distinct_answers"].to_list() == [2, 2, 2]

    def test_verdicts_that_come_along_do_not_count_then(self, tmp_path, run, answers):
        rows = [row | {"correct": True} for row in self.ROWS]
        path = jsonl(tmp_path / "f.jsonl", rows)
        import_files(path, "--run", run, "--verifier", "numeric", "--answers", answers)
        assert passes(run) == {"p0": 2, "p1": 2, "p2": 2}

    def test_options_reach_the_verifier(self, tmp_path, run, answers):
        path = jsonl(tmp_path / "f.jsonl", self.ROWS)
        import_files(path, "--run", run, "--verifier", "regex", "--answers", answers,
                     "--verifier-option", r"pattern=it is (\d)")  # fmt: skip
        assert passes(run) == {"p0": 2, "p1": 2, "p2": 2}

    def test_a_problem_without_an_answer_is_named(self, tmp_path, run, capsys):
        path = jsonl(tmp_path / "f.jsonl", self.ROWS)
        with pytest.raises(UserError, match="3 problems cannot be judged by verifier numeric"):
            import_files(path, "--run", run, "--verifier", "numeric")
        assert "f.jsonl:1: field answer: problem p0 has none" in capsys.readouterr().err
        assert not run.exists()

    def test_answers_of_other_problems_are_refused(self, tmp_path, run):
        path = jsonl(tmp_path / "f.jsonl", self.ROWS)
        other = jsonl(tmp_path / "a.jsonl", [{"problem_id": "x", "answer": "1"}])
        with pytest.raises(UserError, match="has no answer to any of the problems"):
            import_files(path, "--run", run, "--verifier", "numeric", "--answers", other)


class TestAnswersAndCosts:
    def test_without_answers_there_is_nothing_to_choose_among(self, run, long):
        import_files(long, "--run", run)
        assert counts(run)["distinct_answers"].is_null().all()
        with opened(run) as there:
            choose(there)
            assert there.store.read_result("selection").is_empty()

    def test_with_answers_choosing_is_judged_and_unknown_tokens_stay_unknown(self, tmp_path, run):
        rows = [row | {"pred": "a" if row["correct"] else "b"} for row in long_rows()]
        import_files(jsonl(tmp_path / "f.jsonl", rows), "--run", run)
        assert counts(run)["completion_tokens"].is_null().all()
        with opened(run) as there:
            choose(there)
            chosen = there.store.read_result("selection")
            assert there.store.read_result("costs").is_empty()
        assert chosen["estimate"].is_between(0, 1).all()
        assert chosen["completion_tokens"].is_null().all()

    def test_costs_are_known_as_far_as_tokens_and_sizes_are(self, tmp_path, run):
        rows = [
            row | {"model": model, "completion_tokens": 10, "prompt_tokens": 5}
            for model in ("known", "unknown")
            for row in long_rows()
        ]
        path = jsonl(tmp_path / "f.jsonl", rows)
        import_files(path, "--run", run, "--parameters", "known=1e3")
        with opened(run) as there:
            costs = there.store.read_result("costs").to_dicts()
            assert there.parameters == {"known": 1000}
        known, unknown = costs
        assert (known["prompt_tokens"], known["completion_tokens"]) == (15, 120)
        assert known["flops"] == 2.0 * 1000 * (15 + 120)
        assert (unknown["parameters"], unknown["flops"]) == (None, None)
        assert known["engine_seconds"] is None


def test_samples_that_failed_are_named(tmp_path, run, capsys):
    rows = [row | {"error": "server gone" if at == 3 else None}
            for at, row in enumerate(long_rows())]  # fmt: skip
    rows[3]["correct"] = None
    assert import_files(jsonl(tmp_path / "f.jsonl", rows), "--run", run) == 1
    assert "problem p0: 1 samples failed: server gone" in capsys.readouterr().err
    assert counts(run)["undecided"].to_list() == [1, 0, 0]


def test_nothing_is_drawn_for_an_imported_run(run, long, caplog):
    import_files(long, "--run", run)
    before = samples(run)
    sweep, _ = Store.at(str(run)).read_sweep()
    with opened_for_writing(sweep) as there:
        assert sample(there, display=None).drawn == 0
        assert score(there).incomplete == 0
    assert "no samples can be drawn" in caplog.text
    assert samples(run).equals(before)


def test_the_options_that_read_it_are_recorded(run, long):
    """So that the same import can be made again, into any run."""
    options = ["--model", "m", "--field", "passed=correct", "--task", "t", "--threshold", "0"]
    import_files(long, "--run", run, *options)
    _, recorded = Store.at(str(run)).read_sweep()
    (made,) = recorded["imported"]["imports"]
    assert made["options"] == [
        "--format", "auto", "--field", "passed=correct", "--model", "m", "--task", "t",
        "--verifier", "recorded", "--threshold", "0.0",
    ]  # fmt: skip
    again = run.parent / "again"
    import_files(*made["files"], "--run", again, *made["options"])
    assert samples(again).equals(samples(run))


def test_a_run_that_was_sampled_is_left_alone(tmp_path, run, long):
    sweep = parse(
        {
            "name": "drawn",
            "models": [{"engine": "simulated", "name": "m", "parameters": 10, "rate": 0.5}],
            "tasks": [{"name": "add-2"}],
            "allocation": {"n": 2},
        },
        source="test",
    )
    Store.at(str(run)).write_sweep(sweep, {"models": {}, "tasks": {}})
    before = (run / "sweep.yaml").read_bytes()
    with pytest.raises(UserError, match="its samples were drawn, not imported"):
        import_files(long, "--run", run)
    assert (run / "sweep.yaml").read_bytes() == before


def test_the_recorded_sweep_is_read_back(run, long):
    """As any stage reads it, with the names that the files have made fit for a path."""
    import_files(long, "--run", run, "--model", "org/model v1", "--task", "t",
                 "--parameters", "org/model v1=7e9")  # fmt: skip
    sweep, recorded = Store.at(str(run)).read_sweep()
    assert sweep.allocation.kind == "imported"
    assert sweep.models[0].model_dump() == {
        "engine": "imported", "name": "org-model-v1", "parameters": 7_000_000_000,
    }  # fmt: skip
    assert sweep.tasks[0].model_dump() == {
        "source": "imported", "name": "t", "verifier": "recorded", "stop": None,
    }  # fmt: skip
    assert recorded["models"]["org-model-v1"]["parameters"] == 7_000_000_000
    with reopened(sweep, write=False) as there:
        assert there.problem_ids("t") == ("p0", "p1", "p2")


class TestPreview:
    def test_it_tells_what_would_be_and_writes_nothing(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = jsonl(tmp_path / "f.jsonl", [*long_rows(), long_rows()[0]])
        told = preview(capsys, path, "--model", "some/model", "--parameters", "some/model=5")
        assert told["models"] == [{"name": "some-model", "called": "some/model", "parameters": 5}]
        assert told["cells"] == [
            {
                "model": "some-model", "task": "f", "kind": "samples", "problems": 3,
                "samples": 13, "samples_of_a_problem": {"min": 4, "median": 4, "max": 5},
                "passed": 3, "undecided": 0, "pass_rate": 3 / 13,
            }
        ]  # fmt: skip
        assert told["rows"][0]["completion"] == "answer 0.0"
        assert told["written"] is None
        assert [each.name for each in tmp_path.iterdir()] == ["f.jsonl"]

    def test_the_same_is_told_once_written(self, run, long, capsys):
        import_files(long, "--run", run, "--json")
        told = json.loads(capsys.readouterr().out)
        assert told["cells"][0]["samples"] == 12
        assert told["written"] == {
            "samples": 12, "repeated": 0, "counted": 12, "passed": 3, "undecided": 0,
        }  # fmt: skip


class TestRealData:
    def test_completions_with_verdicts(self, run):
        """Of 800 completions by Qwen2.5-Math 728 are right, by the verdicts that come with them."""
        path = DATA / "qwen_math_cot_100" / "math_cot_100.jsonl"
        if not path.exists():
            pytest.skip(f"no {path}")
        fields = ("passed=score", "score=pred_score", "completion=code")
        options = [part for each in fields for part in ("--field", each)]
        import_files(path, "--run", run, *options)
        table = counts(run)
        assert (table.height, table["n"].sum(), table["c"].sum()) == (100, 800, 728)
        scores = samples(run)
        assert scores["score"].is_not_null().all()
        assert (scores["answer"] == "420").sum() >= 1

    def test_published_counts(self, run, capsys):
        """128 problems of MATH, 10,000 tries each, by seven models of Pythia."""
        path = DATA / "task_scaling_pythia" / "monkeys_math_pythia_counts_n10000.csv"
        if not path.exists():
            pytest.skip(f"no {path}")
        told = preview(capsys, path)
        known = pl.read_csv(path)
        assert {cell["model"]: cell["passed"] for cell in told["cells"]} == {
            name.replace(" ", "-"): passed
            for name, passed in known.group_by("Model")
            .agg(pl.col("Num. Samples Correct").sum().cast(pl.Int64))
            .iter_rows()
        }
