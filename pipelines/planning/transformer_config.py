"""A model's size from its Hugging Face configuration: parameters, and those active for a token.

Reads config.json, never weights. Knows the shapes of the families that it names, and refuses
others: their parameters are then given by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitting import Transformer
from pipelines.errors import UserError, first_line

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Family:
    """How a family of gated decoders differs from Llama."""

    query_bias: bool | None = None
    """Of queries, keys and values; None: as `attention_bias` says, and of the output too."""
    norms: int = 2
    """Of a layer, each as wide as the model."""
    head_norms: str = ""
    """Norms of queries and keys: "" none, "head" as wide as a head, "all" as wide as all heads."""
    tied: bool = False
    """Whether input and output share a table where the configuration does not say."""


_GATED: Mapping[str, _Family] = {
    "llama": _Family(),
    "mistral": _Family(query_bias=False),
    "mixtral": _Family(query_bias=False),
    "phi3": _Family(query_bias=False),
    "qwen2": _Family(query_bias=True),
    "qwen3": _Family(head_norms="head"),
    "qwen3_moe": _Family(head_norms="head"),
    "olmo2": _Family(head_norms="all"),
    "gemma": _Family(tied=True),
    "gemma2": _Family(norms=4, tied=True),
    "gemma3_text": _Family(norms=4, head_norms="head", tied=True),
}
FAMILIES = (*_GATED, "gpt_neox", "gpt2")


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """What a configuration says of a model."""

    parameters: int
    transformer: Transformer
    """With the parameters that are active for one token."""


def read_config(path: Path) -> ModelSize:
    """Return the size of the model that a config.json, or the folder with one, describes.

    Raises:
        UserError: there is no such file, it is no configuration, or its family is not known.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text())
        family = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--model-config {file}: no configuration of a model ({first_line(error)}); give the "
            "config.json of a Hugging Face model, or --parameters"
        ) from None
    if family not in FAMILIES:
        raise UserError(
            f"--model-config {file}: model_type {family!r} is not among {', '.join(FAMILIES)}; "
            "give --parameters instead"
        )
    try:
        return _size(family, config)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"--model-config {file}: cannot be counted ({type(error).__name__}: "
            f"{first_line(error)}); give --parameters instead"
        ) from None


def _size(family: str, config: Config) -> ModelSize:
    if family == "gpt2":
        return _gpt2(config)
    if family == "gpt_neox":
        return _gpt_neox(config)
    return _gated(_GATED[family], config)


def _gated(family: _Family, config: Config) -> ModelSize:
    """Count a decoder with gated feed-forward layers, perhaps of several experts."""
    width, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    heads = int(config["num_attention_heads"])
    groups = int(config.get("num_key_value_heads") or heads)
    head = int(config.get("head_dim") or width // heads)
    queries, keys = heads * head, groups * head
    attention = 2 * width * queries + 2 * width * keys
    if family.query_bias is None and config.get("attention_bias"):
        attention += queries + 2 * keys + width
    elif family.query_bias:
        attention += queries + 2 * keys
    attention += {"": 0, "head": 2 * head, "all": queries + keys}[family.head_norms]
    every, active = _feed_forward(config, width)
    norms = family.norms * width
    vocabulary = int(config["vocab_size"])
    tied = bool(config.get("tie_word_embeddings", family.tied))
    tables = vocabulary * width * (1 if tied else 2) + width
    return _sized(
        parameters=layers * (attention + every + norms) + tables,
        active=layers * (attention + active + norms) + tables,
        layers=layers,
        width=queries,
        table=0 if tied else vocabulary * width,
    )


def _feed_forward(config: Config, width: int) -> tuple[int, int]:
    """Return the parameters of a layer's feed-forward part, and those active for one token."""
    experts = int(config.get("num_local_experts") or config.get("num_experts") or 0)
    if not experts:
        every = 3 * width * int(config["intermediate_size"])
        bias = 2 * int(config["intermediate_size"]) + width if config.get("mlp_bias") else 0
        return every + bias, every + bias
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        raise ValueError("only some of its layers have experts")
    each = 3 * width * int(config.get("moe_intermediate_size") or config["intermediate_size"])
    router = width * experts
    return router + experts * each, router + int(config["num_experts_per_tok"]) * each


def _gpt_neox(config: Config) -> ModelSize:
    width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    layers, vocabulary = int(config["num_hidden_layers"]), int(config["vocab_size"])
    layer = 4 * width * width + 4 * width + 2 * width * inner + inner + width + 4 * width
    tied = bool(config.get("tie_word_embeddings", False))
    parameters = layers * layer + 2 * width + vocabulary * width * (1 if tied else 2)
    return _sized(
        parameters=parameters,
        active=parameters,
        layers=layers,
        width=width,
        table=0 if tied else vocabulary * width,
    )


def _gpt2(config: Config) -> ModelSize:
    width, layers = int(config["n_embd"]), int(config["n_layer"])
    inner = int(config.get("n_inner") or 4 * width)
    layer = 4 * width * width + 4 * width + 2 * width * inner + inner + width + 4 * width
    tables = (int(config["vocab_size"]) + int(config["n_positions"])) * width
    parameters = layers * layer + 2 * width + tables
    return _sized(parameters=parameters, active=parameters, layers=layers, width=width, table=0)


def _sized(*, parameters: int, active: int, layers: int, width: int, table: int) -> ModelSize:
    """Return a size; `table` counts the input table where the output has one of its own.

    A table whose look-up multiplies nothing is left out of the active parameters at once.
    """
    transformer = Transformer(parameters=float(active - table), layers=layers, width=width)
    return ModelSize(parameters=parameters, transformer=transformer)
