"""What the tables and sentences of all plans share: columns of costs, and numbers in words."""

from dataclasses import asdict
from math import isfinite
from typing import Any

from pipelines.planning.costs import Cost, Costs
from pipelines.planning.plan import Column

_COST_COLUMNS = (
    Column(name="samples", heading="samples", kind="count"),
    Column(name="flops", heading="FLOPs"),
    Column(name="hours", heading="hours"),
    Column(name="usd", heading="USD"),
)


def cost_columns(costs: Costs) -> tuple[Column, ...]:
    """Return the columns of costs that are known; tokens are left to JSON."""
    known = costs.of(1, 1)
    return tuple(each for each in _COST_COLUMNS if getattr(known, each.name) is not None)


def cost_row(cost: Cost) -> dict[str, Any]:
    """Return what a row of a table says of costs; null for what is not known."""
    return asdict(cost)


def cost_said(cost: Cost) -> str:
    """Return ", 1.2e+18 FLOPs, 3.4 hours and 12 USD" of what is known."""
    parts = []
    if cost.flops is not None:
        parts.append(f"{cost.flops:.2g} FLOPs")
    if cost.hours is not None:
        parts.append(f"{cost.hours:.2g} hours")
    if cost.usd is not None:
        parts.append(f"{cost.usd:,.2f} USD")
    if len(parts) > 1:
        parts = [", ".join(parts[:-1]), parts[-1]]
    return f" That costs {' and '.join(parts)}." if parts else ""


def plus_minus(half_width: float) -> str:
    """Return a half-width in words, three digits; an infinite one is none."""
    return f"\u00b1{half_width:.3g}" if isfinite(half_width) else "no interval"
