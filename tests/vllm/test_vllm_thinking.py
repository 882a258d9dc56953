"""Models that think and chat: the thinking is kept apart, and messages go through the template."""

import json

import pytest

from pipelines import ladder
from pipelines.engines.protocol import Request
from pipelines.sweeps.config import Decoding
from tests.vllm.conftest import RUNG, build
from tests.vllm.test_vllm_engine import VARIED, request

DECODING = Decoding(max_tokens=8)
END = "</think>"
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}="


@pytest.fixture(scope="module")
def thinking(tmp_path_factory):
    """The rung, made to end its thinking wherever it would write a 4, with a chat template."""
    folder = tmp_path_factory.mktemp("thinking")
    for path in ladder.checkpoint(RUNG).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text().replace("<pad>", "<think>")
        (folder / name).write_text(text)
    told = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = told["model"]["vocab"]
    vocabulary[END] = vocabulary.pop("4")
    (folder / "tokenizer.json").write_text(json.dumps(told))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    subject = build(path=str(folder), reasoning_parser="deepseek_r1", logprobs=False)
    yield subject
    subject.close()


def test_thinking_is_kept_apart_from_the_answer(thinking, engine):
    """The same tokens as of the plain rung, split at the first 4."""
    asked = [request(VARIED, 0, 400)]
    ours = thinking.generate(asked, DECODING)
    plain = engine.generate(asked, DECODING)["completion"].to_pylist()
    found = list(zip(ours["reasoning"].to_pylist(), ours["completion"].to_pylist(), strict=True))
    expected = []
    for text in plain:
        thought, _, answer = text.replace("4", END).partition(END)
        expected.append((thought or None, answer))
    agree = sum(one == other for one, other in zip(found, expected, strict=True))
    assert agree >= 0.98 * len(plain)
    assert sum(answer != "" for _, answer in found) > 50


def test_an_answer_that_was_not_reached_is_empty_and_cut_short(thinking):
    table = thinking.generate([request(VARIED, 0, 200)], Decoding(max_tokens=2))
    rows = table.to_pylist()
    unfinished = [row for row in rows if row["reasoning"] and len(row["reasoning"]) == 2]
    assert len(unfinished) > 20
    assert {row["completion"] for row in unfinished} == {""}
    assert {row["finish_reason"] for row in unfinished} == {"length"}
    assert {row["completion_tokens"] for row in unfinished} == {2}


def test_messages_go_through_the_chat_template(thinking):
    """The template puts an equals sign behind them: the very tokens of the prompt."""
    plain = request(VARIED)
    message = {"role": "user", "content": VARIED.removesuffix("=")}
    chat = Request(**{**vars(plain), "messages": (message,), "prompt": "not read"})
    tables = [thinking.generate([asked], DECODING) for asked in (plain, chat)]
    names = ["completion", "reasoning", "prompt_tokens"]
    assert tables[0].select(names).equals(tables[1].select(names))


def test_logprobs_that_are_not_asked_for_are_null(thinking):
    table = thinking.generate([request(VARIED, 0, 4)], DECODING)
    assert table["sum_logprob"].null_count == 4


def test_a_text_that_a_parser_cuts_is_not_its_likelihood(thinking):
    assert not thinking.unique_tokens()
