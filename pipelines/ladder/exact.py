"""Exact pass probabilities of a model, by teacher forcing: the answers need no sampling.

Knows stock transformers and our tokens; nothing of the engines, so that it can judge them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.ladder.arithmetic import Problem

if TYPE_CHECKING:
    import torch


def exact_pass_probabilities(model_dir: Path, problems: Sequence[Problem]) -> NDArray[np.float64]:
    """Probability that a model writes the right answer and then ends, for each problem.

    At temperature 1 over the full vocabulary; logits in float32, their log-softmax in float64.

    Args:
        model_dir: A folder with a model and its tokenizer.
        problems: What is asked.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    with no_bars_of_transformers():
        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    texts = [(problem.prompt, problem.prompt + problem.answer) for problem in problems]
    starts = [len(tokenizer(prompt)["input_ids"]) for prompt, _ in texts]
    rows = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for _, text in texts]
    width = max(map(len, rows))
    tokens = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    answer = torch.zeros(tokens.shape, dtype=torch.bool)
    for index, (start, row) in enumerate(zip(starts, rows, strict=True)):
        answer[index, start : len(row)] = True
    return pass_probabilities(model, tokens, answer)


def pass_probabilities(
    model: "torch.nn.Module", tokens: "torch.Tensor", answer: "torch.Tensor"
) -> NDArray[np.float64]:
    """Probability of the marked tokens of each row, given those before them.

    Padding comes after the end and attention looks back only, so that it changes nothing.
    """
    import torch

    with torch.no_grad():
        logits = model(input_ids=tokens, use_cache=False).logits.double()
    following = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    probabilities: NDArray[np.float64] = (following * answer[:, 1:]).sum(1).exp().numpy()
    return probabilities


@contextmanager
def no_bars_of_transformers() -> Iterator[None]:
    """Without the bars for reading and writing weights: ours are done before one is drawn."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
