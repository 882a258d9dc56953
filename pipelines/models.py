"""What a sweep's models are on this machine: where, how large, and which bytes exactly.

Reads checkpoint headers; never loads a model.
"""

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from pipelines import ladder
from pipelines.config import digest
from pipelines.engine_sections import (
    Model,
    OpenAIEngine,
    PythonEngine,
    ReplayEngine,
    SimulatedEngine,
)
from pipelines.errors import UserError

_WHOLE = 64 * 2**20
"""Files up to this size are hashed whole, larger ones by size, beginning and end."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model, found."""

    model: Model
    """Its section of the sweep, with `path` resolved."""
    parameters: int
    fingerprint: str
    """Changes when the weights, the configuration or the tokenizer do."""


def find(model: Model) -> Source:
    """Find a model's files, count its parameters and take its fingerprint.

    Raises:
        UserError: the folder is missing, is no checkpoint, or is damaged; or the model is a name
            on a hub whose size is not given.
    """
    if isinstance(model, OpenAIEngine | ReplayEngine | PythonEngine):
        raise UserError(f"model {model.name}: engine {model.engine} is not there yet")
    if isinstance(model, SimulatedEngine):
        about = model.model_dump(mode="json", exclude={"samples_per_second"})
        return Source(model=model, parameters=model.parameters, fingerprint=digest(about))
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
        return Source(
            model=model, parameters=model.parameters, fingerprint=digest({"hub": model.path})
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
    return Source(
        model=model.model_copy(update={"path": str(folder)}),
        parameters=parameters,
        fingerprint=_fingerprint(folder),
    )


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
