"""Opening a run: what still means the same is reused, what does not is refused by name."""

import json

import pytest

from operators.allocation.looks import fixed, until
from pipelines.errors import UserError
from pipelines.lease import Lease
from pipelines.run import allocation_of, opened, reopened
from pipelines.storage import Folder
from pipelines.sweeps.config import digest, parse
from pipelines.units import Cell


@pytest.fixture
def quiz(tmp_path):
    """Write problem files; the returned function takes ids, or rows with more."""

    def write(*problems, name="quiz"):
        rows = [
            {"problem_id": problem, "prompt": f"{problem}?", "answer": problem}
            if isinstance(problem, str)
            else problem
            for problem in problems
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return path

    write("a", "b", "c")
    return write


@pytest.fixture
def sweep(tmp_path, quiz):
    """Build sweeps on one run directory; the returned function takes what differs."""

    def build(**change):
        simulated = {"engine": "simulated", "parameters": 10, "rate": 0.1}
        values = {
            "name": "s",
            "run": str(tmp_path / "run"),
            "models": [simulated | {"name": name} for name in change.pop("names", ["m"])],
            "tasks": [
                {"name": name, "path": str(tmp_path / f"{name}.jsonl")}
                for name in change.pop("tasks", ["quiz"])
            ],
        }
        return parse(values | change, source="test")

    return build


def made(sweep, **options):
    with opened(sweep, **options) as run:
        return run


def refusal(sweep, **options):
    with pytest.raises(UserError) as caught:
        made(sweep, **options)
    return str(caught.value)


def simulated(**change):
    return [{"engine": "simulated", "name": "m", "parameters": 10, "rate": 0.1} | change]


def checkpoint(folder):
    header = b'{"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}'
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    content = len(header).to_bytes(8, "little") + header + b"\x01"
    (folder / "model.safetensors").write_bytes(content)
    return [{"name": "m", "path": str(folder)}]


class TestOpened:
    def test_a_new_run(self, sweep, tmp_path):
        with opened(sweep(names=["m", "m2"])) as run:
            assert run.cells == (Cell("m", "quiz"), Cell("m2", "quiz"))
            assert run.problem_ids("quiz") == ("a", "b", "c")
            assert run.rows("quiz")["b"]["prompt"] == "b?"
            assert run.parameters == {"m": 10, "m2": 10}
            assert run.asked == {"quiz": 3}
            assert [model.name for model in run.models] == ["m", "m2"]
            assert json.loads((tmp_path / "run/lease.json").read_text())["token"] == run.token
            with pytest.raises(UserError, match="is writing to this run"):
                made(sweep(names=["m", "m2"]))
        assert not (tmp_path / "run/lease.json").exists()
        recorded = run.store.read_sweep()
        assert recorded[0] == run.sweep
        assert recorded[1]["sweep"] == run.sweep.digest()
        assert recorded[1]["models"]["m"] == {
            "parameters": 10,
            "fingerprint": run.fingerprints["m"],
        }

    def test_nothing_is_made_when_the_input_is_bad(self, sweep, quiz, tmp_path):
        quiz()
        assert "has no problems" in refusal(sweep())
        assert "no such folder" in refusal(sweep(models=[{"name": "m", "path": "./nothing"}]))
        assert not (tmp_path / "run").exists()

    def test_a_folder_that_cannot_be_written(self, sweep, tmp_path):
        (tmp_path / "file").write_text("")
        assert "cannot be written" in refusal(sweep(run=str(tmp_path / "file" / "run")))

    def test_a_folder_of_something_else(self, sweep, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.tex").write_text("")
        assert "holds 'thesis.tex' but no sweep.yaml" in refusal(sweep())
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]

    @pytest.mark.parametrize(
        ("rule", "decides"),
        [
            ({"n": 9}, fixed(9)),
            ({"r": 3, "cap": 50, "first_round": 7, "growth": 1.5}, until(3, 50, 7, 1.5)),
        ],
    )
    def test_the_allocation_is_that_of_the_sweep(self, sweep, rule, decides):
        found = allocation_of(sweep(allocation=rule))
        assert (found.looks.tolist(), found.r) == (decides.looks.tolist(), decides.r)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seed": 1}, "seed was 0, is now 1"),
            ({"name": "t"}, "name was 's', is now 't'"),
            ({"decoding": {"temperature": 0.5}}, "decoding.temperature was 1.0, is now 0.5"),
            ({"decoding": {"stop": ["x"]}}, "decoding.stop was [], is now ['x']"),
            ({"decoding": {"max_tokens": 9}}, "decoding.max_tokens was 256, is now 9"),
            ({"models": simulated(rate=0.2)}, "the files of model m was "),
        ],
    )
    def test_another_meaning_is_named(self, sweep, tmp_path, change, message):
        made(sweep())
        before = (tmp_path / "run/sweep.yaml").read_bytes()
        said = refusal(sweep(**change))
        assert f"was made by another sweep: {message}" in said
        assert "give another run directory with -o run=PATH, or change it back" in said
        assert (tmp_path / "run/sweep.yaml").read_bytes() == before
        assert not (tmp_path / "run/lease.json").exists()
        made(sweep())

    def test_other_weights_under_the_same_name(self, sweep, tmp_path):
        models = checkpoint(tmp_path / "checkpoint")
        made(sweep(models=models))
        made(sweep(models=models))
        path = tmp_path / "checkpoint" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x02")
        assert "the files of model m was " in refusal(sweep(models=models))

    def test_another_prompt_of_a_problem(self, sweep, quiz):
        made(sweep())
        quiz("a", {"problem_id": "b", "prompt": "other?", "answer": "b"})
        message = "the prompt of task quiz, problem b was 'b?', is now 'other?'"
        assert message in refusal(sweep())

    def test_other_messages_of_a_problem(self, sweep, quiz):
        def chat(*contents):
            messages = [{"role": "user", "content": content} for content in contents]
            quiz({"problem_id": "a", "messages": messages, "answer": "a"})
            task = sweep().tasks[0].model_copy(update={"style": "chat"})
            return sweep().model_copy(update={"tasks": (task,)})

        made(chat("one", "two"))
        made(chat("one", "two"))
        # The same text in other turns.
        assert "the messages of task quiz, problem a was " in refusal(chat("one\n\ntwo"))

    def test_a_chat_where_there_was_none(self, sweep):
        made(sweep())
        task = sweep().tasks[0].model_copy(update={"style": "chat"})
        message = "the messages of task quiz, problem a was None, is now "
        assert message in refusal(sweep().model_copy(update={"tasks": (task,)}))

    def test_other_stop_strings_of_a_task(self, sweep):
        made(sweep())
        task = sweep().tasks[0].model_copy(update={"stop": ("x",)})
        message = "stop of task quiz was [], is now ['x']"
        assert message in refusal(sweep().model_copy(update={"tasks": (task,)}))

    def test_another_template(self, sweep, quiz):
        made(sweep())
        task = sweep().tasks[0].model_copy(update={"template": "Q: {prompt}"})
        message = "the prompt of task quiz, problem a was 'a?', is now 'Q: a?'"
        assert message in refusal(sweep().model_copy(update={"tasks": (task,)}))

    def test_another_prompt_of_a_problem_that_was_dropped_meanwhile(self, sweep, quiz):
        made(sweep())
        quiz("a")
        made(sweep())
        quiz("a", {"problem_id": "b", "prompt": "other?", "answer": "b"})
        assert "problem b was 'b?', is now 'other?'" in refusal(sweep())


class TestReused:
    @pytest.mark.parametrize(
        "change",
        [
            {"allocation": {"n": 10}},
            {"allocation": {"n": 5}},
            {"allocation": {"r": 9, "cap": 10**6}},
            {"names": ["m", "m2"]},
            {"names": ["m2", "m"]},
            {"names": ["m2"]},
            {"models": simulated(samples_per_second=5.0)},
            {"resources": {"unit_samples": 5, "engines": 2}},
            {"fit": {"level": 0.5}},
            {"tracking": {"enabled": False}},
        ],
    )
    def test_what_means_the_same_is_accepted(self, sweep, change):
        before = made(sweep(allocation={"n": 7}))
        run = made(sweep(**change))
        assert run.store.read_sweep()[0] == run.sweep
        both = set(before.cells) & set(run.cells)
        assert [run.cell_key(cell) for cell in both] == [before.cell_key(cell) for cell in both]

    def test_a_model_that_was_left_out_is_still_known(self, sweep):
        made(sweep(names=["m", "m2"]))
        made(sweep(names=["m"]))
        assert "the files of model m was" in refusal(sweep(models=simulated(rate=0.3)))
        recorded = made(sweep(names=["m"])).store.read_sweep()[1]
        assert set(recorded["models"]) == {"m", "m2"}

    def test_a_task_may_be_added_and_left_out(self, sweep, quiz):
        made(sweep())
        quiz("x", "y", name="more")
        assert made(sweep(tasks=["quiz", "more"])).asked == {"quiz": 3, "more": 2}
        run = made(sweep(tasks=["more"]))
        assert run.cells == (Cell("m", "more"),)
        assert set(run.store.read_sweep()[1]["tasks"]) == {"quiz", "more"}

    def test_problems_may_be_added_dropped_and_asked_again(self, sweep, quiz):
        made(sweep())
        quiz("d", "a")
        run = made(sweep())
        assert run.problem_ids("quiz") == ("d", "a")
        assert list(run.rows("quiz")) == ["d", "a", "b", "c"]
        quiz("c", "d")
        run = made(sweep())
        assert run.problem_ids("quiz") == ("c", "d")
        assert sorted(run.rows("quiz")) == ["a", "b", "c", "d"]

    def test_an_answer_may_change(self, sweep, quiz):
        made(sweep())
        quiz("a", {"problem_id": "b", "prompt": "b?", "answer": "better"}, "c")
        assert made(sweep()).rows("quiz")["b"]["answer"] == "better"

    def test_a_run_interrupted_while_it_was_made(self, sweep, tmp_path):
        run = made(sweep())
        run.store.storage.remove("sweep.yaml")
        assert made(sweep()).problem_ids("quiz") == ("a", "b", "c")


class TestWithoutModels:
    def test_a_sampled_run_opens_where_its_models_are_not(self, sweep, tmp_path):
        models = checkpoint(tmp_path / "checkpoint")
        before = made(sweep(models=models))
        (tmp_path / "checkpoint").rename(tmp_path / "gone")
        run = made(sweep(models=models), for_sampling=False)
        assert (run.models, run.parameters) == ((), before.parameters)
        assert run.cell_key(run.cells[0]) == before.cell_key(run.cells[0])
        assert "no such folder" in refusal(sweep(models=models))

    def test_a_model_that_was_never_sampled(self, sweep):
        made(sweep())
        message = "model m2 was never sampled; run sample first"
        assert message in refusal(sweep(names=["m", "m2"]), for_sampling=False)

    def test_no_run_at_all(self, sweep):
        assert "no run of passlaw" in refusal(sweep(), for_sampling=False)


class TestReopened:
    def test_needs_neither_models_nor_problem_files(self, sweep, tmp_path):
        models = checkpoint(tmp_path / "checkpoint")
        before = made(sweep(models=models))
        (tmp_path / "checkpoint" / "config.json").unlink()
        (tmp_path / "quiz.jsonl").unlink()
        with reopened(sweep(models=models)) as run:
            assert run.problem_ids("quiz") == ("a", "b", "c")
            assert run.cell_key(run.cells[0]) == before.cell_key(run.cells[0])
            assert (tmp_path / "run/lease.json").exists()

    def test_looking_needs_no_lease(self, sweep, tmp_path):
        made(sweep())
        with Lease(Folder(tmp_path / "run")), reopened(sweep(), write=False) as run:
            assert run.token == ""
            with pytest.raises(UserError, match="is writing to this run"), reopened(sweep()):
                pass

    @pytest.mark.parametrize("write", [True, False])
    @pytest.mark.parametrize("there", [True, False])
    def test_a_folder_that_is_no_run(self, sweep, tmp_path, there, write):
        if there:
            (tmp_path / "run").mkdir()
        with (
            pytest.raises(UserError, match=r"run: no run of passlaw \(it has no sweep\.yaml\)"),
            reopened(sweep(), write=write),
        ):
            pass
        assert (tmp_path / "run").exists() == there

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seed": 1}, "seed was 0, is now 1"),
            ({"names": ["m2"]}, "model m2 was never sampled"),
            ({"tasks": ["more"]}, "task more was never sampled"),
        ],
    )
    def test_what_was_never_sampled_is_named(self, sweep, quiz, change, message):
        made(sweep())
        quiz("x", name="more")
        with pytest.raises(UserError, match=message), reopened(sweep(**change)):
            pass


class TestCellKey:
    def test_it_is_that_of_the_sweeps_before_tasks_had_stop_strings(self, sweep):
        """Seeds hang on it: a change would draw other samples on top of those that are there."""
        run = made(sweep(decoding={"stop": ["x"], "max_tokens": 9}))
        decoding = {
            "temperature": 1.0, "top_p": 1.0, "top_k": None, "max_tokens": 9, "stop": ["x"],
        }  # fmt: skip
        key = digest([run.fingerprints["m"], "quiz", decoding], size=16)
        assert run.cell_key(Cell("m", "quiz")) == key

    def test_a_task_of_its_own_stop_strings_is_another_cell(self, sweep, tmp_path):
        task = sweep().tasks[0].model_copy(update={"stop": ("x",)})
        own = made(sweep(run=str(tmp_path / "own")).model_copy(update={"tasks": (task,)}))
        swept = made(sweep(run=str(tmp_path / "swept"), decoding={"stop": ["x"]}))
        plain = made(sweep())
        keys = [run.cell_key(run.cells[0]) for run in (own, swept, plain)]
        assert keys[0] == keys[1] != keys[2]

    def test_it_changes_with_what_samples_are_drawn_from_only(self, sweep, quiz, tmp_path):
        quiz("a", "b", "c", name="more")

        def key(at, **change):
            run = made(sweep(run=str(tmp_path / at), **change))
            return run.cell_key(run.cells[0])

        base = key("1")
        assert base == key("2", allocation={"n": 3}, seed=5, resources={"unit_samples": 9})
        others = [
            key("3", models=simulated(rate=0.2)),
            key("4", decoding={"top_k": 2}),
            key("5", tasks=["more"]),
        ]
        assert len({base, *others}) == 4
