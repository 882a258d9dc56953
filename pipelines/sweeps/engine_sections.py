"""Sections of a sweep that say which model is sampled, and by which engine.

Knows what a sweep may say of a model; not where its files are, nor how it is run.
"""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StrictBool, model_validator

from pipelines.sweeps.refusal import MisfitError
from pipelines.sweeps.section import Name, Section


class Placement(Section):
    """What one replica of a model needs of the machine or cluster, where that is its own."""

    cpus: float | None = Field(default=None, gt=0)
    """None: `resources.engine_cpus`. Of each of its bundles, where it has several."""
    gpus: float | None = Field(default=None, ge=0)
    """None: `resources.engine_gpus`; a fraction shares a GPU with other replicas."""
    custom: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Resources of your own names, as nodes of the Ray cluster were given them."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.gpus is not None and self.gpus > 1 and not self.gpus.is_integer():
            raise MisfitError((("gpus",), f"is {self.gpus:g}; above 1 it must be a whole number"))
        for name in ("CPU", "GPU"):
            if name in self.custom:
                raise MisfitError((("custom", name), f"say {name.lower()}s instead"))
        return self


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
    seeding: Literal["auto", "unit"] = "auto"
    """auto: a seed for every sample, where vLLM can; unit: one for all samples of a unit, which are
    then drawn a unit at a time. vLLM's older sampler is slow where thousands have their own."""
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """Anything that vLLM's `EngineArgs` takes, by its own name, as in tensor_parallel_size: 4."""
    sampling_params: dict[str, Any] = Field(default_factory=dict)
    """Anything more that vLLM's `SamplingParams` takes, by its own name, as in min_p: 0.05."""
    placement: Placement = Placement()

    @model_validator(mode="after")
    def _ours(self) -> Self:
        """Refuse what the rest of the sweep says."""
        for field, owners in (
            ("engine_args", _ENGINE_ARGS_ELSEWHERE),
            ("sampling_params", _SAMPLING_PARAMS_ELSEWHERE),
        ):
            for name in getattr(self, field):
                if name in owners:
                    raise MisfitError(((field, name), owners[name]))
        return self

    def drawn_from(self) -> dict[str, Any]:
        """Return what changes the distribution of its samples, beside the files of the model.

        An engine argument counts unless it is known to change only speed, memory or place.
        """
        arguments = {
            name: value for name, value in self.engine_args.items() if name not in _SPEED_ALONE
        }
        about = {
            "engine_args": arguments,
            "sampling_params": self.sampling_params,
            "reasoning_parser": self.reasoning_parser,
        }
        return {name: value for name, value in about.items() if value}


_ENGINE_ARGS_ELSEWHERE = {
    "data_parallel_size": "say resources.engines, the number of replicas",
    "enable_lora": "say lora, the folder of the adapter",
    "logprobs_mode": "what is recorded is under the model itself (raw_logprobs)",
    "model": "say path",
    "reasoning_parser": "say reasoning_parser beside engine_args",
    "seed": "seeds are made of the sweep's seed",
    "skip_tokenizer_init": "the tokenizer is needed",
    "worker_extension_cls": "there is one already, which seeds",
}
_SAMPLING_PARAMS_ELSEWHERE = {
    "detokenize": "completions are texts",
    "flat_logprobs": "say logprobs beside sampling_params",
    "include_stop_str_in_output": "a completion ends before its stop string",
    "logprobs": "say logprobs or token_confidence beside sampling_params",
    "max_tokens": "say decoding.max_tokens",
    "n": "say allocation",
    "output_kind": "all samples of a request are wanted, at its end",
    "prompt_logprobs": "they are asked for where they are needed",
    "seed": "seeds are made of the sweep's seed",
    "stop": "say decoding.stop",
    "temperature": "say decoding.temperature",
    "top_k": "say decoding.top_k",
    "top_p": "say decoding.top_p",
}
_SPEED_ALONE = frozenset(
    {
        "async_scheduling", "block_size", "compilation_config", "cpu_offload_gb",
        "cudagraph_capture_sizes", "disable_custom_all_reduce", "disable_log_stats",
        "distributed_executor_backend", "download_dir", "enable_chunked_prefill",
        "enable_log_requests", "enable_prefix_caching", "enforce_eager", "gpu_memory_utilization",
        "kv_cache_memory_bytes", "log_level", "max_cudagraph_capture_size",
        "max_logprobs", "max_model_len", "max_num_batched_tokens", "max_num_seqs",
        "max_parallel_loading_workers", "num_gpu_blocks_override", "optimization_level",
        "pipeline_parallel_size", "safetensors_load_strategy", "scheduling_policy",
        "stream_interval", "tensor_parallel_size", "use_tqdm_on_load",
    }
)  # fmt: skip


class OpenAIEngine(Section):
    """Any server that speaks OpenAI's API: `vllm serve`, SGLang, or a hosted one.

    Its key is read from the environment alone, that of each node where the run joins a cluster:
    handing it on through Ray would store it there.
    """

    engine: Literal["openai"]
    name: Name
    parameters: int = Field(ge=1)
    """Size for the laws; a server does not tell it."""
    base_url: str | None = Field(default=None, min_length=1)
    """As in http://127.0.0.1:8000/v1; None: OPENAI_BASE_URL, or OpenAI's own. Where the server is,
    not what it serves: it may change between runs. Other weights need another `name`."""
    model: str | None = Field(default=None, min_length=1)
    """What the server calls it; None: `name`."""
    key_variable: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key; a server of your own may need none."""
    concurrency: int = Field(default=64, ge=1, le=1_000)
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
    """List prices, both or neither; what a server caches may cost less."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Anything more that the server takes in a request, as in min_p: 0.05."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # Of the whole section, because an error of one field would show its value.
        problem = plain_address(self.base_url) if self.base_url is not None else None
        if problem is not None:
            raise MisfitError((("base_url",), problem))
        if (self.usd_per_million_prompt_tokens is None) != (
            self.usd_per_million_completion_tokens is None
        ):
            raise ValueError(
                "usd_per_million_prompt_tokens, usd_per_million_completion_tokens: give both "
                "prices, 0 for what is free, or neither"
            )
        ours = sorted(_REQUEST_FIELDS & self.extra_body.keys())
        if ours:
            text = "is set by the sweep's decoding, seed and allocation"
            raise MisfitError((("extra_body", ours[0]), text))
        return self


_REQUEST_FIELDS = frozenset(
    {
        "best_of", "echo", "logprobs", "max_completion_tokens", "max_tokens", "messages", "model",
        "n", "prompt", "seed", "stop", "stream", "stream_options", "temperature", "top_k", "top_p",
    }
)  # fmt: skip


def plain_address(address: str) -> str | None:
    """Say what is wrong with a server's address, without its text: it may hold a secret."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL; give one as in http://127.0.0.1:8000/v1"
    if parts.username is not None or parts.password is not None:
        return "holds a name or a password; give the key in an environment variable (key_variable)"
    if parts.query or parts.fragment:
        return "ends in ? or #; give it up to /v1, and the key in an environment variable"
    if parts.scheme not in ("http", "https") or not host:
        return "must be a URL as in http://127.0.0.1:8000/v1"
    return None


class ReplayEngine(Section):
    """Samples that another run stored, as an engine."""

    engine: Literal["replay"]
    name: Name
    run: str = Field(min_length=1)
    """The run directory that holds them, relative to the working directory, or its URL."""
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
    mean_tokens: float | None = Field(default=None, gt=1)
    """Mean length of completions, which is geometric; those that `decoding.max_tokens` truncates do
    not pass. None: 8 tokens each."""
    logprobs: StrictBool = False
    """Record how likely each completion was."""
    samples_per_second: float | None = Field(default=None, gt=0)
    """Slows the engine down to this rate; None runs at full speed."""
    placement: Placement = Placement()


class PythonEngine(Section):
    """An engine of your own: an object with the verbs of `pipelines.engines.protocol.Engine`."""

    engine: Literal["python"]
    name: Name
    factory: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """module:callable, which is called with this section and returns the engine. The module is
    looked for among what is installed and in the working directory."""
    parameters: int = Field(ge=1)
    """Size for the laws."""
    options: dict[str, Any] = Field(default_factory=dict)
    """For the factory, and part of what the samples are drawn from: put a version here, and change
    it when your engine draws otherwise."""
    placement: Placement = Placement()


class ImportedEngine(Section):
    """A model whose samples or counts were imported: nothing can be drawn from it."""

    engine: Literal["imported"]
    name: Name
    parameters: int | None = Field(default=None, ge=1)
    """Size for the laws over models; None: unknown, and the model is left out of them."""


Model = Annotated[
    TransformersEngine
    | VLLMEngine
    | OpenAIEngine
    | ReplayEngine
    | SimulatedEngine
    | PythonEngine
    | ImportedEngine,
    Field(discriminator="engine"),
]
