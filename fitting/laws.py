"""The laws as pure functions, and the table that describes them.

A law knows its equation and its parameters' names; it knows nothing of data, fits or solvers.
Axes: every function broadcasts, so parameters may carry an axis of draws before the axis of x.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

FloatArray = NDArray[np.float64]


def exponentiated_power_law(k: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Coverage after k tries, exp(a k^b) with a < 0 and b < 0 (arXiv 2407.21787, section 3.1)."""
    return np.asarray(np.exp(a * k**b))


def beta_binomial(k: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Coverage after k tries when pass rates are Beta(a, b): 1 - B(a, b+k) / B(a, b).

    Source: arXiv 2410.16377, equation 5; arXiv 2510.05197.
    """
    return np.asarray(-np.expm1(betaln(a, b + k) - betaln(a, b)))


def pass_until_law(
    size: FloatArray, log_c: FloatArray, alpha: FloatArray, model_effect: FloatArray
) -> FloatArray:
    """Pass rate of a model of N parameters, exp(-c N^-alpha) (arXiv 2310.03262, equation 3).

    `model_effect` moves one model off the line on the scale F(N) = log(-log PassUntil(N)); it is
    0 for the law itself and random for the prediction of a model that has not been measured.
    """
    return np.asarray(np.exp(-np.exp(log_c - alpha * np.log(size) + model_effect)))


@dataclass(frozen=True, kw_only=True)
class Law:
    """A row of facts about a law."""

    name: str
    """Its family name, by which a fit refers to it."""
    x: str
    """What it is a function of."""
    parameters: tuple[str, ...]
    """Names of its parameters, in the order in which `function` takes them after x."""
    function: Callable[..., FloatArray]
    equation: str
    source: str


LAWS: Mapping[str, Law] = MappingProxyType(
    {
        law.name: law
        for law in (
            Law(
                name="exponentiated_power_law",
                x="tries",
                parameters=("a", "b"),
                function=exponentiated_power_law,
                equation="coverage(k) = exp(a k^b)",
                source="arXiv 2407.21787",
            ),
            Law(
                name="beta_binomial",
                x="tries",
                parameters=("a", "b"),
                function=beta_binomial,
                equation="coverage(k) = 1 - B(a, b + k) / B(a, b)",
                source="arXiv 2410.16377",
            ),
            Law(
                name="pass_until_law",
                x="parameters of the model",
                parameters=("log_c", "alpha", "model_effect"),
                function=pass_until_law,
                equation="PassUntil(N) = exp(-c N^-alpha)",
                source="arXiv 2310.03262",
            ),
        )
    }
)
