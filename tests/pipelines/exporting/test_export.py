"""`passlaw export` on a run whose every sample is known."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.schemas import PROBLEMS, SAMPLES, SCORES
from pipelines import run as runs
from pipelines.errors import UserError
from pipelines.exporting import stored_cells
from pipelines.exporting.export import export
from pipelines.exporting.request import asked
from pipelines.store import Store
from pipelines.sweeps.config import Sweep, parse
from pipelines.units import Cell, Unit
from pipelines.verification import scoring_key
from tests.command import passlaw

Sample = tuple[str, str | None, bool | None, str]
"""completion, answer, passed, finish reason."""

KNOWN: dict[str, list[Sample]] = {
    "sum": [
        ("it is 4", "4", True, "stop"),
        ("it  is\n4", "4", True, "stop"),  # the same but for white space
        ("2 + 2 = 4", "4", True, "stop"),
        ("4 because", "4", True, "length"),
        ("it is 5", "5", False, "stop"),
        ("it is 6", "6", False, "length"),
        ("it is four", "four", None, "stop"),
        ("", None, None, "error"),
    ],
    "hard": [(f"no {i}", str(i), False, "stop") for i in range(8)],
    "sum again": [("it is 4", "4", True, "stop"), ("four it is", "4", True, "stop")] * 4,
    "open": [(f"maybe {i}", "7", None, "stop") for i in range(8)],
}
PROMPTS = {"sum": "2+2?", "hard": "P=NP?", "sum again": "2+2?", "open": "why?"}


def make(folder: Path, messages: bool = False, samples: Any = None, **task: Any) -> Sweep:
    """A run with one model and KNOWN samples, each problem in two units."""
    known = KNOWN if samples is None else samples
    sweep = parse(
        {
            "name": "known",
            "run": str(folder / "run"),
            "models": [{"engine": "simulated", "name": "m", "parameters": 10, "rate": 0.5}],
            "tasks": [{"source": "file", "name": "t", "path": "problems.jsonl", **task}],
            "allocation": {"n": 8},
        },
        source="test",
    )
    store = Store.at(str(folder / "run"))
    store.create()
    rows = [
        {
            "problem_id": name,
            "prompt": PROMPTS.get(name, name),
            "messages": json.dumps([{"role": "user", "content": PROMPTS[name]}])
            if messages
            else None,
            "answer": "4",
            "verifier": "exact",
        }
        for name in known
    ]
    problems = pa.Table.from_pylist(rows, schema=PROBLEMS)
    store.write_problems("t", problems)
    made = {"models": {"m": {"parameters": 10, "fingerprint": "f"}}, "tasks": {"t": len(known)}}
    store.write_sweep(sweep, {"sweep": "abc123", **made})
    by_id = {row["problem_id"]: row for row in problems.to_pylist()}
    for start, stop in ((0, 3), (3, 8)):
        unit = Unit(cell=Cell("m", "t"), problems=tuple(known), start=start, stop=stop)
        texts, scores = [], []
        for name, several in known.items():
            for i, (text, answer, passed, finish) in enumerate(several):
                if not start <= i < stop:
                    continue
                key = {"problem_id": name, "sample_id": i, "completion_tokens": len(text)}
                error = "lost" if finish == "error" else None
                texts.append(
                    {**key, "completion": text, "finish_reason": finish, "prompt_tokens": 3,
                     "seed": 100 + i, "error": error}
                )  # fmt: skip
                scores.append({**key, "answer": answer, "passed": passed, "error": error})
        store.commit("samples", unit, pa.Table.from_pylist(texts, schema=SAMPLES), {})
        scoring = {"scoring": scoring_key(unit, by_id, sweep.verification)}
        store.commit("scores", unit, pa.Table.from_pylist(scores, schema=SCORES), scoring)
    return sweep


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return make(tmp_path_factory.mktemp("export"))


def exported(
    sweep: Sweep, out: Path, kind: Any, **options: Any
) -> tuple[list[dict[str, Any]], Any]:
    """Rows and card."""
    with runs.reopened(sweep, write=False) as run:
        card = export(run, asked(kind, **options), out, force=True)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()], card


def test_rejection_takes_each_text_that_passed_and_ended_once_for_a_prompt(
    known: Sweep, tmp_path: Path
) -> None:
    """The truncated pass and the repeats are left out, also those of a problem asked twice."""
    rows, card = exported(known, tmp_path / "a.jsonl", "rejection")
    texts = sorted(" ".join(row["completion"].split()) for row in rows)
    assert texts == ["2 + 2 = 4", "four it is", "it is 4"]
    assert card["passed_over"]["truncated"]["count"] == 1
    # One of the two spellings of "it is 4", and of the repeated problem's 8 all but one.
    assert card["passed_over"]["repeated"]["count"] == 1 + 7
    assert card["rows"] == len(rows)


def test_letter_by_letter_white_space_makes_another_text(known: Sweep, tmp_path: Path) -> None:
    rows, _ = exported(known, tmp_path / "a.jsonl", "rejection", dedup="exact")
    assert sorted(row["completion"] for row in rows) == [
        "2 + 2 = 4", "four it is", "it  is\n4", "it is 4",
    ]  # fmt: skip


def test_each_row_says_where_it_is_from(known: Sweep, tmp_path: Path) -> None:
    rows, _ = exported(known, tmp_path / "a.jsonl", "rejection")
    for row in rows:
        text, _, passed, finish = KNOWN[row["problem_id"]][row["sample_id"]]
        assert (row["completion"], row["passed"], finish) == (text, passed, "stop")
        assert row["prompt"] == PROMPTS[row["problem_id"]]
        assert (row["model"], row["task"], row["config"]) == ("m", "t", "abc123")
        assert row["seed"] == 100 + row["sample_id"]
        assert row["run"] == known.run


def test_the_card_counts_every_sample_and_names_problems_without_a_row(
    known: Sweep, tmp_path: Path
) -> None:
    _, card = exported(known, tmp_path / "a.jsonl", "rejection")
    assert card["samples_considered"] == {"passed": 12, "wrong": 10, "undecided": 9, "failed": 1}
    without = card["problems"]["without_rows"]
    assert without == {
        "no sample may be chosen": {"count": 2, "first": ["m on t: hard", "m on t: open"]}
    }
    assert json.loads((tmp_path / "a.jsonl.card.json").read_text()) == card


def test_pairs_are_of_a_pass_and_a_whole_failure(known: Sweep, tmp_path: Path) -> None:
    """Not the undecided one, nor the one that was cut off."""
    rows, card = exported(known, tmp_path / "a.jsonl", "preferences", per_problem=5)
    assert [(row["problem_id"], row["rejected"]) for row in rows] == [("sum", "it is 5")]
    assert rows[0]["chosen_passed"] is True
    assert rows[0]["rejected_passed"] is False
    assert (rows[0]["margin"], rows[0]["score_chosen"], rows[0]["score_rejected"]) == (1, 1, 0)
    assert card["problems"]["without_rows"]["no sample may be rejected"]["count"] == 1


def test_margins_of_votes_are_differences_of_vote_shares(known: Sweep, tmp_path: Path) -> None:
    """Of 7 votes 4 are for the chosen answer, 1 for the rejected one (Prasad et al.: 3 / 7)."""
    rows, _ = exported(known, tmp_path / "a.jsonl", "preferences", by="majority")
    assert [row["margin"] for row in rows] == [pytest.approx(3 / 7)]


def test_pairs_below_the_least_margin_are_left_out(known: Sweep, tmp_path: Path) -> None:
    kept, _ = exported(known, tmp_path / "a.jsonl", "preferences", by="majority", min_margin=3 / 7)
    assert len(kept) == 1
    with pytest.raises(UserError, match="the margins are too small"):
        exported(known, tmp_path / "b.jsonl", "preferences", by="majority", min_margin=0.43)


def test_best_of_n_takes_the_winning_answer_unless_it_is_known_to_be_wrong(
    known: Sweep, tmp_path: Path
) -> None:
    rows, _ = exported(known, tmp_path / "a.jsonl", "sft")
    assert [row["problem_id"] for row in rows] == ["sum", "sum again", "open"]
    assert [row["standing"] for row in rows] == [pytest.approx(4 / 7), 1.0, 1.0]
    blind, _ = exported(known, tmp_path / "b.jsonl", "sft", without_verdicts=True)
    assert [row["problem_id"] for row in blind] == ["sum", "hard", "sum again", "open"]


def test_the_most_different_texts_are_taken_where_that_is_preferred(tmp_path: Path) -> None:
    texts = ["a b c d", "a b c d e", "a b c e", "q r s t", "a b c f", "a c b", "d c b a", "e a b c"]
    sweep = make(tmp_path, samples={"sum": [(text, "4", True, "stop") for text in texts]})
    rows, _ = exported(sweep, tmp_path / "a.jsonl", "rejection", per_problem=2, prefer="diverse")
    assert "q r s t" in [row["completion"] for row in rows]
    assert len(rows) == 2


def test_the_same_seed_gives_the_same_file_however_it_is_read(
    known: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where each problem is read alone."""
    exported(known, tmp_path / "a.jsonl", "rejection")
    monkeypatch.setattr(stored_cells, "CHUNK", 1)
    exported(known, tmp_path / "b.jsonl", "rejection")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_parquet_and_a_folder_hold_the_same_rows_as_lines(known: Sweep, tmp_path: Path) -> None:
    lines, _ = exported(known, tmp_path / "a.jsonl", "preferences")
    with runs.reopened(known, write=False) as run:
        export(run, asked("preferences"), tmp_path / "a.parquet")
        export(run, asked("preferences"), tmp_path / "folder")
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == lines
    assert pl.read_parquet(tmp_path / "folder" / "data" / "*.parquet").to_dicts() == lines
    assert "data/*.parquet" in (tmp_path / "folder" / "README.md").read_text()


def test_a_conversation_is_exported_as_one(tmp_path: Path) -> None:
    sweep = make(tmp_path, messages=True)
    rows, _ = exported(sweep, tmp_path / "a.jsonl", "preferences")
    assert rows[0]["prompt"] == [{"role": "user", "content": "2+2?"}]
    assert rows[0]["rejected"] == [{"role": "assistant", "content": "it is 5"}]
    said, _ = exported(sweep, tmp_path / "b.jsonl", "rejection", form="messages")
    assert [each["role"] for each in said[0]["messages"]] == ["user", "assistant"]


def test_what_is_there_is_not_replaced_unless_forced(known: Sweep, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("mine")
    with (
        runs.reopened(known, write=False) as run,
        pytest.raises(UserError, match="is there already; give another name, or --force"),
    ):
        export(run, asked("sft"), tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == "mine"


def test_a_strangers_folder_is_not_replaced_even_if_forced(known: Sweep, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with (
        runs.reopened(known, write=False) as run,
        pytest.raises(UserError, match=r"holds no export \(card.json is missing\)"),
    ):
        export(run, asked("sft"), tmp_path / "folder", force=True)
    assert (tmp_path / "folder" / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "folder"])
def test_an_export_that_fails_leaves_nothing(tmp_path: Path, name: str) -> None:
    sweep = make(tmp_path, samples={"hard": KNOWN["hard"]})
    with (
        runs.reopened(sweep, write=False) as run,
        pytest.raises(UserError, match="nothing to export as rejection: of 1 problems"),
    ):
        export(run, asked("rejection"), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_scores_against_other_answers_are_refused(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    store = Store.at(str(tmp_path / "run"))
    problems = store.read_problems("t").to_pylist()
    problems[0]["answer"] = "5"
    store.write_problems("t", pa.Table.from_pylist(problems, schema=PROBLEMS))
    with pytest.raises(UserError, match=r"scored against other answers; run `passlaw score"):
        exported(sweep, tmp_path / "a.jsonl", "rejection")


def test_a_damaged_file_is_named_and_left_where_it_is(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    file = next((tmp_path / "run" / "samples").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{file.name}.*makes it again"):
        exported(sweep, tmp_path / "a.jsonl", "rejection")
    assert file.exists()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"path": "gsm8k_test.jsonl"}, "its name says test"),
        ({"source": "humaneval", "path": "x.jsonl"}, r"published benchmark \(humaneval\)"),
        ({"source": "mbpp", "path": "x.jsonl"}, r"published benchmark \(mbpp\)"),
    ],
)
def test_test_sets_are_warned_of(tmp_path: Path, task: dict[str, Any], said: str) -> None:
    _, card = exported(make(tmp_path, **task), tmp_path / "a.jsonl", "rejection")
    assert pl.Series(card["warnings"]).str.contains(said).any()


def test_a_training_split_is_not_warned_of(tmp_path: Path) -> None:
    task = {"source": "mbpp", "path": "x.jsonl", "split": "train"}
    _, card = exported(make(tmp_path, **task), tmp_path / "a.jsonl", "rejection")
    assert not any("benchmark" in warning for warning in card["warnings"])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("sft", {"by": "luck"}, "--by: 'luck' is no selector"),
        ("sft", {"by": "verdict"}, "that is --kind rejection"),
        ("sft", {"min_margin": 0.1}, "only preferences have margins"),
        ("preferences", {"form": "messages"}, "--format messages"),
        ("rejection", {"without_verdicts": True}, "--without-verdicts"),
        ("difficulty", {"per_problem": 2}, "--per-problem: difficulty chooses no completions"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    kind: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        asked(kind, **options)


def test_a_column_that_no_engine_recorded_is_refused(known: Sweep, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="--by self_certainty: no sample has a recorded self_certainty"
    ):
        exported(known, tmp_path / "a.jsonl", "sft", by="self_certainty")


def test_votes_without_answers_are_refused(tmp_path: Path) -> None:
    """As where samples were imported with their verdicts alone."""
    sweep = make(tmp_path, samples={"sum": [("it is 4", None, True, "stop")] * 8})
    with pytest.raises(UserError, match="--by majority: no sample has a recorded answer"):
        exported(sweep, tmp_path / "a.jsonl", "sft")
    assert len(exported(sweep, tmp_path / "a.jsonl", "rejection")[0]) == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "folder"])
@pytest.mark.parametrize("messages", [False, True])
def test_the_datasets_library_loads_it(tmp_path: Path, name: str, messages: bool) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `datasets` is not installed")
    sweep = make(tmp_path, messages=messages)
    out = tmp_path / name
    with runs.reopened(sweep, write=False) as run:
        export(run, asked("preferences"), out)
    kind = {".jsonl": "json", ".parquet": "parquet", "": str(out)}[out.suffix]
    files = {"data_files": str(out)} if out.suffix else {}
    loaded = datasets.load_dataset(kind, split="train", cache_dir=str(tmp_path / "cache"), **files)
    chosen = loaded[0]["chosen"]
    text = chosen[0]["content"] if messages else chosen
    assert (loaded.num_rows, text in {sample[0] for sample in KNOWN["sum"]}) == (1, True)


def test_the_command_prints_one_json_document(known: Sweep, tmp_path: Path) -> None:
    done = passlaw(
        tmp_path, "export", str(known.run), "--kind", "rejection", "--out", "a.jsonl", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 3
    assert "problems have no row" in done.stderr


def test_difficulty_asks_for_a_fit_first(known: Sweep, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no pass rates; run `passlaw fit"):
        exported(known, tmp_path / "a.jsonl", "difficulty")


def test_difficulty_has_a_row_for_each_problem_with_its_rate(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    store = Store.at(str(tmp_path / "run"))
    key = {"model": "m", "task": "t"}
    counted = {name: sum(each[2] is True for each in several) for name, several in KNOWN.items()}
    counts = pl.DataFrame(
        {**key, "problem_id": name, "n": 8, "c": c, "undecided": 0, "distinct_answers": 1,
         "completion_tokens": 1, "stop_reason": "fixed", "r": None, "cap": None, "nth_pass": None,
         "look": 0}
        for name, c in counted.items()
    )  # fmt: skip
    store.write_result("counts", counts)
    rates = [
        {**key, "problem_id": name, "estimate": c / 8, "low": 0.0, "high": 1.0, "level": 0.95}
        for name, c in counted.items()
    ]
    store.write_result("rates", pl.DataFrame(rates))
    rows, _ = exported(sweep, tmp_path / "a.jsonl", "difficulty")
    assert [(row["problem_id"], row["c"], row["bucket"]) for row in rows] == [
        ("sum", 4, "medium"), ("hard", 0, "unsolved"), ("sum again", 8, "solved"),
        ("open", 0, "unsolved"),
    ]  # fmt: skip
    assert {row["answer"] for row in rows} == {"4"}
