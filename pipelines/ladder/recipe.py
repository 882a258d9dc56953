"""The recipe of the ladder: sizes, seeds and schedules of its models, as numbers.

Knows what is to be trained, not how; needs no torch, so that listing the ladder costs nothing.
"""

from dataclasses import dataclass

from pipelines.ladder.arithmetic import VOCABULARY

HEAD_SIZE = 32
CONTEXT = 64
"""Most tokens a model can read and write; four times the longest problem."""
BATCH = 128
"""Problems in one step; few, so that the examples make many steps."""
STEPS = 5_000
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises; then it falls along a cosine to 0."""
GRADIENT_NORM = 1.0
BETAS = (0.9, 0.99)

RECORD = "training.json"
"""File in a checkpoint that says how it was trained."""


@dataclass(frozen=True)
class Rung:
    """One model of the ladder: its shape and how it is trained."""

    name: str
    seed: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    learning_rate: float
    """At its highest."""
    steps: int = STEPS
    batch: int = BATCH

    @property
    def parameters(self) -> int:
        """Numbers that training sets; the embedding counts once, being the output layer too."""
        attention = 4 * self.hidden_size * self.heads * HEAD_SIZE
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        norms = 2 * self.hidden_size
        embedding = len(VOCABULARY) * self.hidden_size
        return embedding + self.layers * (attention + feed_forward + norms) + self.hidden_size

    @property
    def examples(self) -> int:
        """Problems seen in training."""
        return self.steps * self.batch


def _rungs(
    size: str,
    *,
    hidden_size: int,
    heads: int,
    learning_rate: float,
    seeds: tuple[int, ...] = (0,),
) -> tuple[Rung, ...]:
    """The models of one size."""
    return tuple(
        Rung(
            name=size if seed == 0 else f"{size}-seed{seed}",
            seed=seed,
            hidden_size=hidden_size,
            intermediate_size=2 * hidden_size,
            layers=2,
            heads=heads,
            learning_rate=learning_rate,
        )
        for seed in seeds
    )


LADDER: tuple[Rung, ...] = (
    *_rungs("3k", hidden_size=8, heads=1, learning_rate=0.01131, seeds=(0, 1, 2)),
    *_rungs("7k", hidden_size=16, heads=1, learning_rate=0.008, seeds=(0, 1, 2)),
    *_rungs("14k", hidden_size=24, heads=1, learning_rate=0.00653, seeds=(0, 1, 2)),
    *_rungs("29k", hidden_size=32, heads=2, learning_rate=0.00566),
    *_rungs("53k", hidden_size=48, heads=2, learning_rate=0.004),
    *_rungs("100k", hidden_size=72, heads=2, learning_rate=0.0029),
    *_rungs("185k", hidden_size=104, heads=2, learning_rate=0.002),
)
"""Every model of the ladder, small to large; the wider, the lower its learning rate."""


def rung(name: str) -> Rung:
    """The rung of a name.

    Raises:
        ValueError: The ladder has none of that name.
    """
    for one in LADDER:
        if one.name == name:
            return one
    raise ValueError(f"no rung {name!r}; the ladder has {', '.join(one.name for one in LADDER)}")
