"""With --json, standard output is one JSON document, and says what the lines say."""

import json

import pytest
import yaml

from tests.command import passlaw

SWEEP = {
    "name": "small",
    "models": [{"engine": "simulated", "name": "one", "parameters": 1000, "rate": 0.2}],
    "tasks": [{"source": "file", "name": "sums", "path": "problems.jsonl"}],
    "allocation": {"n": 20},
    "tracking": {"enabled": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    problems = [
        {"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(3)
    ]
    (folder / "problems.jsonl").write_text("\n".join(map(json.dumps, problems)))
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    return folder


def told(folder, *arguments, code=0):
    done = passlaw(folder, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def ran(folder):
    return told(folder, "run", "sweep.yaml")


def test_run(ran, folder):
    assert ran["exit_code"] == 0
    assert ran["sample"]["drawn"] == ran["score"]["samples"] == 60
    assert ran["fit"]["fitted"] is True
    assert (folder / ran["report"]).exists()


def test_run_again_has_nothing_to_do(ran, folder):
    again = told(folder, "run", "sweep.yaml")
    assert again["sample"]["drawn"] == 0
    assert again["score"] == ran["score"]
    assert again["fit"]["fitted"] is False


def test_status(ran, folder):
    (cell,) = told(folder, "status", "runs/small")["cells"]
    assert (cell["model"], cell["task"]) == ("one", "sums")
    assert (cell["samples"], cell["settled"]) == (60, 3)
    assert cell["passes"] == ran["score"]["passed"]


def test_ls_finds_the_run(ran, folder):
    (run,) = told(folder, "ls")["runs"]
    assert run["run"] == "runs/small"
    assert (run["samples"], run["passed"]) == (60, ran["score"]["passed"])
    assert (run["state"], run["held_by"]) == ("reported", None)


def test_replay(ran, folder):
    document = told(folder, "replay", "runs/small", "--policy", "fixed:n=10")
    assert {row["policy"] for row in document["policies"]} == {"fixed"}


def test_compact(ran, folder):
    document = told(folder, "compact", "runs/small")
    assert document["files_after"] <= document["files_before"]


def test_doctor(folder):
    done = passlaw(folder, "doctor", "--json")
    names = {finding["name"] for finding in json.loads(done.stdout)["findings"]}
    assert {"Python", "engine transformers", "MLflow"} <= names


def test_an_error_leaves_standard_output_empty(folder):
    done = passlaw(folder, "status", "nowhere.yaml", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere.yaml" in done.stderr
