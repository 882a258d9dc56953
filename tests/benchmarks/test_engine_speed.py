"""Samples per second of the embedded engine against `model.generate` of transformers."""

import time

import numpy as np
import pytest

from pipelines.engines.protocol import Request
from pipelines.sweeps.config import Decoding

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from pipelines.engines.transformers_engine import TransformersModel  # noqa: E402  # needs torch

PROMPTS = ("123+456=", "99+12=", "7+777=", "1234+5678=")
END = 1


def tiny_llama(sharpness):
    """A random model of two layers and 34,000 parameters over 16 characters, and its tokenizer."""
    known = {token: at for at, token in enumerate(["<pad>", "<end>", *"0123456789+=-*"])}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token=None))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    core.decoder = tokenizers.decoders.Fuse()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<end>", pad_token="<pad>"
    )
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(known),
        hidden_size=40,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    model.lm_head.weight.data *= sharpness / 0.02 / config.hidden_size**0.5
    return model, tokenizer


def fastest(*draws, repeats=4):
    """Seconds of the fastest run of each, in turns, so that all meet the same machine."""
    seconds = [[] for _ in draws]
    for draw in draws:
        draw(100)  # warm up
    for _ in range(repeats):
        for draw, taken in zip(draws, seconds, strict=True):
            start = time.perf_counter()
            draw(None)
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in seconds]


@pytest.mark.benchmark
@pytest.mark.parametrize("samples", [1_000, 10_000])
@pytest.mark.parametrize("sharpness", [3.0, 0.1], ids=["peaked", "nearly-uniform"])
def test_twice_as_fast_as_generate(sharpness, samples, capsys):
    """Also where nothing collapses: uniform tokens leave no two samples alike at depth 8."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in an engine actor
    model, tokenizer = tiny_llama(sharpness)
    subject = TransformersModel(model, tokenizer)

    def ours(count):
        asked = [
            Request(
                task="t",
                stream=0,
                problem_id=prompt,
                prompt=prompt,
                sample_ids=np.arange(count or samples),
                seeds=np.random.default_rng(at).integers(0, 2**63 - 1, count or samples),
            )
            for at, prompt in enumerate(PROMPTS)
        ]
        return subject.generate(asked, Decoding(max_tokens=8))

    def stock(count):
        # Tokens only: no text, no log-probabilities.
        for prompt in PROMPTS:
            tokens = torch.tensor([tokenizer.encode(prompt)])
            model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=True,
                top_k=0,
                num_return_sequences=count or samples,
                max_new_tokens=8,
                pad_token_id=0,
            )

    try:
        total = samples * len(PROMPTS)
        rate, reference = (total / seconds for seconds in fastest(ours, stock))
        table = ours(None)
    finally:
        torch.set_num_threads(threads)
    distinct = len(
        set(zip(table["problem_id"].to_pylist(), table["completion"].to_pylist(), strict=True))
    )
    with capsys.disabled():
        print(
            f"\n{rate:,.0f} samples/s, generate {reference:,.0f}, ratio {rate / reference:.1f} "
            f"({distinct:,} distinct of {total:,})"
        )
    assert rate >= 2.0 * reference
