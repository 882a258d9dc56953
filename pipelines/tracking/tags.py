"""Tags by which runs are found: what was sampled, how, on what, and from which configuration.

Knows the sweep; not MLflow. On a parent, whose values are many, a tag lists them between commas
(`,3k,7k,`), so that one is found by `LIKE '%,3k,%'`. To search:

    tags.`passlaw.kind` = 'cell' AND tags.`passlaw.task` = 'gsm8k' AND metrics.parameters > 1e9
    tags.`passlaw.kind` = 'invocation' AND tags.`passlaw.models` LIKE '%,llama-8b,%'
    tags.`passlaw.git_commit` LIKE '1a2b3c%' AND tags.`passlaw.git_dirty` = 'false'
    tags.`passlaw.model_family` = 'Llama-3.1' AND tags.`passlaw.allocation` = 'until'
"""

import re
from collections.abc import Iterable
from typing import Any

from pipelines.store import RunTables
from pipelines.sweeps.config import Sweep, digest

_SIZE = re.compile(r"[-_.]?(?<![A-Za-z0-9])\d+(\.\d+)?[kmbt](?![A-Za-z0-9])", re.IGNORECASE)
_SEED = re.compile(r"[-_.]?\b(seed|step)[-_]?\d+\b", re.IGNORECASE)


def common(tables: RunTables) -> dict[str, str]:
    """Return the tags of the invocation, which its cells have too."""
    sweep = tables.sweep
    return {
        "mlflow.source.name": "passlaw",
        "mlflow.source.type": "LOCAL",
        "passlaw.version": tables.version,
        "passlaw.sweep": sweep.name,
        "passlaw.config": config_digest(sweep),
        "passlaw.allocation": str(sweep.allocation.kind),
    }


def invocation(tables: RunTables) -> dict[str, str]:
    """Return what the parent has of its own."""
    sections = [model for model in tables.sweep.models if model.name in _models(tables)]
    tags = {
        "passlaw.kind": "invocation",
        "passlaw.models": _listed(section.name for section in sections),
        "passlaw.model_families": _listed(filter(None, map(family, sections))),
        "passlaw.tasks": _listed(tables.counts["task"].unique(maintain_order=True)),
        "passlaw.engines": _listed(section.engine for section in sections),
    }
    return {name: value for name, value in tags.items() if value}


def cell(tables: RunTables, model: str, task: str) -> dict[str, str]:
    """Return what the run of one model on one task has of its own."""
    section = next((each for each in tables.sweep.models if each.name == model), None)
    size = tables.parameters.get(model)
    tags = {
        "passlaw.kind": "cell",
        "passlaw.model": model,
        "passlaw.task": task,
        "passlaw.model_family": None if section is None else family(section),
        "passlaw.engine": None if section is None else section.engine,
        "passlaw.parameters": None if size is None else str(size),
    }
    return {name: value for name, value in tags.items() if value is not None}


def config_digest(sweep: Sweep) -> str:
    """Return a hash of what a sweep says of the results: not where they lie or are tracked."""
    return digest(sweep.model_dump(mode="json", exclude={"run", "resources", "tracking"}))


def family(section: Any) -> str | None:
    """Return the family of a model, its name without its size: Llama-3.1-8B is of Llama-3.1.

    Args:
        section: of the sweep; what is sampled (`path` or `model`) says more than what it is called.

    Returns:
        None where a name is nothing but a size.
    """
    source = str(getattr(section, "path", None) or getattr(section, "model", None) or section.name)
    if source.startswith("ladder:"):
        return "ladder"
    name = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    return _SEED.sub("", _SIZE.sub("", name)).strip("-_.") or None


def _models(tables: RunTables) -> set[str]:
    return set(tables.counts["model"].unique())


def _listed(names: Iterable[str]) -> str:
    """Return names, each once, so that each can be searched for with the commas around it."""
    unique = list(dict.fromkeys(names))
    return f",{','.join(unique)}," if unique else ""
