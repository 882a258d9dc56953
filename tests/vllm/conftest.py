"""vLLM engines that the tests share: each takes long to start. Run by `make test-vllm`."""

import json
from importlib.util import find_spec

import pytest

from pipelines import ladder
from pipelines.sweeps.engine_sections import VLLMEngine

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]

RUNG = "14k"
QUICK = {"enforce_eager": True, "kv_cache_memory_bytes": 2**27}
"""Engine arguments with which vLLM starts soonest."""


def section(**change):
    values = {"engine": "vllm", "name": RUNG, "path": str(ladder.checkpoint(RUNG))}
    values |= {"engine_args": QUICK} | change
    return VLLMEngine(**values)


def build(**change):
    from pipelines.engines.vllm_engine import VLLMModel

    return VLLMModel(section(**change))


@pytest.fixture(scope="session")
def engine():
    subject = build(token_confidence=3)
    yield subject
    subject.close()


@pytest.fixture(scope="session")
def adapter(tmp_path_factory):
    """A LoRA adapter of random numbers, as peft writes it: (folder, scale, its matrices)."""
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("adapter")
    rank, alpha, layers = 4, 8, 2
    generator = torch.Generator().manual_seed(0)
    config = json.loads((ladder.checkpoint(RUNG) / "config.json").read_text())
    hidden, heads = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    tensors = {}
    for layer in range(layers):
        for name, rows, columns in (("q_proj", heads, hidden), ("v_proj", heads, hidden)):
            where = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            a, b = (
                torch.randn(shape, generator=generator) for shape in [(rank, columns), (rows, rank)]
            )
            tensors[f"{where}.lora_A.weight"] = a * 0.1
            tensors[f"{where}.lora_B.weight"] = b * 0.1
    save_file(tensors, folder / "adapter_model.safetensors")
    told = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": RUNG,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(told))
    return folder, alpha / rank, tensors


@pytest.fixture(scope="session")
def adapted_engine(adapter):
    """One with an adapter that reads prompts in parts, so that it takes one seed for a unit."""
    folder, _, _ = adapter
    parts = {"enable_chunked_prefill": True, "max_num_batched_tokens": 32, "max_num_seqs": 32}
    subject = build(lora=str(folder), engine_args=QUICK | parts)
    yield subject
    subject.close()


@pytest.fixture(scope="session")
def embedded():
    """The same rung in the embedded engine."""
    from pipelines.engines.transformers_engine import TransformersModel

    return TransformersModel.load(ladder.checkpoint(RUNG), device="cpu", token_confidence=3)


@pytest.fixture(scope="session")
def embedded_adapted(adapter, tmp_path_factory):
    """The rung with the adapter's matrices added to its weights, in the embedded engine."""
    from safetensors.torch import load_file, save_file

    from pipelines.engines.transformers_engine import TransformersModel

    _, scale, tensors = adapter
    folder = tmp_path_factory.mktemp("merged")
    for path in ladder.checkpoint(RUNG).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("lora_A.weight")]:
        place = name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
        weights[place] += scale * tensors[name.replace("lora_A", "lora_B")] @ tensors[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return TransformersModel.load(folder, device="cpu")
