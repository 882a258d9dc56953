"""What every page of passlaw is made of: one file that opens from disk with no network.

Knows templates, and how a page is protected, coloured and listed; not what it says. A page draws
without scripts; those add tooltips, sorting and the choice of light or dark. It may load nothing,
and runs no script but these: its policy names them by hash, so text from a model cannot add one.
"""

import base64
import hashlib
import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import jinja2
from markupsafe import Markup

from pipelines.reporting.charts import number
from pipelines.reporting.drawing import draw
from pipelines.reporting.palette import in_the_dark

_CONTENTS = "<!-- contents -->"
_TEMPLATES = (Path(__file__).parent,)


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What the frame around a page needs."""

    theme_script: Markup
    """Runs before the page is seen: light or dark, as chosen before."""
    page_script: Markup
    policy: str
    """What the page may load and run."""
    palette: Markup
    """The colours of the charts in both modes, as CSS."""
    contents: Markup = Markup(_CONTENTS)  # noqa: RUF009 # Markup cannot be changed


def render(
    template: str,
    figures: Mapping[str, alt.ConcatChart],
    values: Mapping[str, object],
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> str:
    """Return a page.

    Args:
        template: a file of this folder that extends `parts/frame.jinja`.
        figures: charts by name; the template sets one with the macro `figure`.
        values: what the template says.
        filters: its own, beside `number`.
    """
    environment = _environment()
    environment.filters |= {"number": number, **(filters or {})}
    drawings = {name: draw(name, chart) for name, chart in figures.items()}
    environment.globals["figures"] = drawings
    colours = {colour for drawing in drawings.values() for colour in drawing.colours}
    frame = _frame(environment, colours)
    return _listed(environment.get_template(template).render(frame=frame, **values))


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _frame(environment: jinja2.Environment, colours: Iterable[str]) -> _Frame:
    loader = environment.loader
    assert loader is not None
    theme, page = (
        loader.get_source(environment, f"parts/{name}.js")[0] for name in ("theme", "page")
    )
    scripts = " ".join(f"'sha256-{_hash(script)}'" for script in (theme, page))
    pairs = "".join(f"--c-{each[1:]}:light-dark({each},{in_the_dark(each)});"
                    for each in sorted(colours))  # fmt: skip
    return _Frame(
        theme_script=Markup(theme),
        page_script=Markup(page),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'",
        palette=Markup(f"@supports (color:light-dark(#000,#fff)){{:root{{{pairs}}}}}"),
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _listed(page: str) -> str:
    """Return a page whose sections have names, and are listed where the frame has its contents."""
    entries: list[str] = []

    def name(heading: re.Match[str]) -> str:
        words = html.unescape(re.sub(r"<[^>]*>", "", heading[1])).strip()
        # The number keeps two sections of one title, and all other names in the page, apart.
        key = f"{len(entries) + 1}-{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')}"
        entries.append(f'<li><a href="#{key}">{html.escape(words)}</a></li>')
        return f'<h2 id="{key}">{heading[1]}</h2>'

    page = re.sub(r"<h2>(.*?)</h2>", name, page, flags=re.DOTALL)
    return page.replace(_CONTENTS, f"<ul>{''.join(entries)}</ul>" if entries else "", 1)
