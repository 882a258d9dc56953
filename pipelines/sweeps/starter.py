"""A first sweep file for a task and an engine: short, valid, every line explained.

Knows sensible values for each pair; not whether models and problems are there.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pipelines.errors import UserError
from pipelines.sweeps import yaml_text
from pipelines.sweeps.places import Source

TaskName = Literal["gsm8k", "math", "humaneval", "mbpp", "multiple_choice", "file", "arithmetic"]
EngineName = Literal["vllm", "transformers", "openai", "simulated", "python"]
AllocationName = Literal["fixed", "until"]

TASKS: tuple[TaskName, ...] = get_args(TaskName)
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
ALLOCATIONS: tuple[AllocationName, ...] = get_args(AllocationName)

Line = tuple[str, str]
"""A line of YAML, and what it means."""


@dataclass(frozen=True, kw_only=True)
class StartingModel:
    """A model to begin with."""

    path: str
    """A folder, a name on the hub or of a server, or `ladder:NAME`."""
    parameters: int | None = None
    """Size; None: it is told by the name, or else counted in the folder."""
    rate: float = 0.1
    """Mean pass rate, where it is simulated."""

    @property
    def size(self) -> Line | None:
        """The line of its size, where that is known."""
        if self.parameters is not None:
            return f"parameters: {self.parameters}", "size, for laws over models"
        told = size_in_name(self.path)
        if told is None:
            return None
        return f"parameters: {told}", "as its name tells; better: the exact number"

    @property
    def name(self) -> str:
        """What its samples are stored under: the end of the path, as far as a name can be it."""
        last = re.split(r"[/:]", self.path.rstrip("/"))[-1]
        return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._") or "model"


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What is written of a task."""

    lines: Sequence[Line]
    tokens: int
    """Most that a completion may have."""
    chat_tokens: int = 0
    """The same where the model reasons in a chat; 0: there is none."""
    style: str = ""
    """What the task's own style is, in words; empty where it has none."""
    programs: bool = False
    """Whether completions are programs that are run."""
    temperature: float = 0.8


def _hub(source: str, dataset: str, config: str = "", split: str = "test") -> list[Line]:
    """Return a task that Hugging Face `datasets` reads."""
    lines = [
        (f"name: {source}", "what its samples are stored under"),
        (f"source: {source}", "brings its prompt, stop strings and verifier"),
        (f"dataset: {dataset}", "needs passlaw[datasets]; or path: FILE.jsonl"),
    ]
    if config:
        lines.append((f"config: {config}", "its configuration; remove it with a path"))
    if split:
        lines.append((f"split: {split}", "its part; remove it with a path"))
    return [*lines, ("limit: 50", "so many of its problems; without this line: all")]


_TASKS: dict[str, _Task] = {
    "gsm8k": _Task(
        lines=_hub("gsm8k", "openai/gsm8k", "main"), tokens=256, chat_tokens=1024,
        style="few_shot: 8 worked examples; chat: the question alone",
    ),
    "math": _Task(
        lines=_hub("math", "HuggingFaceH4/MATH-500"), tokens=512, chat_tokens=2048,
        style="few_shot: 4 worked examples; chat: the problem alone",
    ),
    "humaneval": _Task(
        lines=_hub("humaneval", "openai/openai_humaneval"), tokens=512, chat_tokens=1024,
        style="zero_shot: the function begun; chat: a request for it", programs=True,
    ),
    "mbpp": _Task(
        lines=_hub("mbpp", "google-research-datasets/mbpp", "full"), tokens=512, chat_tokens=1024,
        style="few_shot: 3 examples; chat: the task alone", programs=True,
    ),
    "multiple_choice": _Task(
        lines=_hub("multiple_choice", "allenai/ai2_arc", "ARC-Challenge"), tokens=4,
        chat_tokens=1024, style="zero_shot: the letter at once; chat: reasoning before it",
    ),
    "file": _Task(
        lines=[
            ("name: problems", "what its samples are stored under"),
            ("source: file", "your own table: .jsonl, .json, .parquet or .tsv"),
            ("path: problems.jsonl", "with problem_id, prompt and answer on each line"),
            ("verifier: numeric", "or exact, math, choice, regex, json, program_tests, ..."),
        ],
        tokens=256, chat_tokens=1024,
        style="zero_shot: the prompt as it is; chat: as a message",
    ),
    "arithmetic": _Task(
        lines=[
            ("name: multiply1", "one digit times one digit; also multiply2, multiply3"),
            ("source: arithmetic", "tasks of the ladder, tiny models that come along"),
            ("problems: 20", "how many, of those that training never saw"),
        ],
        tokens=8, temperature=1.0,
    ),
}  # fmt: skip

_MODELS: dict[str, tuple[StartingModel, ...]] = {
    "transformers": (
        StartingModel(path="HuggingFaceTB/SmolLM2-135M", parameters=134_515_008),
        StartingModel(path="HuggingFaceTB/SmolLM2-360M", parameters=361_821_120),
    ),
    "vllm": (
        StartingModel(path="Qwen/Qwen2.5-0.5B", parameters=494_032_768),
        StartingModel(path="Qwen/Qwen2.5-1.5B", parameters=1_543_714_304),
    ),
    "openai": (StartingModel(path="Qwen/Qwen2.5-7B-Instruct", parameters=7_615_616_512),),
    "simulated": (
        StartingModel(path="small", parameters=1_000_000, rate=0.02),
        StartingModel(path="large", parameters=100_000_000, rate=0.2),
    ),
    "python": (StartingModel(path="my_engine:make", parameters=1_000_000),),
}
_LADDER = tuple(StartingModel(path=f"ladder:{name}") for name in ("3k", "14k", "53k"))

_NEEDS = {
    "vllm": "Needs passlaw[vllm] and a GPU.",
    "transformers": "Needs passlaw[transformers].",
    "openai": "Needs passlaw[openai], and the server or its key.",
    "simulated": "Nothing is needed: no model runs, and what is found has no meaning.",
    "python": "Needs a module my_engine.py with an engine of your own.",
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a first sweep is to be of."""

    name: str
    """Of the sweep."""
    task: TaskName = "arithmetic"
    engine: EngineName = "transformers"
    allocation: AllocationName = "fixed"
    models: tuple[StartingModel, ...] = ()
    """Empty: some that fit."""
    file: str = "sweep.yaml"
    """As the user will give it to `passlaw run`."""
    schema: str = "passlaw.schema.json"
    """Where editors find the schema, relative to the file."""


def text(start: Start) -> str:
    """Return a sweep file.

    Raises:
        UserError: the size of a model is not known, and the engine cannot find it out.
    """
    task = _TASKS[start.task]
    is_chat = start.engine == "openai" and task.chat_tokens > 0
    usual = _LADDER if _on_ladder(start) else _MODELS[start.engine]
    head = [
        f"yaml-language-server: $schema={start.schema}",
        f"The task {start.task}, sampled by the engine {start.engine}.",
        f"Do it: passlaw run {start.file}",
        _NEEDS[start.engine],
    ]
    if task.programs:
        head.append("Generated programs run only in isolation: install bubblewrap.")
    style = [(f"style: {'chat' if is_chat else task.style.partition(':')[0]}", task.style)]
    first, *others = start.models or usual
    lines: list[Line] = [
        (f"name: {_quoted(start.name)}", "of the run, which is kept in runs/NAME"),
        ("models:", "each is sampled on every task"),
        *_item(_model(first, start.engine)),
        *((said, "") for model in others for said, _ in _item(_model(model, start.engine))),
        ("tasks:", "what is asked"),
        *_item([*task.lines, *(style if task.style else ())]),
        *_decoding(task, is_chat),
        *_ALLOCATION[start.allocation],
        *(_VERIFICATION if task.programs else ()),
        *(_RESOURCES if start.engine in ("vllm", "transformers") else ()),
    ]
    column = max(len(said) for said, _ in lines)
    written = [f"{said:<{column}}  # {about}" if about else said for said, about in lines]
    return "\n".join([*(f"# {line}" for line in head), *written]) + "\n"


def _on_ladder(start: Start) -> bool:
    return start.task == "arithmetic" and start.engine in ("transformers", "vllm")


def _model(model: StartingModel, engine: EngineName) -> list[Line]:
    """Return what is written of a model."""
    named = [
        (f"name: {_quoted(model.name)}", "what its samples are stored under"),
        (f"engine: {engine}", _ENGINE[engine]),
    ]
    if engine in ("transformers", "vllm"):
        named.append(
            (
                f"path: {_quoted(model.path)}",
                "a folder, a name on the hub, or ladder:NAME",
            )
        )
        if model.size is not None:
            named.append(model.size)
        elif _on_the_hub(model.path):
            told = "its size, needed for a name on the hub: fill it in, without the first #"
            named.append(("# parameters: 1000000000", told))
        if engine == "vllm":
            named.append(("placement: {gpus: 1}", "of each replica; or custom resources of nodes"))
        return named
    size = model.size
    if size is None:
        raise UserError(
            f"--parameters: needed for {model.path}, because the engine {engine} cannot count "
            "them; give the size of the model, as in --parameters 7e9"
        )
    match engine:
        case "openai":
            address = ("base_url: http://127.0.0.1:8000/v1", "of `vllm serve`; hosted: its address")
            key = ("key_variable: OPENAI_API_KEY", "environment variable that holds the key")
            said = (f"model: {_quoted(model.path)}", "what the server calls it")
            busy = ("concurrency: 64", "most requests in flight")
            return [*named, said, size, address, key, busy]
        case "simulated":
            rate = (f"rate: {model.rate:g}", "mean pass rate of its problems")
            return [*named, size, rate, ("spread: 1.0", "how problems differ: SD of log rates")]
        case _:
            factory = (f"factory: {_quoted(model.path)}", "module:callable that returns the engine")
            return [*named, factory, size, ("options: {version: 1}", "for the factory")]


_ENGINE = {
    "vllm": "vLLM in a process of its own, for GPUs",
    "transformers": "embedded in the process: CPU, CUDA or MPS",
    "openai": "any server that speaks OpenAI's API",
    "simulated": "passes with known probabilities",
    "python": "an engine of your own",
}
_ALLOCATION: dict[str, tuple[Line, ...]] = {
    "fixed": (
        ("allocation:", "how many samples a problem gets"),
        ("  n: 100", "this many; may be raised later"),
    ),
    "until": (
        ("allocation:", "how many samples a problem gets"),
        ("  r: 5", "until so many have passed"),
        ("  cap: 10000", "but at most this many samples; may be raised later"),
        ("  first_round: 100", "first looked at after this many; then twice as many"),
    ),
}
_VERIFICATION: tuple[Line, ...] = (
    ("verification:", "limits on each program with its tests"),
    ("  program_seconds: 8.0", "wall time, after which it fails"),
    ("  program_memory_mib: 512", "memory of all its processes"),
)
_RESOURCES: tuple[Line, ...] = (
    ("resources:", "how the run uses the machine"),
    ("  engines: 1", "most replicas at a time, of all models together"),
)


def _decoding(task: _Task, is_chat: bool) -> list[Line]:
    tokens = task.chat_tokens if is_chat else task.tokens
    return [
        ("decoding:", "how completions are drawn"),
        (
            f"  temperature: {task.temperature}",
            "0 is greedy: all samples of a problem are alike",
        ),
        (f"  top_p: {1.0 if task.temperature == 1 else 0.95}", "1.0: from all tokens"),
        (f"  max_tokens: {tokens}", "where a completion is cut off"),
    ]


def _item(lines: Sequence[Line]) -> list[Line]:
    """Return the lines of a mapping as an item of a list."""
    return [
        (f"  {'-' if at == 0 else ' '} {said}", about) for at, (said, about) in enumerate(lines)
    ]


def _on_the_hub(path: str) -> bool:
    return not path.startswith((".", "/", "~", "ladder:")) and path.count("/") == 1


def size_in_name(name: str) -> int | None:
    """Return the size that a model's name tells, as Llama-3.1-8B does; None where it tells none.

    A local folder is not asked: its size is counted.
    """
    found = re.findall(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])", name)
    if len(found) != 1 or name.startswith((".", "/", "~", "ladder:")):
        return None
    number, unit = found[0]
    return round(float(number) * (1e9 if unit in "bB" else 1e6))


def _quoted(word: str) -> str:
    """Return a text as YAML, in quotes where it would be something else without them."""
    try:
        is_plain = yaml_text.read(Source(name="", text=word)).value == word
    except UserError:
        is_plain = False
    return word if is_plain else json.dumps(word)
