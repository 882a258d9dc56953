"""Logs with exactly the fields that lm-evaluation-harness, inspect_ai and EvalPlus write."""

import json
import zipfile

import pytest

from pipelines.errors import UserError
from pipelines.importing import formats
from pipelines.importing.records import BadRow, Reading
from tests.pipelines.importing.importing_files import jsonl


def read(*paths, **how):
    reading = Reading(**how)
    found = formats.sources([str(path) for path in paths], None, {})
    return [record for source in found for record in formats.records(source, reading)]


def verdicts(records):
    return [(each.problem_id, each.sample_id, each.passed) for each in records]


# lm-evaluation-harness


def harness_row(doc, responses, **more):
    return {
        "doc_id": doc,
        "doc": {"question": f"question {doc}", "answer": "#### 4"},
        "target": "4",
        "arguments": {
            "gen_args_0": {"arg_0": f"Q: question {doc}\nA:", "arg_1": {"until": ["Q:"]}}
        },
        "resps": [responses],
        "filtered_resps": responses[:1],
        "filter": "strict-match",
        "metrics": ["exact_match"],
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
        "exact_match": 1.0,
        **more,
    }


@pytest.fixture
def harness(tmp_path):
    folder = tmp_path / "EleutherAI__pythia-14m"
    folder.mkdir()
    results = {
        "results": {"gsm8k": {}},
        "config": {"model": "hf", "model_args": "pretrained=EleutherAI/pythia-14m",
                   "model_num_parameters": 14067712},
        "model_name": "EleutherAI/pythia-14m",
    }  # fmt: skip
    (folder / "results_2025-01-02T03-04-05.678.json").write_text(json.dumps(results))

    def write(rows):
        return jsonl(folder / "samples_gsm8k_cot_2025-01-02T03-04-05.678.jsonl", rows)

    return write


class TestHarness:
    def test_a_document_is_a_problem(self, harness):
        path = harness([harness_row(0, ["it is 4"]), harness_row(1, ["5"], exact_match=0.0)])
        records = read(path)
        assert verdicts(records) == [("0", 0, True), ("1", 0, False)]
        first = records[0]
        assert (first.model, first.task) == ("EleutherAI/pythia-14m", "gsm8k_cot")
        assert (first.completion, first.answer, first.asked.answer) == ("it is 4", "it is 4", "4")
        assert first.asked.prompt == "Q: question 0\nA:"

    def test_the_folder_is_enough_and_tells_the_size(self, harness):
        path = harness([harness_row(0, ["4"])])
        found = formats.sources([str(path.parent)], None, {})
        assert [each.path for each in found] == [path]
        assert formats.sizes(found) == {"EleutherAI/pythia-14m": 14067712}

    def test_one_verdict_of_many_repeats_is_refused(self, harness):
        """Which of them passed, nobody knows; a verifier can tell."""
        path = harness([harness_row(0, ["4", "5", "6"])])
        (bad,) = read(path)
        assert isinstance(bad, BadRow)
        assert "one for 3 repeats" in bad.reason
        assert "--verifier" in bad.reason
        assert [each.completion for each in read(path, judged=False)] == ["4", "5", "6"]

    def test_a_verdict_for_each_repeat(self, harness):
        path = harness([harness_row(0, ["4", "5"], exact_match=[1, 0])])
        assert verdicts(read(path)) == [("0", 0, True), ("0", 1, False)]

    def test_of_several_metrics_one_is_to_be_named(self, harness):
        row = harness_row(0, ["4"], metrics=["exact_match", "f1"], f1=0.0)
        path = harness([row])
        with pytest.raises(UserError, match=r"several metrics: exact_match, f1.*--metric"):
            read(path)
        assert verdicts(read(path, metric="f1")) == [("0", 0, False)]

    def test_of_several_filters_one_is_to_be_named(self, harness):
        rows = [
            harness_row(0, ["4"], filter=name, exact_match=value)
            for name, value in (("strict-match", 0.0), ("flexible-extract", 1.0))
        ]
        path = harness(rows)
        with pytest.raises(UserError, match="strict-match, flexible-extract; name one"):
            read(path)
        assert verdicts(read(path, filter="flexible-extract")) == [("0", 0, True)]

    def test_a_task_of_likelihoods_gives_one_sample(self, harness):
        row = harness_row(0, [], metrics=["acc"], acc=1.0)
        row |= {"resps": [[["-1.5", "False"]], [["-0.5", "True"]]],
                "filtered_resps": [["-1.5", "False"], ["-0.5", "True"]],
                "arguments": [["Q: x\nA:", " no"], ["Q: x\nA:", " yes"]]}  # fmt: skip
        del row["exact_match"]
        (sample,) = read(harness([row]))
        assert (sample.completion, sample.answer, sample.passed) == (None, "1", True)
        assert sample.asked.prompt == "Q: x\nA:"


# inspect_ai


SPEC = {"task": "inspect_evals/gsm8k", "model": "openai/gpt-4o", "task_id": "x", "run_id": "y",
        "created": "2025-01-01T00:00:00+00:00", "dataset": {"name": "gsm8k"},
        "config": {}}  # fmt: skip


def inspect_sample(name, epoch, value, **more):
    return {
        "id": name,
        "epoch": epoch,
        "input": [{"role": "user", "content": f"question {name}"}],
        "target": "4",
        "output": {
            "model": "gpt-4o",
            "choices": [{"message": {"role": "assistant", "content": [
                {"type": "reasoning", "reasoning": "two and two"}, {"type": "text", "text": "4"}]},
                "stop_reason": "stop"}],
            "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
        },
        "scores": {"match": {"value": value, "answer": "4"}},
        **more,
    }  # fmt: skip


def eval_file(path, samples):
    with zipfile.ZipFile(path, "w") as log:
        log.writestr("header.json", json.dumps({"version": 2, "status": "success", "eval": SPEC}))
        log.writestr("summaries.json", "[]")
        for each in samples:
            name = f"samples/{each['id']}_epoch_{each['epoch']}.json"
            log.writestr(name, json.dumps(each))
    return path


def json_file(path, samples):
    log = {"version": 2, "status": "success", "eval": SPEC, "samples": samples}
    path.write_text(json.dumps(log))
    return path


class TestInspect:
    @pytest.mark.parametrize(("name", "write"), [("a.eval", eval_file), ("a.json", json_file)])
    def test_epochs_are_tries(self, tmp_path, name, write):
        made = [inspect_sample("q1", 1, "C"), inspect_sample("q1", 2, "I")]
        records = read(write(tmp_path / name, made))
        assert verdicts(records) == [("q1", 0, True), ("q1", 1, False)]
        first = records[0]
        assert (first.model, first.task) == ("openai/gpt-4o", "gsm8k")
        assert (first.completion, first.reasoning, first.answer) == ("4", "two and two", "4")
        assert (first.prompt_tokens, first.completion_tokens) == (9, 3)
        assert (first.asked.prompt, first.asked.answer) == ("question q1", "4")

    @pytest.mark.parametrize(
        ("value", "passed"), [("C", True), ("I", False), ("N", False), (1, True), (0.0, False),
                              (float("nan"), None), (True, True)],
    )  # fmt: skip
    def test_values_of_scores(self, tmp_path, value, passed):
        (sample,) = read(json_file(tmp_path / "a.json", [inspect_sample("q", 1, value)]))
        assert sample.passed is passed

    def test_partial_credit_needs_a_threshold(self, tmp_path):
        path = json_file(tmp_path / "a.json", [inspect_sample("q", 1, "P")])
        (bad,) = read(path)
        assert "--threshold" in bad.reason
        assert verdicts(read(path, threshold=0.5)) == [("q", 0, True)]
        assert verdicts(read(path, threshold=0.6)) == [("q", 0, False)]

    def test_of_several_scorers_one_is_to_be_named(self, tmp_path):
        scores = {"match": {"value": "C"}, "judge": {"value": "I"}}
        path = eval_file(tmp_path / "a.eval", [inspect_sample("q", 1, "C", scores=scores)])
        with pytest.raises(UserError, match="several scorers: match, judge"):
            read(path)
        assert verdicts(read(path, metric="judge")) == [("q", 0, False)]

    def test_a_sample_that_failed_is_an_error_and_undecided(self, tmp_path):
        error = {"message": "sandbox died", "traceback": "", "traceback_ansi": ""}
        made = inspect_sample("q", 1, "C", error=error, scores=None, output={})
        (sample,) = read(eval_file(tmp_path / "a.eval", [made]))
        assert (sample.passed, sample.finish_reason) == (None, "error")
        assert sample.error == "sandbox died"

    def test_a_damaged_log_is_named(self, tmp_path):
        path = tmp_path / "a.eval"
        path.write_bytes(b"PK no zip")
        with pytest.raises(UserError, match=r"a\.eval: no log of inspect_ai"):
            read(path)


# EvalPlus


PROGRAMS = {
    "date": "2025-01-01 00:00",
    "hash": "h",
    "eval": {
        "HumanEval/0": [
            {"task_id": "HumanEval/0", "solution": "def f(): ...", "base_status": base,
             "plus_status": plus, "base_fail_tests": [], "plus_fail_tests": []}
            for base, plus in (("pass", "pass"), ("pass", "fail"), ("fail", "pass"))
        ]
    },
}  # fmt: skip


class TestEvalPlus:
    def test_a_program_passes_if_it_passes_both(self, tmp_path):
        path = tmp_path / "llama_eval_results.json"
        path.write_text(json.dumps(PROGRAMS))
        records = read(path)
        assert verdicts(records) == [("HumanEval/0", at, at == 0) for at in range(3)]
        assert (records[0].model, records[0].completion) == ("llama", "def f(): ...")
        assert [each.passed for each in read(path, metric="base")] == [True, True, False]

    def test_older_files_have_lists(self, tmp_path):
        older = {"eval": {"HumanEval/0": {"nfiles": 2, "base": [["success", []], ["failed", []]],
                                          "plus": [["failed", []], ["failed", []]]}}}  # fmt: skip
        path = tmp_path / "x_eval_results.json"
        path.write_text(json.dumps(older))
        assert [each.passed for each in read(path)] == [False, False]
        assert [each.passed for each in read(path, metric="base")] == [True, False]

    def test_samples_beside_their_results_are_not_read_twice(self, tmp_path):
        (tmp_path / "x_eval_results.json").write_text(json.dumps(PROGRAMS))
        jsonl(tmp_path / "x.jsonl", [{"task_id": "HumanEval/0", "solution": "def f(): ..."}])
        assert len(read(tmp_path)) == 3


def test_each_format_is_recognised(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(PROGRAMS))
    names = {
        eval_file(tmp_path / "a.eval", []): "inspect",
        json_file(tmp_path / "b.json", []): "inspect",
        tmp_path / "results.json": "evalplus",
        jsonl(tmp_path / "c.jsonl", [harness_row(0, ["4"])]): "lm-eval",
        jsonl(tmp_path / "d.jsonl", [{"samples": ["x"], "is_corrects": [True]}]): "monkeys",
        jsonl(tmp_path / "e.jsonl", [{"id": 1, "n": 10, "c": 3}]): "counts",
        jsonl(tmp_path / "f.jsonl", [{"id": 1, "response": "x", "passed": True}]): "samples",
    }
    assert {path: formats.recognise(path, {}) for path in names} == names


def test_what_is_of_no_format_is_named_with_its_columns(tmp_path):
    path = jsonl(tmp_path / "f.jsonl", [{"height": 3, "width": 4}])
    with pytest.raises(UserError, match=r"none of the formats.*columns are height, width"):
        formats.recognise(path, {})
