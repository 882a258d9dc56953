"""What of the site is kept elsewhere in the repository, or made by code: READMEs, names, commands.

Knows files and the command line; not MkDocs.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import click

SITE = Path(__file__).parent
ROOT = SITE.parents[1]
KEPT_ELSEWHERE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "cluster/README.md",
    "fitting/README.md",
    "operators/README.md",
    "pipelines/STORAGE.md",
    "pipelines/engines/README.md",
    "pipelines/ladder/README.md",
    "pipelines/ladder/quickstart.png",
    "tests/chaos/README.md",
    "tests/parity/README.md",
)
"""Pages and pictures of the repository, by their paths in it."""
_ROOMS = {
    "estimators": "What was measured",
    "coverage": "More tries",
    "size": "Larger models",
    "loss": "Loss and benchmarks",
    "budget": "Budgets",
    "planning": "Plans",
    "laws": "Laws",
    "results": "Results",
}
"""The parts of `fitting`, in the order of its page."""


def fitting_names() -> Iterator[str]:
    """Yield the headings and names of `fitting`, by the room that each comes from."""
    tree = ast.parse((ROOT / "fitting" / "__init__.py").read_text(encoding="utf-8"))
    rooms: dict[str, list[str]] = {room: [] for room in _ROOMS}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            names = [alias.name for alias in statement.names]
            rooms[statement.module.split(".")[1]] += names
    for room, names in rooms.items():
        yield f"## {_ROOMS[room]}"
        for name in sorted(names, key=lambda name: (name[0].isupper(), name)):
            yield f"::: fitting.{name}\n    options:\n      heading_level: 3"


def commands_page() -> str:
    """Return the page of all verbs, as `--help` tells them."""
    from pipelines.cli import passlaw

    parts = [
        "# Commands\n",
        "Every verb of `passlaw`, as `--help` tells it. Exit codes: 0 done, 1 finished with named "
        "failures, 2 bad input, 130 interrupted. With `--json` a verb prints one JSON document on "
        "standard output, and all else on standard error.\n",
    ]
    with click.Context(passlaw, info_name="passlaw") as context:
        parts += _help(passlaw, context, level=2)
    return "\n".join(parts)


def _help(group: click.Group, context: click.Context, level: int) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        with click.Context(command, info_name=name, parent=context, max_content_width=88) as inner:
            yield f"{'#' * level} {inner.command_path}\n\n```text\n{command.get_help(inner)}\n```\n"
            if isinstance(command, click.Group):
                yield from _help(command, inner, level + 1)
