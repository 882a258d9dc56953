"""Rows as they are published: every format gives what JSON Lines give, and says what is wrong."""

import gzip
import json
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from pipelines.errors import UserError
from pipelines.sweeps.task_sections import FileTask, MBPPTask
from pipelines.tasks.reading import read

ROWS = [{"problem_id": "a", "prompt": '1 "+" 1', "answer": "2"}, {"problem_id": "b", "prompt": "é"}]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)


def task(path=None, **change):
    return FileTask(source="file", name="quiz", path=path and str(path), **change)


def refusal(path, **change):
    with pytest.raises(UserError) as caught:
        read(task(path, **change))
    assert str(caught.value).startswith(f"task quiz: {path}: ")
    return str(caught.value).removeprefix(f"task quiz: {path}: ")


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("quiz.jsonl", TEXT),
        ("quiz.ndjson", TEXT),
        ("quiz.jsonl.gz", gzip.compress(TEXT.encode())),
        ("quiz.json", json.dumps(ROWS)),
        ("quiz.tsv", 'problem_id\tprompt\tanswer\na\t1 "+" 1\t2\nb\té\t\n'),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path, name, content):
    found = read(task(write(tmp_path, name, content)))
    assert found.label == "quiz"
    filled = [dict.fromkeys(["problem_id", "prompt", "answer"]) | row for row in found.rows]
    assert filled == [ROWS[0], ROWS[1] | {"answer": None}]


def test_parquet_gives_the_same_rows(tmp_path):
    path = tmp_path / "quiz.part.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    assert read(task(path)).rows == [ROWS[0], ROWS[1] | {"answer": None}]


def test_fields_of_tab_separated_text_are_text(tmp_path):
    """Numbers are not rewritten, quotes not removed, lists left to who reads them."""
    text = 'words\tvalue\n["a", "b"]\t007\n"\t1e400\n'
    assert read(task(write(tmp_path, "quiz.tsv", text))).rows == [
        {"words": '["a", "b"]', "value": "007"},
        {"words": '"', "value": "1e400"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("quiz.csv", "a,b\n", "must end in .jsonl, .jsonl.gz, .json, .parquet or .tsv"),
        ("quiz", TEXT, "must end in .jsonl,"),
        ("quiz.jsonl", b"\xff\xfe", "cannot be read ("),
        ("quiz.jsonl", TEXT + '{"a": ', "line 3: not valid JSON ("),
        ("quiz.jsonl", TEXT + "\n[1, 2]", "line 4: must be a JSON object, is '[1, 2]'"),
        ("quiz.jsonl", "[" * 100_000, "line 1: not JSON that can be read ("),
        ("quiz.jsonl", '{"a": ' + "9" * 5_000 + "}", "line 1: not JSON that can be read ("),
        ("quiz.jsonl.gz", TEXT, "cannot be read ("),
        ("quiz.jsonl.gz", gzip.compress(TEXT.encode())[:-9], "cannot be read ("),
        ("quiz.jsonl.gz", gzip.compress(TEXT.encode())[:20] + b"\0" * 40, "cannot be read ("),
        ("quiz.json", "{", "not valid JSON ("),
        ("quiz.json", '{"a": 1}', "must hold a JSON list of objects"),
        ("quiz.json", "[1]", "must hold a JSON list of objects"),
        ("quiz.tsv", "", "cannot be read as tab-separated text ("),
        ("quiz.tsv", "a\tb\n1\t2\t3\n", "cannot be read as tab-separated text ("),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    assert refusal(write(tmp_path, name, content)).startswith(message)


def test_no_file(tmp_path):
    assert refusal(tmp_path / "none.jsonl") == "no such file"
    assert refusal(tmp_path) == "no such file"


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_truncated_parquet_file(tmp_path, size):
    path = tmp_path / "quiz.parquet"
    pl.DataFrame(ROWS[:1]).write_parquet(path)
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(path).startswith("cannot be read as Parquet (")


class TestDataSets:
    """The library itself is played here: it needs a network, and is not ours to test."""

    @pytest.fixture
    def asked(self, monkeypatch):
        """What the library is asked for; it knows one data set."""
        asked = []

        def load_dataset(path, name=None, *, split=None):
            asked.append((path, name, split))
            if path != "org/quiz":
                raise FileNotFoundError(f"Dataset {path} not found.\nMore.")
            return iter(ROWS)

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    def test_rows_of_a_split(self, asked):
        found = read(task(dataset="org/quiz", config="main", split="train"))
        assert (found.where, found.label) == ("task quiz: dataset org/quiz", "train")
        assert found.rows == ROWS
        assert read(task(dataset="org/quiz")).label == "test"
        prompts = MBPPTask(source="mbpp", name="mbpp", dataset="org/quiz", split="prompt")
        assert read(prompts).label == "prompt"
        assert asked == [
            ("org/quiz", "main", "train"),
            ("org/quiz", None, "test"),
            ("org/quiz", None, "prompt"),
        ]

    def test_what_the_library_cannot_load_is_named(self, asked):
        with pytest.raises(UserError) as caught:
            read(task(dataset="org/none", split="dev"))
        assert str(caught.value) == (
            "task quiz: dataset org/none, config None, split dev: cannot be loaded (Dataset "
            "org/none not found.)"
        )

    def test_without_the_library_the_way_out_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(UserError, match=r"org/quiz: needs the library datasets; pip install "):
            read(task(dataset="org/quiz"))

    def test_a_folder_of_files_is_a_data_set(self, tmp_path, monkeypatch):
        """By the library itself, where it is installed."""
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
        pytest.importorskip("datasets", reason="the library datasets is not installed")
        (tmp_path / "set").mkdir()
        write(tmp_path / "set", "train.jsonl", TEXT)
        found = read(task(dataset=str(tmp_path / "set"), split="train"))
        assert [row["problem_id"] for row in found.rows] == ["a", "b"]
        with pytest.raises(UserError, match="split dev: cannot be loaded"):
            read(task(dataset=str(tmp_path / "set"), split="dev"))
