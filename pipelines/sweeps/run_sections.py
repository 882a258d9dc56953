"""Sections of a sweep that say how samples are drawn, counted, verified and kept.

Knows their fields and ranges; not models and tasks, nor how the sections fit together.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from pipelines.sweeps.refusal import MisfitError
from pipelines.sweeps.section import Section


class Decoding(Section):
    """How completions are drawn from a model's distribution."""

    temperature: float = Field(default=1.0, ge=0, le=100)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Only the likeliest tokens that together have this probability are drawn; 1: all."""
    top_k: int | None = Field(default=None, ge=1)
    """Only so many of the likeliest tokens are drawn; None: all."""
    max_tokens: int = Field(default=256, ge=1)
    """Where a completion is cut off."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), strict=False)
    """A completion ends before the first of these. Where empty, a task's published ones hold."""


class FixedAllocation(Section):
    """The same number of samples for every problem."""

    kind: Literal["fixed"]
    n: int = Field(ge=1)
    """Samples of each problem."""


class UntilAllocation(Section):
    """Samples until r have passed, at most a cap; decided at the ends of complete rounds."""

    kind: Literal["until"] = "until"
    r: int = Field(default=5, ge=2)
    """Passes that settle a problem. After one pass no unbiased estimate exists, so at least 2."""
    cap: int = Field(default=100_000, ge=1)
    """Most samples of a problem, however few passed."""
    first_round: int = Field(default=1_000, ge=1)
    """Samples of each problem before it is first looked at."""
    growth: float = Field(default=2.0, ge=1.1)
    """Each round ends at this multiple of the samples of the one before."""


class ImportedAllocation(Section):
    """What was imported, and no more: each problem has the samples or counts that came with it."""

    kind: Literal["imported"]


Allocation = Annotated[
    FixedAllocation | UntilAllocation | ImportedAllocation, Field(discriminator="kind")
]


CoverageFamily = Literal[
    "auto",
    "exponentiated_power_law",
    "beta_binomial",
    "zero_inflated_beta",
    "scaled_beta",
    "kumaraswamy",
    "logit_normal",
    "npmle",
]
"""The families of `fitting.fit_coverage`, said again so that reading a sweep does not load them."""


class Fit(Section):
    """What is estimated from the counts."""

    k: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(default=None, strict=False)
    """Tries at which coverage is reported; None spaces them evenly up to what was measured."""
    family: CoverageFamily = "auto"
    """How pass rates are taken to differ between problems; auto weighs all families."""
    hold_out: str | None = "largest"
    """Model that the task law does not see and is asked to predict: a name, `largest`, or null."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Of intervals: how often they are to hold the truth."""


class Resources(Section):
    """How a run uses the machine."""

    engines: int = Field(default=1, ge=1)
    """Most replicas at a time, of all models together; those that find no room wait for it."""
    scorers: int = Field(default=1, ge=1)
    """Actors that verify samples as they come."""
    engine_cpus: float = Field(default=1.0, gt=0)
    """Of each replica, where its model has no `placement` of its own."""
    engine_gpus: float = Field(default=0.0, ge=0)
    """A fraction shares a GPU with other replicas."""
    unit_samples: int = Field(default=32_768, ge=1)
    """Most samples in one unit of work, which is one Parquet file."""
    unit_seconds: float = Field(default=3_600.0, gt=0)
    """Longest that a unit, or loading a model, may take; then its actor is taken for hung, and
    replaced."""
    address: str | None = None
    """A Ray cluster to join; None: that of RAY_ADDRESS, or one is started here, for this run."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.engine_gpus > 1 and not self.engine_gpus.is_integer():
            text = f"is {self.engine_gpus:g}; above 1 it must be a whole number"
            raise MisfitError((("engine_gpus",), text))
        return self


class Verification(Section):
    """Limits on the processes that judge answers, and whether programs may run unguarded."""

    math_seconds: float = Field(default=5.0, gt=0, le=3_600)
    """Wall time for one comparison of two formulas; undecided after it."""
    math_memory_mib: int = Field(default=1_024, ge=64)
    """Memory for it, in MiB."""
    program_seconds: float = Field(default=8.0, gt=0, le=3_600)
    """Wall time for one program with its tests; it fails after it."""
    program_memory_mib: int = Field(default=512, ge=64)
    """Memory for it and all the processes that it starts, in MiB."""
    program_packages: StrictBool = False
    """Whether a program may import what is installed beside the standard library. Verdicts then
    depend on what that is: on HumanEval, whether pandas is there decides a problem."""
    workers: int = Field(default=1, ge=1)
    """Processes that judge, for each of `resources.scorers`."""
    run_untrusted_programs_without_isolation: StrictBool = False
    """Run generated programs where bubblewrap cannot isolate them. They can then read, change
    and send whatever this user can."""


class Tracking(Section):
    """Where MLflow writes."""

    enabled: StrictBool = True
    """Whether anything is written."""
    uri: str | None = None
    """None: MLFLOW_TRACKING_URI, or a SQLite file mlflow.db in the working directory."""
    seconds: float = Field(default=60.0, gt=0)
    """Longest that a run spends on sending; the rest is kept, and `passlaw track RUN` sends it."""
    register_models: StrictBool = False
    """Also register the laws among MLflow's models: NAME.laws, and NAME.TASK-law over sizes."""
