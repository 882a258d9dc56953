"""Sections of a sweep that say which model is sampled, and by which engine.

Knows what a sweep may say of a model; not where its files are, nor how it is run.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from pipelines.section import Name, Section


class Placement(Section):
    """What one replica of a model needs of the machine or cluster, where that is its own."""

    cpus: float | None = Field(default=None, gt=0)
    """None: `resources.engine_cpus`. Of each of its bundles, where it has several."""
    gpus: float | None = Field(default=None, ge=0)
    """None: `resources.engine_gpus`; a fraction shares a GPU with other replicas."""
    custom: dict[str, float] = Field(default_factory=dict)
    """Resources of your own names, as nodes of the Ray cluster were given them."""


class TransformersEngine(Section):
    """Any Hugging Face causal language model, embedded in the process."""

    engine: Literal["transformers"] = "transformers"
    name: Name
    path: str = Field(min_length=1)
    """A folder, a model name on the Hugging Face hub, or `ladder:NAME` for one of ours."""
    parameters: int | None = Field(default=None, ge=1)
    """Size for the laws; read from the checkpoint where not given."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    batch: int = Field(default=4_096, ge=1)
    """Most rows in one forward pass."""
    token_confidence: int | None = Field(default=None, ge=1)
    """Also record DeepConf's confidences, of so many of the likeliest tokens at each step."""
    placement: Placement = Placement()


class VLLMEngine(Section):
    """vLLM, offline in the engine's own process: the engine for GPUs."""

    engine: Literal["vllm"]
    name: Name
    path: str = Field(min_length=1)
    """A folder, a model name on the Hugging Face hub, or `ladder:NAME` for one of ours."""
    parameters: int | None = Field(default=None, ge=1)
    """Size for the laws; read from the checkpoint where not given."""
    lora: str | None = Field(default=None, min_length=1)
    """Folder of a LoRA adapter."""
    reasoning_parser: str | None = Field(default=None, min_length=1)
    """vLLM's parser that tells a model's thinking from its answer; the thinking is kept apart."""
    logprobs: StrictBool = True
    """Record how likely the tokens were, of which confidences are made."""
    token_confidence: int | None = Field(default=None, ge=1)
    """Also record DeepConf's confidences, of so many of the likeliest tokens at each step."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """Anything that vLLM's `EngineArgs` takes, by its own name, as in tensor_parallel_size: 4."""
    sampling_params: dict[str, Any] = Field(default_factory=dict)
    """Anything more that vLLM's `SamplingParams` takes, by its own name, as in min_p: 0.05."""
    placement: Placement = Placement()


class OpenAIEngine(Section):
    """Any server that speaks OpenAI's API: `vllm serve`, SGLang, or a hosted one.

    Its key is read from the environment alone.
    """

    engine: Literal["openai"]
    name: Name
    parameters: int = Field(ge=1)
    """Size for the laws; a server does not tell it."""
    base_url: str | None = Field(default=None, min_length=1)
    """As in http://127.0.0.1:8000/v1; None: OPENAI_BASE_URL, or OpenAI's own."""
    model: str | None = Field(default=None, min_length=1)
    """What the server calls it; None: `name`."""
    key_variable: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key; a server of your own may need none."""
    concurrency: int = Field(default=64, ge=1)
    """Most requests in flight, of each replica."""
    samples_per_request: int = Field(default=128, ge=1)
    """Most samples asked for in one request (the API's n)."""
    request_seconds: float = Field(default=600.0, gt=0)
    """Longest wait for one answer."""
    patience_seconds: float = Field(default=900.0, ge=0)
    """How long a request is tried again while the server is gone, busy or failing."""
    logprobs: StrictBool = True
    """Ask how likely the tokens were; counts the tokens of each sample too."""
    usd_per_million_prompt_tokens: float | None = Field(default=None, ge=0)
    usd_per_million_completion_tokens: float | None = Field(default=None, ge=0)
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Anything more that the server takes in a request, as in top_k: 20."""


class ReplayEngine(Section):
    """Samples that another run stored, as an engine."""

    engine: Literal["replay"]
    name: Name
    run: str = Field(min_length=1)
    """The run directory that holds them."""
    model: str | None = Field(default=None, min_length=1)
    """What that run calls the model; None: `name`."""


class SimulatedEngine(Section):
    """No model at all: passes with known probabilities, to test pipelines and intervals."""

    engine: Literal["simulated"]
    name: Name
    parameters: int = Field(ge=1)
    rate: float = Field(gt=0, lt=1)
    """Mean pass rate; each problem has its own rate around it, on the log scale."""
    spread: float = Field(default=1.0, ge=0)
    """Standard deviation of the log rates between problems."""
    samples_per_second: float | None = Field(default=None, gt=0)
    """Slows the engine down to this rate; None runs at full speed."""


class PythonEngine(Section):
    """An engine of your own: an object with the verbs of `pipelines.engines.protocol.Engine`."""

    engine: Literal["python"]
    name: Name
    factory: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """module:callable, which is called with this section and returns the engine."""
    parameters: int = Field(ge=1)
    """Size for the laws."""
    options: dict[str, Any] = Field(default_factory=dict)
    """For the factory; part of what the samples are drawn from."""
    placement: Placement = Placement()


Model = Annotated[
    TransformersEngine | VLLMEngine | OpenAIEngine | ReplayEngine | SimulatedEngine | PythonEngine,
    Field(discriminator="engine"),
]
