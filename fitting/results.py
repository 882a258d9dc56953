"""What estimators and fits hand back: frozen records that say how sure they are and how they ended.

Knows the laws' equations (to predict from a fitted one), not how any of them was fitted.
Axes: B draws, D parameters, X points.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fitting.laws import LAWS, FloatArray


class Status(Enum):
    """How a fit ended, in a sentence that says what to do about it."""

    CONVERGED = "The fit converged."
    AT_BOUND = (
        "A parameter ran to its bound: the data fix only a limit of this law. "
        "Read its curve inside the data; do not extrapolate it."
    )
    NOT_CONVERGED = (
        "The solver stopped before its gradient vanished. Do not use this fit; "
        "check the counts for problems that all pass or all fail."
    )
    NO_PASSES = "No sample passed, so there is nothing to fit. Raise the cap on tries."
    NO_FAILURES = "Every sample passed, so there is nothing to fit. Use harder problems."
    TOO_FEW_MODELS = (
        "The model sizes that both passed and failed are not more than the law's parameters. "
        "Measure at least three such sizes."
    )
    TOO_FEW_POINTS = (
        "Coverage is measured at fewer than three numbers of tries. Draw more samples per problem."
    )

    @property
    def usable(self) -> bool:
        """Whether the fit may be read at all."""
        return self in (Status.CONVERGED, Status.AT_BOUND)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Point estimates with an interval; the arrays have one shape."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    level: float
    """The probability that the interval is meant to have of holding the truth."""


@dataclass(frozen=True, kw_only=True)
class FittedLaw:
    """A law with the parameters that data gave it."""

    kind: str
    """"coverage" (a function of tries) or "task" (a function of model size)."""
    family: str
    """The law's name in `fitting.laws.LAWS`."""
    params: Mapping[str, float]
    draws: FloatArray = field(repr=False)
    """[B, D] joint draws of the parameters: bootstrap fits, or a posterior sample. Empty when the
    fit is not usable."""
    x_low: float
    x_high: float
    """The range of x that the data covered; outside it, predictions are extrapolations."""
    goodness: Mapping[str, float]
    """Named measures of fit; NaN where one is not defined."""
    status: Status

    def predict(self, x: ArrayLike, level: float = 0.9) -> Estimate:
        """Return the law at `x` with the interval that its draws give.

        Args:
            x: tries (coverage laws) or model sizes in parameters (task laws), any shape, > 0.
            level: probability of the interval, in (0, 1).

        Returns:
            Values in [0, 1], shaped like `x`; the interval is NaN when there are no draws. For a
            task law the interval is for the measured rate of a *new model* of that size, so it
            includes the scatter between models.

        Raises:
            ValueError: `x` is not positive, `level` is outside (0, 1), or the fit is not usable.
        """
        if not self.status.usable:
            raise ValueError(f"{self.kind} law {self.family} cannot predict. {self.status.value}")
        at = np.asarray(x, dtype=np.float64)
        if np.any(~(at > 0)):
            raise ValueError(f"x must be positive, got {at[~(at > 0)].flat[0]}")
        check_level(level)
        law = LAWS[self.family]
        estimate = law.function(at, *(np.float64(self.params[name]) for name in law.parameters))
        if not self.draws.size:
            unknown = np.full(at.shape, np.nan)
            return Estimate(estimate=estimate, low=unknown, high=unknown, level=level)
        columns = self.draws.T.reshape(len(law.parameters), -1, *(1,) * at.ndim)
        curves = law.function(at, *columns)
        tail = (1 - level) / 2
        low, high = np.quantile(curves, [tail, 1 - tail], axis=0)
        return Estimate(estimate=estimate, low=low, high=high, level=level)

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Return the marginal interval of one parameter (NaN, NaN when there are no draws)."""
        check_level(level)
        column = LAWS[self.family].parameters.index(name)
        if not self.draws.size:
            return (float("nan"), float("nan"))
        tail = (1 - level) / 2
        low, high = np.quantile(self.draws[:, column], [tail, 1 - tail])
        return (float(low), float(high))

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values that `from_dict` reads back (and JSON can carry)."""
        return {
            "kind": self.kind,
            "family": self.family,
            "params": dict(self.params),
            "draws": self.draws.tolist(),
            "x_low": self.x_low,
            "x_high": self.x_high,
            "goodness": dict(self.goodness),
            "status": self.status.name,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FittedLaw":
        """Rebuild a law from `to_dict`; raises KeyError or TypeError on anything else."""
        width = len(LAWS[values["family"]].parameters)
        draws = np.asarray(values["draws"], dtype=np.float64).reshape(-1, width)
        return cls(**{**values, "draws": draws, "status": Status[values["status"]]})


def check_level(level: float) -> None:
    """Raise ValueError unless `level` is a probability strictly between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
