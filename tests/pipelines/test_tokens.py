"""Requests become tokens, and tokens texts, as the model's own tokenizer has it."""

import numpy as np
import pytest

from pipelines import ladder
from pipelines.engines.protocol import Request
from pipelines.engines.tokens import TokenReader
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}="


def reader(tokenizer, context=64, **change):
    size = max(tokenizer.get_vocab().values()) + 1
    ends = [tokenizer.eos_token_id]
    values = {"name": "model", "context": context, "vocabulary": size, "ends": ends} | change
    return TokenReader(tokenizer, **values)


def request(prompt, messages=None):
    nothing = np.empty(0, dtype=np.int64)
    return Request(
        task="task",
        problem_id="problem",
        prompt=prompt,
        sample_ids=nothing,
        seeds=nothing,
        stream=0,
        messages=messages,
    )


@pytest.fixture(scope="module")
def digits():
    """One character, one token."""
    return transformers.AutoTokenizer.from_pretrained(ladder.checkpoint("14k"))


@pytest.fixture(scope="module")
def words():
    """Words with the space before them, as SentencePiece writes them; bos and eos of its own."""
    names = ["<s>", "</s>", "▁one", "▁two", "▁three", "o", "t"]
    model = tokenizers.models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="o")
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    inner.decoder = tokenizers.decoders.Metaspace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>"
    )


def test_a_prompt_gets_the_start_token_that_the_tokenizer_gives(words, digits):
    assert reader(words).request(request("one two"), 1) == ([0, 2, 3], None)
    assert reader(digits).request(request("7*8="), 1) == ([7, 10, 8, 11], None)


def test_a_completion_keeps_the_space_before_its_first_word(words):
    """Decoded alone it would lose it."""
    said = reader(words).texts([[0, 2], [0, 2]], [[3, 4], []])
    assert said == [" two three", ""]
    assert words.decode([3, 4]) == "two three"


def test_nothing_to_decode_is_nothing(digits):
    assert reader(digits).texts([], []) == []
    assert reader(digits).decode([]) == []


@pytest.mark.parametrize(("prompt", "said"), [("1" * 60, "context of 64"), ("", "empty")])
def test_a_prompt_that_the_model_cannot_continue_is_told_so(digits, prompt, said):
    assert said in reader(digits).request(request(prompt), 8)[1]


def test_a_prompt_without_tokens_is_told_so(digits):
    tokens, error = reader(digits).request(request("żółć"), 8)
    assert tokens == []
    assert "no tokens" in error


def test_messages_go_through_the_template(digits):
    chats = transformers.AutoTokenizer.from_pretrained(ladder.checkpoint("14k"))
    chats.chat_template = TEMPLATE
    asked = request("not read", ({"role": "user", "content": "7*8"},))
    assert reader(chats).request(asked, 1) == ([7, 10, 8, 11], None)
    with pytest.raises(UserError, match="no chat template"):
        reader(digits).request(asked, 1)


def test_a_template_that_refuses_says_so(digits):
    chats = transformers.AutoTokenizer.from_pretrained(ladder.checkpoint("14k"))
    chats.chat_template = "{{ raise_exception('no such role') }}"
    tokens, error = reader(chats).request(request("", ({"role": "tool", "content": "7"},)), 1)
    assert tokens == []
    assert "no such role" in error


def test_only_one_character_for_each_token_spells_every_text_once(digits, words):
    assert reader(digits).unique
    assert not reader(words).unique
    assert not reader(digits, vocabulary=20).unique  # a token that no text has


def test_a_completion_is_read_behind_its_prompt(digits):
    known, left = reader(digits).pairs(["7*8=", "7*8="], ["56", ""], None)
    assert left == {0: ([7, 10, 8, 11], [5, 6]), 1: ([7, 10, 8, 11], [])}
    assert np.isnan(known).all()


@pytest.mark.parametrize(
    ("context", "behind", "read"), [(6, 0, 1), (5, 0, 0), (6, 1, 0), (7, 1, 1)]
)
def test_a_completion_has_to_fit_in_the_context(digits, context, behind, read):
    known, left = reader(digits, context).pairs(["7*8="], ["56"], Decoding(), behind=behind)
    assert len(left) == read
    assert np.isnan(known).all()


def test_a_model_without_a_longest_context_reads_any(digits):
    subject = reader(digits, context=None)
    assert subject.request(request("1" * 5_000), 10_000)[1] is None
    assert list(subject.pairs(["7*8="], ["1" * 5_000], None)[1]) == [0]


@pytest.mark.parametrize("decoding", [Decoding(max_tokens=2), Decoding(stop=("6",))])
def test_what_a_decoding_cannot_give_needs_no_model(digits, decoding):
    """Two tokens have no room for the end, or hold a stop string; one has, and does not."""
    known, left = reader(digits).pairs(["7*8="] * 3, ["56", "5", "żółć"], decoding)
    assert list(left) == [1]
    assert known[0] == -np.inf
    assert np.isnan(known[1:]).all()


def test_the_end_token_is_no_part_of_a_completion(digits):
    end = digits.eos_token_id
    assert reader(digits).without_end([5, 6, end]) == [5, 6]
    assert reader(digits).without_end([5, 6]) == [5, 6]
    assert reader(digits).without_end([]) == []
