"""The embedded engine on a GPU: against `generate`, and against what the GPU itself allows.

pytest -s --override-ini addopts=--import-mode=importlib tests/benchmarks/test_gpu_speed.py

Arithmetic allows (FLOP/s of a large product of matrices) / (2 x parameters) tokens a second; memory
allows (bytes/s of a large copy) / (bytes of the weights), times the samples that share a pass.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from pipelines import ladder
from pipelines.engines.protocol import Request
from pipelines.sweeps.config import Decoding

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pipelines.engines.transformers_engine import TransformersModel  # noqa: E402  # needs torch

DEVICE = "cuda"
BILLION = {
    "vocab_size": 32_000,
    "hidden_size": 2_048,
    "intermediate_size": 8_192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
"""Layers and widths of Llama 3.2 1B; a smaller vocabulary."""


def random_llama(folder: Path, shape=BILLION):
    """Save a randomly initialised Llama in bfloat16 with a tokenizer of one word a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = {"<end>": 0} | {f"w{at}": at for at in range(1, shape["vocab_size"])}
    core = Tokenizer(models.WordLevel(words, unk_token=None))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Fuse()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<end>", pad_token="<end>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **shape, max_position_embeddings=2_048, bos_token_id=None, eos_token_id=0, pad_token_id=0
    )
    with torch.device(DEVICE):
        made = transformers.LlamaForCausalLM(config)
    made.to(torch.bfloat16).save_pretrained(folder)


def seconds_of(work, repeats=3):
    work()
    taken = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken)


def limits(parameters: int, bytes_each: int) -> tuple[float, float]:
    """Tokens a second that arithmetic allows, and passes over the weights that memory allows."""
    size = 8_192
    left = torch.randn(size, size, dtype=torch.bfloat16, device=DEVICE)
    flops = 2 * size**3 / seconds_of(lambda: left @ left)
    block = torch.empty(2**30, dtype=torch.uint8, device=DEVICE)
    speed = 2 * 2**30 / seconds_of(block.clone)
    return flops / (2 * parameters), speed / (parameters * bytes_each)


def requests(prompts, samples):
    return [
        Request(
            task="t",
            problem_id=str(at),
            prompt=prompt,
            sample_ids=np.arange(samples),
            seeds=np.random.default_rng(at).integers(0, 2**63 - 1, samples),
            stream=0,
        )
        for at, prompt in enumerate(prompts)
    ]


def compare(subject, tokenizer, prompts, samples, tokens):
    """Samples a second of our loop and of `generate` on the same prompts, and tokens drawn."""
    model = subject._model
    asked = requests(prompts, samples)
    drawn = {}

    def ours():
        drawn["table"] = subject.generate(asked, Decoding(max_tokens=tokens))

    def stock():
        for prompt in prompts:
            encoded = torch.tensor([tokenizer.encode(prompt)], device=DEVICE)
            model.generate(
                encoded,
                attention_mask=torch.ones_like(encoded),
                do_sample=True,
                top_k=0,
                num_return_sequences=samples,
                max_new_tokens=tokens,
                pad_token_id=0,
            )

    total = samples * len(prompts)
    our_seconds, stock_seconds = seconds_of(ours), seconds_of(stock)
    completion_tokens = int(np.sum(drawn["table"]["completion_tokens"].to_numpy()))
    return total / our_seconds, total / stock_seconds, completion_tokens / our_seconds


@pytest.mark.benchmark
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
@pytest.mark.parametrize("which", ["ladder", "billion"])
def test_samples_a_second(which, tmp_path, capsys):
    if which == "ladder":
        folder, prompts, samples, tokens = ladder.checkpoint("185k"), ["12*34="] * 4, 10_000, 8
    else:
        random_llama(tmp_path)
        words = np.random.default_rng(0).integers(1, BILLION["vocab_size"], (4, 128))
        prompts = [" ".join(f"w{word}" for word in row) for row in words]
        folder, samples, tokens = tmp_path, 256, 64
    subject = TransformersModel.load(folder, device=DEVICE)
    parameters = subject.parameters
    width = next(subject._model.parameters()).element_size()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ours, stock, rate = compare(subject, tokenizer, prompts, samples, tokens)
    arithmetic, passes = limits(parameters, width)
    with capsys.disabled():
        print(
            f"\n{torch.cuda.get_device_name()}, {which}: {ours:,.0f} samples/s, generate "
            f"{stock:,.0f}, ratio {ours / stock:.1f}; {rate:,.0f} tokens/s, arithmetic allows "
            f"{arithmetic:,.0f}, memory {passes * samples * len(prompts):,.0f} at this many samples"
        )
    assert ours > stock
