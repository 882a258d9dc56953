"""The embedded engine against stock transformers: what it draws, and what it says of it."""

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from operators.schemas import RECORDED, SAMPLES
from pipelines.engines.protocol import Request
from pipelines.engines.sampling import Leaves, hash_seeds, uniforms
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from pipelines.engines import transformers_engine  # noqa: E402  # needs torch
from pipelines.engines.transformers_engine import TransformersModel  # noqa: E402  # the same

PAD, END = 0, 1
PROMPTS = ("a", "abca", "cb", "bbbbbbbbb")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only lose time to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def character_tokenizer(characters, **options):
    """Pad, end, then one token for each character."""
    known = {"<pad>": PAD, "<end>": END}
    known |= {character: len(known) + at for at, character in enumerate(characters)}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token=None))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    core.decoder = tokenizers.decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<end>", pad_token="<pad>", **options
    )


def random_model(kind="llama", vocabulary=5, *, sharpness=4.0, context=32, ends=END):
    """A random model whose next-token distributions have a standard deviation of `sharpness`."""
    tokens = {"eos_token_id": ends, "bos_token_id": None, "pad_token_id": PAD}
    size = {"vocab_size": vocabulary, "max_position_embeddings": context}
    llama = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    with torch.random.fork_rng():
        torch.manual_seed(7)
        match kind:
            case "llama":
                config = transformers.LlamaConfig(**size, **llama, **tokens)
                model = transformers.LlamaForCausalLM(config)
            case "sliding":  # sees three tokens back
                config = transformers.MistralConfig(**size, **llama, **tokens, sliding_window=3)
                model = transformers.MistralForCausalLM(config)
            case "gpt2":  # absolute positions
                config = transformers.GPT2Config(
                    **size, **tokens, n_embd=32, n_layer=2, n_head=4, tie_word_embeddings=False
                )
                model = transformers.GPT2LMHeadModel(config)
                torch.nn.init.normal_(model.transformer.wpe.weight)
            case "mamba":  # no attention, and a state that sees padding
                config = transformers.MambaConfig(
                    vocab_size=vocabulary, **tokens, hidden_size=32, num_hidden_layers=2
                )
                model = transformers.MambaForCausalLM(config)
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.data *= 5  # so that what came before matters
        head = model.get_output_embeddings().weight
        torch.nn.init.normal_(head, std=sharpness / math.sqrt(head.shape[1]))
    return model.eval()


def engine(kind="llama", characters="abc", *, batch=64, token_confidence=None, **options):
    tokenizer = character_tokenizer(characters)
    model = random_model(kind, len(tokenizer), **options)
    return TransformersModel(model, tokenizer, batch=batch, token_confidence=token_confidence)


def requests(samples, prompts=PROMPTS):
    return [
        Request(
            task="t",
            stream=0,
            problem_id=f"p{at}",
            prompt=prompt,
            sample_ids=np.arange(samples),
            seeds=np.random.default_rng(at).integers(0, 2**63 - 1, samples),
        )
        for at, prompt in enumerate(prompts)
    ]


@torch.inference_mode()
def next_scores(model, sequences):
    """Scores after sequences of one length, by the stock model: no cache, no padding."""
    return model(torch.tensor(sequences), use_cache=False).logits[:, -1].double()


def stock_warp(scores, decoding):
    """The same decoding by transformers' own processors."""
    warpers = [transformers.TemperatureLogitsWarper(decoding.temperature)]
    if decoding.top_k is not None:
        warpers.append(transformers.TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1:
        warpers.append(transformers.TopPLogitsWarper(decoding.top_p))
    for warper in warpers:
        scores = warper(None, scores)
    return scores.log_softmax(-1)


def outcomes(model, prompt, decoding, ends=(END,)):
    """Every outcome (tokens, finish reason) of a prompt, and its exact log-probability."""
    found = {}
    live = {(): 0.0}
    for depth in range(1, decoding.max_tokens + 1):
        if not live:
            break
        scores = next_scores(model, [[*prompt, *tokens] for tokens in live])
        frontier, live = live, {}
        for (tokens, total), logp in zip(
            frontier.items(), stock_warp(scores, decoding).tolist(), strict=True
        ):
            for token, each in enumerate(logp):
                if each == -math.inf:
                    continue
                drawn = (*tokens, token)
                if token in ends:
                    found[drawn, "stop"] = total + each
                elif depth == decoding.max_tokens:
                    found[drawn, "length"] = total + each
                else:
                    live[drawn] = total + each
    return found


def text_of(tokenizer, tokens, ends=(END,)):
    return tokenizer.decode([token for token in tokens if token not in ends])


# ------------------------------------------------------------------------ what is drawn


@pytest.mark.parametrize("kind", ["llama", "gpt2", "sliding"])
@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(max_tokens=3),
        Decoding(max_tokens=3, temperature=0.7),
        Decoding(max_tokens=3, top_k=3),
        Decoding(max_tokens=3, top_p=0.8),
        Decoding(max_tokens=3, temperature=1.5, top_k=4, top_p=0.9),
    ],
    ids=["plain", "temperature", "top-k", "top-p", "all"],
)
def test_frequencies_are_the_exact_probabilities(kind, decoding):
    """Completions come as often as stock teacher forcing says, prompts of all lengths in a call."""
    subject, tokenizer = engine(kind, sharpness=1.5), character_tokenizer("abc")
    samples = 10_000
    table = subject.generate(requests(samples), decoding).to_pylist()
    for at, prompt in enumerate(PROMPTS):
        tokens = tokenizer.encode(prompt)
        exact = outcomes(subject._model, tokens, decoding)
        assert math.fsum(map(math.exp, exact.values())) == pytest.approx(1, abs=1e-6)
        expected = {
            (text_of(tokenizer, drawn), reason, len(drawn)): samples * math.exp(logp)
            for (drawn, reason), logp in exact.items()
        }
        counts = dict.fromkeys(expected, 0)
        for row in table[at * samples : (at + 1) * samples]:
            assert row["problem_id"] == f"p{at}"
            assert row["prompt_tokens"] == len(tokens)
            counts[row["completion"], row["finish_reason"], row["completion_tokens"]] += 1
        # Rare outcomes are counted together, with the least of the common ones.
        ranked = sorted(expected, key=expected.__getitem__, reverse=True)
        common = sum(count >= 5 for count in expected.values())
        pools = [*([each] for each in ranked[: common - 1]), ranked[common - 1 :]]
        assert len(pools) > 2
        observed = [sum(counts[each] for each in pool) for pool in pools]
        wanted = np.array([math.fsum(expected[each] for each in pool) for pool in pools])
        wanted *= samples / wanted.sum()  # from rounding in float32
        assert stats.chisquare(observed, wanted).pvalue > 1e-3, prompt


def test_a_sample_depends_on_its_seed_alone():
    """The same seeds give the same samples in any company, batch and order."""
    decoding = Decoding(max_tokens=6, top_p=0.95)
    subject = engine(batch=4_096, sharpness=1.5)
    asked = requests(60)
    whole = subject.generate(asked, decoding)
    assert len(set(whole["completion"].to_pylist())) > 60
    alone = [subject.generate([each], decoding) for each in asked]
    parts = [
        Request(
            task="t",
            stream=0,
            problem_id=each.problem_id,
            prompt=each.prompt,
            sample_ids=each.sample_ids[part],
            seeds=each.seeds[part],
        )
        for each in asked
        for part in (slice(0, 1), slice(1, 20), slice(20, None))
    ]
    narrow = TransformersModel(subject._model, character_tokenizer("abc"), batch=3)
    columns = ["problem_id", "sample_id", "completion", "finish_reason", "completion_tokens"]
    for other in (
        [row for table in alone for row in table.select(columns).to_pylist()],
        subject.generate(parts, decoding).select(columns).to_pylist(),
        narrow.generate(asked, decoding).select(columns).to_pylist(),
        sorted(
            narrow.generate(parts[::-1], decoding).select(columns).to_pylist(),
            key=lambda row: (row["problem_id"], row["sample_id"]),
        ),
    ):
        assert other == whole.select(columns).to_pylist()


@pytest.mark.parametrize("cells", [1, 12, 100])
def test_scores_are_read_in_slices(monkeypatch, cells):
    """However few scores are held at a time, the samples and likelihoods are the same."""
    subject = engine(sharpness=1.0)
    decoding = Decoding(max_tokens=4)
    whole = subject.generate(requests(40), decoding)
    texts = ["", "abc", "ca", "bbbbb"]
    likelihood = subject.likelihood(PROMPTS, texts, decoding)
    monkeypatch.setattr(transformers_engine, "_CELLS", cells)
    sliced = subject.generate(requests(40), decoding)
    assert sliced.drop_columns(["sum_logprob"]) == whole.drop_columns(["sum_logprob"])
    assert subject.likelihood(PROMPTS, texts, decoding) == pytest.approx(likelihood, rel=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_no_forward_pass_has_more_rows_than_a_batch(batch):
    """However wide the tree grows, its passes stay narrow."""
    subject = engine(batch=batch, sharpness=0.5)
    rows = []
    subject._model.register_forward_hook(
        lambda _module, _positional, named, _output: rows.append(len(named["input_ids"])),
        with_kwargs=True,
    )
    subject.generate(requests(40), Decoding(max_tokens=4))
    assert max(rows) <= batch


def test_samples_that_agree_share_their_passes():
    """A greedy call costs one row for each prompt and token, however many samples there are."""
    subject = engine(batch=4_096)
    rows = []
    subject._model.register_forward_hook(
        lambda _module, _positional, named, _output: rows.append(len(named["input_ids"])),
        with_kwargs=True,
    )
    subject.generate(requests(1_000), Decoding(max_tokens=5, temperature=0))
    assert sum(rows) <= len(PROMPTS) * 5
    assert len(rows) <= 5


def test_rounding_picks_no_token_of_probability_zero():
    """The largest and smallest uniform numbers, in nodes far along the line, stay in support."""
    nodes = 5_000
    logp = torch.tensor([-math.inf, 1e-3, 1.0, -math.inf, 1e-3, -math.inf]).double()
    logp = logp.log_softmax(-1).expand(nodes, -1)
    node = torch.arange(nodes)
    for uniform, token in ((0.0, 1), (1 - 2**-53, 4), (0.5, 2)):
        draws = torch.full((nodes,), uniform, dtype=torch.float64)
        assert (transformers_engine._pick(logp, node, draws) == token).all()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "sliding"])
def test_greedy_is_stock_greedy(kind):
    """Temperature 0 gives what `generate(do_sample=False)` gives."""
    subject, tokenizer = engine(kind, "abcdefgh"), character_tokenizer("abcdefgh")
    table = subject.generate(requests(2), Decoding(max_tokens=8, temperature=0)).to_pylist()
    for at, prompt in enumerate(PROMPTS):
        tokens = torch.tensor([tokenizer.encode(prompt)])
        drawn = subject._model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=8,
            pad_token_id=PAD,
        )[0, tokens.shape[1] :].tolist()
        if END in drawn:
            drawn = drawn[: drawn.index(END) + 1]
        for row in table[2 * at : 2 * at + 2]:
            assert row["completion"] == text_of(tokenizer, drawn)
            assert row["completion_tokens"] == len(drawn)


def test_a_low_temperature_is_nearly_greedy():
    """The limit of small temperatures is greedy, without overflow."""
    subject = engine()
    cold = subject.generate(requests(50), Decoding(max_tokens=5, temperature=1e-6))
    greedy = subject.generate(requests(50), Decoding(max_tokens=5, temperature=0))
    assert cold["completion"] == greedy["completion"]
    assert cold["sum_logprob"].to_numpy() == pytest.approx(greedy["sum_logprob"].to_numpy())


# ------------------------------------------------------------------------ what is said of it


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("decoding", [Decoding(max_tokens=5), Decoding(max_tokens=5, top_k=2)])
def test_confidence_is_that_of_the_model_without_decoding(kind, decoding):
    """All that is recorded equals direct computation from stock scores."""
    subject = engine(kind, token_confidence=3)
    tokenizer, model = character_tokenizer("abc"), subject._model
    table = subject.generate(requests(8), decoding)
    for row in table.to_pylist():
        prompt = tokenizer.encode(PROMPTS[int(row["problem_id"][1:])])
        drawn = tokenizer.encode(row["completion"])
        drawn += [END] * (row["finish_reason"] == "stop")
        assert len(drawn) == row["completion_tokens"]
        logprob, certainty, confidence = [], [], []
        for at, token in enumerate(drawn):
            logp = next_scores(model, [prompt + drawn[:at]]).log_softmax(-1)[0]
            logprob.append(logp[token].item())
            # KL(uniform || model) from its definition.
            uniform = torch.full_like(logp, 1 / len(logp))
            certainty.append(float((uniform * (uniform.log() - logp)).sum()))
            confidence.append(-float(logp.sort(descending=True).values[:3].mean()))
        assert row["sum_logprob"] == pytest.approx(sum(logprob), rel=1e-4, abs=1e-4)
        assert row["self_certainty"] == pytest.approx(np.mean(certainty), rel=1e-4, abs=1e-4)
        assert row["min_logprob"] == pytest.approx(min(logprob), rel=1e-4, abs=1e-4)
        # Shorter than a window, so that tail, bottom and lowest window are the whole.
        for name in ("mean", "tail", "bottom", "lowest"):
            expected = pytest.approx(np.mean(confidence), rel=1e-4, abs=1e-4)
            assert row[f"{name}_confidence"] == expected


def test_token_confidence_is_recorded_only_where_it_is_asked_for():
    """Without the option the columns are null; with it the samples are the same."""
    asked, decoding = requests(20), Decoding(max_tokens=6)
    plain = engine().generate(asked, decoding).to_pydict()
    told = engine(token_confidence=5, batch=3).generate(asked, decoding).to_pydict()
    assert plain["completion"] == told["completion"]
    assert set(plain["tail_confidence"]) == {None}
    assert None not in told["tail_confidence"]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "sliding", "mamba"])
def test_likelihood_is_the_sum_of_what_was_drawn(kind):
    """Teacher forcing a finished sample gives its sum_logprob."""
    subject = engine(kind, batch=5, sharpness=2.0)
    rows = subject.generate(requests(60), Decoding(max_tokens=6)).to_pylist()
    finished = [row for row in rows if row["finish_reason"] == "stop"]
    assert len(finished) > 50
    prompts = [PROMPTS[int(row["problem_id"][1:])] for row in finished]
    found = subject.likelihood(prompts, [row["completion"] for row in finished])
    assert found == pytest.approx([row["sum_logprob"] for row in finished], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    "decoding",
    [
        None,
        Decoding(max_tokens=4),
        Decoding(max_tokens=4, temperature=0.5),
        Decoding(max_tokens=4, temperature=0),
        Decoding(max_tokens=4, top_k=2),
        Decoding(max_tokens=4, top_p=0.7),
    ],
    ids=["model", "plain", "temperature", "greedy", "top-k", "top-p"],
)
def test_likelihood_sums_to_one_with_what_was_cut_off(decoding):
    """Over all completions of a three-token model: finished mass + truncated mass = 1."""
    subject, tokenizer = engine(characters="a", sharpness=2.0), character_tokenizer("a")
    limit = 4
    texts = [
        "".join(pieces)
        for length in range(limit + 1)
        for pieces in itertools.product(("a", "<pad>"), repeat=length)
    ]
    for prompt in ("a", "aaa"):
        tokens = tokenizer.encode(prompt)
        found = dict(
            zip(texts, subject.likelihood([prompt] * len(texts), texts, decoding), strict=True)
        )
        stock = decoding or Decoding(max_tokens=limit)
        if stock.temperature == 0:
            assert sorted(found.values())[-1] in (0, -math.inf)
            assert sorted(found.values())[-2] == -math.inf
            continue
        exact = outcomes(subject._model, tokens, stock)
        cut = math.fsum(math.exp(logp) for (_, reason), logp in exact.items() if reason == "length")
        short = {text: logp for text, logp in found.items() if len(tokenizer.encode(text)) < limit}
        assert math.fsum(map(math.exp, short.values())) + cut == pytest.approx(1, abs=1e-5)
        for (drawn, reason), logp in exact.items():
            if reason == "stop":
                text = text_of(tokenizer, drawn)
                assert short[text] == pytest.approx(logp, abs=1e-4)
        if decoding is not None:  # no room for the end
            assert all(found[text] == -math.inf for text in set(found) - set(short))


def test_likelihood_in_company_is_likelihood_alone():
    """Pairs of all lengths in one call, absolute positions: as if each were alone."""
    subject = engine("gpt2", batch=3)
    prompts = [prompt for prompt in PROMPTS for _ in range(4)]
    completions = ["", "a", "abcabc", "ccccccccccc"] * len(PROMPTS)
    together = subject.likelihood(prompts, completions)
    alone = [
        subject.likelihood([prompt], [completion])[0]
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    assert together == pytest.approx(alone, rel=1e-5)
    assert np.isfinite(together).all()
    assert subject.likelihood([], []).shape == (0,)


def test_likelihood_of_what_cannot_be():
    """-inf for an end inside a completion or a stop string; NaN for what cannot be read."""
    subject = engine()
    found = subject.likelihood(["a"] * 4, ["a<end>b", "ab", "xyz", "a" * 40])
    assert found[0] == -math.inf
    assert np.isfinite(found[1])
    assert np.isnan(found[2:]).all()
    stopped = subject.likelihood(["a"] * 2, ["abca", "aca"], Decoding(stop=("bc",)))
    assert stopped[0] == -math.inf
    assert np.isfinite(stopped[1])


# ------------------------------------------------------------------------ how samples end


@pytest.mark.parametrize("batch", [5, 512])
@pytest.mark.parametrize("stop", [("b",), ("ca",), ("abc", "cc"), ("aaaaaaaaaaaaaaaaaa",)])
def test_a_completion_ends_before_the_first_stop_string(stop, batch):
    """With stop strings a sample is the same sample, cut; the prompt's own text does not count."""
    subject, tokenizer = engine(sharpness=1.5, batch=batch), character_tokenizer("abc")
    asked = requests(50)
    # What the model said is equal up to rounding only: other company in its passes.
    same = [name for name in SAMPLES.names if name not in RECORDED]
    free = subject.generate(asked, Decoding(max_tokens=10)).select(same).to_pylist()
    cut = subject.generate(asked, Decoding(max_tokens=10, stop=stop)).select(same).to_pylist()
    hits = 0
    for before, after in zip(free, cut, strict=True):
        text = before["completion"]
        at = min((text.find(each) for each in stop if each in text), default=None)
        if at is None:
            assert after == before
            continue
        hits += 1
        assert after["completion"] == text[:at]
        assert after["finish_reason"] == "stop"
        reached = min(text.find(each) + len(each) for each in stop if each in text)
        drawn = tokenizer.encode(text)
        complete = next(
            count
            for count in range(1, len(drawn) + 1)
            if len(tokenizer.decode(drawn[:count])) >= reached
        )
        assert after["completion_tokens"] == complete
    assert hits > 10 or len(stop[0]) > 10


def test_a_stop_string_cuts_what_stands_before_it_in_text():
    """Two stop strings completed by one token: the one that starts first cuts."""
    subject = engine(characters="ab", sharpness=0.5)
    asked = requests(400, ["a"])
    rows = subject.generate(asked, Decoding(max_tokens=8, stop=("bba", "a"))).to_pylist()
    assert any(row["completion"] == "" and row["completion_tokens"] == 3 for row in rows)
    assert not any("a" in row["completion"].replace("<pad>", "") for row in rows)


def test_samples_stop_at_any_end_token_or_at_the_limit():
    """Every end token of the config ends a sample, and is no part of its text."""
    ends = [END, 3]
    subject = engine(ends=ends, sharpness=1.0)
    decoding = Decoding(max_tokens=2)
    rows = subject.generate(requests(300, ["a"]), decoding).to_pylist()
    exact = outcomes(subject._model, [2], decoding, ends)
    # Token 3 is "b".
    assert not any("b" in row["completion"] for row in rows)
    assert {(row["finish_reason"], row["completion_tokens"]) for row in rows} == {
        ("stop", 1),
        ("stop", 2),
        ("length", 2),
    }
    summed = {}
    for (drawn, reason), logp in exact.items():
        if reason == "stop":
            text = text_of(character_tokenizer("abc"), drawn, ends)
            summed[text] = summed.get(text, 0) + math.exp(logp)
    found = subject.likelihood(["a"] * len(summed), list(summed))
    assert np.exp(found) == pytest.approx(list(summed.values()), rel=1e-4)


def test_prompts_that_cannot_be_read_are_rows_with_an_error():
    """One bad prompt costs its own rows only."""
    subject = engine()
    prompts = ["ab", "a" * 30, "", "ab?", "c"]
    table = subject.generate(requests(3, prompts), Decoding(max_tokens=4))
    assert table.schema == SAMPLES
    rows = table.to_pylist()
    assert [row["sample_id"] for row in rows] == [0, 1, 2] * 5
    bad = rows[3:12]
    assert {row["finish_reason"] for row in bad} == {"error"}
    for row in bad:
        assert row["completion"] == ""
        assert row["completion_tokens"] == 0
        assert {row[name] for name in RECORDED} == {None}
        assert row["seed"] is not None
    assert [row["prompt_tokens"] for row in bad[::3]] == [30, 0, 0]
    assert "context of 32" in bad[0]["error"]
    assert "empty" in bad[3]["error"]
    assert "WordLevel" in bad[6]["error"]
    good = rows[:3] + rows[12:]
    assert all(row["error"] is None and row["completion_tokens"] for row in good)


def test_a_broken_model_gives_errors_not_samples():
    """Scores that are not numbers end in error rows; healthy prompts beside them do not."""
    subject = engine()
    with torch.no_grad():
        subject._model.get_input_embeddings().weight[4] = math.nan  # "c"
    rows = subject.generate(requests(4, ["ab", "c"]), Decoding(max_tokens=1)).to_pylist()
    assert {row["finish_reason"] for row in rows[4:]} == {"error"}
    assert "NaN" in rows[4]["error"]
    assert all(row["error"] is None for row in rows[:4])


def test_nothing_asked_is_nothing_drawn():
    """Empty requests give empty tables of the same schema."""
    subject = engine()
    assert subject.generate([], Decoding()).schema == SAMPLES
    assert subject.generate(requests(0), Decoding(max_tokens=4)).num_rows == 0


def test_requests_keep_their_order_ids_and_seeds():
    """The table follows the requests, whatever order they were drawn in."""
    subject = engine()
    asked = [
        Request(
            task="t",
            stream=0,
            problem_id=name,
            prompt=prompt,
            sample_ids=np.arange(first, first + count),
            seeds=np.arange(count) + 10 * first,
        )
        for name, prompt, first, count in (("z", "abc", 7, 3), ("a", "a", 0, 2), ("m", "ab", 5, 1))
    ]
    table = subject.generate(asked, Decoding(max_tokens=2))
    assert table["problem_id"].to_pylist() == ["z", "z", "z", "a", "a", "m"]
    assert table["sample_id"].to_pylist() == [7, 8, 9, 0, 1, 5]
    assert table["seed"].to_pylist() == [70, 71, 72, 0, 1, 50]


# ------------------------------------------------------------------------ conversations

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{{ message['role'][0] }}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}a{% endif %}"
)


def chat_engine(template=TEMPLATE):
    """Writes the start token before every text, as Llama's tokenizers do."""
    tokenizer = character_tokenizer("abcu", bos_token="<pad>")
    tokenizer.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<pad> $A", special_tokens=[("<pad>", PAD)]
    )
    tokenizer.chat_template = template
    assert tokenizer.encode("") == [PAD]
    return TransformersModel(random_model(vocabulary=6), tokenizer, batch=64)


def turns(*turns):
    return tuple({"role": role, "content": content} for role, content in turns)


def test_messages_are_given_in_the_models_own_template():
    """With the cue for its answer, and one start token, as if their text were the prompt."""
    subject, decoding = chat_engine(), Decoding(max_tokens=6)
    (plain,) = requests(50, ["ubacuca"])
    chat = dataclasses.replace(
        plain,
        prompt="not read",
        messages=turns(("user", "b"), ("assistant", "c"), ("user", "c")),
    )
    table = subject.generate([chat], decoding)
    assert set(table["prompt_tokens"].to_pylist()) == {1 + len("ubacuca")}
    assert table == subject.generate([plain], decoding)


def test_messages_that_a_template_refuses_are_rows_with_an_error():
    subject = chat_engine()
    one, other = requests(2, ["a", "b"])
    one = dataclasses.replace(one, messages=turns(("system", "b"), ("user", "c")))
    rows = subject.generate([one, other], Decoding(max_tokens=3)).to_pylist()
    assert [row["finish_reason"] == "error" for row in rows] == [True, True, False, False]
    assert rows[0]["error"] == "the chat template refuses the messages: no system role"


def test_a_model_without_a_template_takes_no_messages(folder):
    subject = TransformersModel.load(folder, device="cpu")
    (request,) = requests(2, ["a"])
    request = dataclasses.replace(request, messages=turns(("user", "b")))
    with pytest.raises(UserError) as caught:
        subject.generate([request], Decoding(max_tokens=3))
    assert str(caught.value) == (
        f"{folder}: has no chat template, so it takes no messages; use style: few_shot or "
        "zero_shot in the task, or the model's instruct version"
    )


# ------------------------------------------------------------------------ text and tokens


def word_tokenizer():
    """Pieces with their leading space, which decoding drops at the start of a text."""
    pieces = ["<pad>", "<end>", "▁", "▁a", "▁b", "a", "b", "ab"]
    known = {piece: at for at, piece in enumerate(pieces)}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(known, [("▁", "a"), ("▁", "b"), ("a", "b")]))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = tokenizers.decoders.Metaspace(prepend_scheme="first")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<end>", pad_token="<pad>"
    )


def test_completions_keep_their_leading_space():
    """Prompt + completion is the text of all tokens together."""
    tokenizer = word_tokenizer()
    subject = TransformersModel(random_model(vocabulary=8, sharpness=0.5), tokenizer)
    assert not subject.unique_tokens()
    table = subject.generate(requests(300, ["a b"]), Decoding(max_tokens=2))
    texts = set(table["completion"].to_pylist())
    assert {" a b", "a b", " ab", "ab"} <= texts
    stopped = subject.generate(requests(300, ["a b"]), Decoding(max_tokens=2, stop=(" a",)))
    for free, cut in zip(
        table["completion"].to_pylist(), stopped["completion"].to_pylist(), strict=True
    ):
        assert cut == free.partition(" a")[0]


def test_texts_decoded_one_by_one_are_those_decoded_together():
    """As for tokenizers that cannot decode many at once; also where no text is left to decode."""
    model, decoding = random_model(sharpness=1.5), Decoding(max_tokens=6, stop=("b",))
    one, other = [
        TransformersModel(
            model, character_tokenizer("abc", clean_up_tokenization_spaces=one_by_one), batch=1
        ).generate(requests(30), decoding)
        for one_by_one in (True, False)
    ]
    assert one == other
    assert len(set(one["completion"].to_pylist())) > 10


@pytest.mark.parametrize(
    ("characters", "extra", "unique"),
    [("abc", 0, True), ("abc", 1, False), ("<end>", 0, False)],
    ids=["characters", "token-without-text", "special-token-spelled-out"],
)
def test_unique_tokens(characters, extra, unique):
    """True only if no text has two tokenisations."""
    tokenizer = character_tokenizer(dict.fromkeys(characters))
    model = random_model(vocabulary=len(tokenizer) + extra)
    assert TransformersModel(model, tokenizer).unique_tokens() is unique


# ------------------------------------------------------------------------ loading


@pytest.fixture
def folder(tmp_path):
    random_model().save_pretrained(tmp_path)
    character_tokenizer("abc").save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_a_folder_loads_and_draws(folder, dtype):
    """What save_pretrained writes is what is loaded."""
    subject = TransformersModel.load(folder, device="cpu", dtype=dtype, batch=8)
    assert subject.parameters == sum(each.numel() for each in random_model().parameters())
    assert subject.unique_tokens()
    table = subject.generate(requests(5), Decoding(max_tokens=3))
    assert set(table["finish_reason"].to_pylist()) <= {"stop", "length"}
    if dtype != "bfloat16":
        assert table == engine().generate(requests(5), Decoding(max_tokens=3))


def _truncate(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _configure(**values):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return change


def _no_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()


def _encoder(folder):
    size = {"vocab_size": 5, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(**size, intermediate_size=8)
    torch.manual_seed(0)  # some random encoders hardly look ahead
    model = transformers.BertForMaskedLM(config)
    for weight in model.parameters():
        weight.data *= 20
    model.save_pretrained(folder)


def _translator(folder):
    config = transformers.T5Config(vocab_size=5, d_model=8, d_kv=4, d_ff=8, num_layers=1)
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_truncate, "whole weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"?" * 100), "whole weights"),
        (lambda folder: (folder / "model.safetensors").unlink(), "whole weights"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (_configure(num_hidden_layers=3), "weights are missing"),
        (_configure(hidden_size=64), "whole weights"),
        (_no_tokenizer, "tokenizer"),
        (_encoder, "causal language model"),
        (_translator, "causal language model"),
    ],
    ids=[
        "truncated", "garbage", "no-weights", "no-config", "bad-config", "missing-weights",
        "other-shape", "no-tokenizer", "encoder", "translator",
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used_is_named(folder, damage, says):
    """One line: the folder, what is wrong, the way out."""
    damage(folder)
    with pytest.raises(UserError) as caught:
        TransformersModel.load(folder, device="cpu")
    assert str(folder) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_torch_the_way_out_is_named():
    """Importing the engine says what to install."""
    code = "import sys; sys.modules['torch'] = None; import pipelines.engines.transformers_engine"
    root = Path(transformers_engine.__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert found.stderr.splitlines()[-1] == (
        "pipelines.errors.UserError: engine transformers: torch is not installed; "
        "pip install 'passlaw[transformers]'"
    )


def test_a_missing_folder_or_device_is_named(tmp_path):
    """A path that is no folder is not taken for a name on the hub."""
    with pytest.raises(UserError, match="no such model folder"):
        TransformersModel.load(tmp_path / "none")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="cuda is not available"):
            TransformersModel.load(tmp_path, device="cuda")


# ------------------------------------------------------------------------ random numbers, table


def test_seeds_are_hashed_by_splitmix64():
    """The published generator: its first outputs from seed 0."""
    assert hash_seeds(np.array([0])).tolist() == [0xE220A8397B1DCDAF]
    key = np.zeros(1, dtype=np.uint64)
    drawn = [uniforms(key, position)[0] * 2**53 for position in range(2)]
    assert drawn == [0xE220A8397B1DCDAF >> 11, 0x6E789E6AA1B965F4 >> 11]


def test_neighbouring_seeds_and_positions_are_unrelated():
    """Seeds 0, 1, 2, ... and positions 0, 1, 2, ... give independent uniform numbers."""
    keys = hash_seeds(np.arange(20_000))
    first, second = uniforms(keys, 0), uniforms(keys, 1)
    assert (first >= 0).all()
    assert (first < 1).all()
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    for other in (second, np.roll(first, 1)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / math.sqrt(len(keys))
    assert len({*first, *second}) == 2 * len(keys)


def test_a_table_lacks_no_sample():
    """A sample without a leaf is an error, never a row."""
    with pytest.raises(ValueError, match="3 of 3 samples"):
        Leaves(3).table(requests(3, ["a"]), [1])
