"""The documentation site: what it links to is there, and what it shows works."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from notebooks.site import gallery, sources

PAGES = sources.SITE / "pages"
MADE = {"gallery.md": sources.SITE / "gallery.py", "reference/commands.md": None}
FILES = {
    **{path.relative_to(PAGES).as_posix(): path for path in PAGES.rglob("*") if path.is_file()},
    **{name: sources.ROOT / name for name in sources.KEPT_ELSEWHERE},
}
"""Every file of the site that is written by hand, by its path in the site."""
TEXTS = {name: path.read_text("utf-8") for name, path in FILES.items() if name.endswith(".md")}
OWN = sorted(name for name in TEXTS if name not in sources.KEPT_ELSEWHERE)
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def blocks(name: str, *languages: str) -> list[str]:
    found = _FENCE.findall(TEXTS[name])
    return [
        "\n".join(line.removeprefix(indent) for line in body.splitlines())
        for indent, language, body in found
        if language in languages
    ]


def anchors(text: str) -> set[str]:
    """The ids that headings get, as MkDocs and code hosts make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", _FENCE.sub("", text), re.MULTILINE):
        title, _, given = heading.partition("{ #")
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", title)).strip().lower()
        found.add(given.rstrip(" }") or re.sub(r"[\s-]+", "-", plain))
    return found


@cache
def made(name: str) -> str:
    return gallery.files()[name] if name == "gallery.md" else sources.commands_page()


def links(name: str) -> Iterator[tuple[str, str]]:
    """Each relative link of a page: the path in the site, and the anchor."""
    for target in _LINK.findall(_FENCE.sub("", TEXTS[name])):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        resolved = os.path.normpath(Path(name).parent / path) if path else name
        yield Path(resolved).as_posix(), anchor


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_link_leads_somewhere(name: str) -> None:
    """To a page of the site; from a README of the repository also to another of its files."""
    for path, anchor in links(name):
        known = path in FILES or path in MADE
        assert known or (name not in OWN and (sources.ROOT / path).exists()), path
        if anchor and path.endswith(".md"):
            text = TEXTS[path] if path in TEXTS else made(path)
            assert anchor in anchors(text), f"{path}#{anchor}"


def nav_pages(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from nav_pages(value)
    else:
        for value in node:
            yield from nav_pages(value)


def test_the_navigation_lists_every_page_once() -> None:
    config = yaml.safe_load((sources.SITE / "mkdocs.yml").read_text("utf-8"))
    listed = list(nav_pages(config["nav"]))
    assert sorted(listed) == sorted([*TEXTS, *MADE])


def test_the_reference_has_every_public_name_of_fitting_once() -> None:
    import fitting

    listed = re.findall(r"::: fitting\.(\w+)", "\n".join(sources.fitting_names()))
    assert sorted(listed) == sorted(fitting.__all__)


def commands() -> list[str]:
    texts = [body for name in [*OWN, "README.md"] for body in blocks(name, "sh")]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    plain = {re.split(r"\s(?:#|>|\||&&)", line)[0].strip() for line in lines}
    return sorted(line for line in plain if line.startswith("passlaw "))


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_is_one(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its options are known and their values allowed; the files that it names are there."""
    from pipelines.cli import passlaw

    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line)[1:]
    for word in arguments:
        if re.fullmatch(r"[\w-]+\.(jsonl|csv|parquet|yaml|eval)", word):
            Path(word).touch()
        elif re.fullmatch(r"runs/[\w-]+", word):
            Path(word).mkdir(parents=True, exist_ok=True)
    command: click.Command | None = passlaw
    context = click.Context(passlaw, info_name="passlaw")
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.get_command(context, name)
    assert command is not None, line
    command.make_context(name, arguments, parent=context)


@pytest.mark.parametrize("name", [name for name in OWN if blocks(name, "python")])
def test_the_python_of_a_page_runs(name: str) -> None:
    """From top to bottom, as a reader would paste it."""
    exec(compile("\n".join(blocks(name, "python")), name, "exec"), {"__name__": "page"})


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_what_a_page_imports_is_there(name: str) -> None:
    for body in blocks(name, "python"):
        for statement in ast.walk(ast.parse(body)):
            if isinstance(statement, ast.ImportFrom) and statement.module:
                module = statement.module
                if module.split(".")[0] in ("fitting", "operators", "pipelines"):
                    there = dir(importlib.import_module(module))
                    assert {alias.name for alias in statement.names} <= set(there)


@pytest.mark.parametrize("name", [name for name in OWN if blocks(name, "yaml")])
def test_the_yaml_of_a_page_is_yaml(name: str) -> None:
    for body in blocks(name, "yaml"):
        assert isinstance(yaml.safe_load(body), dict)


@pytest.mark.parametrize("picture", gallery.PICTURES, ids=lambda picture: picture.__name__)
def test_each_picture_is_drawn_light_and_dark(picture: Any) -> None:
    name = picture.__name__.replace("_", "-")
    light, dark = (gallery.files()[f"gallery/{name}-{theme}.svg"] for theme in ("light", "dark"))
    assert light.count("mark-") >= 2
    assert gallery.INK in light
    assert gallery.INK not in dark
    assert picture.__doc__.splitlines()[0].rstrip(".") in gallery.files()["gallery.md"]


def test_the_lines_under_a_picture_make_it() -> None:
    """With the three imports that the page names, and what these lines import from the project."""
    lines = gallery.files()["gallery.md"].split("```python\n")[1].split("```")[0]
    names = {name: getattr(gallery, name) for name in dir(gallery) if not name.startswith("_")}
    body = "def again():\n" + "".join(f"    {line}\n" for line in lines.splitlines())
    exec(body, names)
    assert names["again"]().to_dict() == gallery.PICTURES[0]().to_dict()


def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    """Every page is there, without a warning, and names no script, style or font of elsewhere."""
    pytest.importorskip("mkdocs", reason="MkDocs is in the dependency group `docs`")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path),
         "--config-file", str(sources.SITE / "mkdocs.yml")],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(sources.ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in [*TEXTS, *MADE]:
        page = re.sub(r"(README|index)\.md$", "index.md", name).removesuffix(".md") + ".html"
        html = (tmp_path / page).read_text("utf-8")
        fetched = re.findall(
            r"<(?:script|img|link|iframe)[^>]*\b(?:src|href)=\"?(https?:[^\"> ]+)", html
        )
        assert fetched == [], name
