"""Ray actors around engines and scorers: what they are given, and what becomes of it.

Text goes from engines to keepers through the object store and never through the driver. Only an
engine that is alive and has its model loaded is given units, so none waits for a machine that may
never come. The actors belong to the driver: when it dies, Ray ends them, and what one of them
still commits is what the next driver would have drawn. On a cluster that is joined, its nodes
must be able to import `pipelines`: it is installed there, or the driver runs as a Ray job whose
`working_dir` is the checkout.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Self

import ray
from ray.exceptions import ObjectLostError, RayError, RayTaskError
from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipelines.errors import UserError
from pipelines.placement import Need, lacking, need_of, room
from pipelines.ray_session import RaySession
from pipelines.replicas import (
    Actor,
    Broken,
    Call,
    Done,
    EngineActor,
    Event,
    Exact,
    Failed,
    Idle,
    Opening,
    Watch,
)
from pipelines.sweeps.config import Resources
from pipelines.units import Cell, Unit
from pipelines.workers import EngineWorker, KeeperWorker, Plan, failed_samples

QUEUE = 2
"""Units in the hands of one engine: one at work and one next, so that it never idles."""
BUILDS = 3
"""Times in a row that a model's engine, or a keeper, may die before it is ready."""
PAUSE = 2.0
"""Seconds between an engine that did not come up and the next try."""
PATIENCE = 30.0
"""Seconds that an engine may wait for room before the run says so and tries another model."""

_KEEPER = "a keeper"


class Pool:
    """The actors of one run; a context manager that starts Ray, or joins it, and leaves it."""

    def __init__(self, plan: Plan, resources: Resources) -> None:
        self._plan = plan
        self._resources = resources
        self._needs = {name: need_of(model, resources) for name, model in plan.models.items()}
        self._engines: list[EngineActor | None] = [None] * resources.engines
        self._keepers: list[Actor] = []
        self._calls: dict[Any, Call] = {}
        self._failed_starts: Counter[str] = Counter()
        self._pause_until = 0.0
        self._clock = Watch()
        self._ray = RaySession(resources)
        self.restarts = 0

    def __enter__(self) -> Self:
        """Start Ray, or join it, and create the keepers.

        Raises:
            UserError: there is no such cluster, or a model can never have what it needs.
        """
        self._ray.begin(self._needs)
        try:
            self._plan_ref = ray.put(self._plan)
            for _ in range(self._resources.scorers):
                self._keepers.append(self._new_keeper())
        except BaseException:
            self._ray.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the actors; stop Ray if it was started here."""
        if not self._ray.lost:
            for actor in (*filter(None, self._engines), *self._keepers):
                with contextlib.suppress(RayError):
                    ray.kill(actor.handle)
        self._ray.end()

    # What engines have and lack.

    @property
    def busy(self) -> bool:
        """Whether any work is in flight."""
        return any(not isinstance(call.what, str) for call in self._calls.values())

    @property
    def note(self) -> str:
        """What has waited for room for a while, and for how much; empty if nothing has."""
        waiting = Counter(
            engine.model for engine in filter(None, self._engines) if self._stuck(engine)
        )
        if not waiting:
            return ""
        nodes = self._ray.nodes()
        texts = []
        for model, engines in waiting.items():
            need = self._needs[model]
            why = lacking(need, nodes) or f"each needs {need}, and nodes are full"
            texts.append(f"{engines} of {model} ({why})")
        return "engines wait for room: " + "; ".join(texts)

    def openings(self) -> Iterator[Opening]:
        """Yield each engine that can take a unit of its model, until it is given none."""
        for index, engine in enumerate(self._engines):
            while engine is not None and self._can_take(engine):
                before = len(engine.calls)
                yield Opening(engine=index, model=engine.model, alone=not engine.calls)
                if len(engine.calls) == before:
                    break

    def _can_take(self, engine: EngineActor) -> bool:
        free = len(engine.calls) < QUEUE and not any(call.alone for call in engine.calls)
        return engine.state == "loaded" and free and self._has_room()

    def _has_room(self) -> bool:
        """Whether more may be drawn: text must not pile up behind slow keepers."""
        actors = sum(engine is not None for engine in self._engines) + len(self._keepers)
        units = sum(isinstance(call.what, Unit) for call in self._calls.values())
        return units < QUEUE * actors

    def idle(self) -> Iterator[Idle]:
        """Yield each engine that does nothing, and each that has long waited for room."""
        for index, engine in enumerate(self._engines):
            if engine is None and self._clock.now < self._pause_until:
                continue
            nothing = engine is None or (engine.state == "loaded" and not engine.calls)
            stuck = engine is not None and self._stuck(engine)
            if not (nothing or stuck) or (engine is not None and not self._has_room()):
                continue
            others = [each for each in self._engines if each is not None and each is not engine]
            coming = [
                each.model for each in others if each.state != "loaded" and not self._stuck(each)
            ]
            loaded = [each.model for each in others if each.state == "loaded"]
            yield Idle(
                engine=index,
                model=None if engine is None else engine.model,
                rested=engine is None or stuck or self._rested(engine),
                coming=tuple(coming),
                held=frozenset([*loaded, *coming]),
            )

    def _stuck(self, engine: EngineActor) -> bool:
        return engine.state == "starting" and self._clock.now - engine.since > PATIENCE

    def _rested(self, engine: EngineActor) -> bool:
        return self._clock.now - engine.since >= engine.loading_seconds

    # What engines are given.

    def prepare(self, index: int, model: str) -> None:
        """Have an engine load a model: in its process if that can be, else in a new one."""
        engine, need = self._engines[index], self._needs[model]
        if engine is not None:
            in_place = engine.state == "loaded" and not need.own_process and engine.need == need
            if in_place:
                engine.model = model
                self._load(engine)
                return
            self._forget(engine)
        group = self._group(need)
        created = ray.remote(EngineWorker).options(max_concurrency=QUEUE, **_where(need, group))
        engine = EngineActor(
            handle=created.remote(self._plan_ref),
            model=model,
            need=need,
            group=group,
            since=self._clock.now,
        )
        self._engines[index] = engine
        self._call(engine, "start", engine.handle.__ray_call__.remote(_node))

    def _group(self, need: Need) -> Any:
        """Ask for the bundles of a replica that has several; None for one that has not."""
        if need.bundles == 1:
            return None
        whole = need.one_node and max(room(need, self._ray.nodes()), default=0) >= need.bundles
        strategy = "STRICT_PACK" if whole else "PACK"
        return placement_group([dict(need.bundle)] * need.bundles, strategy=strategy)

    def submit(self, index: int, work: Unit | Cell, *, alone: bool = False) -> None:
        """Give an engine that has its model a unit to draw, or a cell to compute exactly.

        Args:
            index: the engine.
            work: what to do.
            alone: whether it is to be given nothing else until this is done.
        """
        engine = self._engines[index]
        assert engine is not None
        assert engine.state == "loaded"
        if isinstance(work, Cell):
            self._call(engine, work, engine.handle.exact.remote(work))
        else:
            facts, table = engine.handle.generate.options(num_returns=2).remote(work)
            self._call(engine, work, facts, table=table, alone=alone)

    def record_failure(self, unit: Unit, reason: str) -> None:
        """Have a unit's samples recorded as failed."""
        table = failed_samples(unit, self._plan.run_seed, self._plan.cell_keys[unit.cell], reason)
        facts = {"engine_seconds": 0.0, "prompt_tokens": 0}
        self._keep(unit, facts, table)

    def _call(self, actor: Actor, what: Any, reference: Any, **more: Any) -> None:
        call = Call(actor=actor, what=what, began=self._clock.now, **more)
        actor.calls.append(call)
        self._calls[reference] = call

    def _load(self, engine: EngineActor) -> None:
        engine.state = "loading"
        self._call(engine, "load", engine.handle.load.remote(engine.model))

    def _keep(self, unit: Unit, facts: Any, table: Any) -> None:
        # Round robin: one keeper's units take about as long as another's.
        self._keepers.append(self._keepers.pop(0))
        keeper = self._keepers[-1]
        self._call(keeper, unit, keeper.handle.keep.remote(unit, facts, table))

    def _new_keeper(self) -> Actor:
        # One thread: on a small machine the other cores belong to the engines.
        threads = {"env_vars": {"POLARS_MAX_THREADS": "1"}}
        kept = ray.remote(KeeperWorker).options(num_cpus=0, runtime_env=threads)
        keeper = Actor(handle=kept.remote(self._plan_ref))
        self._call(keeper, "start", keeper.handle.__ray_call__.remote(_node))
        return keeper

    # What becomes of it.

    def wait(self, timeout: float) -> list[Event]:
        """Return what has happened, after at most `timeout` seconds if nothing has.

        Raises:
            UserError: a keeper says that the input is bad, or Ray is gone.
        """
        self._ray.check()
        if not self._calls:
            time.sleep(timeout)
        else:
            ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=timeout)
            if ready:  # whatever else is ready by now
                ready, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        self._clock.tick()
        events: list[Event] = []
        for reference in ready if self._calls else ():
            call = self._calls.pop(reference, None)
            if call is not None:
                events += self._ended(call, reference)
        return events + self._end_hung()

    def _ended(self, call: Call, reference: Any) -> list[Event]:
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            self._answered(call)
            return self._raised(call, _cause(error))
        except ObjectLostError as error:
            # The samples were on a node that died; their keeper is well.
            self._answered(call)
            return [_given_back(call, _reason(error), blamed=False)]
        except RayError as error:
            # A node that has died is given new actors until Ray notices: they never run.
            never_ran = "never ran" in str(error)
            node_died = never_ran or not self._ray.has_node(call.actor.node)
            return self._lost(call.actor, _reason(error), node_died=node_died)
        self._answered(call)
        if call.what == "start":
            return self._started(call.actor, node=result)
        if call.what == "load":
            return self._loaded(call, concurrent=result)
        if isinstance(call.what, Cell):
            return [Exact(cell=call.what, p=result)]
        if isinstance(call.actor, EngineActor):
            self._keep(call.what, result, call.table)
            return []
        return [Done(unit=call.what, tally=result)]

    def _answered(self, call: Call) -> None:
        """Take a call off its actor, which goes on with the next."""
        calls = call.actor.calls
        first = calls[0] is call
        calls.remove(call)
        if first and calls and call.actor.at_work() == calls[:1]:
            calls[0].began = self._clock.now
        if isinstance(call.actor, EngineActor) and not calls:
            call.actor.since = self._clock.now

    def _started(self, actor: Actor, *, node: str) -> list[Event]:
        actor.node = node
        if isinstance(actor, EngineActor):
            self._load(actor)
        else:
            del self._failed_starts[_KEEPER]
        return []

    def _loaded(self, call: Call, *, concurrent: bool) -> list[Event]:
        engine = call.actor
        assert isinstance(engine, EngineActor)
        engine.state, engine.concurrent = "loaded", concurrent
        engine.loading_seconds = self._clock.now - call.began
        del self._failed_starts[engine.model]
        return []

    def _raised(self, call: Call, cause: BaseException) -> list[Event]:
        """An actor lives, and says why it cannot do something."""
        if isinstance(cause, UserError) and not isinstance(call.actor, EngineActor):
            raise cause from None
        if isinstance(call.what, str):
            final = isinstance(cause, UserError)
            return self._lost(call.actor, str(cause) if final else _reason(cause), final=final)
        if isinstance(cause, UserError):
            return [Broken(reason=str(cause)), _given_back(call, str(cause), blamed=False)]
        if isinstance(call.what, Cell):
            logging.getLogger(__name__).warning(
                "%s on %s: no exact pass probabilities (%s)", *call.what, _reason(cause)
            )
            return [Exact(cell=call.what, p=None)]
        # Samples on a node that died never reached the keeper.
        blamed = not isinstance(cause, ObjectLostError)
        return [_given_back(call, _reason(cause), blamed=blamed)]

    def _end_hung(self) -> list[Event]:
        """Replace the actors that have been at work for too long."""
        limit = self._resources.unit_seconds
        events: list[Event] = []
        for actor in (*filter(None, self._engines), *self._keepers):
            hung = [
                call
                for call in actor.at_work()
                if call.what != "start" and self._clock.now - call.began > limit
            ]
            if hung:
                reason = f"took longer than resources.unit_seconds = {limit:g}"
                events += self._lost(actor, reason, blamed=hung)
        return events

    def _lost(
        self,
        actor: Actor,
        reason: str,
        *,
        blamed: list[Call] | None = None,
        node_died: bool = False,
        final: bool = False,
    ) -> list[Event]:
        """Replace an actor; whatever was at work is blamed, unless that is known better."""
        calls = list(actor.calls)
        guilty = [] if node_died else list(actor.at_work()) if blamed is None else blamed
        self._forget(actor)
        self.restarts += 1
        events: list[Event] = []
        who = actor.model if isinstance(actor, EngineActor) else _KEEPER
        if not actor.ready:
            self._pause_until = self._clock.now + PAUSE
        if not actor.ready and not node_died:
            self._failed_starts[who] += 1
            if final or self._failed_starts[who] >= BUILDS:
                events.append(Broken(reason=reason if final else _unbuilt(who, reason)))
        if not isinstance(actor, EngineActor):
            self._keepers[self._keepers.index(actor)] = self._new_keeper()
        return events + [
            _given_back(call, reason, blamed=call in guilty)
            for call in calls
            if not isinstance(call.what, str)
        ]

    def _forget(self, actor: Actor) -> None:
        """Kill an actor, and expect no more answers of it."""
        for reference in [ref for ref, call in self._calls.items() if call.actor is actor]:
            del self._calls[reference]
        with contextlib.suppress(RayError):
            ray.kill(actor.handle)
        if isinstance(actor, EngineActor):
            self._engines[self._engines.index(actor)] = None
            if actor.group is not None:
                remove_placement_group(actor.group)


def _where(need: Need, group: Any) -> dict[str, Any]:
    """Return the options of Ray that give an actor its place."""
    if group is not None:
        # The bundles are for the workers that the engine starts; it takes nothing of them.
        inside = PlacementGroupSchedulingStrategy(
            placement_group=group,
            placement_group_bundle_index=0,
            placement_group_capture_child_tasks=True,
        )
        return {"num_cpus": 0, "num_gpus": 0, "scheduling_strategy": inside}
    custom = {name: amount for name, amount in need.bundle.items() if name not in ("CPU", "GPU")}
    return {
        "num_cpus": need.bundle.get("CPU", 0.0),
        "num_gpus": need.bundle.get("GPU", 0.0),
        "resources": custom,
    }


def _given_back(call: Call, reason: str, *, blamed: bool) -> Event:
    """Return that an actor did not do what it was asked for."""
    if isinstance(call.what, Cell):
        return Exact(cell=call.what, p=None, lost=True)
    assert isinstance(call.what, Unit)
    return Failed(unit=call.what, reason=reason, blamed=blamed)


def _unbuilt(who: str, reason: str) -> str:
    what = "a process that scores" if who == _KEEPER else f"model {who}: an engine"
    return f"{what} died {BUILDS} times in a row before it was ready, the last time of: {reason}"


def _cause(error: RayTaskError) -> BaseException:
    return error.cause if isinstance(error.cause, BaseException) else error


def _node(_: Any) -> str:
    """Return the node on which an actor runs; runs in the actor."""
    return str(ray.get_runtime_context().get_node_id())


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Ray says what an actor died of in the last line, after what it was.
    which = -1 if isinstance(error, RayError) else 0
    return f"{type(error).__name__}: {lines[which] if lines else ''}"[:500]
