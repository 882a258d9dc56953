"""Build cluster/Dockerfile without Docker: its COPY and RUN steps in a fresh virtual environment.

    python tests/cluster/build_without_docker.py FOLDER [ARG=VALUE ...]

Takes minutes, so no test calls it. Steps that change the system (apt-get, useradd) are named and
left out. What was built is then asked for `passlaw doctor`, and draws a small simulated run.
"""

import fnmatch
import json
import os
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
OF_THE_SYSTEM = ("apt-get", "useradd")
SWEEP = {
    "name": "small",
    "models": [{"engine": "simulated", "name": "one", "parameters": 1000, "rate": 0.2}],
    "tasks": [{"name": "sums", "path": "problems.jsonl"}],
    "allocation": {"n": 20},
    "tracking": {"enabled": False},
}


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Yield each instruction with its arguments, comments left out and long lines joined."""
    lines = [
        line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, _, arguments = line.strip().partition(" ")
            yield instruction, arguments.strip()


def sent(path: str) -> bool:
    """Whether the builder gets a file of the project: the last pattern that matches decides."""
    found = True
    for pattern in (ROOT / "cluster" / "Dockerfile.dockerignore").read_text().split("\n"):
        wanted, name = pattern.startswith("!"), pattern.removeprefix("!")
        if name and not name.startswith("#") and fnmatch.fnmatch(path, name):
            found = wanted
    return found


def build(folder: Path, arguments: dict[str, str]) -> dict[str, str]:
    """Follow the Dockerfile into `folder`; return the environment of what it built."""
    venv.create(folder / "venv", with_pip=True)
    source = folder / "src"
    source.mkdir()
    # Of this machine's environment only how pip finds packages here.
    here = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment = here | {
        "PATH": f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
    }
    for instruction, text in instructions(ROOT / "cluster" / "Dockerfile"):
        if instruction in ("ARG", "ENV"):
            for setting in shlex.split(text):
                name, _, value = setting.partition("=")
                environment[name] = arguments.get(name, value) if instruction == "ARG" else value
        elif instruction == "COPY":
            *names, _ = text.split()
            for name in names:
                assert sent(name), f"{name} is copied, but Dockerfile.dockerignore leaves it out"
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / name)
                else:
                    shutil.copy(ROOT / name, source / name)
        elif instruction == "RUN":
            if any(word in text.split() for word in OF_THE_SYSTEM):
                print("left out:", text)
                continue
            print("run:", text, flush=True)
            shell = ["/bin/bash", "-o", "pipefail", "-c", text]
            subprocess.run(shell, cwd=source, env=environment, check=True)
    return environment


def use(folder: Path, environment: dict[str, str]) -> None:
    """Ask what was built what it can do, and have it draw a run."""
    work = folder / "work"
    work.mkdir()
    problems = [{"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": f"{i + 1}"} for i in (1, 2)]
    (work / "problems.jsonl").write_text("\n".join(map(json.dumps, problems)))
    (work / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    for command in ("passlaw doctor", "passlaw run sweep.yaml", "passlaw status runs/small"):
        ended = subprocess.run(command.split(), cwd=work, env=environment, check=False)
        print(f"{command}: exit code {ended.returncode}", flush=True)


if __name__ == "__main__":
    place, *settings = sys.argv[1:]
    target = Path(place).absolute()
    target.mkdir(parents=True)
    use(target, build(target, dict(setting.split("=", 1) for setting in settings)))
