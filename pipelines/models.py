"""What a sweep's models are on this machine: where, how large, and which bytes exactly.

Reads checkpoint headers; never loads a model.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa

from pipelines import ladder
from pipelines.errors import UserError
from pipelines.store import Store
from pipelines.stored_run import StoredModel
from pipelines.sweeps.config import Sweep, decoding_of, digest
from pipelines.sweeps.engine_sections import (
    ImportedEngine,
    Model,
    OpenAIEngine,
    PythonEngine,
    ReplayEngine,
    SimulatedEngine,
    VLLMEngine,
)

_WHOLE = 64 * 2**20
"""Files up to this size are hashed whole, larger ones by size, beginning and end."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model, found."""

    model: Model
    """Its section of the sweep, with `path` resolved."""
    parameters: int | None
    """None: unknown, as of a model whose samples were imported."""
    fingerprint: str
    """Changes when the weights, the configuration or the tokenizer do."""


def find(model: Model) -> Source:
    """Find a model's files, count its parameters and take its fingerprint.

    Raises:
        UserError: the folder is missing, is no checkpoint, or is damaged; or the model is a name
            on a hub whose size is not given; or the run or module that it comes from is missing.
    """
    if isinstance(model, OpenAIEngine):
        return _served(model)
    if isinstance(model, SimulatedEngine):
        return _simulated(model)
    if isinstance(model, ReplayEngine):
        return _stored(model)
    if isinstance(model, PythonEngine):
        return _from_module(model)
    if isinstance(model, ImportedEngine):
        return imported(model)
    where = f"model {model.name}"
    if model.path.startswith("ladder:"):
        try:
            folder = ladder.checkpoint(model.path.removeprefix("ladder:"))
        except ValueError as error:
            raise UserError(f"{where}: path {model.path}: {error}") from None
    else:
        folder = Path(model.path).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or model.path.startswith("."):
            raise UserError(
                f"{where}: path {folder}: no such folder; give a Hugging Face checkpoint folder, "
                "a name on the hub, or ladder:NAME"
            )
        if model.parameters is None:
            raise UserError(
                f"{where}: parameters: needed for {model.path}, a name on the hub, because its "
                "files are not read before sampling starts"
            )
        return _adapted(
            Source(
                model=model, parameters=model.parameters, fingerprint=digest({"hub": model.path})
            )
        )
    if not (folder / "config.json").is_file():
        raise UserError(f"{where}: {folder} has no config.json; it is no Hugging Face checkpoint")
    weights = sorted(folder.glob("*.safetensors"))
    counted = sum(_parameters(path, where) for path in weights)
    parameters = model.parameters or counted
    if not parameters:
        raise UserError(
            f"{where}: parameters: needed, because {folder} has no .safetensors to count them in"
        )
    return _adapted(
        Source(
            model=model.model_copy(update={"path": str(folder)}),
            parameters=parameters,
            fingerprint=_fingerprint(folder),
        )
    )


def check_stored(sweep: Sweep, asked: Mapping[str, pa.Table], least: int) -> None:
    """See that models of the engine `replay` have what a sweep is certain to ask of them.

    Args:
        sweep: what to do.
        asked: problems of each task, schema PROBLEMS.
        least: samples that every problem gets, whatever is seen.

    Raises:
        UserError: a decoding or a prompt differs from what was stored, or there are fewer samples.
    """
    for section in sweep.models:
        if not isinstance(section, ReplayEngine):
            continue
        stored = StoredModel.open(section)
        if stored.store.storage.absolute == Store.at(sweep.run_path).storage.absolute:
            raise UserError(
                f"model {section.name}: run {section.run} is this very run; give another run "
                "directory with -o run=PATH"
            )
        for task in sweep.tasks:
            stored.task(task.name).check(decoding_of(sweep, task.name), asked[task.name], least)


def _adapted(source: Source) -> Source:
    """Join to a checkpoint's fingerprint what its engine changes of the distribution."""
    model = source.model
    if not isinstance(model, VLLMEngine):
        return source
    about = model.drawn_from()
    if model.lora is not None:
        folder = Path(model.lora).expanduser()
        if not (folder / "adapter_config.json").is_file():
            raise UserError(
                f"model {model.name}: lora: {folder} has no adapter_config.json; give the folder "
                "of a LoRA adapter, as peft writes it"
            )
        about["lora"] = _fingerprint(folder)
        model = model.model_copy(update={"lora": str(folder)})
    if not about:
        return source
    return replace(source, model=model, fingerprint=digest([source.fingerprint, about]))


def _simulated(model: SimulatedEngine) -> Source:
    # None: a choice that came later, and was not made.
    about = model.model_dump(
        mode="json", exclude={"samples_per_second", "placement", "logprobs"}, exclude_none=True
    )
    return Source(model=model, parameters=model.parameters, fingerprint=digest(about))


def _served(model: OpenAIEngine) -> Source:
    """Know a served model by its name; not by the address, for servers move."""
    served = {"served": model.model or model.name, "extra_body": model.extra_body}
    return Source(model=model, parameters=model.parameters, fingerprint=digest(served))


def _stored(model: ReplayEngine) -> Source:
    stored = StoredModel.open(model)
    return Source(
        model=model.model_copy(update={"run": stored.store.storage.absolute}),
        parameters=stored.parameters,
        fingerprint=stored.fingerprint,
    )


def imported(model: ImportedEngine) -> Source:
    """Know an imported model by its name: nothing can be drawn from it, so nothing can differ."""
    return Source(
        model=model, parameters=model.parameters, fingerprint=digest({"imported": model.name})
    )


def _from_module(model: PythonEngine) -> Source:
    root = model.factory.partition(":")[0].partition(".")[0]
    here = str(Path.cwd())
    if find_spec(root) is None and PathFinder.find_spec(root, [here]) is None:
        raise UserError(
            f"model {model.name}: factory {model.factory}: there is no module {root}, neither "
            f"installed nor in {here}"
        )
    about = {"factory": model.factory, "options": model.options}
    return Source(model=model, parameters=model.parameters, fingerprint=digest(about))


def _parameters(path: Path, where: str) -> int:
    """Count the numbers in a safetensors file from its header, which must match its size."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            tensors = json.loads(file.read(length))
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        size = path.stat().st_size
        if size != 8 + length + end:
            raise ValueError(f"it has {size} bytes, its header says {8 + length + end}")
        return sum(math.prod(tensor["shape"]) for tensor in tensors.values())
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where}: {path}: corrupt checkpoint ({error}); copy or download it again"
        ) from None


def _fingerprint(folder: Path) -> str:
    state = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or path.suffix == ".md":
            continue
        size = path.stat().st_size
        state.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                state.update(file.read())
            else:
                state.update(file.read(2**20))
                file.seek(-(2**20), 2)
                state.update(file.read())
    return state.hexdigest()
