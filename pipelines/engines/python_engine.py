"""Engines of users' own: the object that `factory: module:callable` returns.

Knows how to import it and what it must have; not what it draws from.
"""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines.engines.protocol import Engine
from pipelines.errors import UserError
from pipelines.sweeps.engine_sections import PythonEngine

_VERBS = ("generate", "likelihood", "unique_tokens", "facts", "close")


def build(model: PythonEngine) -> Engine:
    """Import a sweep's factory and have it build the engine.

    Raises:
        UserError: the module or the callable is not there, either of them fails, or what it
            returns is no engine.
    """
    where = f"model {model.name}: factory {model.factory}"
    module_name, _, name = model.factory.partition(":")
    factory = _named(_imported(module_name, where), name, where)
    try:
        engine = factory(model)
    except UserError:
        raise
    except Exception as error:  # whatever a user's code raises
        raise UserError(f"{where}: failed ({_described(error)})") from None
    missing = [verb for verb in _VERBS if not callable(getattr(engine, verb, None))]
    if not isinstance(getattr(engine, "concurrent", None), bool):
        missing.append("concurrent")
    if missing:
        raise UserError(
            f"{where}: returned {type(engine).__name__}, which has no {', '.join(missing)}; return "
            "an object of a class that inherits from pipelines.engines.protocol.Engine"
        )
    built: Engine = engine
    return built


def _imported(name: str, where: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # last: a user's file must not hide what others import
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{where}: there is no module {error.name}, neither installed nor in {folder}"
            ) from None
        raise UserError(f"{where}: {name} imports {error.name}, which is not installed") from None
    except Exception as error:  # whatever a user's code raises
        raise UserError(f"{where}: {name} cannot be imported ({_described(error)})") from None


def _named(module: ModuleType, name: str, where: str) -> Callable[[PythonEngine], Any]:
    factory = getattr(module, name, None)
    if not callable(factory):
        found = "is no function or class" if hasattr(module, name) else "is not there"
        raise UserError(f"{where}: {name} {found} in {module.__file__ or module.__name__}")
    return factory  # type: ignore[no-any-return]  # callable() does not say of what


def _described(error: BaseException) -> str:
    """Return an error's type, first line and place, in one line."""
    lines = str(error).strip().splitlines()
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return f"{text}, in {Path(place.filename).name} line {place.lineno}"
