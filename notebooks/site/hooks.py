"""What MkDocs asks for while it builds the site.

The project's own README files become pages at their paths in the repository, so that their links
hold. Knows MkDocs; not what any page says.
"""

import re
from pathlib import Path
from typing import Any

import gallery
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url
from sources import KEPT_ELSEWHERE, ROOT, commands_page, fitting_names

_FETCHED = "https://unpkg.com/iframe-worker/shim"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are kept elsewhere, the gallery and the commands."""
    for name in KEPT_ELSEWHERE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name, content in gallery.files().items():
        files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Put in what code lists, and name files of the repository that are no pages of the site."""
    source = page.file.src_uri
    if source == "api/fitting.md":
        markdown = markdown.replace("<!-- names -->", "\n\n".join(fitting_names()))
    if source not in KEPT_ELSEWHERE:
        return markdown
    folder = Path(source).parent

    def named(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        if "://" in target:
            return link[0]
        path = (ROOT / folder / target).resolve().relative_to(ROOT).as_posix()
        if files.get_file_from_path(path) is not None:
            return f"[{text}]({target}{anchor})"
        return f"{text} (`{path}`)" if path not in text else text

    return _LINK.sub(named, markdown)


def on_post_page(output: str, page: Any, config: MkDocsConfig) -> str:
    """Replace the script that the theme would fetch for its search by the site's own."""
    own = get_relative_url("search-from-disk.js", page.url)
    return output.replace(_FETCHED, own)
