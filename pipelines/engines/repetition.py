"""Whether samples that should be independent repeat each other more than chance allows.

Servers repeat themselves in two ways: they clone one choice n times, or they answer a request as
they answered the one before. Both are told from a model that is merely sure of itself by a bound
that holds for every model. What cannot be told, and is not looked for: the same text in every
sample of a problem, which a model that is sure of it gives too.

Knows texts, and which of them one answer held, so that one unit is enough where a whole run may
not be (`operators.repetition`); not servers, seeds or probabilities of tokens.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

FALSE_ALARM = 1e-9
"""Most probable that independent samples, of any model, are taken for repeated ones, in a unit."""
_STAKES = (0.1, 0.5, 0.9)
"""Shares of the evidence that a pair of requests without repetition loses; few such pairs are
expected of a server that clones, more where the model is sure of itself besides."""


def repeated(problems: Sequence[Sequence[Sequence[str]]]) -> bool:
    """Whether the samples of a unit repeat each other.

    Args:
        problems: for each problem, for each request made of it, the texts of its choices.

    Under independence the samples of a problem are exchangeable. So n >= 2 equal choices followed
    by another one have probability at most 1/(n + 1), because the odd one might have come at any
    place; and n choices that are not all equal come twice in the same order with probability at
    most prod(c!)/n!, where c counts each text. The inverse of such a bound where that happens, and
    0 where not, has mean at most 1. So has the product of 1 + stake (inverse - 1) over disjoint
    pairs of requests, and the mean of such products; and by Markov's inequality that exceeds 1/a
    with probability at most a.
    """
    logs = [0.0] * (2 * len(_STAKES))
    for requests in problems:
        for first, second in zip(requests[::2], requests[1::2], strict=False):
            surprises = (clones(first, second), echo(first, second))
            bets = itertools.product(surprises, _STAKES)
            for at, (surprise, stake) in enumerate(bets):
                logs[at] += math.log1p(stake * (surprise - 1.0))
    return max(logs) - math.log(len(logs)) > -math.log(FALSE_ALARM)


def clones(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the inverse bound of equal choices with another one after them; 0 where not seen."""
    cloned = len(first) >= 2 and len(second) > 0 and len(set(first)) == 1
    return len(first) + 1.0 if cloned and second[0] != first[0] else 0.0


def echo(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the inverse bound of a request that is answered as the one before; 0 if not seen."""
    both = min(len(first), len(second))
    if list(first[:both]) != list(second[:both]):
        return 0.0
    counts = Counter(first[:both])
    if len(counts) < 2:
        return 0.0
    ways = math.lgamma(both + 1) - sum(math.lgamma(count + 1) for count in counts.values())
    return math.exp(min(ways, 600.0))
