"""Ray actors around engines and scorers: the only module that names ray.

Text goes from engines to keepers through the object store and never through the driver.
"""

import contextlib
import logging
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import ray
from numpy.typing import NDArray
from ray.exceptions import RayError, RayTaskError

from pipelines.config import OBJECT_STORE_BYTES, Resources
from pipelines.errors import UserError
from pipelines.scheduler import Tally
from pipelines.units import Cell, Unit
from pipelines.workers import EngineWorker, KeeperWorker, Plan, failed_samples

QUEUE = 2
"""Units in the hands of one engine: one at work and one next, so that it never idles."""


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
    """False if it only waited behind the one that failed."""


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The true pass probabilities of a cell, in the order of its problems."""

    cell: Cell
    p: NDArray[Any] | None
    """None where they cannot be computed."""
    lost: bool = False
    """Whether the engine died, so that it is worth asking again."""


Event = Done | Failed | Exact


@dataclass
class _EngineSlot:
    """One engine actor as the driver sees it."""

    actor: Any
    queue: deque[Unit | Cell] = field(default_factory=deque)
    """What it was given, oldest first: the head is what it works on."""
    loaded: str | None = None
    """The model of the last thing that it was given."""


class Pool:
    """The actors of one run; a context manager that starts Ray and stops it."""

    def __init__(self, plan: Plan, resources: Resources) -> None:
        self._plan = plan
        self._resources = resources
        self._engines: list[_EngineSlot] = []
        self._keepers: list[Any] = []
        self._generating: dict[Any, tuple[int, Unit | Cell, Any]] = {}
        self._keeping: dict[Any, tuple[Any, Unit]] = {}
        self.restarts = 0

    def __enter__(self) -> Self:
        """Start Ray, or join it, and create the actors."""
        address = self._resources.address or os.environ.get("RAY_ADDRESS")
        local: dict[str, Any] = {}
        if address is None:
            local = {
                "num_cpus": max(
                    os.cpu_count() or 1,
                    round(self._resources.engines * self._resources.engine_cpus + 0.5),
                ),
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
            }
            # Actors inherit these. One Polars thread: the other cores belong to the engines.
            os.environ.setdefault("POLARS_MAX_THREADS", "1")
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
        self._plan_ref = ray.put(self._plan)
        for _ in range(self._resources.engines):
            self._engines.append(_EngineSlot(actor=self._engine_actor()))
        for _ in range(self._resources.scorers):
            self._keepers.append(self._keeper_actor())
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the actors; stop Ray if it was started here."""
        for actor in (*(slot.actor for slot in self._engines), *self._keepers):
            with contextlib.suppress(RayError):
                ray.kill(actor)
        ray.shutdown()

    def _engine_actor(self) -> Any:
        options = {
            "num_cpus": self._resources.engine_cpus,
            "num_gpus": self._resources.engine_gpus,
        }
        return ray.remote(EngineWorker).options(**options).remote(self._plan_ref)

    def _keeper_actor(self) -> Any:
        # One thread: on a small machine the other cores belong to the engines.
        threads = {"env_vars": {"POLARS_MAX_THREADS": "1"}}
        return (
            ray.remote(KeeperWorker).options(num_cpus=0, runtime_env=threads).remote(self._plan_ref)
        )

    def free(self) -> Iterator[tuple[int, str | None]]:
        """Yield each engine that can take more work, with the model that it will have loaded."""
        # Bounds what waits to be written too: text must not pile up behind slow keepers.
        room = QUEUE * (len(self._engines) + len(self._keepers))
        for index, slot in enumerate(self._engines):
            if len(slot.queue) < QUEUE and len(self._keeping) + len(self._generating) < room:
                yield index, slot.loaded

    def loaded(self) -> list[str]:
        """Return the models that the engines have."""
        return [slot.loaded for slot in self._engines if slot.loaded is not None]

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        return bool(self._generating or self._keeping)

    def submit(self, engine: int, work: Unit | Cell) -> None:
        """Give an engine a unit to draw, or a cell whose exact probabilities to compute."""
        slot = self._engines[engine]
        slot.queue.append(work)
        if isinstance(work, Cell):
            slot.loaded = work.model
            reference = slot.actor.exact.remote(work)
            self._generating[reference] = (engine, work, None)
        else:
            slot.loaded = work.cell.model
            facts, table = slot.actor.generate.options(num_returns=2).remote(work)
            self._generating[facts] = (engine, work, table)

    def record_failure(self, unit: Unit, reason: str) -> None:
        """Have a unit's samples recorded as failed."""
        table = failed_samples(unit, self._plan.run_seed, self._plan.cell_keys[unit.cell], reason)
        facts = {"engine_seconds": 0.0, "prompt_tokens": 0}
        self._keep(unit, facts, table)

    def wait(self, timeout: float) -> list[Event]:
        """Return what has happened, after at most `timeout` seconds if nothing has.

        Raises:
            UserError: an actor says that the input is bad, such as a model that does not load.
        """
        references = [*self._generating, *self._keeping]
        if not references:
            return []
        ready, _ = ray.wait(references, num_returns=1, timeout=timeout)
        if ready:  # whatever else is ready by now
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        events: list[Event] = []
        for reference in ready:
            if reference in self._keeping:
                events += self._kept(reference)
            elif reference in self._generating:
                events += self._generated(reference)
        return events

    def _generated(self, reference: Any) -> list[Event]:
        index, work, table = self._generating.pop(reference)
        slot = self._engines[index]
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            slot.queue.remove(work)
            cause = _cause(error)
            if isinstance(work, Cell):
                logging.getLogger(__name__).warning(
                    "%s on %s: no exact pass probabilities (%s)", *work, _reason(cause)
                )
                return [Exact(cell=work, p=None)]
            return [Failed(unit=work, reason=_reason(cause), blamed=True)]
        except RayError as error:
            return self._engine_died(index, work, _reason(error))
        slot.queue.remove(work)
        if isinstance(work, Cell):
            return [Exact(cell=work, p=result)]
        self._keep(work, result, table)
        return []

    def _engine_died(self, index: int, work: Unit | Cell, reason: str) -> list[Event]:
        """Replace a dead engine; of what it was given, only the oldest is blamed."""
        slot = self._engines[index]
        behind = {ref: item for ref, (at, item, _) in self._generating.items() if at == index}
        for ref in behind:
            del self._generating[ref]
        with contextlib.suppress(RayError):
            ray.kill(slot.actor)
        self.restarts += 1
        self._engines[index] = _EngineSlot(actor=self._engine_actor())
        events: list[Event] = []
        for item in (work, *behind.values()):
            if isinstance(item, Cell):
                events.append(Exact(cell=item, p=None, lost=True))
            else:
                events.append(Failed(unit=item, reason=reason, blamed=item is slot.queue[0]))
        return events

    def _keep(self, unit: Unit, facts: dict[str, Any], table: Any) -> None:
        # Round robin: one keeper's units take about as long as another's.
        self._keepers.append(self._keepers.pop(0))
        keeper = self._keepers[-1]
        self._keeping[keeper.keep.remote(unit, facts, table)] = (keeper, unit)

    def _kept(self, reference: Any) -> list[Event]:
        oldest = next(
            ref for ref, (at, _) in self._keeping.items() if at is self._keeping[reference][0]
        )
        keeper, unit = self._keeping.pop(reference)
        try:
            return [Done(unit=unit, tally=ray.get(reference))]
        except RayTaskError as error:
            return [Failed(unit=unit, reason=_reason(_cause(error)), blamed=True)]
        except RayError as error:
            if keeper in self._keepers:
                self._keepers[self._keepers.index(keeper)] = self._keeper_actor()
                self.restarts += 1
            return [Failed(unit=unit, reason=_reason(error), blamed=reference == oldest)]


def _cause(error: RayTaskError) -> BaseException:
    """Return what an actor raised; raises it if it is for the user."""
    cause = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(cause, UserError):
        raise cause from None
    return cause


def _reason(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]
