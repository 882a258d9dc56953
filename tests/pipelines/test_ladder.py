"""The ladder: its problems, its recipe, its training, and the models that come with it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines import ladder
from pipelines.ladder import CHECKPOINTS, LADDER, TASKS, held_out_problems
from pipelines.ladder.arithmetic import (
    CHARACTERS,
    END,
    HELD_OUT_POOL,
    PADDING,
    training_batch,
)
from pipelines.ladder.card import HELD_OUT, NUMBERS, write_card
from pipelines.ladder.exact import exact_pass_probabilities

NAMES = [rung.name for rung in LADDER]


def texts(tokens: np.ndarray, answer: np.ndarray) -> list[tuple[str, str]]:
    """Question and answer of each row, the end cut off."""
    split = []
    for row, learned in zip(tokens, answer, strict=True):
        assert row[learned][-1] == END
        assert set(row[~learned & (np.cumsum(learned) > 0)]) <= {PADDING}
        question = "".join(CHARACTERS[token] for token in row[np.cumsum(learned) == 0])
        split.append((question, "".join(CHARACTERS[token] for token in row[learned][:-1])))
    return split


def operands(prompt: str) -> tuple[int, ...]:
    return tuple(int(number) for number in prompt.removesuffix("=").split("*"))


@pytest.mark.parametrize("name", TASKS)
def test_held_out_problems_are_right_and_unlike_each_other(name: str) -> None:
    problems = held_out_problems(name, HELD_OUT_POOL)
    assert len({problem.problem_id for problem in problems}) == HELD_OUT_POOL
    assert len({problem.prompt for problem in problems}) == HELD_OUT_POOL
    task = TASKS[name]
    for problem in problems:
        first, second = operands(problem.prompt)
        assert problem.answer == str(first * second)
        assert problem.problem_id == f"{name}/{first}*{second}"
        assert problem.level == f"{len(str(first))}x{len(str(second))} digits"
        assert 1 not in (first, second)
        assert 0 not in (first % 10, second % 10)
        assert task.first_digits[0] <= len(str(first)) <= task.first_digits[1]
        assert task.second_digits[0] <= len(str(second)) <= task.second_digits[1]


@pytest.mark.parametrize("name", TASKS)
def test_few_held_out_problems_are_the_first_of_many(name: str) -> None:
    assert held_out_problems(name, 10) == held_out_problems(name, 120)[:10]
    assert held_out_problems(name, 1) == held_out_problems(name, 1)


def test_digit_counts_take_turns() -> None:
    levels = [problem.level for problem in held_out_problems("multiply1", 9)]
    assert levels == ["2x1 digits", "3x1 digits", "4x1 digits"] * 3


@pytest.mark.parametrize("count", [0, -1, HELD_OUT_POOL + 1])
def test_a_count_outside_the_pool_is_refused_with_its_range(count: int) -> None:
    with pytest.raises(ValueError, match=rf"1\.\.{HELD_OUT_POOL}"):
        held_out_problems(next(iter(TASKS)), count)


def test_an_unknown_task_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ValueError, match=", ".join(TASKS)):
        held_out_problems("divide2", 1)


def test_training_never_sees_a_held_out_pair_in_either_order() -> None:
    held_out = {
        tuple(sorted(operands(problem.prompt)))
        for name in TASKS
        for problem in held_out_problems(name, HELD_OUT_POOL)
    }
    random = np.random.default_rng(5)
    for _ in range(20):
        for question, _ in texts(*training_batch(tuple(TASKS), 2_000, 20, random)):
            assert tuple(sorted(operands(question))) not in held_out


def test_a_training_batch_is_right_and_shares_evenly() -> None:
    tokens, answer = training_batch(tuple(TASKS), 100, 24, np.random.default_rng(6))
    assert tokens.shape == answer.shape == (100, 24)
    for question, written in texts(tokens, answer):
        first, second = operands(question)
        assert written == str(first * second)
    longest = max(TASKS[name].longest for name in TASKS)
    assert (
        training_batch(tuple(TASKS), 500, longest, np.random.default_rng(7))[0].shape[1] == longest
    )


def test_the_ladder_is_geometric_with_unique_names_and_one_count_of_examples() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len({rung.examples for rung in LADDER}) == 1
    sizes = sorted({rung.parameters for rung in LADDER})
    assert len(sizes) >= 7
    assert np.diff(np.log(sizes)).max() < np.log(2.6)
    assert np.diff(np.log(sizes)).min() > np.log(1.6)
    for rung in LADDER:
        assert rung.hidden_size % 8 == 0
        assert rung.name.split("k")[0] == str(round(rung.parameters / 1_000))


def test_a_rung_or_checkpoint_of_no_such_name_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ValueError, match=NAMES[-1]):
        ladder.rung("9000k")
    with pytest.raises(ValueError, match=NAMES[-1]):
        ladder.checkpoint("9000k")


def test_importing_the_ladder_imports_no_torch() -> None:
    code = "import sys, pipelines.ladder, pipelines.ladder.card; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


@pytest.fixture(scope="module")
def tiny() -> ladder.Rung:
    return replace(LADDER[0], name="tiny", steps=6, batch=12)


def test_a_rung_trained_twice_is_bitwise_the_same(tiny: ladder.Rung, tmp_path: Path) -> None:
    from pipelines.ladder.train import Progress, train_rung

    reports: list[Progress] = []
    one = train_rung(tiny, tmp_path / "one", progress=reports.append)
    other = train_rung(tiny, tmp_path / "other", progress=lambda _: None)
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert reports[-1].step == reports[-1].steps == tiny.steps
    assert 0 <= reports[-1].held_out_accuracy <= 1
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["tiny"], "nothing left behind"
    seeded = train_rung(replace(tiny, seed=1), tmp_path / "seed", progress=lambda _: None)
    assert (one / "model.safetensors").read_bytes() != (seeded / "model.safetensors").read_bytes()


def test_a_checkpoint_that_is_there_is_left_alone_unless_forced(
    tiny: ladder.Rung, tmp_path: Path
) -> None:
    from pipelines.ladder.train import train_rung

    (tmp_path / "tiny").mkdir()
    assert train_rung(tiny, tmp_path, progress=lambda _: None) == tmp_path / "tiny"
    assert list((tmp_path / "tiny").iterdir()) == []
    train_rung(tiny, tmp_path, progress=lambda _: None, force=True)
    assert (tmp_path / "tiny" / "model.safetensors").exists()


def test_a_training_that_fails_leaves_nothing(tiny: ladder.Rung, tmp_path: Path) -> None:
    from pipelines.ladder.train import Progress, train_rung

    def fail(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_rung(tiny, tmp_path, progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_processes_train_the_same_models(tiny: ladder.Rung, tmp_path: Path) -> None:
    from pipelines.ladder.train import Progress, train_ladder, train_rung

    reports: list[Progress] = []
    rungs = [tiny, replace(tiny, name="tiny-seed1", seed=1)]
    folders = train_ladder(rungs, tmp_path / "many", jobs=2, progress=reports.append)
    assert folders == (tmp_path / "many" / "tiny", tmp_path / "many" / "tiny-seed1")
    assert {report.rung for report in reports} == {"tiny", "tiny-seed1"}
    alone = train_rung(tiny, tmp_path / "alone", progress=lambda _: None)
    assert (folders[0] / "model.safetensors").read_bytes() == (
        alone / "model.safetensors"
    ).read_bytes()


def test_every_rung_comes_with_the_package_and_small() -> None:
    assert {path.name for path in CHECKPOINTS.iterdir()} == set(NAMES)
    held = sum(path.stat().st_size for path in CHECKPOINTS.rglob("*") if path.is_file())
    assert held < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_has_the_parameters_the_recipe_says(name: str) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(ladder.checkpoint(name))
    counted = sum(weights.numel() for weights in model.parameters())
    assert counted == ladder.rung(name).parameters


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_passes_as_often_as_the_card_says(name: str) -> None:
    numbers = json.loads((CHECKPOINTS.parent / NUMBERS).read_text(encoding="utf-8"))
    said = numbers["models"][name]
    assert said["parameters"] == ladder.rung(name).parameters
    assert set(said["pass_probability"]) == set(TASKS)
    for task, rate in said["pass_probability"].items():
        problems = held_out_problems(task, numbers["held_out_problems"])
        measured = exact_pass_probabilities(ladder.checkpoint(name), problems).mean()
        assert measured == pytest.approx(rate, rel=1e-5)


def test_the_card_says_the_numbers_of_every_model() -> None:
    card = (CHECKPOINTS.parent / "README.md").read_text(encoding="utf-8")
    numbers = json.loads((CHECKPOINTS.parent / NUMBERS).read_text(encoding="utf-8"))
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in reversed(card.splitlines())}
    assert f"first {HELD_OUT} held-out" in card
    assert list(numbers["models"]) == NAMES
    for name, model in numbers["models"].items():
        for rate in model["pass_probability"].values():
            assert f"| {rate:.4g} | {np.log(-np.log(rate)):.3f} |" in rows[name]


def test_a_card_is_written_of_the_models_that_are_there(tmp_path: Path) -> None:
    for name in NAMES[:2]:
        shutil.copytree(ladder.checkpoint(name), tmp_path / "checkpoints" / name)
    write_card(tmp_path / "checkpoints", tmp_path / "README.md")
    written = json.loads((tmp_path / NUMBERS).read_text(encoding="utf-8"))
    said = json.loads((CHECKPOINTS.parent / NUMBERS).read_text(encoding="utf-8"))
    assert list(written["models"]) == NAMES[:2]
    for name, model in written["models"].items():
        assert model["pass_probability"] == pytest.approx(
            said["models"][name]["pass_probability"], rel=1e-5
        )
    assert f"| {NAMES[1]} |" in (tmp_path / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no model"):
        write_card(tmp_path, tmp_path / "README.md")


def test_a_tokenizer_reads_and_writes_every_character() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ladder.checkpoint(NAMES[0]))
    text = "12*34=408*5679="
    tokens = tokenizer(text)["input_ids"]
    assert tokens == [CHARACTERS.index(character) for character in text]
    assert tokenizer.decode(tokens) == text
    assert tokenizer.decode([*tokens, END, PADDING], skip_special_tokens=True) == text
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PADDING, END)
    assert tokenizer.bos_token_id is None
    with pytest.raises(Exception, match="UNK"):
        tokenizer("one")


def test_every_prompt_fits_the_context_with_its_answer() -> None:
    from pipelines.ladder.recipe import CONTEXT

    assert max(task.longest for task in TASKS.values()) <= CONTEXT
