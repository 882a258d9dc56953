"""What accelerators do at most, and how much of it sampling gets: for costs before any run.

Knows data sheets, not engines. A throughput that was measured is always better than these.
"""

from collections.abc import Mapping

PEAK_FLOPS: Mapping[str, float] = {
    "a10": 125e12,
    "a100": 312e12,
    "b200": 2250e12,
    "h100": 989.4e12,
    "h200": 989.4e12,
    "l4": 121e12,
    "l40s": 362e12,
    "mi300x": 1307.4e12,
    "t4": 65e12,
    "v100": 125e12,
}
"""FLOP/s in bfloat16 (T4 and V100, which lack it: float16) without sparsity, of the SXM or OAM form
where there are several. Source: the makers' data sheets; where these name only figures with 2:4
sparsity (L4, L40S, B200), half of them."""

UTILISATION = 0.3
"""Share of the peak that sampling is taken to get, over prompts and completions. A guess for large
batches: reading prompts reached 0.76 of the peak at best (Pope et al., arXiv 2211.05102), while
generating is bound by memory and gets far less where few samples run at once."""
