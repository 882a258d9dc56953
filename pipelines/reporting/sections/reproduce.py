"""How to do it again: the commands, the sweep, the versions, and what to cite.

Knows what sampling recorded; not how it is run.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from pipelines.reporting.sections.section import Row, Section
from pipelines.store import RunTables

_SOURCES = {
    "coverage": (
        "Coverage (pass@k) and its unbiased estimator: Chen et al., Evaluating Large Language "
        "Models Trained on Code, arXiv 2107.03374",
        "Laws of coverage over tries: Brown et al., Large Language Monkeys, arXiv 2407.21787",
    ),
    "task": (
        "PassUntil, the law of size and emergence: Hu et al., Predicting Emergent Abilities with "
        "Infinite Resolution Evaluation, arXiv 2310.03262",
    ),
}
"""What the laws of each kind rest on."""


def section(tables: RunTables, recorded: Mapping[str, Any]) -> Section:
    """Return the part on doing it again; `recorded` is what sampling left in sweep.yaml."""
    fitted = set(tables.laws["kind"])
    return Section(
        name="reproduce",
        title="How to do it again",
        values={
            "commands": _commands(tables, recorded),
            "imported": _is_imported(tables),
            "versions": _versions(tables, recorded),
            "models": _models(tables, recorded),
            "tracked": tables.sweep.tracking.enabled,
            "sources": [text for kind in _SOURCES if kind in fitted for text in _SOURCES[kind]],
        },
    )


def _is_imported(tables: RunTables) -> bool:
    return tables.sweep.allocation.kind == "imported"


def _commands(tables: RunTables, recorded: Mapping[str, Any]) -> list[str]:
    again = f"{tables.run}-again"
    if _is_imported(tables):
        imports = recorded.get("imported", {}).get("imports", [])
        taken = [
            f"passlaw import {shlex.join([*each['files'], *each['options']])} "
            f"--run {shlex.quote(again)}"
            for each in imports
        ]
        return [*taken, *(f"passlaw {verb} {shlex.quote(again)}" for verb in ("fit", "report"))]
    return [
        f"passlaw run sweep.yaml -o run={shlex.quote(again)}",
        f"passlaw report {shlex.quote(tables.run)}",
    ]


def _versions(tables: RunTables, recorded: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what names the run, as pairs of a label and a text."""
    engines = [name for name in dict.fromkeys(tables.costs["engine"]) if name]
    pairs = {
        "Run": tables.run,
        "Sweep": tables.sweep.name,
        "Hash of the sweep": recorded.get("sweep") or tables.sweep.digest(),
        "Seed": str(tables.sweep.seed),
        "passlaw, for this page": tables.version,
        "passlaw, for the samples": recorded.get("version"),
        "Engines": "; ".join(engines),
    }
    return [(label, str(text)) for label, text in pairs.items() if text]


def _models(tables: RunTables, recorded: Mapping[str, Any]) -> list[Row]:
    """Return each model with its size and the fingerprint of its files."""
    known = recorded.get("models", {})
    return [
        {
            "name": model.name,
            "engine": model.engine,
            "parameters": tables.parameters.get(model.name),
            "fingerprint": known.get(model.name, {}).get("fingerprint"),
        }
        for model in tables.sweep.models
    ]
