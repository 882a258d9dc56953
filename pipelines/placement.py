"""What one replica of a model needs of a machine or cluster, and what there lacks of it.

Pure: knows sections of a sweep and the numbers that nodes have; not Ray.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from pipelines.errors import UserError
from pipelines.sweeps.config import Resources
from pipelines.sweeps.engine_sections import (
    ImportedEngine,
    Model,
    OpenAIEngine,
    ReplayEngine,
    VLLMEngine,
)


@dataclass(frozen=True, kw_only=True)
class Need:
    """The resources of one replica."""

    bundle: Mapping[str, float]
    """By name (CPU, GPU, or your own), what has to be on one node; without zeros."""
    bundles: int = 1
    """How many of them; several are one placement group."""
    one_node: bool = True
    """Whether several bundles belong on one node, where one can hold them."""
    own_process: bool = False
    """Whether its process can never load another model: it would not get all its memory back."""

    def __str__(self) -> str:
        amounts = ", ".join(f"{name} {amount:g}" for name, amount in self.bundle.items())
        return amounts if self.bundles == 1 else f"{self.bundles} bundles of {amounts}"


def need_of(model: Model, resources: Resources) -> Need:
    """Return what one replica of a model needs; engines that compute elsewhere need no GPU.

    Raises:
        UserError: vLLM's parallel sizes are not whole numbers.
    """
    if isinstance(model, OpenAIEngine | ReplayEngine | ImportedEngine):
        return Need(bundle={"CPU": resources.engine_cpus})
    place = model.placement
    amounts = {
        "CPU": resources.engine_cpus if place.cpus is None else place.cpus,
        "GPU": resources.engine_gpus if place.gpus is None else place.gpus,
        **place.custom,
    }
    bundle = {name: amount for name, amount in amounts.items() if amount > 0}
    if not isinstance(model, VLLMEngine):
        return Need(bundle=bundle)
    tensor = _count(model, "tensor_parallel_size")
    stages = _count(model, "pipeline_parallel_size")
    return Need(bundle=bundle, bundles=tensor * stages, one_node=stages == 1, own_process=True)


def _count(model: VLLMEngine, name: str) -> int:
    value = model.engine_args.get(name, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"model {model.name}: engine_args.{name}: is {value!r}, must be a whole number from 1"
        )
    return value


def room(need: Need, nodes: Sequence[Mapping[str, float]]) -> list[int]:
    """Return how many of a replica's bundles each node could hold if it were empty."""
    return [
        min(floor(node.get(name, 0.0) / amount + 1e-9) for name, amount in need.bundle.items())
        for node in nodes
    ]


def lacking(need: Need, nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Say what the nodes lack of a replica even if they were empty; None if they can hold it."""
    if sum(room(need, nodes)) >= need.bundles:
        return None
    for name, amount in need.bundle.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if most < amount:
            return f"it needs {name} {amount:g} on one node, and the most that one has is {most:g}"
    return f"it needs {need}, and there is room for {sum(room(need, nodes))}"
