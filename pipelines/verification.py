"""A sweep's verifier: its limits, and whether this machine may run the programs it would judge."""

import hashlib
from collections.abc import Mapping
from typing import Any

from operators.isolation import sandbox, workers
from operators.isolation.sandbox import isolation_problem
from operators.verification.asked import PROGRAMS
from operators.verification.rules import RULES
from operators.verification.verify import Verifier
from pipelines.errors import UserError
from pipelines.run import Run
from pipelines.sweeps.config import Verification
from pipelines.units import Unit

_MIB = 2**20
_SCORING = 2
"""Raised when the same samples and answers would be scored otherwise than before."""
_FACTS = ("verifier", "answer", "verifier_options", "tests")
RECORDED_VERIFIER = "recorded"
"""The verifier of problems whose verdicts came with imported samples."""
UNISOLATED = "verification.run_untrusted_programs_without_isolation"


def verifier_of(section: Verification) -> Verifier:
    """Return a verifier with a sweep's limits; it starts processes when it needs them."""
    return Verifier(
        processes=section.workers,
        limits=workers.Limits(
            wall_seconds=section.math_seconds, memory_bytes=section.math_memory_mib * _MIB
        ),
        program_limits=sandbox.Limits(
            wall_seconds=section.program_seconds, memory_bytes=section.program_memory_mib * _MIB
        ),
        program_packages=section.program_packages,
        unisolated_programs=section.run_untrusted_programs_without_isolation,
    )


def scoring_key(
    unit: Unit, problems: Mapping[str, Mapping[str, Any]], section: Verification
) -> str:
    """Return how a unit's samples are scored.

    Changes with the answers and verifiers of its problems, and with the limits where they matter:
    a higher one may decide what was undecided. Verdicts that were recorded elsewhere stay.
    """
    if all(problems[name]["verifier"] == RECORDED_VERIFIER for name in unit.problems):
        return RECORDED_VERIFIER
    rows = [(name, *(problems[name].get(fact) for fact in _FACTS)) for name in unit.problems]
    limited = any(problems[name]["verifier"] not in RULES for name in unit.problems)
    limits = section.model_dump_json(exclude={"workers"}) if limited else ""
    text = repr((_SCORING, rows, limits))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def refuse_unisolated(run: Run) -> None:
    """Raise UserError if a task's answers are programs that nothing here would isolate."""
    if run.sweep.verification.run_untrusted_programs_without_isolation:
        return
    for task in run.sweep.tasks:
        if not set(run.problems[task.name]["verifier"].to_pylist()).isdisjoint(PROGRAMS):
            problem = isolation_problem()
            if problem is not None:
                raise UserError(
                    f"task {task.name}: its answers are programs, which run only in isolation: "
                    f"{problem}; or set {UNISOLATED}: true if you trust the model with this machine"
                )
            return
