"""What the driver knows of its actors, what it asked of them, and what became of that.

Pure: holds handles of actors and never uses one, so it knows nothing of Ray.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from pipelines.placement import Need
from pipelines.scheduler import Tally
from pipelines.units import Cell, Unit

LONGEST_TICK = 30.0
"""Seconds: a driver that was stopped for longer has not watched its actors meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A unit was committed and scored."""

    unit: Unit
    tally: Tally


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A unit was not done."""

    unit: Unit
    reason: str
    blamed: bool
    """False if it only waited behind the one that failed, or its machine was lost."""


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The true pass probabilities of a cell, in the order of its problems."""

    cell: Cell
    p: NDArray[Any] | None
    """None where they cannot be computed."""
    lost: bool = False
    """Whether the engine died, so that it is worth asking again."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """No engine can be had of a model."""

    reason: str


Event = Done | Failed | Exact | Broken


@dataclass(frozen=True, kw_only=True)
class Opening:
    """An engine that can take more work of the model that it has."""

    engine: int
    model: str
    alone: bool
    """Whether it has no other work."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """An engine that has nothing to do."""

    engine: int
    model: str | None
    """What it has loaded, or waits for room to load."""
    rested: bool
    """Whether it has waited for its model's next round for as long as loading it took, or for
    room for as long as is reasonable; then another model may be better."""
    coming: tuple[str, ...]
    """The models that other engines load now."""
    held: frozenset[str]
    """The models that other engines have or load."""


@dataclass(kw_only=True, eq=False)
class Actor:
    """One actor as the driver sees it; as it is, a keeper."""

    handle: Any
    calls: list["Call"] = field(default_factory=list)
    """What it was asked for and has not answered, oldest first."""
    node: str | None = None
    """Where it runs; None while it is not known to be alive."""

    @property
    def ready(self) -> bool:
        """Whether it has come up."""
        return self.node is not None

    def at_work(self) -> list["Call"]:
        """Return the calls that it works on; the others wait for their turn."""
        return self.calls[:1]


@dataclass(kw_only=True, eq=False)
class EngineActor(Actor):
    """An engine actor."""

    model: str = ""
    """What it has loaded, or will have."""
    need: Need
    group: Any = None
    """Its placement group, if it has several bundles."""
    state: Literal["starting", "loading", "loaded"] = "starting"
    since: float = 0.0
    """When it was asked for, or when it last ran out of work."""
    loading_seconds: float = 0.0
    concurrent: bool = False

    @property
    def ready(self) -> bool:
        """Whether it has loaded its model."""
        return self.state == "loaded"

    def at_work(self) -> list["Call"]:
        """Return the calls that it works on: all of them, if its engine can."""
        return self.calls if self.concurrent else self.calls[:1]


@dataclass(kw_only=True, eq=False)
class Call:
    """Something that an actor was asked for."""

    actor: Actor
    what: Unit | Cell | Literal["start", "load"]
    began: float
    """When the actor could begin with it."""
    table: Any = None
    """The samples that will come of it."""
    alone: bool = False


class Watch:
    """A clock that goes only while the driver watches its actors."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds, as of the last tick."""
        self._last = time.monotonic()

    def tick(self) -> None:
        """Go on to the present."""
        last, self._last = self._last, time.monotonic()
        self.now += min(self._last - last, LONGEST_TICK)
