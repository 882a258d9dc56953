"""The sweep: one YAML file, checked at birth by typed models; its errors name field and value.

Knows what a sweep says; not where a run lives, nor whether a model's files are there.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, StrictBool, ValidationError, model_validator

from pipelines.errors import UserError
from pipelines.sweeps import wildcards
from pipelines.sweeps.engine_sections import (
    Model,
    OpenAIEngine,
    PythonEngine,
    ReplayEngine,
    SimulatedEngine,
    TransformersEngine,
    VLLMEngine,
)
from pipelines.sweeps.section import Name, Section
from pipelines.sweeps.task_sections import (
    ArithmeticTask,
    FileTask,
    GSM8KTask,
    HumanEvalTask,
    MathTask,
    MBPPTask,
    MultipleChoiceTask,
    ReadTask,
    Task,
)

OBJECT_STORE_BYTES = 512 * 2**20
"""Memory that Ray may use for samples on their way from an engine to its keeper."""


class Decoding(Section):
    """How completions are drawn from a model's distribution."""

    temperature: float = Field(default=1.0, ge=0, le=100)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    max_tokens: int = Field(default=256, ge=1)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), strict=False)
    """A completion ends before the first of these. Where empty, a task's published ones hold."""


class FixedAllocation(Section):
    """The same number of samples for every problem."""

    kind: Literal["fixed"]
    n: int = Field(ge=1)


class UntilAllocation(Section):
    """Samples until r have passed, at most a cap; decided at the ends of complete rounds."""

    kind: Literal["until"] = "until"
    r: int = Field(default=5, ge=2)
    """Passes that settle a problem. After one pass no unbiased estimate exists, so at least 2."""
    cap: int = Field(default=100_000, ge=1)
    first_round: int = Field(default=1_000, ge=1)
    growth: float = Field(default=2.0, ge=1.1)
    """Each round ends at this multiple of the samples of the one before."""


Allocation = Annotated[FixedAllocation | UntilAllocation, Field(discriminator="kind")]


CoverageFamily = Literal[
    "auto",
    "exponentiated_power_law",
    "beta_binomial",
    "zero_inflated_beta",
    "scaled_beta",
    "kumaraswamy",
    "logit_normal",
    "npmle",
]
"""The families of `fitting.fit_coverage`, said again so that reading a sweep does not load them."""


class Fit(Section):
    """What is estimated from the counts."""

    k: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(default=None, strict=False)
    """Tries at which coverage is reported; None spaces them evenly up to what was measured."""
    family: CoverageFamily = "auto"
    hold_out: str | None = "largest"
    """Model that the task law does not see and is asked to predict: a name, `largest`, or null."""
    level: float = Field(default=0.95, gt=0, lt=1)


class Resources(Section):
    """How a run uses the machine."""

    engines: int = Field(default=1, ge=1)
    """Most replicas at a time, of all models together; those that find no room wait for it."""
    scorers: int = Field(default=1, ge=1)
    engine_cpus: float = Field(default=1.0, gt=0)
    """Of each replica, where its model has no `placement` of its own."""
    engine_gpus: float = Field(default=0.0, ge=0)
    """A fraction shares a GPU with other replicas."""
    unit_samples: int = Field(default=32_768, ge=1)
    """Most samples in one unit of work, which is one Parquet file."""
    unit_seconds: float = Field(default=3_600.0, gt=0)
    """Longest that a unit, or loading a model, may take; then its actor is taken for hung, and
    replaced."""
    address: str | None = None
    """A Ray cluster to join; None: that of RAY_ADDRESS, or one is started here, for this run."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.engine_gpus > 1 and not self.engine_gpus.is_integer():
            raise ValueError(
                f"engine_gpus: is {self.engine_gpus:g}; above 1 it must be a whole number"
            )
        return self


class Verification(Section):
    """Limits on the processes that judge answers, and whether programs may run unguarded."""

    math_seconds: float = Field(default=5.0, gt=0, le=3_600)
    """Wall time for one comparison of two formulas; undecided after it."""
    math_memory_mib: int = Field(default=1_024, ge=64)
    """Memory for it, in MiB."""
    program_seconds: float = Field(default=8.0, gt=0, le=3_600)
    """Wall time for one program with its tests; it fails after it."""
    program_memory_mib: int = Field(default=512, ge=64)
    """Memory for it and all the processes that it starts, in MiB."""
    program_packages: StrictBool = False
    """Whether a program may import what is installed beside the standard library. Verdicts then
    depend on what that is: on HumanEval, whether pandas is there decides a problem."""
    workers: int = Field(default=1, ge=1)
    """Processes that judge, for each of `resources.scorers`."""
    run_untrusted_programs_without_isolation: StrictBool = False
    """Run generated programs where bubblewrap cannot isolate them. They can then read, change
    and send whatever this user can."""


class Tracking(Section):
    """Where MLflow writes."""

    enabled: StrictBool = True
    uri: str | None = None
    """None: MLFLOW_TRACKING_URI, or a SQLite file mlflow.db in the working directory."""


class Sweep(Section):
    """Models x tasks under one decoding and one allocation."""

    name: Name
    seed: int = Field(default=0, ge=0, lt=2**63)
    run: str | None = None
    """The run directory, relative to the working directory; None: runs/NAME."""
    models: tuple[Model, ...] = Field(min_length=1, strict=False)
    tasks: tuple[Task, ...] = Field(min_length=1, strict=False)
    decoding: Decoding = Decoding()
    allocation: Allocation = UntilAllocation()
    fit: Fit = Fit()
    verification: Verification = Verification()
    resources: Resources = Resources()
    tracking: Tracking = Tracking()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field, sections in (("models", self.models), ("tasks", self.tasks)):
            names = [section.name for section in sections]
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"{field}: name {repeated[0]!r} is used twice; names must differ")
        if isinstance(self.allocation, FixedAllocation) and self.fit.k:
            largest = max(self.fit.k)
            if largest > self.allocation.n:
                raise ValueError(
                    f"fit.k: {largest} is larger than allocation.n = {self.allocation.n}; raise n, "
                    "or read coverage beyond n from the fitted law"
                )
        held_out = self.fit.hold_out
        names = [model.name for model in self.models]
        # A wildcard's models have no names yet; it is there only until paths are resolved.
        unnamed = any(wildcards.is_pattern(getattr(model, "path", "")) for model in self.models)
        if held_out not in (None, "largest", *names) and not unnamed:
            raise ValueError(
                f"fit.hold_out: {held_out!r} is not a model; allowed are null, largest, "
                + ", ".join(names)
            )
        return self

    @property
    def run_path(self) -> str:
        """The run directory as it was asked for."""
        return self.run if self.run is not None else f"runs/{self.name}"

    def to_yaml(self) -> str:
        """Return the resolved sweep, every default spelled out."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))

    def digest(self) -> str:
        """Return a hash of everything that the sweep says."""
        return digest(self.model_dump(mode="json"))


def decoding_of(sweep: Sweep, task: str) -> Decoding:
    """Return how the completions of a task are drawn.

    Its stop strings are those of the task where it names any, else those of `decoding` where it
    names any, else the ones that are published with the task.
    """
    section = next(section for section in sweep.tasks if section.name == task)
    stop = section.stop
    if stop is None:
        stop = sweep.decoding.stop or section.published_stop
    return sweep.decoding.model_copy(update={"stop": stop})


def digest(value: Any, size: int = 8) -> str:
    """Return the hash, in hex, of a JSON value: the same for the same meaning."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e5 is a number, and a key that is given twice an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _scientific(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    number = float(node.value)
    return int(number) if number.is_integer() else number


_Loader.add_constructor("!scientific", _scientific)
_Loader.add_implicit_resolver(
    "!scientific", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, apply `key.sub=value` overrides, and check it.

    Paths inside the file are made absolute, relative to the file's folder. A model whose path has
    a wildcard becomes one model for each folder that matches, called NAME-FOLDER.

    Raises:
        UserError: the file is missing or no YAML, or a value is wrong; names file, field, value
            and what is allowed.
    """
    folder = path.absolute().parent
    return parse(read(path), source=str(path), folder=folder, overrides=overrides)


def read(path: Path) -> Any:
    """Return what a sweep file holds, unchecked; UserError if it cannot be read or is no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such sweep file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise UserError(
            f"{path}: {where}not valid YAML ({getattr(error, 'problem', error)})"
        ) from None


def parse(
    values: Any, *, source: str, folder: Path | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Check plain values (as YAML gives them) and return the sweep; errors as in `load`.

    Without a folder, paths are left as they are.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{source}: must hold a mapping with name, models and tasks")
    plain = _plain(values)
    plain = {key: value for key, value in plain.items() if key != "passlaw"}
    for override in overrides:
        _override(plain, override)
    _fill_kinds(plain)
    if folder is not None:
        wildcards.expand(plain, folder, source)
    try:
        sweep = Sweep.model_validate(plain)
    except ValidationError as error:
        raise UserError(f"{source}: {_describe(error)}") from None
    return _absolute(sweep, folder) if folder is not None else sweep


def _plain(value: Any) -> Any:
    """Return a copy in JSON's types: YAML also knows dates, which are text to us."""
    return json.loads(json.dumps(value, default=str))


def _override(values: dict[str, Any], override: str) -> None:
    """Set one value by its dotted key; list items by position or by their name."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"-o {override}: must look like key.sub=value")
    *parents, last = key.split(".")
    at: Any = values
    for parent in parents:
        if isinstance(at, list):
            at = at[_position(at, parent, override)]
        elif isinstance(at, dict):
            at = at.setdefault(parent, {})
        else:
            raise UserError(f"-o {override}: {parent} is not a section")
    try:
        value = _plain(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", error)
        raise UserError(f"-o {override}: the value is not valid YAML ({problem})") from None
    if isinstance(at, list):
        at[_position(at, last, override)] = value
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise UserError(f"-o {override}: {'.'.join(parents)} is not a section")


def _position(items: list[Any], key: str, override: str) -> int:
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    for at, item in enumerate(items):
        if isinstance(item, dict) and str(item.get("name")) == key:
            return at
    raise UserError(f"-o {override}: there is no item {key!r}; use a position from 0 or a name")


def _fill_kinds(values: dict[str, Any]) -> None:
    """Name the default engine, source and allocation, so that errors speak of one kind only."""
    engine = values.pop("engine", "transformers")  # of every model that names none of its own
    for model in _mappings(values.get("models")):
        model.setdefault("engine", engine)
    for task in _mappings(values.get("tasks")):
        read = "path" in task or "dataset" in task
        task.setdefault("source", "file" if read else "arithmetic")
    allocation = values.get("allocation")
    if isinstance(allocation, dict):
        allocation.setdefault("kind", "fixed" if "n" in allocation else "until")


def _mappings(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _describe(wrong: ValidationError) -> str:
    """Say the first error in a line: field, what is wrong, the value, what is allowed."""
    # A misspelt key also leaves its section without the right one: the misspelling comes first.
    error = min(wrong.errors(), key=lambda error: error["type"] != "extra_forbidden")
    location = [part for part in error["loc"] if part not in _TAGGED]
    field = ".".join(str(part) for part in location)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = ", ".join(_allowed_keys(tuple(error["loc"][:-1])))
        return f"{field}: unknown key; allowed here are {allowed}"
    if kind == "missing":
        return f"{field}: required, but missing"
    if kind == "union_tag_invalid":
        tag = str(context["discriminator"]).strip("'")
        return f"{field}.{tag}: is {context['tag']!r}; allowed are {context['expected_tags']}"
    if kind == "value_error" and isinstance(error["input"], Mapping):
        return f"{field}: {context['error']}" if field else str(context["error"])
    message = str(context["error"]) if kind == "value_error" else error["msg"]
    message = message.replace("Input should be", "must be").replace("String should", "must")
    return f"{field}: is {error['input']!r}, {message[0].lower()}{message[1:]}"


_TAGGED: Mapping[str, type[Section]] = {
    "transformers": TransformersEngine,
    "vllm": VLLMEngine,
    "openai": OpenAIEngine,
    "replay": ReplayEngine,
    "simulated": SimulatedEngine,
    "python": PythonEngine,
    "arithmetic": ArithmeticTask,
    "file": FileTask,
    "gsm8k": GSM8KTask,
    "math": MathTask,
    "humaneval": HumanEvalTask,
    "mbpp": MBPPTask,
    "multiple_choice": MultipleChoiceTask,
    "fixed": FixedAllocation,
    "until": UntilAllocation,
}
_SECTIONS: Mapping[str, type[Section]] = {
    "decoding": Decoding,
    "fit": Fit,
    "verification": Verification,
    "resources": Resources,
    "tracking": Tracking,
    **_TAGGED,
}


def _allowed_keys(location: tuple[str | int, ...]) -> list[str]:
    section: type[Section] = Sweep
    for part in location:
        section = _SECTIONS.get(str(part), section)
    return list(section.model_fields)


def _absolute(sweep: Sweep, folder: Path) -> Sweep:
    """Resolve the paths of inputs against the sweep file's folder."""
    models = tuple(
        model.model_copy(update={"path": str(folder / model.path)})
        if isinstance(model, TransformersEngine) and _is_local(model.path, folder)
        else model
        for model in sweep.models
    )
    tasks = tuple(
        task if isinstance(task, ArithmeticTask) else _read_from(task, folder)
        for task in sweep.tasks
    )
    return sweep.model_copy(update={"models": models, "tasks": tasks})


def _read_from(task: ReadTask, folder: Path) -> ReadTask:
    """Resolve where a task is read; a data set is a folder where it begins with a dot."""
    if task.path is not None and "://" not in task.path:
        return task.model_copy(update={"path": str(folder / task.path)})
    if task.dataset is not None and task.dataset.startswith("."):
        return task.model_copy(update={"dataset": str(folder / task.dataset)})
    return task


def _is_local(path: str, folder: Path) -> bool:
    """Whether a model's path is a folder rather than a ladder rung or a name on the hub."""
    if path.startswith("ladder:"):
        return False
    return path.startswith((".", "/", "~")) or path.count("/") != 1 or (folder / path).exists()
