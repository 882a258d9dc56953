"""The recipe of the ladder: sizes, seeds and schedules of its models, as numbers.

Knows what is to be trained, not how; needs no torch, so that listing the ladder costs nothing.
"""

from dataclasses import dataclass

from pipelines.ladder.arithmetic import VOCABULARY

HEAD_SIZE = 32
CONTEXT = 64
"""Most tokens a model can read and write; twice the longest problem."""
BATCH = 128
"""Small, and many steps: what a size can hold shows sooner than with large batches."""
STEPS = 8_000
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
    """Problems in one step."""

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
    size: str, hidden_size: int, heads: int, seeds: tuple[int, ...] = (0,)
) -> tuple[Rung, ...]:
    """The models of one size; wider ones learn more slowly, by the root of the width."""
    return tuple(
        Rung(
            name=size if seed == 0 else f"{size}-seed{seed}",
            seed=seed,
            hidden_size=hidden_size,
            intermediate_size=2 * hidden_size,
            layers=2,
            heads=heads,
            learning_rate=round(0.032 * hidden_size**-0.5, 5),
        )
        for seed in seeds
    )


LADDER: tuple[Rung, ...] = (
    *_rungs("3k", 8, 1, (0, 1, 2)),
    *_rungs("8k", 16, 1),
)
"""Every model of the ladder, small to large."""


def rung(name: str) -> Rung:
    """The rung of a name.

    Raises:
        ValueError: The ladder has none of that name.
    """
    for one in LADDER:
        if one.name == name:
            return one
    raise ValueError(f"no rung {name!r}; the ladder has {', '.join(one.name for one in LADDER)}")
