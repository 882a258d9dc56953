"""What a replica needs, by hand; and what machines lack of it."""

import pytest

from pipelines.errors import UserError
from pipelines.models import find
from pipelines.placement import Need, lacking, need_of, room
from pipelines.sweeps.config import Resources, parse

RESOURCES = Resources(engine_cpus=2, engine_gpus=0.5)
SMALL, LARGE = {"CPU": 8.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 4.0, "fast": 1.0}


def model(**section):
    """The model of a sweep."""
    values = {"name": "s", "models": [{"name": "m"} | section], "tasks": [{"name": "add-2"}]}
    return parse(values, source="test").models[0]


def vllm(**sizes):
    return model(engine="vllm", path="p", engine_args=sizes, placement={"gpus": 1})


@pytest.mark.parametrize(
    ("placement", "bundle"),
    [
        ({}, {"CPU": 2, "GPU": 0.5}),
        ({"gpus": 0}, {"CPU": 2}),
        ({"cpus": 1, "gpus": 2, "custom": {"fast": 0.5}}, {"CPU": 1, "GPU": 2, "fast": 0.5}),
    ],
)
def test_a_placement_of_its_own_comes_before_that_of_all(placement, bundle):
    assert need_of(model(path="p", placement=placement), RESOURCES) == Need(bundle=bundle)


def test_an_engine_that_computes_elsewhere_takes_no_gpu():
    section = model(engine="openai", base_url="http://h/v1", parameters=1)
    assert need_of(section, RESOURCES) == Need(bundle={"CPU": 2})


@pytest.mark.parametrize(
    ("sizes", "bundles", "one_node"),
    [
        ({}, 1, True),
        ({"tensor_parallel_size": 4}, 4, True),
        ({"tensor_parallel_size": 2, "pipeline_parallel_size": 3}, 6, False),
    ],
)
def test_parallel_vllm_has_a_bundle_for_each_of_its_workers(sizes, bundles, one_node):
    need = need_of(vllm(**sizes), RESOURCES)
    assert (need.bundles, need.one_node, need.own_process) == (bundles, one_node, True)
    assert need.bundle == {"CPU": 2, "GPU": 1}


@pytest.mark.parametrize("size", ["two", 0, 1.5, True])
def test_a_parallel_size_that_is_no_number_is_refused(size):
    with pytest.raises(UserError, match=r"model m: engine_args.tensor_parallel_size: is .*whole"):
        need_of(vllm(tensor_parallel_size=size), RESOURCES)


def test_room_is_what_the_scarcest_resource_leaves():
    assert room(Need(bundle={"CPU": 4, "GPU": 1}), [SMALL, LARGE]) == [1, 4]
    assert room(Need(bundle={"GPU": 0.1}), [SMALL]) == [10]
    assert room(Need(bundle={"fast": 1}), [SMALL, LARGE]) == [0, 1]


@pytest.mark.parametrize(
    ("need", "lack"),
    [
        (Need(bundle={"CPU": 16, "GPU": 4}), None),
        (Need(bundle={"GPU": 1}, bundles=5), None),
        (Need(bundle={"GPU": 8}), "it needs GPU 8 on one node, and the most that one has is 4"),
        (Need(bundle={"slow": 1}), "it needs slow 1 on one node, and the most that one has is 0"),
        (Need(bundle={"GPU": 1}, bundles=6), "6 bundles of GPU 1, and there is room for 5"),
        (Need(bundle={"CPU": 9, "GPU": 1}, bundles=2), "there is room for 1"),
    ],
)
def test_what_is_lacking_is_named(need, lack):
    found = lacking(need, [SMALL, LARGE])
    assert found is None if lack is None else lack in found


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ({"gpus": 1.5}, "gpus: is 1.5; above 1 it must be a whole number"),
        ({"custom": {"GPU": 1}}, "custom.GPU: say gpus instead"),
        ({"custom": {"fast": 0}}, "placement.custom.fast: is 0"),
    ],
)
def test_an_impossible_placement_is_refused(placement, message):
    with pytest.raises(UserError, match=message):
        model(path="p", placement=placement)


def test_a_place_changes_nothing_of_what_is_drawn():
    simulated = {"engine": "simulated", "parameters": 1, "rate": 0.1}
    here, there = model(**simulated), model(**simulated, placement={"gpus": 2})
    assert find(here).fingerprint == find(there).fingerprint
