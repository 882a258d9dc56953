"""The pool as a state machine, its Ray played here: what engines are given, and who is blamed."""

from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, ObjectLostError, RayActorError, RayTaskError

from pipelines import actors, replicas
from pipelines.actors import BUILDS, PATIENCE, Pool
from pipelines.errors import UserError
from pipelines.replicas import Broken, Done, Exact, Failed
from pipelines.scheduler import Tally
from pipelines.sweeps.config import parse
from pipelines.units import Cell, Unit


class Reference:
    """What an actor was asked for."""

    def __init__(self, actor, method):
        self.actor, self.method = actor, method


class Handle:
    """An actor: every call of it is a reference that the test answers."""

    def __init__(self, world):
        self.world, self.dead = world, False

    def __getattr__(self, method):
        def remote(*arguments):
            self.world.calls.append(Reference(self, method))
            return self.world.calls[-1]

        two = SimpleNamespace(remote=lambda *arguments: (remote(*arguments), "table"))
        return SimpleNamespace(remote=remote, options=lambda num_returns: two)


class World:
    """Ray, played: answers what it is told to, and kills at once."""

    def __init__(self):
        self.calls, self.answers, self.created, self.groups = [], {}, [], []
        self.lost_nodes, self.seconds = set(), 0.0
        self.lost = False

    def remote(self, worker):
        def options(**where):
            def create(plan):
                handle = Handle(self)
                self.created.append((worker.__name__, where, handle))
                return handle

            return SimpleNamespace(remote=create)

        return SimpleNamespace(options=options)

    def put(self, value):
        return value

    def kill(self, handle):
        handle.dead = True

    def wait(self, references, num_returns, timeout):
        return [each for each in references if each in self.answers], []

    def get(self, reference):
        answer = self.answers[reference]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds

    # The session.

    def begin(self, needs):
        self.needs = needs

    def end(self):
        self.ended = True

    def check(self):
        pass

    def nodes(self):
        return [{"CPU": 8.0, "GPU": 4.0}]

    def has_node(self, name):
        return name not in self.lost_nodes


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(actors, "ray", world)
    monkeypatch.setattr(actors, "time", world)
    monkeypatch.setattr(replicas, "time", world)
    monkeypatch.setattr(actors, "RaySession", lambda resources: world)
    monkeypatch.setattr(
        actors, "placement_group", lambda *of, **how: world.groups.append((of, how))
    )
    monkeypatch.setattr(actors, "remove_placement_group", lambda group: None)
    monkeypatch.setattr(actors, "PlacementGroupSchedulingStrategy", lambda **how: how)
    return world


def pool(world, engines=1, **resources):
    sections = [
        {"engine": "simulated", "name": "m1", "parameters": 1, "rate": 0.5},
        {"engine": "simulated", "name": "m2", "parameters": 1, "rate": 0.5},
        {"engine": "simulated", "name": "big", "parameters": 1, "rate": 0.5,
         "placement": {"gpus": 2}},
        {"engine": "vllm", "name": "wide", "path": "p", "placement": {"gpus": 1},
         "engine_args": {"tensor_parallel_size": 2}},
    ]  # fmt: skip
    values = {"name": "s", "models": sections, "tasks": [{"name": "add-2"}]}
    sweep = parse(values | {"resources": {"engines": engines} | resources}, source="test")
    plan = SimpleNamespace(models={model.name: model for model in sweep.models})
    it = Pool(plan, sweep.resources).__enter__()
    answer(world, "__ray_call__", "node")  # the keeper is there
    assert it.wait(0) == []
    return it


def answer(world, method, value, which=-1):
    """Answer a call of this name that nobody answered yet, the newest or the one told."""
    waiting = [
        call
        for call in world.calls
        if call.method == method and call not in world.answers and not call.actor.dead
    ]
    world.answers[waiting[which]] = value


def ready(world, it, model="m1", *, engine=0, concurrent=False):
    """Bring an engine up with a model."""
    it.prepare(engine, model)
    answer(world, "__ray_call__", "node")
    assert it.wait(0) == []
    answer(world, "load", concurrent)
    assert it.wait(0) == []


def unit(at, model="m1"):
    return Unit(cell=Cell(model, "t"), problems=(f"p{at}",), start=0, stop=4)


def died():
    return ActorDiedError()


def test_an_engine_is_given_work_only_once_it_is_alive_and_loaded(world):
    it = pool(world)
    assert list(it.openings()) == []
    (idle,) = it.idle()
    assert idle.model is None
    it.prepare(0, "m1")
    assert (list(it.openings()), list(it.idle())) == ([], [])
    answer(world, "__ray_call__", "node")
    it.wait(0)
    assert (list(it.openings()), list(it.idle())) == ([], [])
    answer(world, "load", False)
    it.wait(0)
    assert [(each.engine, each.model, each.alone) for each in it.openings()] == [(0, "m1", True)]


def test_an_engine_holds_a_bounded_number_of_units(world):
    it = pool(world)
    ready(world, it)
    for at, opening in enumerate(it.openings()):
        assert opening.alone == (at == 0)
        it.submit(0, unit(at))
    assert at + 1 == actors.QUEUE


def test_a_unit_that_is_to_be_alone_gets_no_company(world):
    it = pool(world)
    ready(world, it)
    it.submit(0, unit(0), alone=True)
    assert list(it.openings()) == []


def test_what_was_drawn_is_kept_and_then_done(world):
    it = pool(world)
    ready(world, it)
    it.submit(0, unit(0))
    answer(world, "generate", {"engine_seconds": 1.0})
    assert it.wait(0) == []
    assert it.busy
    tally = Tally(unit=unit(0), passed=1, first_passes={})
    answer(world, "keep", tally)
    assert it.wait(0) == [Done(unit=unit(0), tally=tally)]
    assert not it.busy


@pytest.mark.parametrize("concurrent", [False, True])
def test_all_that_was_at_work_is_blamed_and_nothing_that_waited(world, concurrent):
    it = pool(world)
    ready(world, it, concurrent=concurrent)
    it.submit(0, unit(0))
    it.submit(0, unit(1))
    answer(world, "generate", died(), which=0)
    blamed = {event.unit.name: event.blamed for event in it.wait(0)}
    assert blamed == {unit(0).name: True, unit(1).name: concurrent}
    assert it.restarts == 1
    assert [idle.model for idle in it.idle()] == [None]


def test_nothing_is_blamed_for_the_death_of_a_node(world):
    it = pool(world)
    ready(world, it)
    it.submit(0, unit(0))
    world.lost_nodes.add("node")
    answer(world, "generate", died())
    (event,) = it.wait(0)
    assert (event.unit, event.blamed) == (unit(0), False)


def test_samples_that_were_lost_with_a_node_are_drawn_again_and_their_keeper_lives(world):
    it = pool(world)
    ready(world, it)
    it.submit(0, unit(0))
    answer(world, "generate", {})
    it.wait(0)
    answer(world, "keep", ObjectLostError("ab", None, ""))
    (event,) = it.wait(0)
    assert (event.unit, event.blamed) == (unit(0), False)
    assert it.restarts == 0


@pytest.mark.parametrize("kind", ["engine", "keeper"])
def test_what_takes_too_long_is_ended_and_blamed(world, kind):
    it = pool(world, unit_seconds=50)
    ready(world, it)
    it.submit(0, unit(0))
    it.submit(0, unit(1))
    if kind == "keeper":
        answer(world, "generate", {}, which=0)
        answer(world, "generate", {}, which=0)
        it.wait(0)
    world.seconds += 20
    assert it.wait(0) == []
    world.seconds += 20
    it.wait(0)
    world.seconds += 20
    first, second = it.wait(0)
    assert first == Failed(
        unit=unit(0), reason="took longer than resources.unit_seconds = 50", blamed=True
    )
    assert (second.unit, second.blamed) == (unit(1), False)
    assert it.restarts == 1


def test_a_driver_that_was_stopped_blames_nobody(world):
    """Its clock goes only while it watches."""
    it = pool(world, unit_seconds=50)
    ready(world, it)
    it.submit(0, unit(0))
    world.seconds += 10_000
    assert it.wait(0) == []


def test_a_model_whose_engine_never_comes_up_is_given_up_with_the_cause(world):
    it = pool(world)
    for _ in range(BUILDS - 1):
        it.prepare(0, "m1")
        answer(world, "__ray_call__", "node")
        it.wait(0)
        answer(world, "load", RayTaskError("load", "", RuntimeError("out of memory")))
        assert it.wait(0) == []
    it.prepare(0, "m1")
    answer(world, "__ray_call__", died())
    (event,) = it.wait(0)
    assert isinstance(event, Broken)
    assert event.reason.startswith("model m1: an engine died 3 times in a row before it was ready")


def test_tries_begin_again_once_an_engine_came_up(world):
    it = pool(world)
    for _ in range(2 * BUILDS):
        it.prepare(0, "m1")
        answer(world, "__ray_call__", died())
        assert it.wait(0) == []
        ready(world, it)
        it.submit(0, unit(0))
        answer(world, "generate", died())
        assert [type(event) for event in it.wait(0)] == [Failed]


def test_a_model_is_not_given_up_because_nodes_die_under_its_actors(world):
    it = pool(world)
    for _ in range(2 * BUILDS):
        it.prepare(0, "m1")
        answer(world, "__ray_call__", RayActorError(error_msg="The actor never ran - cancelled"))
        assert it.wait(0) == []
        assert list(it.idle()) == []
        world.seconds += actors.PAUSE
        it.wait(0)
        assert len(list(it.idle())) == 1


def test_bad_input_ends_it_at_the_first_try(world):
    it = pool(world)
    it.prepare(0, "m1")
    answer(world, "__ray_call__", "node")
    it.wait(0)
    answer(world, "load", RayTaskError("load", "", UserError("model m1: no such folder")))
    assert it.wait(0) == [Broken(reason="model m1: no such folder")]


def test_a_cell_that_was_with_a_dead_engine_is_lost_and_not_unknown(world):
    it = pool(world)
    ready(world, it)
    it.submit(0, Cell("m1", "t"))
    answer(world, "exact", died())
    assert it.wait(0) == [Exact(cell=Cell("m1", "t"), p=None, lost=True)]


class TestSwitching:
    def test_to_a_model_with_the_same_place_in_the_same_process(self, world):
        it = pool(world)
        ready(world, it)
        before = len(world.created)
        it.prepare(0, "m2")
        answer(world, "load", False)
        it.wait(0)
        assert [opening.model for opening in it.openings()] == ["m2"]
        assert len(world.created) == before

    @pytest.mark.parametrize("other", ["big", "wide"])
    def test_to_another_place_or_to_vllm_in_a_new_one(self, world, other):
        it = pool(world)
        ready(world, it)
        old = world.created[-1][2]
        it.prepare(0, other)
        assert old.dead
        assert not world.created[-1][2].dead

    def test_not_before_it_waited_as_long_as_loading_took(self, world):
        it = pool(world)
        it.prepare(0, "m1")
        answer(world, "__ray_call__", "node")
        it.wait(0)
        world.seconds += 10
        answer(world, "load", False)
        it.wait(0)
        rested = []
        for _ in range(3):
            rested.append(next(it.idle()).rested)
            world.seconds += 6
            it.wait(0)
        assert rested == [False, False, True]

    def test_others_are_told_what_is_coming_and_what_is_there(self, world):
        it = pool(world, engines=3)
        ready(world, it, "m1", engine=0)
        it.prepare(1, "m2")
        idle = [each for each in it.idle() if each.engine == 2]
        assert [(each.coming, each.held) for each in idle] == [(("m2",), {"m1", "m2"})]


class TestPlace:
    def test_of_a_plain_replica_is_what_it_needs(self, world):
        it = pool(world, engine_cpus=0.5, engine_gpus=0.25)
        it.prepare(0, "m1")
        _, where, _ = world.created[-1]
        assert (where["num_cpus"], where["num_gpus"]) == (0.5, 0.25)

    @pytest.mark.parametrize(("gpus", "strategy"), [(4, "STRICT_PACK"), (1, "PACK")])
    def test_of_a_parallel_one_is_a_group_on_one_node_if_that_can_be(
        self, world, monkeypatch, gpus, strategy
    ):
        monkeypatch.setattr(world, "nodes", lambda: [{"CPU": 8.0, "GPU": gpus}] * 2)
        it = pool(world)
        it.prepare(0, "wide")
        (((bundles,), how),) = world.groups
        assert bundles == [{"CPU": 1.0, "GPU": 1.0}] * 2
        assert how == {"strategy": strategy}

    def test_that_is_long_in_coming_is_said_and_another_model_tried(self, world):
        it = pool(world)
        it.prepare(0, "big")
        assert it.note == ""
        for _ in range(4):
            world.seconds += PATIENCE / 3
            it.wait(0)
        assert it.note == (
            "engines wait for room: 1 of big (each needs CPU 1, GPU 2, and nodes are full)"
        )
        assert [(each.model, each.rested) for each in it.idle()] == [("big", True)]
