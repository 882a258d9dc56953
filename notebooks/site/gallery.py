"""The gallery: pictures of simulated experiments whose truth is known, each with its lines of code.

A picture is a function without arguments that returns a chart; its docstring is what the page says
of it. Knows `fitting`, `operators` and charts; not MkDocs.
"""

import functools
import inspect
import re
from collections.abc import Callable, Mapping

import altair as alt
import numpy as np
import polars as pl
import vl_convert

from fitting import (
    compute_optimal,
    fit_coverage,
    fit_loss_law,
    fit_task_law,
    pass_at_k,
    pass_until,
)
from operators.confidence.calibration import reliability_diagram
from operators.selection.table import selection_table
from pipelines.reporting.charts import INK
from pipelines.reporting.palette import in_the_dark

TEAL, RED, BLUE = "#1a7f78", "#c2410c", "#2563eb"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def coverage_forecast() -> alt.LayerChart:
    """From 100 tries to 10,000.

    200 problems with pass rates from a beta distribution, 100 tries each. The line is what
    `fit_coverage` makes of these counts, its band a 90% interval; the dashed line is the truth,
    which the fit has not seen.
    """
    rates = np.random.default_rng(1).beta(0.3, 3, size=200)
    n, c = 100, np.random.default_rng(2).binomial(100, rates)

    measured = pass_at_k([n] * 200, c, [1, 3, 10, 30, 100], level=0.9)
    k = np.geomspace(1, 10_000, 60)
    law = fit_coverage([n] * 200, c).predict(k, level=0.9)
    truth = [float(np.mean(1 - (1 - rates) ** tries)) for tries in k]

    fitted = pl.DataFrame(
        {"k": k, "coverage": law.estimate, "low": law.low, "high": law.high, "truth": truth}
    )
    points = pl.DataFrame(
        {"k": measured.k, "coverage": measured.estimate, "low": measured.low, "high": measured.high}
    )
    line = alt.Chart(fitted).encode(x=alt.X("k").scale(type="log").title("tries, k"))
    band = line.mark_area(opacity=0.2, color=TEAL).encode(y=alt.Y("low"), y2="high")
    drawn = line.mark_line(color=TEAL).encode(y=alt.Y("coverage").title("coverage, pass@k"))
    true = line.mark_line(color=RED, strokeDash=[5, 4]).encode(y="truth")
    dots = (
        alt.Chart(points).mark_point(color=INK, filled=True, opacity=1).encode(x="k", y="coverage")
    )
    bars = alt.Chart(points).mark_rule(color=INK).encode(x="k", y="low", y2="high")
    return alt.layer(band, true, drawn, bars, dots)


def rare_passes() -> alt.LayerChart:
    """Rare passes.

    2,000 simulated problems for each pass rate, each sampled until 5 tries pass. r / K, the passes
    over the tries that they took, is a fourth too large at r = 5, because the last try is always a
    pass; `pass_until` is not.
    """
    rows = []
    for rate in np.geomspace(1e-5, 0.1, 9):
        tries = 5 + np.random.default_rng(3).negative_binomial(5, rate, size=2_000)
        found = pass_until(n=tries, c=[5] * 2_000, r=5, nth_pass=tries - 1)
        rows.append({"rate": rate, "of it": found.mean.estimate / rate, "by": "pass_until"})
        rows.append({"rate": rate, "of it": np.mean(5 / tries) / rate, "by": "r / K"})
    table = pl.DataFrame(rows).with_columns(pl.col("of it").cast(pl.Float64))
    base = alt.Chart(table).encode(
        x=alt.X("rate").scale(type="log").axis(format="~e").title("true pass rate"),
        y=alt.Y("of it").scale(domain=[0.9, 1.4], zero=False).title("mean estimate / truth"),
        color=alt.Color("by").scale(range=[TEAL, RED]).title(None),
    )
    one = alt.Chart(pl.DataFrame({"one": [1.0]})).mark_rule(color=INK).encode(
        y=alt.Y("one").scale(zero=False)
    )  # fmt: skip
    return alt.layer(one, base.mark_line(), base.mark_point(filled=True, opacity=1))


def next_size() -> alt.LayerChart:
    """The next size.

    80 problems; -log of the pass rate falls as a power of the size, times a scatter between models
    and between problems. The line is `fit_task_law` on five sizes; the open point is the sixth.
    """
    generator = np.random.default_rng(4)
    sizes = np.array([2e6, 7e6, 2e7, 7e7, 2e8, 6e8])
    hardness = generator.normal(0, 0.3, 80)
    scatter = generator.normal(0, 0.05, (6, 1))
    rates = np.exp(-60 * sizes[:, None] ** -0.2 * np.exp(hardness + scatter))
    counts = generator.binomial(2_000, rates)

    law = fit_task_law(sizes[:5], [[2_000] * 80] * 5, list(counts[:5]))
    x = np.geomspace(1e6, 1e9, 60)
    predicted = law.predict(x, level=0.9)

    fitted = pl.DataFrame(
        {"size": x, "rate": predicted.estimate, "low": predicted.low, "high": predicted.high}
    )
    measured = pl.DataFrame(
        {"size": sizes, "rate": counts.mean(axis=1) / 2_000, "seen": ["fitted"] * 5 + ["held out"]}
    )
    axis = alt.X("size").scale(type="log").axis(format="~s").title("parameters")
    line = alt.Chart(fitted).encode(x=axis)
    band = line.mark_area(opacity=0.2, color=TEAL).encode(y="low", y2="high")
    drawn = line.mark_line(color=TEAL).encode(y=alt.Y("rate").title("pass rate"))
    dots = alt.Chart(measured).mark_point(size=70, opacity=1, strokeWidth=2).encode(
        x="size",
        y="rate",
        color=alt.Color("seen").scale(range=[INK, RED]).title(None),
    )  # fmt: skip
    return alt.layer(band, drawn, dots)


def choosing() -> alt.LayerChart:
    """Choosing one of many.

    100 problems, 64 answers each, a score that is right more often than not. Majority levels off
    where the wrong answer is the commonest; best-of-k follows the score; coverage is what perfect
    choosing would reach.
    """
    generator = np.random.default_rng(5)
    rates = np.repeat(generator.beta(1, 2, 100), 64)
    right = generator.random(6_400) < rates
    wrong = generator.choice(["b", "c", "d"], 6_400, p=[0.6, 0.3, 0.1])
    scores = pl.DataFrame(
        {
            "problem_id": np.repeat([f"p{i:03d}" for i in range(100)], 64),
            "answer": np.where(right, "a", wrong),
            "passed": right,
            "completion_tokens": np.full(6_400, 10),
            "score": generator.normal(1.2 * right, 1.0),
        }
    )
    table = selection_table(scores, leave_out=("confidence_informed(score)", "borda(score)"))
    oracle = table.filter(method="majority").select(
        "k", method=pl.lit("oracle: coverage"), estimate="coverage"
    )
    kept = table.filter(pl.col("method").is_in(["majority", "best_of(score)"]))
    curves = pl.concat([kept.select("k", "method", "estimate"), oracle])
    base = alt.Chart(curves).encode(
        x=alt.X("k").scale(type="log", base=2).title("answers, k"),
        y=alt.Y("estimate").scale(zero=False).title("accuracy of the choice"),
        color=alt.Color("method").scale(range=[BLUE, TEAL, RED]).title(None),
    )
    return alt.layer(base.mark_line(), base.mark_point(filled=True, opacity=1))


def calibration() -> alt.LayerChart:
    """Does confidence mean what it says?

    5,000 samples of a model that is surer than it should be. On the dashed line, of those with
    confidence 0.8, 80% are right; bars are 90% intervals.
    """
    generator = np.random.default_rng(6)
    confidence = generator.beta(4, 1.5, 5_000)
    samples = pl.DataFrame(
        {
            "problem_id": np.repeat([f"p{i:03d}" for i in range(500)], 10),
            "confidence": confidence,
            "passed": generator.random(5_000) < confidence**2,
        }
    )
    bins = reliability_diagram(samples, "confidence")
    limits = alt.Scale(domain=[0, 1])
    base = alt.Chart(bins).encode(
        x=alt.X("confidence").scale(limits).title("confidence"),
        y=alt.Y("passed").scale(limits).title("share that is right"),
    )
    ends = pl.DataFrame({"confidence": [0.0, 1.0], "passed": [0.0, 1.0]})
    ideal = alt.Chart(ends).mark_line(color=RED, strokeDash=[5, 4]).encode(
        x="confidence", y="passed"
    )  # fmt: skip
    bars = base.mark_rule(color=INK).encode(y=alt.Y("low").scale(limits), y2="high")
    return alt.layer(ideal, bars, base.mark_point(color=TEAL, filled=True, size=60, opacity=1))


def compute_optimal_split() -> alt.LayerChart:
    """How many parameters, how many tokens.

    40 training runs on a Chinchilla law with 1% noise. The line is the best number of parameters
    for each budget after `fit_loss_law`, with a 90% interval; dots are the runs.
    """
    generator = np.random.default_rng(7)
    params, tokens = 10 ** generator.uniform(7, 10, 40), 10 ** generator.uniform(9, 11.5, 40)
    loss = 1.82 + 482 * params**-0.348 + 2085 * tokens**-0.366
    loss = loss * np.exp(generator.normal(0, 0.01, 40))

    budgets = np.geomspace(1e18, 1e23, 30)
    best = compute_optimal(fit_loss_law(params, tokens, loss, draws=200), budgets, level=0.9)

    fitted = pl.DataFrame(
        {
            "flops": budgets,
            "parameters": best.params.estimate,
            "low": best.params.low,
            "high": best.params.high,
        }
    )
    runs = pl.DataFrame({"flops": 6 * params * tokens, "parameters": params})
    x = alt.X("flops").scale(type="log").axis(format="~e").title("training compute, FLOPs")
    y = alt.Y("parameters").scale(type="log").axis(format="~s").title("parameters")
    line = alt.Chart(fitted).encode(x=x)
    band = line.mark_area(opacity=0.2, color=TEAL).encode(
        y=alt.Y("low").scale(type="log"), y2="high"
    )
    dots = alt.Chart(runs).mark_point(color=INK, opacity=0.5).encode(x="flops", y=y)
    return alt.layer(band, line.mark_line(color=TEAL).encode(y=y), dots)


PICTURES: tuple[Callable[[], alt.LayerChart], ...] = (
    coverage_forecast,
    rare_passes,
    next_size,
    choosing,
    calibration,
    compute_optimal_split,
)


@functools.cache
def files() -> Mapping[str, str]:
    """Return the gallery's page and its pictures, light and dark, by their paths in the site."""
    made: dict[str, str] = {}
    page = [
        "# Gallery\n",
        "Each picture is made while this site is built, by the lines under it, from a simulation "
        "whose truth is known. `alt` is [Altair](https://altair-viz.github.io), `pl` Polars, `np` "
        "NumPy.\n",
    ]
    for picture in PICTURES:
        name = picture.__name__.replace("_", "-")
        light = svg(picture())
        made[f"gallery/{name}-light.svg"] = light
        made[f"gallery/{name}-dark.svg"] = darkened(light)
        title, _, text = inspect.cleandoc(picture.__doc__ or "").partition("\n\n")
        page.append(f"## {title.rstrip('.')} {{ #{name} }}\n\n{text}\n")
        page += [
            f"![{title}](gallery/{name}-{theme}.svg#only-{theme}){{ .picture }}\n"
            for theme in ("light", "dark")
        ]
        page.append(f'??? example "The lines"\n\n{_indented(_lines(picture))}\n')
    made["gallery.md"] = "\n".join(page)
    return made


def svg(chart: alt.LayerChart) -> str:
    """Return a chart as SVG on a clear ground, in the size of the pages."""
    styled = (
        chart.properties(width=540, height=300)
        .configure(background="transparent", font="Helvetica, Arial, sans-serif", padding=6)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor="#e5e9ee", domainColor="#8c959f",
            tickColor="#8c959f", tickCount=6, labelFontSize=11, titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=INK, titleColor=INK, labelFontSize=12, orient="top")
        .configure_view(stroke="#d0d7de")
    )  # fmt: skip
    return str(vl_convert.vegalite_to_svg(styled.to_json()))


def darkened(light: str) -> str:
    """Return an SVG for a dark page: every colour in the counterpart of its own hue."""
    return _COLOUR.sub(lambda colour: in_the_dark(colour[0].lower()), light)


def _lines(picture: Callable[[], alt.LayerChart]) -> str:
    """Return a picture's lines of code, without its docstring."""
    source = inspect.getsource(picture)
    body = source.split('"""')[2].strip("\n")
    return f"```python\n{inspect.cleandoc(body)}\n```"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
