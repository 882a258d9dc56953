"""What every page of passlaw is made of: one file that opens from disk with no network.

Knows templates, charts and the libraries that draw them, not what a page says.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import altair as alt
import jinja2
import vl_convert
from markupsafe import Markup

from pipelines.reporting.charts import number


def render(
    template: str,
    figures: Mapping[str, alt.ConcatChart],
    values: Mapping[str, object],
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> str:
    """Return a page: a template of this folder with its figures by name, values and filters."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, **(filters or {})}
    charts = {name: _embedded(chart) for name, chart in figures.items()}
    return environment.get_template(template).render(
        figures=charts, libraries=Markup(_libraries()), **values
    )


def _libraries() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, which cannot end its own tag."""
    bundle = str(vl_convert.javascript_bundle())  # type: ignore[call-arg] # its stub lacks defaults
    return bundle.replace("</script", "<\\/script")


def _embedded(chart: alt.ConcatChart) -> Markup:
    """Return a chart as JSON that is safe inside a script tag."""
    text = json.dumps(chart.to_dict(validate=False), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
