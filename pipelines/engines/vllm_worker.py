"""What is added to vLLM's workers where samples cannot have seeds of their own.

Imported by those workers alone, by its name.
"""

import torch


class Reseeding:
    """A worker extension: vLLM's workers inherit it, and the engine calls it in all of them."""

    def reseed(self, seed: int) -> None:
        """Start the random numbers of all devices anew."""
        torch.manual_seed(seed)
