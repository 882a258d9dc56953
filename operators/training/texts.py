"""texts -> which of them are the same, and which are the most different.

Knows strings; not whose they are.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from operators.selection.similarity import text_similarity

Dedup = Literal["exact", "normalised"]


def text_digest(text: str, dedup: Dedup) -> bytes:
    """Return 16 bytes that are equal where two texts count as the same.

    `exact`: letter by letter; `normalised`: but for white space, which indents no matter here.
    """
    kept = text if dedup == "exact" else " ".join(text.split())
    return hashlib.blake2b(kept.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def most_different(texts: Sequence[str], count: int) -> list[int]:
    """Return the places of `count` texts that share few words with each other.

    The first text is taken, then again and again the one whose nearest taken text is the farthest
    (Gonzalez 1985, farthest-first traversal), by the Jaccard distance of their sets of words; of
    equals the earlier.

    Raises:
        ValueError: there is no text, or `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count {count}: must be >= 1")
    shared = text_similarity(texts)
    own = np.diag(shared)
    either = own[:, None] + own[None, :] - shared
    alike = np.divide(shared, either, out=np.ones_like(shared), where=either > 0)
    taken = [0]
    nearest = alike[0].copy()
    while len(taken) < min(count, len(texts)):
        nearest[taken] = np.inf
        taken.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, alike[taken[-1]])
    return taken
